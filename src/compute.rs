//! The operations of a backend in one number type: a trait for each, implemented in the file that does the work.
//!
//! The traits are public for [`Engine`](crate::Engine)'s sake, and in a private module: nobody else implements them. Nor does anybody
//! else call them, since no one outside the crate comes by a [`Problem`], for which [`Plan`](crate::Plan) has checked all lengths.

use crate::options::Problem;
use crate::{
    Backend, CotangentsRef, DoubleGradientMut, EigenpairsMut, EigenpairsRef, Element, FactorGradientMut, FactorPairsMut,
    FactorPairsRef, FactorProblem, FunctionRef, GradientMut, HermitianRef, MatricesMut, Of, Result, Scalar, SpectrumMut, Status,
    Stored, TangentsMut, Weights,
};
use std::fmt::Debug;

/// Memory that the operations work in, made for one problem size and reused call after call.
///
/// An operation enqueues its work and returns; only these may allocate, and only `Backend::download` may wait.
pub trait Workspaces<T: Scalar>: Backend {
    /// Of the forward and the backward pass.
    type Workspace: Debug + Send + 'static;

    /// The scratch memory that the forward and the backward pass need for `problem`.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is no memory for it.
    fn workspace(&self, problem: &Problem) -> Result<Self::Workspace>;

    /// Whether a workspace was made by this backend for problems of this size.
    fn serves(&self, workspace: &Self::Workspace, problem: &Problem) -> bool;

    /// Of derivatives beyond the first and functions of the spectrum.
    type Scratch: Debug + Send + 'static;

    /// The scratch memory that derivatives beyond the first and functions of the spectrum need for `problem`.
    ///
    /// # Errors
    /// As [`Workspaces::workspace`].
    fn scratch(&self, problem: &Problem) -> Result<Self::Scratch>;

    /// Whether scratch memory was made by this backend for problems of this size.
    fn scratch_serves(&self, scratch: &Self::Scratch, problem: &Problem) -> bool;

    /// Of factors.
    type FactorWorkspace: Debug + Send + 'static;

    /// The scratch memory that the operations on factors need.
    ///
    /// # Errors
    /// As [`Workspaces::workspace`].
    fn factor_workspace(&self, problem: &FactorProblem) -> Result<Self::FactorWorkspace>;

    /// Whether a workspace was made by this backend for factors of this shape.
    fn serves_factor(&self, workspace: &Self::FactorWorkspace, problem: &FactorProblem) -> bool;
}

/// A = V Λ Vᴴ.
pub trait Eigh<T: Scalar>: Workspaces<T> {
    /// A = V Λ Vᴴ with λ ascending, and what the cut makes of it.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the device refuses; a bad matrix is a status, not an error.
    fn eigh<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: EigenpairsMut<'a, O, Self>,
        workspace: &mut Self::Workspace,
    ) -> Result<()>;

    /// λ alone, ascending, and what the cut makes of it.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: SpectrumMut<'a, R, Self>,
        workspace: &mut Self::Workspace,
    ) -> Result<()>;
}

/// (λ̄, V̄) ↦ Ā.
pub trait Backward<T: Scalar>: Workspaces<T> {
    /// Ā of (λ̄, V̄): docs/derivation.md, equation (8) or, where λ_D = 0 is declared, (10).
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn backward<'a, O: Stored<T>, G: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: GradientMut<'a, G, Self>,
        workspace: &mut Self::Workspace,
    ) -> Result<()>;
}

/// Ȧ ↦ (λ̇, V̇).
pub trait Jvp<T: Scalar>: Workspaces<T> {
    /// λ̇ and V̇ of Ȧ `[directions·batch, n, n]`: docs/derivation.md, equations (4) and (5) with Ω_jj = 0.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        out: TangentsMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()>;
}

/// The tangent of Ā.
pub trait BackwardJvp<T: Scalar>: Workspaces<T> {
    /// The tangent of Ā along Ȧ, λ̄̇ and V̄̇.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    fn backward_jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        cotangents_dot: CotangentsRef<'a, O, Self>,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()>;
}

/// The transpose of the backward pass.
pub trait DoubleBackward<T: Scalar>: Workspaces<T> {
    /// The cotangents of A, λ̄ and V̄ of a cotangent H of Ā; those that come from downstream of λ and V are added.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    fn double_backward<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        h: HermitianRef<'a, O, Self>,
        downstream: CotangentsRef<'a, O, Self>,
        out: DoubleGradientMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()>;
}

/// Functions of the spectrum.
pub trait SpectralFunctions<T: Scalar>: Workspaces<T> {
    /// V_K f(Λ_K) V_Kᴴ, or with f′.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn spectral<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        of: Of,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()>;

    /// s·V (W ∘ Vᴴ E V) Vᴴ, a self-adjoint map of E, with a factor s for each matrix that may be absent.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    fn map<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        weights: Weights,
        e: HermitianRef<'a, O, Self>,
        scale: Option<Self::View<'a, T::Real>>,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()>;

    /// tr f(A) = Σ_K f(λ_k) for each matrix; NaN with a status where f is not defined.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn trace<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        out: Self::ViewMut<'a, T::Real>,
        status: Self::ViewMut<'a, Status>,
    ) -> Result<()>;
}

/// B Bᴴ = V Λ Vᴴ.
pub trait EighFactor<T: Scalar>: Workspaces<T> {
    /// B Bᴴ = V Λ Vᴴ for factors B, one column after the other, with S = Vᴴ B: docs/derivation.md §12.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn eigh_factor<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        b: Self::View<'a, I>,
        out: FactorPairsMut<'a, O, Self>,
        workspace: &mut Self::FactorWorkspace,
    ) -> Result<()>;
}

/// (λ̄, V̄) ↦ B̄.
pub trait BackwardFactor<T: Scalar>: Workspaces<T> {
    /// B̄ of (λ̄, V̄): docs/derivation.md §12.
    ///
    /// # Errors
    /// As [`Eigh::eigh`].
    fn backward_factor<'a, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        pairs: FactorPairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: FactorGradientMut<'a, O, Self>,
        workspace: &mut Self::FactorWorkspace,
    ) -> Result<()>;
}

/// Every operation.
pub trait Compute<T: Scalar>:
    Eigh<T> + Backward<T> + Jvp<T> + BackwardJvp<T> + DoubleBackward<T> + SpectralFunctions<T> + EighFactor<T> + BackwardFactor<T>
{
}
impl<T: Scalar, B> Compute<T> for B where
    B: Eigh<T>
        + Backward<T>
        + Jvp<T>
        + BackwardJvp<T>
        + DoubleBackward<T>
        + SpectralFunctions<T>
        + EighFactor<T>
        + BackwardFactor<T>
{
}
