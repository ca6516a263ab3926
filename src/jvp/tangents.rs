//! What a direction makes of eigenpairs: [`Tangents`] λ̇ and V̇ of Ȧ, the counterpart of
//! [`Cotangents`](crate::Cotangents).

use crate::array::arrays;
use crate::{Array, Backend, Cpu, Element, Owned, Result, Status, Storage, View, ViewMut};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

arrays! {
    /// λ̇_K and V̇_K along one direction or several, direction after direction: `count` =
    /// directions·batch.
    Tangents<O>(count, n) {
        /// λ̇, `[directions·batch, n]`, 0 outside K.
        values, "λ̇": O::Real, 2 [count, n];
        /// V̇ in the order of V, one vector after the other: `[directions·batch, k, i]`, 0 outside
        /// K.
        vectors, "V̇": O, 3 [count, n, n];
        /// What is to be known of each, `[directions·batch]`.
        status, "status": Status, 1 [count];
    }
}

impl<O: Element, S: Storage> Tangents<O, Cpu, S> {
    /// [`Tangents::values`] as an array, `[directions·batch, n]`.
    pub fn values(&self) -> ArrayView2<'_, O::Real> {
        self.values.array()
    }

    /// V̇, `[directions·batch, n, n]`: `v[[b, .., k]]` is that of eigenvector k, 0 outside K;
    /// strides as of [`Eigenpairs::vectors`](crate::Eigenpairs::vectors).
    pub fn vectors(&self) -> ArrayView3<'_, O> {
        self.vectors.array().permuted_axes([0, 2, 1])
    }

    /// [`Tangents::status`] as an array, `[directions·batch]`.
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
