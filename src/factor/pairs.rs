//! What `eigh_factor` gives: [`FactorPairs`], the r eigenpairs of B Bᴴ that B can make other than null.

use super::{FactorProblem, gradient::columns_of};
use crate::cotangents::Cotangents;
use crate::{Backend, Cpu, Element, Result, Spectrum, SpectrumMut, Status};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// Where the eigenpairs of factors are written.
#[derive(Debug)]
pub struct FactorPairsMut<'a, O: Element, B: Backend = Cpu> {
    /// λ `[batch, r]` and what the cut makes of it.
    pub spectrum: SpectrumMut<'a, O::Real, B>,
    /// V, one eigenvector after the other: `[batch, k, i]`, r vectors of n components.
    pub vectors: B::ViewMut<'a, O>,
    /// S = Vᴴ B, one column after the other: `[batch, c, k]`, r columns of r components.
    pub projection: B::ViewMut<'a, O::Scalar>,
}

/// The part of them that the backward pass reads.
#[derive(Debug)]
pub struct FactorPairsRef<'a, O: Element, B: Backend = Cpu> {
    /// λ, ascending, `[batch, r]`.
    pub values: B::View<'a, O::Real>,
    /// V as in [`FactorPairsMut::vectors`].
    pub vectors: B::View<'a, O>,
    /// S as in [`FactorPairsMut::projection`].
    pub projection: B::View<'a, O::Scalar>,
    /// Whether each is kept, `[batch, r]`.
    pub kept: B::View<'a, bool>,
    /// The statuses of the forward pass, `[batch]`.
    pub status: B::View<'a, Status>,
}

impl<O: Element, B: Backend> Clone for FactorPairsRef<'_, O, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Element, B: Backend> Copy for FactorPairsRef<'_, O, B> {}

/// Eigenpairs of B Bᴴ for a batch of factors B, owned: r a matrix. The other n − r eigenvalues are exact zeros and dropped; of them only
/// the gaps and the statuses tell.
#[derive(Debug)]
pub struct FactorPairs<O: Element, B: Backend = Cpu> {
    pub(super) backend: B,
    pub(super) problem: FactorProblem,
    spectrum: Spectrum<O::Real, B>,
    vectors: B::Buffer<O>,
    projection: B::Buffer<O::Scalar>,
}

impl<O: Element, B: Backend> FactorPairs<O, B> {
    /// Memory for the eigenpairs of a problem.
    pub(super) fn zeros(backend: &B, problem: &FactorProblem) -> Result<Self> {
        let &FactorProblem { matrices, r } = problem;
        Ok(Self {
            backend: backend.clone(),
            problem: *problem,
            spectrum: Spectrum::zeros(backend, matrices.batch, r)?,
            vectors: backend.zeros(matrices.batch * r * matrices.n)?,
            projection: backend.zeros(matrices.batch * r * r)?,
        })
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> FactorPairsMut<'_, O, B> {
        FactorPairsMut {
            spectrum: self.spectrum.as_mut(),
            vectors: B::view_mut(&mut self.vectors),
            projection: B::view_mut(&mut self.projection),
        }
    }

    /// The part of it that the backward pass reads.
    pub fn as_ref(&self) -> FactorPairsRef<'_, O, B> {
        let (values, kept, status) = self.spectrum.views();
        FactorPairsRef { values, vectors: B::view(&self.vectors), projection: B::view(&self.projection), kept, status }
    }

    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<FactorPairs<O, Cpu>> {
        Ok(FactorPairs {
            backend: self.backend.host(),
            problem: self.problem,
            spectrum: self.spectrum.to_host(&self.backend)?,
            vectors: self.backend.download(B::view(&self.vectors))?.into(),
            projection: self.backend.download(B::view(&self.projection))?.into(),
        })
    }

    /// Copies cotangents of these pairs from arrays of any strides: λ̄ `[batch, r]`, V̄ `[batch, n, r]`; what is outside K is ignored.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if an array has another shape, [`Error::Backend`](crate::Error::Backend).
    pub fn cotangents(
        &self,
        values: Option<ArrayView2<'_, O::Real>>,
        vectors: Option<ArrayView3<'_, O>>,
    ) -> Result<Cotangents<O, B>> {
        Cotangents::shaped(&self.backend, [self.batch(), self.n(), self.r()], values, vectors)
    }

    /// Cotangents from memory that is on the backend already: λ̄ `[batch, r]`, V̄ `[batch, k, i]`, one vector after the other.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if it does not hold as many elements.
    pub fn cotangents_from(&self, values: Option<B::Buffer<O::Real>>, vectors: Option<B::Buffer<O>>) -> Result<Cotangents<O, B>> {
        Cotangents::from_shaped([self.batch(), self.n(), self.r()], values, vectors)
    }

    /// λ and what the cut makes of it.
    pub fn spectrum(&self) -> &Spectrum<O::Real, B> {
        &self.spectrum
    }

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

impl<O: Element> FactorPairs<O, Cpu> {
    /// V, `[batch, n, r]`: `v[[b, .., k]]` is eigenvector k of matrix b, orthonormal, of unspecified phase; strides (n·r, 1, n).
    pub fn vectors(&self) -> ArrayView3<'_, O> {
        columns_of(self.batch(), self.n(), self.r(), &self.vectors)
    }

    /// λ, as [`Spectrum::values`], `[batch, r]`.
    pub fn values(&self) -> ArrayView2<'_, O::Real> {
        self.spectrum.values()
    }

    /// Whether each eigenpair is kept, `[batch, r]`.
    pub fn kept(&self) -> ArrayView2<'_, bool> {
        self.spectrum.kept()
    }

    /// How many are kept, `[batch]`.
    pub fn rank(&self) -> ArrayView1<'_, u32> {
        self.spectrum.rank()
    }

    /// What is to be known of each matrix, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        self.spectrum.status()
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`](crate::Error::Matrices) unless all are clear.
    pub fn check(&self) -> Result<()> {
        self.spectrum.check()
    }
}
