//! What `eigh_factor` gives: [`FactorPairs`], the r eigenpairs of B Bᴴ that B can make other than
//! null.

use super::FactorProblem;
use crate::array::arrays;
use crate::{Array, Backend, Cotangents, Cpu, Element, Owned, Result, Spectrum, Storage, View, ViewMut};
use ndarray::{ArrayView2, ArrayView3};

arrays! {
    /// Eigenpairs of B Bᴴ for a batch of factors B: r a matrix. The other n − r eigenvalues are
    /// exact zeros and dropped; of them only the gaps and the statuses tell.
    FactorPairs<O>(batch, n, r) {
        /// V, one eigenvector after the other: `[batch, k, i]`, r vectors of n components.
        vectors, "V": O, 3 [batch, r, n];
        /// S = Vᴴ B, one column after the other: `[batch, c, k]`, r columns of r components.
        projection, "S": O::Scalar, 3 [batch, r, r];
        @
        /// λ `[batch, r]` and what the cut makes of it.
        spectrum: Spectrum<O::Real>(batch, r);
        with problem: FactorProblem;
    }
}

impl<O: Element, B: Backend> FactorPairs<O, B> {
    /// Copies cotangents of these pairs from arrays of any strides: λ̄ `[batch, r]`, V̄ `[batch, n,
    /// r]`; what is outside K is ignored.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if an array has another shape,
    /// [`Error::Backend`](crate::Error::Backend).
    pub fn cotangents(
        &self,
        values: Option<ArrayView2<'_, O::Real>>,
        vectors: Option<ArrayView3<'_, O>>,
    ) -> Result<Cotangents<O, B>> {
        Cotangents::shaped(self.vectors.backend(), [self.batch(), self.n(), self.r()], values, vectors)
    }
}

impl<O: Element, B: Backend, S: Storage> FactorPairs<O, B, S> {
    /// The number of factors.
    pub fn batch(&self) -> usize {
        self.problem.matrices.batch
    }

    /// The order n of the matrices B Bᴴ.
    pub fn n(&self) -> usize {
        self.problem.matrices.n
    }

    /// The number of columns of B, and of pairs.
    pub fn r(&self) -> usize {
        self.problem.r
    }
}

impl<O: Element, S: Storage> FactorPairs<O, Cpu, S> {
    /// V, `[batch, n, r]`: `v[[b, .., k]]` is eigenvector k of matrix b, orthonormal, of
    /// unspecified phase; strides (n·r, 1, n).
    pub fn vectors(&self) -> ArrayView3<'_, O> {
        self.vectors.array().permuted_axes([0, 2, 1])
    }
}
