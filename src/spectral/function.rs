//! Functions of the kept spectrum: [`Function`] by name, or [`Spectral`] given by its values and
//! slopes at the eigenvalues.

use crate::{Array, Backend, Cpu, Eigenpairs, Element, Owned, Real, Result, Storage, View};

/// A function f of the kept eigenvalues; the dropped ones are mapped to 0, whatever f(0) is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Function {
    /// 1: the projector on the kept eigenvectors.
    Projector,
    /// √λ, for λ ≥ 0.
    Sqrt,
    /// 1/√λ, for λ > 0.
    Rsqrt,
    /// 1/λ, for λ ≠ 0: the pseudo-inverse.
    Pinv,
    /// log λ, for λ > 0.
    Log,
    /// e^λ: of the kept block, that is exp(A) less the projector on what is dropped.
    Exp,
    /// λ·log λ, for λ ≥ 0: minus its trace is the von Neumann entropy.
    XLogX,
    /// λ^p, for λ > 0, for λ = 0 if p ≥ 0, and for λ < 0 if p is a whole number.
    Pow(f64),
}

impl Function {
    /// Whether f is defined, and finite, at λ.
    pub fn defined_at<R: Real>(self, lambda: R) -> bool {
        let zero = R::of(0.0);
        match self {
            Self::Projector | Self::Exp => true,
            Self::Sqrt | Self::XLogX => lambda >= zero,
            Self::Rsqrt | Self::Log => lambda > zero,
            Self::Pinv => lambda != zero,
            Self::Pow(p) => lambda > zero || (lambda == zero && p >= 0.0) || (lambda < zero && p == p.round()),
        }
    }

    /// f(λ).
    pub fn value<R: Real>(self, lambda: R) -> R {
        match self {
            Self::Projector => R::of(1.0),
            Self::Sqrt => lambda.sqrt(),
            Self::Rsqrt => R::of(1.0) / lambda.sqrt(),
            Self::Pinv => R::of(1.0) / lambda,
            Self::Log => lambda.ln(),
            Self::Exp => lambda.exp(),
            Self::XLogX if lambda == R::of(0.0) => lambda,
            Self::XLogX => lambda * lambda.ln(),
            Self::Pow(p) => power(lambda, p),
        }
    }

    /// f′(λ).
    pub fn slope<R: Real>(self, lambda: R) -> R {
        match self {
            Self::Projector => R::of(0.0),
            Self::Sqrt => R::of(0.5) / lambda.sqrt(),
            Self::Rsqrt => R::of(-0.5) / (lambda * lambda.sqrt()),
            Self::Pinv => -(R::of(1.0) / lambda) / lambda,
            Self::Log => R::of(1.0) / lambda,
            Self::Exp => lambda.exp(),
            Self::XLogX => lambda.ln() + R::of(1.0),
            Self::Pow(0.0) => R::of(0.0),
            // Next to 0 p − 1 is rounded, and its power is not that of p.
            Self::Pow(p) if p.abs() < 0.5 => R::of(p) * (power(lambda, p) / lambda),
            Self::Pow(p) => R::of(p) * power(lambda, p - 1.0),
        }
    }
}

/// The largest whole power that is taken by multiplications, each of which is rounded.
const MOST_PRODUCTS: f64 = 4.0;

/// λ^p, in f64 whatever the type, to half an ulp of f32; whole powers keep the sign of negative
/// numbers.
fn power<R: Real>(lambda: R, p: f64) -> R {
    let whole = p == p.round();
    if whole && p.abs() <= MOST_PRODUCTS {
        return lambda.powi(p as i32);
    }
    let size = R::of(lambda.abs().to_f64().powf(p));
    let defined = lambda >= R::of(0.0) || whole;
    let odd = whole && p.rem_euclid(2.0) == 1.0;
    match lambda < R::of(0.0) {
        true if !defined => R::nan(),
        true if odd => -size,
        _ => size,
    }
}

/// A function for the operations on pairs stored as `O`.
#[derive(Debug)]
pub enum Spectral<O: Element, B: Backend = Cpu, S: Storage = Owned> {
    /// One that the library knows.
    Named(Function),
    /// Any other, by f(λ) and f′(λ) at the eigenvalues of the pairs; what they are outside K is not
    /// read.
    Given {
        /// f(λ), `[batch, n]`.
        values: Array<O::Real, B, 2, S>,
        /// f′(λ), `[batch, n]`, used between eigenvalues that tie.
        slopes: Array<O::Real, B, 2, S>,
    },
}

impl<O: Element, B: Backend> Clone for Spectral<O, B, View<'_>> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Element, B: Backend> Copy for Spectral<O, B, View<'_>> {}

impl<O: Element, B: Backend, S: Storage> From<Function> for Spectral<O, B, S> {
    fn from(function: Function) -> Self {
        Self::Named(function)
    }
}

impl<O: Element, B: Backend> Spectral<O, B> {
    /// A function of the user's and its derivative, evaluated at the eigenvalues of `pairs`; waits
    /// for the device.
    ///
    /// Divided differences are (f(a) − f(b))/(a − b), or ½(f′(a) + f′(b)) within the cutoff of
    /// ties: they lose as many digits as f(a) and f(b) have in common, unlike those of a named
    /// [`Function`].
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the device, or work enqueued before, failed.
    pub fn of(
        pairs: &Eigenpairs<O, B>,
        f: impl Fn(<O::Real as Element>::Scalar) -> <O::Real as Element>::Scalar,
        slope: impl Fn(<O::Real as Element>::Scalar) -> <O::Real as Element>::Scalar,
    ) -> Result<Self> {
        let lambda = pairs.spectrum.values.to_host()?;
        let values = lambda.iter().map(|&x| Element::narrow(f(x.widen()))).collect();
        let slopes = lambda.iter().map(|&x| Element::narrow(slope(x.widen()))).collect();
        let array = |x| Array::from_host(pairs.backend(), x, lambda.shape());
        Ok(Self::Given { values: array(values)?, slopes: array(slopes)? })
    }

    /// Borrows it.
    pub fn view(&self) -> Spectral<O, B, View<'_>> {
        match self {
            Self::Named(function) => Spectral::Named(*function),
            Self::Given { values, slopes } => Spectral::Given { values: values.view(), slopes: slopes.view() },
        }
    }
}
