//! Element types: what a batch may be stored as, and what it is computed in.

use crate::cpu::Kernels;
use half::{bf16, f16};
use num_complex::Complex;
use num_traits::{Float, NumAssign};
use std::fmt::{self, Debug};
use std::ops::Neg;

/// Plain data that a [`Backend`](crate::Backend) buffer can hold: no padding, no pointers, zero is
/// valid.
pub trait Pod: Copy + Default + Debug + PartialEq + Send + Sync + 'static + sealed::Sealed {}

/// The element types by name, for callers that know them only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// `half::f16`.
    F16,
    /// `half::bf16`.
    Bf16,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `Complex<f16>`.
    ComplexF16,
    /// `Complex<bf16>`.
    ComplexBf16,
    /// `Complex<f32>`.
    Complex64,
    /// `Complex<f64>`.
    Complex128,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::ComplexF16 => "complex32",
            Self::ComplexBf16 => "complex bfloat16",
            Self::Complex64 => "complex64",
            Self::Complex128 => "complex128",
        })
    }
}

/// The precision in which numbers are stored or were computed; it sets the default cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// IEEE binary16, ε = 2⁻¹⁰.
    F16,
    /// bfloat16, ε = 2⁻⁷.
    Bf16,
    /// IEEE binary32, ε = 2⁻²³.
    F32,
    /// IEEE binary64, ε = 2⁻⁵².
    F64,
}

impl Precision {
    /// The distance ε from 1 to the next larger number.
    pub const fn epsilon(self) -> f64 {
        match self {
            Self::F16 => 9.765625e-4,
            Self::Bf16 => 7.8125e-3,
            Self::F32 => f32::EPSILON as f64,
            Self::F64 => f64::EPSILON,
        }
    }

    /// The default relative cutoff for n×n matrices of this precision: max(n, 10)·ε, and √n·ε for
    /// halves.
    ///
    /// An eigensolver leaves null eigenvalues of at most about 3.4·ε·|λ|ₘₐₓ at every n where A is
    /// exact, and up to 7·ε where A is a rounded product B Bᴴ, which grows with n: hence the floor
    /// of 10. Halves are only storage: rounding to them perturbs A by ½·ε·√n·‖A‖₂, and n·ε of
    /// bfloat16 would drop everything at n = 128.
    pub fn cutoff(self, n: usize) -> f64 {
        match self {
            Self::F16 | Self::Bf16 => (n as f64).sqrt() * self.epsilon(),
            Self::F32 | Self::F64 => n.max(10) as f64 * self.epsilon(),
        }
    }

    /// The default absolute cutoff for n×n matrices of this precision: √n·2⁻²⁴ for
    /// [`Precision::F16`], otherwise 0.
    ///
    /// Below 2⁻¹⁴ numbers of binary16 are multiples of 2⁻²⁴, so that rounding an entry to it moves
    /// it by up to 2⁻²⁵ however small it is.
    pub fn quantum(self, n: usize) -> f64 {
        if self == Self::F16 { (n as f64).sqrt() * 2f64.powi(-24) } else { 0.0 }
    }

    /// The fraction of ‖A‖₂ within which eigenvalues tie by default: 12·ε, and √n·ε for halves.
    ///
    /// The solvers part exact ties by at most 9.7·ε·‖A‖₂ at every n that was measured
    /// (benches/results/NOTES.md, "Round-off"). Rounding to halves parts ties by up to √n·ε·‖A‖₂.
    pub fn tie_cutoff(self, n: usize) -> f64 {
        match self {
            Self::F16 | Self::Bf16 => (n as f64).sqrt() * self.epsilon(),
            Self::F32 | Self::F64 => 12.0 * self.epsilon(),
        }
    }

    /// What the gauge defect of a loss that does not depend on phases, and the tie defect of one
    /// that sees tied groups as subspaces, stay below by rounding: 8·√n·ε.
    pub fn round_off(self, n: usize) -> f64 {
        8.0 * (n as f64).sqrt() * self.epsilon()
    }

    /// The coarser of two precisions, that with the larger ε.
    pub fn coarser(self, other: Self) -> Self {
        if self.epsilon() >= other.epsilon() { self } else { other }
    }
}

/// A number type that batches, eigenpairs and gradients can be stored in.
///
/// `f32`, `f64`, `Complex<f32>`, `Complex<f64>` are computed in themselves; `f16`, `bf16` and their
/// complexes in 32 bits.
#[diagnostic::on_unimplemented(
    message = "batches cannot be stored in `{Self}`",
    note = "`f16`, `bf16`, `f32`, `f64` and `Complex` of each can; integers are converted to one of them first"
)]
pub trait Element: Pod {
    /// The type computed in.
    type Scalar: Scalar<Real = <Self::Real as Element>::Scalar>;
    /// The type of eigenvalues stored beside eigenvectors of this type.
    type Real: Element<Scalar: Real, Real = Self::Real>;
    /// The name of this type.
    const DTYPE: Dtype;
    /// The precision of the components.
    const PRECISION: Precision;
    /// This number in the type computed in, exactly.
    fn widen(self) -> Self::Scalar;
    /// The nearest number of this type; beyond its range, infinity.
    fn narrow(x: Self::Scalar) -> Self;
    /// The numbers as they are, where they are computed in themselves; nothing where they are
    /// storage only.
    fn as_scalars(x: &[Self]) -> Option<&[Self::Scalar]>;
    /// As [`Element::as_scalars`], to be written.
    fn as_scalars_mut(x: &mut [Self]) -> Option<&mut [Self::Scalar]>;
}

/// [`Element`] computed in `T`, eigenvalues too: what outputs of a computation in `T` may be stored
/// as.
#[diagnostic::on_unimplemented(
    message = "what is computed in `{T}` cannot be stored as `{Self}`",
    note = "real and complex do not mix, nor 32 and 64 bits; halves are computed in 32 bits"
)]
pub trait ElementOf<T: Scalar>: Element<Scalar = T, Real: Element<Scalar = <T as Element>::Real>> {}
impl<T: Scalar, O: Element<Scalar = T, Real: Element<Scalar = <T as Element>::Real>>> ElementOf<T> for O {}

/// A number type that is computed in: `f32`, `f64`, `Complex<f32>`, `Complex<f64>`.
#[diagnostic::on_unimplemented(
    message = "nothing is computed in `{Self}`",
    note = "`f32`, `f64`, `Complex<f32>` and `Complex<f64>` are; halves are stored, and computed in 32 bits"
)]
pub trait Scalar: Element<Scalar = Self, Real: Real> + NumAssign + Neg<Output = Self> + Kernels + sealed::OnDevice {
    /// Whether numbers of this type have an imaginary part.
    const COMPLEX: bool;
    /// re + i·im; the imaginary part is dropped by real types.
    fn from_parts(re: Self::Real, im: Self::Real) -> Self;
    /// The real part.
    fn re(self) -> Self::Real;
    /// The imaginary part, 0 for real types.
    fn im(self) -> Self::Real;
    /// The complex conjugate.
    fn conj(self) -> Self {
        Self::from_parts(self.re(), -self.im())
    }
    /// The product with a real number.
    fn scale(self, by: Self::Real) -> Self {
        Self::from_parts(self.re() * by, self.im() * by)
    }
    /// |self|².
    fn norm_sqr(self) -> Self::Real {
        self.re() * self.re() + self.im() * self.im()
    }
    /// Whether both parts are finite.
    fn finite(self) -> bool {
        self.re().is_finite() && self.im().is_finite()
    }
}

/// A real number type that is computed in: `f32`, `f64`.
pub trait Real: Element<Scalar = Self, Real = Self> + Float + NumAssign {
    /// The nearest number of this type.
    fn of(x: f64) -> Self;
    /// This number as f64, exactly.
    fn to_f64(self) -> f64;
}

pub(crate) mod sealed {
    #[cfg(feature = "cuda")]
    pub use crate::cuda::Libraries as OnDevice;

    /// Nothing, without a backend for devices.
    #[cfg(not(feature = "cuda"))]
    pub trait OnDevice {}
    #[cfg(not(feature = "cuda"))]
    impl<T> OnDevice for T {}

    use num_traits::Float;

    /// Only this crate adds element types and backends: buffers and kernels exist for the ones it
    /// knows.
    pub trait Sealed {}

    impl<R: Float> Ldexp for R {}

    /// Scaling by powers of two, exact unless the result is subnormal.
    pub trait Ldexp: Float {
        /// e with 2ᵉ ≤ |self| < 2ᵉ⁺¹, for finite non-zero numbers.
        fn binary_exponent(self) -> i32 {
            let (mantissa, exponent, _) = self.integer_decode();
            exponent as i32 + 63 - mantissa.leading_zeros() as i32
        }

        /// self·2ᵉ, in two steps so that neither factor leaves the exponent range.
        fn ldexp(self, e: i32) -> Self {
            let two = Self::one() + Self::one();
            let half = e / 2;
            self * two.powi(half) * two.powi(e - half)
        }
    }
}

macro_rules! pod { ($($t:ty),*) => { $(impl sealed::Sealed for $t {} impl Pod for $t {})* } }
pod!(bool, u32, f16, bf16, f32, f64, Complex<f16>, Complex<bf16>, Complex<f32>, Complex<f64>);

macro_rules! computed_in_itself {
    ($($real:ident $precision:ident $complex:ident),*) => { $(
        impl Element for $real {
            type Scalar = Self;
            type Real = Self;
            const DTYPE: Dtype = Dtype::$precision;
            const PRECISION: Precision = Precision::$precision;
            fn widen(self) -> Self { self }
            fn narrow(x: Self) -> Self { x }
            fn as_scalars(x: &[Self]) -> Option<&[Self]> { Some(x) }
            fn as_scalars_mut(x: &mut [Self]) -> Option<&mut [Self]> { Some(x) }
        }
        impl Element for Complex<$real> {
            type Scalar = Self;
            type Real = $real;
            const DTYPE: Dtype = Dtype::$complex;
            const PRECISION: Precision = Precision::$precision;
            fn widen(self) -> Self { self }
            fn narrow(x: Self) -> Self { x }
            fn as_scalars(x: &[Self]) -> Option<&[Self]> { Some(x) }
            fn as_scalars_mut(x: &mut [Self]) -> Option<&mut [Self]> { Some(x) }
        }
        impl Scalar for $real {
            const COMPLEX: bool = false;
            fn from_parts(re: Self, _: Self) -> Self { re }
            fn re(self) -> Self { self }
            fn im(self) -> Self { 0.0 }
        }
        impl Scalar for Complex<$real> {
            const COMPLEX: bool = true;
            fn from_parts(re: $real, im: $real) -> Self { Self { re, im } }
            fn re(self) -> $real { self.re }
            fn im(self) -> $real { self.im }
        }
        impl Real for $real {
            fn of(x: f64) -> Self { x as Self }
            fn to_f64(self) -> f64 { self.into() }
        }
    )* }
}
computed_in_itself!(f32 F32 Complex64, f64 F64 Complex128);

macro_rules! computed_in_f32 {
    ($($half:ident $precision:ident $complex:ident),*) => { $(
        impl Element for $half {
            type Scalar = f32;
            type Real = Self;
            const DTYPE: Dtype = Dtype::$precision;
            const PRECISION: Precision = Precision::$precision;
            fn widen(self) -> f32 { self.to_f32() }
            fn narrow(x: f32) -> Self { Self::from_f32(x) }
            fn as_scalars(_: &[Self]) -> Option<&[f32]> { None }
            fn as_scalars_mut(_: &mut [Self]) -> Option<&mut [f32]> { None }
        }
        impl Element for Complex<$half> {
            type Scalar = Complex<f32>;
            type Real = $half;
            const DTYPE: Dtype = Dtype::$complex;
            const PRECISION: Precision = Precision::$precision;
            fn widen(self) -> Complex<f32> { Complex { re: self.re.to_f32(), im: self.im.to_f32() } }
            fn narrow(x: Complex<f32>) -> Self { Self { re: $half::from_f32(x.re), im: $half::from_f32(x.im) } }
            fn as_scalars(_: &[Self]) -> Option<&[Complex<f32>]> { None }
            fn as_scalars_mut(_: &mut [Self]) -> Option<&mut [Complex<f32>]> { None }
        }
    )* }
}
computed_in_f32!(f16 F16 ComplexF16, bf16 Bf16 ComplexBf16);
