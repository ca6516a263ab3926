//! Hermitian matrices that come out of a computation: [`HermitianResult`], with a status each.

use crate::array::arrays;
use crate::{Array, Backend, Cpu, Element, HermitianBatch, Owned, Result, Status, Storage, Triangle, View, ViewMut};
use ndarray::{ArrayView1, ArrayView3};

arrays! {
    /// Hermitian matrices: a function of the matrices of a batch, or a derivative by them.
    HermitianResult<G>(batch, n) {
        /// Both triangles, `[batch, n, n]`.
        data, "matrices": G, 3 [batch, n, n];
        /// What is to be known of each, `[batch]`.
        status, "status": Status, 1 [batch];
    }
}

impl<G: Element, B: Backend> HermitianResult<G, B> {
    /// The matrices as a batch, for another operation.
    pub fn as_batch(&self) -> HermitianBatch<G, B, View<'_>> {
        HermitianBatch { data: self.data.view(), triangle: Some(Triangle::Lower) }
    }

    /// The matrices as a batch, to be decomposed in turn; statuses are left behind.
    pub fn into_batch(self) -> HermitianBatch<G, B> {
        HermitianBatch { data: self.data, triangle: Some(Triangle::Lower) }
    }
}

impl<G: Element, B: Backend, S: Storage> HermitianResult<G, B, S> {
    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.data.shape()[0]
    }
}

impl<G: Element, S: Storage> HermitianResult<G, Cpu, S> {
    /// [`HermitianResult::data`] as an array, `[batch, n, n]`.
    pub fn data(&self) -> ArrayView3<'_, G> {
        self.data.array()
    }

    /// [`HermitianResult::status`] as an array, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        self.status.array()
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`](crate::Error::Matrices) unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        self.status.check()
    }
}
