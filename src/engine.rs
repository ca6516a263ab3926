//! Who computes: [`Engine`], the operations of a backend in one number type.

use crate::options::Problem;
use crate::{
    Backend, CotangentsRef, EigenpairsMut, EigenpairsRef, Element, GradientMut, HermitianRef, Result, Scalar, SpectrumMut, Stored,
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
}
