//! From a file to Hermitian matrices whatever it holds: E ↦ herm(E) = ½(E + Eᴴ), with a warning
//! where that changes it.

use crate::failure::{Failure, Result};
use crate::files::npy;
use crate::report;
use eigengrad::{Backend, Element, HermitianBatch, Real, Scalar, Triangle};
use ndarray::{ArrayD, ArrayViewMut2, Axis};
use num_traits::Float;
use std::path::Path;

/// The Hermitian matrices of a file of this shape, `[…, n, n]`, as one batch.
///
/// # Errors
/// If the file cannot be read or has another type or shape.
pub fn projected<T: Element, B: Backend>(path: &Path, shape: &[usize], backend: &B) -> Result<HermitianBatch<T, B>> {
    let stored = npy::read_shaped::<T>(path, shape)?;
    let n = shape.last().copied().unwrap_or_default();
    let count = shape.iter().rev().skip(2).product();
    let mut matrices = ArrayD::from_shape_vec(vec![count, n, n], stored.iter().copied().collect()).map_err(Failure::new)?;
    let far = matrices.axis_iter_mut(Axis(0)).map(|matrix| project(matrix.into_dimensionality().map_err(Failure::new)?));
    let far: Vec<_> = far.collect::<Result<_>>()?;
    // Of what is Hermitian up to round-off there is nothing to say.
    let round_off = 8.0 * n as f64 * T::PRECISION.epsilon();
    let found = far.iter().filter(|&&far| far > round_off).count();
    if let Some((matrix, far)) = far.iter().enumerate().filter(|x| *x.1 > round_off).max_by(|x, y| x.1.total_cmp(y.1)) {
        let others = if found > 1 { format!(", and {} more", found - 1) } else { String::new() };
        let what = format!("matrix {matrix} is not Hermitian, |E − Eᴴ| = {far:.3e}·max|E|{others}; ½(E + Eᴴ) is taken");
        report::warn(path, &what);
    }
    HermitianBatch::from_triangle_on(backend, matrices.view(), Triangle::Lower).map_err(|e| Failure::at(path, e))
}

/// ½(A + Aᴴ) of matrices `[…, n, n]`.
///
/// # Errors
/// If they are not square.
pub fn mean<T: Element>(a: ArrayD<T>) -> Result<ArrayD<T>, String> {
    let shape = a.shape().to_vec();
    let &[.., rows, columns] = &*shape else { return Err(format!("expected [n, n] or [batch, n, n], got {shape:?}")) };
    if rows != columns {
        return Err(format!("expected square matrices, got {rows}×{columns}"));
    }
    let count = shape[..shape.len() - 2].iter().product();
    let mut matrices = ArrayD::from_shape_vec(vec![count, rows, rows], a.iter().copied().collect()).map_err(|e| e.to_string())?;
    for matrix in matrices.axis_iter_mut(Axis(0)) {
        project(matrix.into_dimensionality().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    }
    matrices.into_shape_with_order(shape).map_err(|e| e.to_string())
}

/// E ← ½(E + Eᴴ); returns max|E − Eᴴ| / max|E|, 0 where that is not finite.
fn project<T: Element>(mut e: ArrayViewMut2<'_, T>) -> Result<f64> {
    let half = |x: T::Scalar| x.scale(<T::Scalar as Element>::Real::of(0.5));
    let modulus = |x: T::Scalar| x.re().to_f64().hypot(x.im().to_f64());
    let (mut far, mut largest) = (0f64, 0f64);
    for i in 0..e.nrows() {
        for j in 0..=i {
            let (x, y) = (half(e[[i, j]].widen()), half(e[[j, i]].widen().conj()));
            far = far.max(2.0 * modulus(x - y));
            largest = largest.max(2.0 * modulus(x).max(modulus(y)));
            (e[[i, j]], e[[j, i]]) = (T::narrow(x + y), T::narrow((x + y).conj()));
        }
    }
    let relative = far / largest;
    Ok(if Float::is_finite(relative) { relative } else { 0.0 })
}
