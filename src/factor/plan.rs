//! [`FactorPlan`]: factors of one shape on one backend, over caller-owned memory; [`eigh_factor`] and [`FactorPairs::backward`], a skin
//! over it.

use super::batch::thin;
use super::{FactorBatch, FactorGradient, FactorGradientMut, FactorPairs, FactorPairsMut, FactorPairsRef};
use crate::options::Problem;
use crate::plan::{expect, expect_spectrum};
use crate::{Backend, Cotangents, CotangentsRef, Cpu, Element, Engine, Error, Options, Result, Status, Stored, TieRule};
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

/// The eigendecomposition of B Bᴴ for `batch` factors `[n, r]` stored as `T`, and its backward pass, ready to run again and again.
#[derive(Clone, Debug)]
pub struct FactorPlan<T: Element, B: Backend = Cpu> {
    backend: B,
    problem: FactorProblem,
    element: PhantomData<T>,
}

impl<T: Element, B: Engine<T::Scalar>> FactorPlan<T, B> {
    /// Resolves the options for this shape and element type. Tolerances are those of the n×n matrices B Bᴴ, and
    /// [`Options::gradient`] has no meaning here.
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
        self.backend.factor_workspace(&self.problem)
    }

    /// Memory for eigenpairs stored as `O`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn pairs<O: Stored<T::Scalar>>(&self) -> Result<FactorPairs<O, B>> {
        FactorPairs::zeros(&self.backend, &self.problem)
    }

    /// Memory for a gradient stored as `O`.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is none.
    pub fn gradient<O: Stored<T::Scalar>>(&self) -> Result<FactorGradient<O, B>> {
        FactorGradient::zeros(&self.backend, &self.problem)
    }

    /// The eigenpairs of B Bᴴ, as [`eigh_factor`], into caller-owned memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if a view has another length than the plan's; [`Error::Workspace`] if the workspace is another plan's;
    /// [`Error::Backend`].
    pub fn eigh_into<'a, O: Stored<T::Scalar>>(
        &self,
        b: B::View<'a, T>,
        out: FactorPairsMut<'a, O, B>,
        workspace: &mut B::FactorWorkspace,
    ) -> Result<()> {
        let FactorProblem { matrices: Problem { batch, n, .. }, r } = self.problem;
        expect("B", batch * n * r, B::len(&b))?;
        expect("V", batch * n * r, B::len_mut(&out.vectors))?;
        expect("S", batch * r * r, B::len_mut(&out.projection))?;
        expect_spectrum(batch, r, &out.spectrum)?;
        self.expect_workspace(workspace)?;
        self.backend.eigh_factor(&self.problem, b, out, workspace)
    }

    /// B̄ of (λ̄, V̄), as [`FactorPairs::backward`], into caller-owned memory. Under [`TieRule::Error`] a tied matrix gets a NaN gradient
    /// and [`Status::TIES_REFUSED`].
    ///
    /// # Errors
    /// As [`FactorPlan::eigh_into`].
    pub fn backward_into<'a, O: Stored<T::Scalar>>(
        &self,
        pairs: FactorPairsRef<'a, O, B>,
        cotangents: CotangentsRef<'a, O, B>,
        out: FactorGradientMut<'a, O, B>,
        workspace: &mut B::FactorWorkspace,
    ) -> Result<()> {
        let FactorProblem { matrices: Problem { batch, n, .. }, r } = self.problem;
        expect("λ", batch * r, B::len(&pairs.values))?;
        expect("V", batch * n * r, B::len(&pairs.vectors))?;
        expect("S", batch * r * r, B::len(&pairs.projection))?;
        expect("kept", batch * r, B::len(&pairs.kept))?;
        expect("status", batch, B::len(&pairs.status))?;
        expect("λ̄", batch * r, cotangents.values.as_ref().map_or(batch * r, B::len))?;
        expect("V̄", batch * n * r, cotangents.vectors.as_ref().map_or(batch * n * r, B::len))?;
        expect("B̄", batch * n * r, B::len_mut(&out.b_bar))?;
        expect("gauge_defect", batch * r, B::len_mut(&out.gauge_defect))?;
        expect("tie_defect", batch, B::len_mut(&out.tie_defect))?;
        expect("status", batch, B::len_mut(&out.status))?;
        self.expect_workspace(workspace)?;
        self.backend.backward_factor(&self.problem, pairs, cotangents, out, workspace)
    }

    fn expect_workspace(&self, workspace: &B::FactorWorkspace) -> Result<()> {
        let Problem { batch, n, .. } = self.problem.matrices;
        if self.backend.serves_factor(workspace, &self.problem) { Ok(()) } else { Err(Error::Workspace { batch, n }) }
    }
}

/// The eigenpairs of A = B Bᴴ for every factor B of the batch, λ ascending, and what the cut keeps of them, without forming A.
///
/// B = Q R is decomposed first, then the r×r matrix R Rᴴ = U Λ Uᴴ; V = Q U. This takes some 4nr² + 9r³ multiply-adds for the 9n³ of
/// A and has the accuracy of `eigh` of A: orthonormal vectors, residuals of n·ε·‖A‖₂. For r > n form A and use [`eigh`](crate::eigh()).
///
/// There are r pairs for each matrix; the other n − r eigenvalues are exact zeros, dropped whatever the cut, and counted by the kept–dropped
/// gap. Bad matrices are treated as by [`eigh`](crate::eigh()).
///
/// # Shapes
/// λ, kept `[batch, r]`; V `[batch, n, r]`; rank, gaps, status `[batch]`.
///
/// # Errors
/// [`Error::Tolerance`], [`Error::Backend`].
///
/// # Source
/// docs/derivation.md §12; Householder's factorisation, then as [`eigh`](crate::eigh()).
pub fn eigh_factor<T: Element, B: Engine<T::Scalar>>(
    b: &FactorBatch<T, B>,
    options: &Options,
) -> Result<FactorPairs<T::Scalar, B>> {
    eigh_factor_as(b, options)
}

/// As [`eigh_factor`], with results stored as `O`: for factors in half precision, their type or `f32`.
///
/// # Errors
/// As [`eigh_factor`].
pub fn eigh_factor_as<T: Element, O: Stored<T::Scalar>, B: Engine<T::Scalar>>(
    b: &FactorBatch<T, B>,
    options: &Options,
) -> Result<FactorPairs<O, B>> {
    let plan = FactorPlan::<T, B>::new(&b.backend, b.batch(), b.n(), b.r(), options)?;
    let mut pairs = plan.pairs()?;
    plan.eigh_into(b.as_ref(), pairs.as_mut(), &mut plan.workspace()?)?;
    Ok(pairs)
}

impl<O: Element, B: Engine<O::Scalar>> FactorPairs<O, B> {
    /// The gradient B̄ = 2 Ā B of a loss by B, from its cotangents λ̄ and V̄, without Ā: with X = Vᴴ V̄, S = Vᴴ B and G as in
    /// [`Eigenpairs::backward`](crate::Eigenpairs::backward), B̄ = 2 V G S + (I − V Vᴴ) V̄_K Λ_K⁻¹ S_K.
    ///
    /// # Shapes
    /// λ̄ `[batch, r]`, V̄ `[batch, n, r]`, either may be absent; B̄ `[batch, n, r]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the cotangents are those of another shape; [`Error::Matrices`] for tied matrices under [`TieRule::Error`];
    /// [`Error::Backend`].
    ///
    /// # Source
    /// docs/derivation.md §12.
    pub fn backward(&self, cotangents: &Cotangents<O, B>) -> Result<FactorGradient<O, B>> {
        let plan = FactorPlan::<O, B>::resolved(&self.backend, self.problem);
        cotangents.expect_shape(&[self.batch(), self.n(), self.r()])?;
        let mut gradient = plan.gradient()?;
        plan.backward_into(self.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut plan.workspace()?)?;
        if self.problem.matrices.ties == TieRule::Error {
            let status = self.backend.download(gradient.status_view())?;
            Error::unless_clear(&status, |status| status.intersects(Status::TIES_REFUSED))?;
        }
        Ok(gradient)
    }
}
