//! The allocating functions: [`eigh`](eigh()), [`eigvalsh`] and [`Eigenpairs::backward`], a skin over [`Plan`].

use crate::{
    Cotangents, Eigenpairs, Element, Engine, Error, Gradient, HermitianBatch, Options, Plan, Result, Spectrum, Status, Stored,
    TieRule,
};

/// A = V Λ Vᴴ for every matrix of the batch, λ ascending, and what the cut keeps of it; results in the type computed in.
///
/// A matrix that is not finite or does not converge has NaN results, keeps nothing and says so in its status; the others are
/// bit-identical to a run without it.
///
/// # Shapes
/// λ, kept `[batch, n]`; V `[batch, n, n]`; rank, gaps, status `[batch]`.
///
/// # Errors
/// [`Error::Tolerance`], [`Error::NoDefaultCut`], [`Error::Backend`].
///
/// # Source
/// LAPACK's `heevd` contract. On the CPU Householder tridiagonalisation and implicit QL up to n = 128, with eigenvalues as Rayleigh
/// quotients of T, so that those of [`eigvalsh`], which has no eigenvectors, differ from them by round-off; beyond, faer's divide and
/// conquer.
pub fn eigh<T: Element, B: Engine<T::Scalar>>(a: &HermitianBatch<T, B>, options: &Options) -> Result<Eigenpairs<T::Scalar, B>> {
    eigh_as(a, options)
}

/// As [`eigh`](eigh()), with results stored as `O`: for a batch in half precision, the type of the batch or `f32`.
///
/// # Errors
/// As [`eigh`](eigh()).
pub fn eigh_as<T: Element, O: Stored<T::Scalar>, B: Engine<T::Scalar>>(
    a: &HermitianBatch<T, B>,
    options: &Options,
) -> Result<Eigenpairs<O, B>> {
    let plan = Plan::<T, B>::new(&a.backend, a.batch(), a.n(), options)?;
    let mut pairs = plan.eigenpairs()?;
    plan.eigh_into(a.as_ref(), pairs.as_mut(), &mut plan.workspace()?)?;
    Ok(pairs)
}

/// λ alone, ascending, and what the cut makes of it.
///
/// # Shapes
/// λ, kept `[batch, n]`; rank, gaps, status `[batch]`.
///
/// # Errors
/// As [`eigh`](eigh()).
pub fn eigvalsh<T: Element, B: Engine<T::Scalar>>(
    a: &HermitianBatch<T, B>,
    options: &Options,
) -> Result<Spectrum<<T::Scalar as Element>::Real, B>> {
    eigvalsh_as(a, options)
}

/// As [`eigvalsh`], with eigenvalues stored as `R`.
///
/// # Errors
/// As [`eigh`](eigh()).
pub fn eigvalsh_as<T: Element, R: Element<Scalar = <T::Scalar as Element>::Real>, B: Engine<T::Scalar>>(
    a: &HermitianBatch<T, B>,
    options: &Options,
) -> Result<Spectrum<R, B>> {
    let plan = Plan::<T, B>::new(&a.backend, a.batch(), a.n(), options)?;
    let mut spectrum = plan.spectrum()?;
    plan.eigvalsh_into(a.as_ref(), spectrum.as_mut(), &mut plan.workspace()?)?;
    Ok(spectrum)
}

impl<O: Element, B: Engine<O::Scalar>> Eigenpairs<O, B> {
    /// The gradient Ā of a loss by A, from its cotangents λ̄ and V̄:
    /// Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ with F_ij = 1/(λ_j − λ_i), and F = 0 on the diagonal and between dropped pairs.
    ///
    /// # Shapes
    /// λ̄ `[batch, n]`, V̄ `[batch, n, n]`, either may be absent; Ā `[batch, n, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the cotangents are those of another shape; [`Error::Matrices`] for tied matrices under
    /// [`TieRule::Error`]; [`Error::Backend`].
    ///
    /// # Source
    /// docs/derivation.md, equations (8) and (10).
    pub fn backward(&self, cotangents: &Cotangents<O, B>) -> Result<Gradient<O, B>> {
        self.backward_as(cotangents)
    }

    /// As [`Eigenpairs::backward`], with the gradient stored as `G`. What overflows it is [`Status::GRADIENT_NOT_FINITE`].
    ///
    /// # Errors
    /// As [`Eigenpairs::backward`].
    pub fn backward_as<G: Stored<O::Scalar>>(&self, cotangents: &Cotangents<O, B>) -> Result<Gradient<G, B>> {
        let plan = Plan::<O, B>::resolved(&self.backend, self.problem);
        cotangents.expect(self.batch(), self.n())?;
        let mut gradient = plan.gradient()?;
        plan.backward_into(self.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut plan.workspace()?)?;
        if self.problem.ties == TieRule::Error {
            let status = self.backend.download(gradient.status_view())?;
            Error::unless_clear(&status, |status| status.intersects(Status::TIES_REFUSED))?;
        }
        Ok(gradient)
    }
}
