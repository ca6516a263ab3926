//! [`eigh`](eigh()) and [`eigvalsh`], a skin over [`Plan`].

mod eigenpairs;

pub use eigenpairs::{Eigenpairs, Spectrum};

use crate::{Element, ElementOf, Engine, HermitianBatch, Options, Plan, Result};

/// A = V Λ Vᴴ for every matrix of the batch, λ ascending, and what the cut keeps of it; results in
/// the type computed in.
///
/// A matrix that is not finite or does not converge has NaN results, keeps nothing and says so in
/// its status; the others are bit-identical to a run without it.
///
/// # Shapes
/// λ, kept `[batch, n]`; V `[batch, n, n]`; rank, gaps, status `[batch]`.
///
/// # Errors
/// [`Error::Tolerance`](crate::Error::Tolerance),
/// [`Error::NoDefaultCut`](crate::Error::NoDefaultCut), [`Error::Backend`](crate::Error::Backend).
///
/// # Source
/// LAPACK's `heevd` contract. On the CPU Householder tridiagonalisation and implicit QL up to n =
/// 128, with eigenvalues as Rayleigh quotients of T, so that those of [`eigvalsh`], which has no
/// eigenvectors, differ from them by round-off; beyond, faer's divide and conquer.
///
/// ```
/// use eigengrad::{HermitianBatch, Options, eigh};
/// use ndarray::array;
///
/// let a = array![[[2.0_f64, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]]; // of rank 2 and 1
/// let pairs = eigh(&HermitianBatch::new(a.view())?, &Options::default())?;
/// assert_eq!(pairs.rank().to_vec(), [2, 1]);
/// assert!((pairs.values()[[0, 1]] - 3.0).abs() < 1e-15);
/// assert!((pairs.vectors()[[1, 0, 1]].abs() - 0.5_f64.sqrt()).abs() < 1e-15);
/// # eigengrad::Result::<()>::Ok(())
/// ```
pub fn eigh<T: Element, B: Engine<T::Scalar>>(a: &HermitianBatch<T, B>, options: &Options) -> Result<Eigenpairs<T::Scalar, B>> {
    eigh_as(a, options)
}

/// As [`eigh`](eigh()), with results stored as `O`: for a batch in half precision, the type of the
/// batch or `f32`.
///
/// # Errors
/// As [`eigh`](eigh()).
pub fn eigh_as<T: Element, O: ElementOf<T::Scalar>, B: Engine<T::Scalar>>(
    a: &HermitianBatch<T, B>,
    options: &Options,
) -> Result<Eigenpairs<O, B>> {
    let plan = Plan::<T, B>::new(a.backend(), a.batch(), a.n(), options)?;
    let mut pairs = plan.eigenpairs()?;
    plan.eigh_into(a.view(), pairs.view_mut(), &plan.workspace()?)?;
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
    let plan = Plan::<T, B>::new(a.backend(), a.batch(), a.n(), options)?;
    let mut spectrum = plan.spectrum()?;
    plan.eigvalsh_into(a.view(), spectrum.view_mut(), &plan.workspace()?)?;
    Ok(spectrum)
}
