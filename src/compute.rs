//! The operations of a backend in one number type: a trait for each, implemented in the file that
//! does the work.
//!
//! The traits are public for [`Engine`](crate::Engine)'s sake, and in a private module: nobody else
//! implements them. Nor does anybody else call them, since no one outside the crate comes by a
//! [`Problem`], for which [`Plan`](crate::Plan) has checked all lengths.

use crate::options::Problem;
use crate::{
    Array, Backend, Cotangents, Derivative, DoubleGradient, Eigenpairs, Element, ElementOf, FactorBatch, FactorGradient,
    FactorPairs, FactorProblem, Gradient, HermitianBatch, HermitianResult, PairLoss, PairLosses, Result, Scalar, SchurMultiplier,
    Spectral, Spectrum, Status, Tangents, Targets, View, ViewMut,
};
use std::fmt::Debug;

/// Memory of another owner, that of a workspace as long as this lives: whoever made it promised
/// that.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "the CPU has scratch of its own"))]
pub struct Lent {
    pub(crate) address: usize,
    pub(crate) bytes: usize,
}

/// Memory that the operations work in, made for one problem size and reused call after call.
///
/// An operation enqueues its work and returns; only these may allocate, and only
/// `Backend::download` may wait.
pub trait Workspaces<T: Scalar>: Backend {
    /// Of the forward and the backward pass.
    type Workspace: Debug + Send + Sync + 'static;

    /// The scratch memory that the forward and the backward pass need for `problem`, in memory that
    /// is `lent` or its own.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is no memory for it, or too little is
    /// lent.
    fn workspace(&self, problem: &Problem, lent: Option<Lent>) -> Result<Self::Workspace>;

    /// Bytes of the backend's memory that a workspace takes.
    ///
    /// # Errors
    /// As [`Workspaces::workspace`].
    fn workspace_bytes(&self, problem: &Problem) -> Result<usize>;

    /// Whether a workspace was made by this backend for problems of this size.
    fn serves(&self, workspace: &Self::Workspace, problem: &Problem) -> bool;

    /// Of derivatives beyond the first and functions of the spectrum.
    type Scratch: Debug + Send + Sync + 'static;

    /// The scratch memory that derivatives beyond the first and functions of the spectrum need for
    /// `problem`.
    ///
    /// # Errors
    /// As [`Workspaces::workspace`].
    fn scratch(&self, problem: &Problem, lent: Option<Lent>) -> Result<Self::Scratch>;

    /// As [`Workspaces::workspace_bytes`].
    ///
    /// # Errors
    /// As [`Workspaces::workspace`].
    fn scratch_bytes(&self, problem: &Problem) -> Result<usize>;

    /// Whether scratch memory was made by this backend for problems of this size.
    fn scratch_serves(&self, scratch: &Self::Scratch, problem: &Problem) -> bool;

    /// Of factors.
    type FactorWorkspace: Debug + Send + Sync + 'static;

    /// The scratch memory that the operations on factors need.
    ///
    /// # Errors
    /// As [`Workspaces::workspace`].
    fn factor_workspace(&self, problem: &FactorProblem, lent: Option<Lent>) -> Result<Self::FactorWorkspace>;

    /// As [`Workspaces::workspace_bytes`].
    ///
    /// # Errors
    /// As [`Workspaces::workspace`].
    fn factor_workspace_bytes(&self, problem: &FactorProblem) -> Result<usize>;

    /// Whether a workspace was made by this backend for factors of this shape.
    fn serves_factor(&self, workspace: &Self::FactorWorkspace, problem: &FactorProblem) -> bool;
}

/// A = V Λ Vᴴ.
pub trait Eigh<T: Scalar>: Workspaces<T> {
    /// A = V Λ Vᴴ with λ ascending, and what the cut makes of it.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the device refuses; a bad matrix is a status,
    /// not an error.
    fn eigh<'a, I: Element<Scalar = T>, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Eigenpairs<O, Self, ViewMut<'a>>,
        workspace: &Self::Workspace,
    ) -> Result<()>;

    /// λ alone, ascending, and what the cut makes of it.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Spectrum<R, Self, ViewMut<'a>>,
        workspace: &Self::Workspace,
    ) -> Result<()>;
}

/// (λ̄, V̄) ↦ Ā.
pub trait Backward<T: Scalar>: Workspaces<T> {
    /// Ā of (λ̄, V̄): docs/derivation.md, equation (8) or, where λ_D = 0 is declared, (10).
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn backward<'a, O: ElementOf<T>, G: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        out: Gradient<G, Self, ViewMut<'a>>,
        workspace: &Self::Workspace,
    ) -> Result<()>;
}

/// A loss of (λ, V) against targets.
pub trait Loss<T: Scalar>: Workspaces<T> {
    /// The loss of each matrix, λ̄ and V̄: docs/derivation.md §15.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn loss<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        loss: &PairLoss,
        pairs: Eigenpairs<O, Self, View<'a>>,
        targets: Targets<O, Self, View<'a>>,
        out: PairLosses<O, Self, ViewMut<'a>>,
    ) -> Result<()>;
}

/// Ȧ ↦ (λ̇, V̇).
pub trait Jvp<T: Scalar>: Workspaces<T> {
    /// λ̇ and V̇ of Ȧ `[directions·batch, n, n]`: docs/derivation.md, equations (4) and (5) with Ω_jj
    /// = 0.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn jvp<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        a_dot: HermitianBatch<I, Self, View<'a>>,
        out: Tangents<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()>;
}

/// The tangent of Ā.
pub trait BackwardJvp<T: Scalar>: Workspaces<T> {
    /// The tangent of Ā along Ȧ, λ̄̇ and V̄̇.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    fn backward_jvp<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        a_dot: HermitianBatch<I, Self, View<'a>>,
        cotangents_dot: Cotangents<O, Self, View<'a>>,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()>;
}

/// The transpose of the backward pass.
pub trait DoubleBackward<T: Scalar>: Workspaces<T> {
    /// The cotangents of A, λ̄ and V̄ of a cotangent H of Ā; those that come from downstream of λ and
    /// V are added.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    fn double_backward<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        h: HermitianBatch<I, Self, View<'a>>,
        downstream: Cotangents<O, Self, View<'a>>,
        out: DoubleGradient<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()>;
}

/// Functions of the spectrum.
pub trait SpectralFunctions<T: Scalar>: Workspaces<T> {
    /// V_K f(Λ_K) V_Kᴴ, or with f′.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn spectral<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        function: Spectral<O, Self, View<'a>>,
        of: Derivative,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()>;

    /// s·V (W ∘ Vᴴ E V) Vᴴ, a self-adjoint map of E, with a factor s for each matrix that may be
    /// absent.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    fn map<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        function: Spectral<O, Self, View<'a>>,
        weights: SchurMultiplier,
        e: HermitianBatch<I, Self, View<'a>>,
        scale: Option<Array<T::Real, Self, 1, View<'a>>>,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()>;

    /// tr f(A) = Σ_K f(λ_k) for each matrix; NaN with a status where f is not defined.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn trace<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        function: Spectral<O, Self, View<'a>>,
        out: Array<T::Real, Self, 1, ViewMut<'a>>,
        status: Array<Status, Self, 1, ViewMut<'a>>,
    ) -> Result<()>;
}

/// B Bᴴ = V Λ Vᴴ.
pub trait EighFactor<T: Scalar>: Workspaces<T> {
    /// B Bᴴ = V Λ Vᴴ for factors B, one column after the other, with S = Vᴴ B: docs/derivation.md
    /// §12.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn eigh_factor<'a, I: Element<Scalar = T>, O: ElementOf<T>>(
        &self,
        problem: &FactorProblem,
        b: FactorBatch<I, Self, View<'a>>,
        out: FactorPairs<O, Self, ViewMut<'a>>,
        workspace: &Self::FactorWorkspace,
    ) -> Result<()>;
}

/// (λ̄, V̄) ↦ B̄.
pub trait BackwardFactor<T: Scalar>: Workspaces<T> {
    /// B̄ of (λ̄, V̄): docs/derivation.md §12.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn backward_factor<'a, O: ElementOf<T>>(
        &self,
        problem: &FactorProblem,
        pairs: FactorPairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        out: FactorGradient<O, Self, ViewMut<'a>>,
        workspace: &Self::FactorWorkspace,
    ) -> Result<()>;
}

/// Every operation.
pub trait Compute<T: Scalar>:
    Eigh<T>
    + Loss<T>
    + Backward<T>
    + Jvp<T>
    + BackwardJvp<T>
    + DoubleBackward<T>
    + SpectralFunctions<T>
    + EighFactor<T>
    + BackwardFactor<T>
{
}
impl<T: Scalar, B> Compute<T> for B where
    B: Eigh<T>
        + Loss<T>
        + Backward<T>
        + Jvp<T>
        + BackwardJvp<T>
        + DoubleBackward<T>
        + SpectralFunctions<T>
        + EighFactor<T>
        + BackwardFactor<T>
{
}
