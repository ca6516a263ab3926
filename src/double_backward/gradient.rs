//! What the double backward pass gives: [`DoubleGradient`], cotangents of A, λ̄ and V̄ from one of Ā.

use crate::array::arrays;
use crate::{Array, Backend, Cpu, Element, Owned, Result, Status, Storage, View, ViewMut};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

arrays! {
    /// The cotangents of A, λ̄ and V̄ that a cotangent H of Ā comes to.
    DoubleGradient<O>(batch, n) {
        /// The cotangent of A, Hermitian, `[batch, n, n]`.
        a_bar, "Ā": O, 3 [batch, n, n];
        /// The cotangent of λ̄, `[batch, n]`, 0 outside K.
        values_bar_bar, "λ̄̄": O::Real, 2 [batch, n];
        /// The cotangent of V̄ in the order of V, one vector after the other: `[batch, k, i]`, 0
        /// outside K.
        vectors_bar_bar, "V̄̄": O, 3 [batch, n, n];
        /// What is to be known of each matrix, `[batch]`.
        status, "status": Status, 1 [batch];
    }
}

impl<O: Element, S: Storage> DoubleGradient<O, Cpu, S> {
    /// [`DoubleGradient::a_bar`] as an array, `[batch, n, n]`.
    pub fn a_bar(&self) -> ArrayView3<'_, O> {
        self.a_bar.array()
    }

    /// [`DoubleGradient::values_bar_bar`] as an array, `[batch, n]`.
    pub fn values_bar_bar(&self) -> ArrayView2<'_, O::Real> {
        self.values_bar_bar.array()
    }

    /// The cotangent of V̄, `[batch, n, n]`: `[[b, .., k]]` is that of v̄_k, 0 outside K.
    pub fn vectors_bar_bar(&self) -> ArrayView3<'_, O> {
        self.vectors_bar_bar.array().permuted_axes([0, 2, 1])
    }

    /// [`DoubleGradient::status`] as an array, `[batch]`.
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
