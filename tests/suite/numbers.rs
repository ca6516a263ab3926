//! Numbers as the oracles see them: everything is widened to [`C`] and computed in f64.

use eigengrad::{Element, Real, Scalar};
use ndarray::{Array1, Array2, Array3, ArrayView3, Axis};
use num_complex::Complex;
use num_traits::Float;

pub type C = Complex<f64>;
pub type Matrix = Array2<C>;

/// The number as the oracles see it, exactly.
pub fn wide<T: Element>(x: T) -> C {
    let x = x.widen();
    C::new(x.re().to_f64(), x.im().to_f64())
}

/// The nearest number of type `T`; real types drop the imaginary part.
pub fn narrow<T: Element>(x: C) -> T {
    T::narrow(T::Scalar::from_parts(Real::of(x.re), Real::of(x.im)))
}

/// Matrices as a batch stored as `T`.
pub fn stack<T: Element>(n: usize, matrices: &[Matrix]) -> Array3<T> {
    Array3::from_shape_fn((matrices.len(), n, n), |(b, i, j)| narrow(matrices[b][[i, j]]))
}

/// Vectors as a batch stored as `R`.
pub fn rows<R: Element>(n: usize, vectors: &[Vec<f64>]) -> Array2<R> {
    Array2::from_shape_fn((vectors.len(), n), |(b, k)| narrow(C::new(vectors[b][k], 0.0)))
}

/// Matrix `b` of a batch.
pub fn matrix<T: Element>(batch: ArrayView3<'_, T>, b: usize) -> Matrix {
    batch.index_axis(Axis(0), b).mapv(wide)
}

/// The matrix after rounding to `T`.
pub fn rounded<T: Element>(a: &Matrix) -> Matrix {
    a.mapv(|x| wide(narrow::<T>(x)))
}

pub fn diagonal(lambda: &[f64]) -> Matrix {
    Array2::from_diag(&lambda.iter().map(|&x| C::new(x, 0.0)).collect::<Array1<_>>())
}

pub fn adjoint(a: &Matrix) -> Matrix {
    a.t().mapv(|x| x.conj())
}

/// The largest entry.
pub fn largest(a: &Matrix) -> f64 {
    a.iter().map(|x| x.norm()).fold(0.0, f64::max)
}

/// |A|₁, the largest column sum; NaN if an entry is.
pub fn norm(a: &Matrix) -> f64 {
    let sums = a.columns().into_iter().map(|column| column.iter().map(|x| x.norm()).sum());
    sums.fold(0.0, |a: f64, b: f64| if a >= b { a } else { b })
}

/// x·2ᵉ in two steps, so that neither factor leaves the range of f64.
pub fn ldexp(x: f64, e: i32) -> f64 {
    x * 2f64.powi(e / 2) * 2f64.powi(e - e / 2)
}

/// ε of the type computed in.
pub fn epsilon<T: Element>() -> f64 {
    T::Scalar::PRECISION.epsilon()
}

/// The smallest subnormal, and the largest number, of the type computed in.
pub fn range<T: Element>() -> (f64, f64) {
    let tiny = <T::Scalar as Element>::Real::min_positive_value().to_f64() * epsilon::<T>();
    (tiny, <T::Scalar as Element>::Real::max_value().to_f64())
}

/// The bits of the parts of a number, as of f64, which holds every number exactly.
pub fn bits<T: Element>(x: T) -> impl Iterator<Item = u64> {
    let x = x.widen();
    let parts = [x.re(), x.im()].map(|part| part.to_f64().to_bits());
    parts.into_iter().take(if T::Scalar::COMPLEX { 2 } else { 1 })
}

/// Whether two slices hold the same bits.
pub fn same_bits<T: Element>(a: impl IntoIterator<Item = T>, b: impl IntoIterator<Item = T>) -> bool {
    a.into_iter().flat_map(bits).eq(b.into_iter().flat_map(bits))
}
