//! [`FactorPlan`]: factors of one shape on one backend, over caller-owned memory; [`eigh_factor`]
//! and [`FactorPairs::backward`], a skin over it.

use super::batch::thin;
use super::{FactorBatch, FactorGradient, FactorPairs};
#[cfg(feature = "foreign")]
use crate::compute::Lent;
use crate::options::Problem;
use crate::{
    Array, Backend, Cotangents, Cpu, Element, ElementOf, Engine, Error, Options, Result, Spectrum, Status, Storage, TieRule,
    View, ViewMut,
};
use std::marker::PhantomData;

/// The eigendecomposition of B Bᴴ for factors of one shape: what a backend is given.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FactorProblem {
    /// The matrices B Bᴴ, whose order sets the tolerances; `at_most` is at most r.
    pub matrices: Problem,
    /// The number of columns of B.
    pub r: usize,
}

/// The eigendecomposition of B Bᴴ for `batch` factors `[n, r]` stored as `T`, and its backward
/// pass, ready to run again and again.
#[derive(Clone, Debug)]
pub struct FactorPlan<T: Element, B: Backend = Cpu> {
    backend: B,
    problem: FactorProblem,
    element: PhantomData<T>,
}

impl<T: Element, B: Engine<T::Scalar>> FactorPlan<T, B> {
    /// Resolves the options for this shape and element type. Tolerances are those of the n×n
    /// matrices B Bᴴ, and [`Options::gradient`] has no meaning here.
    ///
    /// # Errors
    /// [`Error::Wide`] if r > n; [`Error::TooLarge`], [`Error::Tolerance`].
    pub fn new(backend: &B, batch: usize, n: usize, r: usize, options: &Options) -> Result<Self> {
        thin::<T>(batch, n, r)?;
        let mut matrices = Problem::new::<T>(batch, n, options)?;
        matrices.at_most = matrices.at_most.min(r);
        Ok(Self::resolved(backend, FactorProblem { matrices, r }))
    }

    fn resolved(backend: &B, problem: FactorProblem) -> Self {
        Self { backend: backend.clone(), problem, element: PhantomData }
    }

    /// The number of factors.
    pub fn batch(&self) -> usize {
        self.problem.matrices.batch
    }

    /// Their rows.
    pub fn n(&self) -> usize {
        self.problem.matrices.n
    }

    /// Their columns.
    pub fn r(&self) -> usize {
        self.problem.r
    }

    /// Scratch memory for the operations of this plan.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn workspace(&self) -> Result<B::FactorWorkspace> {
        self.backend.factor_workspace(&self.problem, None)
    }

    /// Bytes of the backend's memory that [`FactorPlan::workspace_at`] wants for the whole batch at
    /// a time, if the device has room for it; with less it works in parts. 0 on the CPU, whose
    /// threads have scratch of their own.
    ///
    /// # Errors
    /// [`Error::Backend`] if the backend refuses.
    pub fn workspace_bytes(&self) -> Result<usize> {
        self.backend.factor_workspace_bytes(&self.problem)
    }

    /// As [`FactorPlan::workspace`], in memory of the caller's: `bytes` at a multiple of 256, which
    /// need not be cleared.
    ///
    /// # Safety
    /// The memory is this backend's, and nobody else uses it while the result lives, nor until the
    /// work that it was given to has run; what was enqueued on it before is ordered before the work
    /// of the stream.
    ///
    /// # Errors
    /// [`Error::Backend`] if it is too little for one matrix.
    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    pub unsafe fn workspace_at(&self, address: usize, bytes: usize) -> Result<B::FactorWorkspace> {
        self.backend.factor_workspace(&self.problem, Some(Lent { address, bytes }))
    }

    /// Memory for eigenpairs stored as `O`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn pairs<O: ElementOf<T::Scalar>>(&self) -> Result<FactorPairs<O, B>> {
        FactorPairs::zeros(&self.backend, self.batch(), self.n(), self.r(), self.problem)
    }

    /// Eigenpairs in memory of the caller's.
    ///
    /// # Errors
    /// [`Error::Shape`] if an array has another shape than the plan's.
    pub fn pairs_of<O: ElementOf<T::Scalar>, S: Storage>(
        &self,
        spectrum: Spectrum<O::Real, B, S>,
        vectors: Array<O, B, 3, S>,
        projection: Array<T::Scalar, B, 3, S>,
    ) -> Result<FactorPairs<O, B, S>> {
        let pairs = FactorPairs { spectrum, vectors, projection, problem: self.problem };
        pairs.expect(self.batch(), self.n(), self.r()).map(|()| pairs)
    }

    /// What the backward pass reads of eigenpairs, in memory of the caller's: λ and K `[batch, r]`,
    /// statuses `[batch]`, V `[batch, k, i]`, S `[batch, c, k]`. Ranks and gaps are empty.
    ///
    /// # Errors
    /// [`Error::Shape`] if an array has another shape than the plan's.
    pub fn pairs_view<'a, O: ElementOf<T::Scalar>>(
        &self,
        values: Array<O::Real, B, 2, View<'a>>,
        kept: Array<bool, B, 2, View<'a>>,
        status: Array<Status, B, 1, View<'a>>,
        vectors: Array<O, B, 3, View<'a>>,
        projection: Array<T::Scalar, B, 3, View<'a>>,
    ) -> Result<FactorPairs<O, B, View<'a>>> {
        let spectrum = Spectrum::of_read(&self.backend, values, kept, status)?;
        let pairs = FactorPairs { spectrum, vectors, projection, problem: self.problem };
        self.expect_read(&pairs).map(|()| pairs)
    }

    /// Memory for a gradient stored as `O`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn gradient<O: ElementOf<T::Scalar>>(&self) -> Result<FactorGradient<O, B>> {
        FactorGradient::zeros(&self.backend, self.batch(), self.n(), self.r())
    }

    /// The eigenpairs of B Bᴴ, as [`eigh_factor`], into caller-owned memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if a view has another length than the plan's; [`Error::Workspace`] if the
    /// workspace is another plan's; [`Error::Backend`].
    pub fn eigh_into<'a, O: ElementOf<T::Scalar>>(
        &self,
        b: FactorBatch<T, B, View<'a>>,
        out: FactorPairs<O, B, ViewMut<'a>>,
        workspace: &B::FactorWorkspace,
    ) -> Result<()> {
        let FactorProblem { matrices: Problem { batch, n, .. }, r } = self.problem;
        b.data.expect("B", [batch, r, n])?;
        out.expect(batch, n, r)?;
        self.expect_workspace(workspace)?;
        self.backend.eigh_factor(&self.problem, b, out, workspace)
    }

    /// B̄ of (λ̄, V̄), as [`FactorPairs::backward`], into caller-owned memory. Under
    /// [`TieRule::Error`] a tied matrix gets a NaN gradient and [`Status::TIES_REFUSED`].
    ///
    /// # Errors
    /// As [`FactorPlan::eigh_into`].
    pub fn backward_into<'a, O: ElementOf<T::Scalar>>(
        &self,
        pairs: FactorPairs<O, B, View<'a>>,
        cotangents: Cotangents<O, B, View<'a>>,
        out: FactorGradient<O, B, ViewMut<'a>>,
        workspace: &B::FactorWorkspace,
    ) -> Result<()> {
        let FactorProblem { matrices: Problem { batch, n, .. }, r } = self.problem;
        self.expect_read(&pairs)?;
        cotangents.expect(batch, n, r)?;
        out.expect(batch, n, r)?;
        self.expect_workspace(workspace)?;
        self.backend.backward_factor(&self.problem, pairs, cotangents, out, workspace)
    }

    fn expect_read<O: ElementOf<T::Scalar>>(&self, pairs: &FactorPairs<O, B, View<'_>>) -> Result<()> {
        let FactorProblem { matrices: Problem { batch, n, .. }, r } = self.problem;
        pairs.spectrum.expect_read(batch, r)?;
        pairs.vectors.expect("V", [batch, r, n])?;
        pairs.projection.expect("S", [batch, r, r])
    }

    fn expect_workspace(&self, workspace: &B::FactorWorkspace) -> Result<()> {
        let Problem { batch, n, .. } = self.problem.matrices;
        if self.backend.serves_factor(workspace, &self.problem) { Ok(()) } else { Err(Error::Workspace { batch, n }) }
    }
}

/// The eigenpairs of A = B Bᴴ for every factor B of the batch, λ ascending, and what the cut keeps
/// of them, without forming A.
///
/// B = Q R is decomposed first, then the r×r matrix R Rᴴ = U Λ Uᴴ; V = Q U. This takes some 4nr² +
/// 9r³ multiply-adds for the 9n³ of A and has the accuracy of `eigh` of A: orthonormal vectors,
/// residuals of n·ε·‖A‖₂. For r > n form A and use [`eigh`](crate::eigh()).
///
/// There are r pairs for each matrix; the other n − r eigenvalues are exact zeros, dropped whatever
/// the cut, and counted by the kept–dropped gap. Bad matrices are treated as by
/// [`eigh`](crate::eigh()).
///
/// # Shapes
/// λ, kept `[batch, r]`; V `[batch, n, r]`; rank, gaps, status `[batch]`.
///
/// # Errors
/// [`Error::Tolerance`], [`Error::Backend`].
///
/// # Source
/// docs/derivation.md §12; Householder's factorisation, then as [`eigh`](crate::eigh()).
///
/// ```
/// use eigengrad::{FactorBatch, Options, eigh_factor};
/// use ndarray::array;
///
/// // λ of B Bᵀ are 1 and 1e-20, which the product would not hold beside each other.
/// let b = array![[[1.0_f64, 0.0], [0.0, 1e-10], [0.0, 0.0]]];
/// let options = Options::default().with_cut(eigengrad::Cut::none());
/// let pairs = eigh_factor(&FactorBatch::new(b.view())?, &options)?;
/// assert!((pairs.values()[[0, 0]] / 1e-20 - 1.0).abs() < 1e-14);
/// # eigengrad::Result::<()>::Ok(())
/// ```
pub fn eigh_factor<T: Element, B: Engine<T::Scalar>>(
    b: &FactorBatch<T, B>,
    options: &Options,
) -> Result<FactorPairs<T::Scalar, B>> {
    eigh_factor_as(b, options)
}

/// As [`eigh_factor`], with results stored as `O`: for factors in half precision, their type or
/// `f32`.
///
/// # Errors
/// As [`eigh_factor`].
pub fn eigh_factor_as<T: Element, O: ElementOf<T::Scalar>, B: Engine<T::Scalar>>(
    b: &FactorBatch<T, B>,
    options: &Options,
) -> Result<FactorPairs<O, B>> {
    let plan = FactorPlan::<T, B>::new(b.data.backend(), b.batch(), b.n(), b.r(), options)?;
    let mut pairs = plan.pairs()?;
    plan.eigh_into(b.view(), pairs.view_mut(), &plan.workspace()?)?;
    Ok(pairs)
}

impl<O: Element, B: Engine<O::Scalar>> FactorPairs<O, B> {
    /// The gradient B̄ = 2 Ā B of a loss by B, from its cotangents λ̄ and V̄, without Ā: with X = Vᴴ
    /// V̄, S = Vᴴ B and G as in [`Eigenpairs::backward`](crate::Eigenpairs::backward), B̄ = 2 V G S +
    /// (I − V Vᴴ) V̄_K Λ_K⁻¹ S_K.
    ///
    /// # Shapes
    /// λ̄ `[batch, r]`, V̄ `[batch, n, r]`, either may be absent; B̄ `[batch, n, r]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the cotangents are those of another shape; [`Error::Matrices`] for tied
    /// matrices under [`TieRule::Error`]; [`Error::Backend`].
    ///
    /// # Source
    /// docs/derivation.md §12.
    pub fn backward(&self, cotangents: &Cotangents<O, B>) -> Result<FactorGradient<O, B>> {
        let plan = FactorPlan::<O, B>::resolved(self.vectors.backend(), self.problem);
        let mut gradient = plan.gradient()?;
        plan.backward_into(self.view(), cotangents.view(), gradient.view_mut(), &plan.workspace()?)?;
        if self.problem.matrices.ties == TieRule::Error {
            Error::unless_clear(&gradient.status.to_host()?, |status| status.intersects(Status::TIES_REFUSED))?;
        }
        Ok(gradient)
    }
}
