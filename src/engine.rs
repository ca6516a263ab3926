//! Who computes: [`Engine`], the operations of a backend in one number type.

use crate::options::Problem;
use crate::{
    Backend, CotangentsRef, DoubleGradientMut, EigenpairsMut, EigenpairsRef, Element, FactorGradientMut, FactorPairsMut,
    FactorPairsRef, FactorProblem, FunctionRef, GradientMut, HermitianRef, MatricesMut, Result, Scalar, SpectrumMut, Status,
    Stored, TangentsMut,
};
use std::fmt::Debug;

/// The operations on [`Backend`] memory, computed in `T`. Lengths have been checked by [`Plan`](crate::Plan), which calls them.
///
/// An implementation enqueues its work and returns; only `workspace` may allocate and only `Backend::download` may wait.
pub trait Engine<T: Scalar>: Backend {
    /// Scratch memory for one problem size, reused call after call.
    type Workspace: Debug + Send;

    /// The scratch memory that the other operations need for `problem`.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is no memory for it.
    fn workspace(&self, problem: &Problem) -> Result<Self::Workspace>;

    /// Whether a workspace was made by this backend for problems of this size.
    fn serves(&self, workspace: &Self::Workspace, problem: &Problem) -> bool;

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
    /// As [`Engine::eigh`].
    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: SpectrumMut<'a, R, Self>,
        workspace: &mut Self::Workspace,
    ) -> Result<()>;

    /// Ā of (λ̄, V̄): docs/derivation.md, equation (8) or, where λ_D = 0 is declared, (10).
    ///
    /// # Errors
    /// As [`Engine::eigh`].
    fn backward<'a, O: Stored<T>, G: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: GradientMut<'a, G, Self>,
        workspace: &mut Self::Workspace,
    ) -> Result<()>;

    /// Scratch memory for one problem size, for the operations from here on.
    type Scratch: Debug + Send;

    /// The scratch memory that derivatives beyond the first and functions of the spectrum need for `problem`.
    ///
    /// # Errors
    /// As [`Engine::workspace`].
    fn scratch(&self, problem: &Problem) -> Result<Self::Scratch>;

    /// Whether scratch memory was made by this backend for problems of this size.
    fn scratch_serves(&self, scratch: &Self::Scratch, problem: &Problem) -> bool;

    /// λ̇ and V̇ of Ȧ `[directions·batch, n, n]`: docs/derivation.md, equations (4) and (5) with Ω_jj = 0.
    ///
    /// # Errors
    /// As [`Engine::eigh`].
    fn jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        out: TangentsMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()>;

    /// The tangent of Ā along Ȧ, λ̄̇ and V̄̇.
    ///
    /// # Errors
    /// As [`Engine::eigh`].
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

    /// The cotangents of A, λ̄ and V̄ of a cotangent H of Ā; those that come from downstream of λ and V are added.
    ///
    /// # Errors
    /// As [`Engine::eigh`].
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

    /// V_K f(Λ_K) V_Kᴴ, or with f′.
    ///
    /// # Errors
    /// As [`Engine::eigh`].
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
    /// As [`Engine::eigh`].
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
    /// As [`Engine::eigh`].
    fn trace<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        out: Self::ViewMut<'a, T::Real>,
        status: Self::ViewMut<'a, Status>,
    ) -> Result<()>;

    /// Scratch memory for factors of one shape.
    type FactorWorkspace: Debug + Send;

    /// The scratch memory that the operations on factors need.
    ///
    /// # Errors
    /// As [`Engine::workspace`].
    fn factor_workspace(&self, problem: &FactorProblem) -> Result<Self::FactorWorkspace>;

    /// Whether a workspace was made by this backend for factors of this shape.
    fn serves_factor(&self, workspace: &Self::FactorWorkspace, problem: &FactorProblem) -> bool;

    /// B Bᴴ = V Λ Vᴴ for factors B, one column after the other, with S = Vᴴ B: docs/derivation.md §12.
    ///
    /// # Errors
    /// As [`Engine::eigh`].
    fn eigh_factor<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        b: Self::View<'a, I>,
        out: FactorPairsMut<'a, O, Self>,
        workspace: &mut Self::FactorWorkspace,
    ) -> Result<()>;

    /// B̄ of (λ̄, V̄): docs/derivation.md §12.
    ///
    /// # Errors
    /// As [`Engine::eigh`].
    fn backward_factor<'a, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        pairs: FactorPairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: FactorGradientMut<'a, O, Self>,
        workspace: &mut Self::FactorWorkspace,
    ) -> Result<()>;
}

/// Which of a function is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// f.
    Values,
    /// f′.
    Slopes,
}

/// The weights W of [`Engine::map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Divided differences of f on K and 0 on D: the derivative of A ↦ V_K f(Λ_K) V_Kᴴ.
    Divided,
    /// f(λ_i) f(λ_j) on K×K, otherwise 0: E ↦ f(A) E f(A).
    Product,
}
