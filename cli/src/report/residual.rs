//! LAPACK's ratios for one decomposition: ‖AV − VΛ‖₁/(‖A‖₁ n ε) and ‖VᴴV − I‖₁/(n ε), evaluated in
//! double precision.

use eigengrad::{Cpu, Eigenpairs, Element, Real, Scalar, Triangle};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis};
use num_complex::Complex;
use rayon::prelude::*;

/// How far one decomposition is from exact, in units of n·ε of the type that its results are stored
/// in; up to about 30 is round-off.
#[derive(Clone, Copy, Debug)]
pub struct Ratios {
    /// ‖AV − VΛ‖₁/(‖A‖₁ n ε).
    pub residual: f64,
    /// ‖VᴴV − I‖₁/(n ε).
    pub orthogonality: f64,
}

/// The ratios of each matrix `[batch]`, of which one triangle of `a` `[batch, n, n]` was read; none
/// where there are no eigenpairs.
pub fn ratios<T: Element>(a: ArrayView3<'_, T>, triangle: Triangle, pairs: &Eigenpairs<T, Cpu>) -> Vec<Option<Ratios>> {
    let (values, vectors, status) = (pairs.values(), pairs.vectors(), pairs.status());
    let one = |b: usize| {
        let of = if T::Scalar::COMPLEX { ratios_in::<T, Complex<f64>> } else { ratios_in::<T, f64> };
        let at = Axis(0);
        (!status[b].failed()).then(|| of(a.index_axis(at, b), triangle, values.row(b), vectors.index_axis(at, b)))
    };
    (0..pairs.batch()).into_par_iter().map(one).collect()
}

/// The ratios, evaluated in `W`.
fn ratios_in<T: Element, W: Scalar<Real = f64>>(
    a: ArrayView2<'_, T>,
    triangle: Triangle,
    values: ArrayView1<'_, T::Real>,
    vectors: ArrayView2<'_, T>,
) -> Ratios {
    let n = values.len();
    let a = Array2::from_shape_fn((n, n), |(i, j)| {
        let as_stored = i == j || (i > j) == (triangle == Triangle::Lower);
        let x = if as_stored { wide::<T, W>(a[[i, j]]) } else { wide::<T, W>(a[[j, i]]).conj() };
        if i == j { W::from_parts(x.re(), 0.0) } else { x }
    });
    let largest = a.iter().fold(0.0, |largest: f64, x| largest.max(x.re().abs()).max(x.im().abs()));
    // A and Λ times a power of two, so that nothing over- or underflows.
    let exponent = if largest > 0.0 { -largest.log2().floor() as i32 } else { 0 };
    let scale = |x: W| x.scale(2f64.powi(exponent / 2)).scale(2f64.powi(exponent - exponent / 2));
    let a = a.mapv(scale);
    let v = vectors.mapv(wide::<T, W>);
    let mut residual = a.dot(&v);
    for ((mut column, v), &lambda) in residual.columns_mut().into_iter().zip(v.columns()).zip(values) {
        let lambda = scale(W::from_parts(lambda.widen().to_f64(), 0.0));
        column.zip_mut_with(&v, |r, &v| *r -= v * lambda);
    }
    let mut defect = v.t().mapv(W::conj).dot(&v);
    defect.diag_mut().mapv_inplace(|x| x - W::from_parts(1.0, 0.0));
    let unit = n as f64 * T::PRECISION.epsilon();
    let (error, norm) = (one_norm(&residual), one_norm(&a));
    let ratio = |x: f64, by: f64| if x == 0.0 { 0.0 } else { x / by };
    Ratios { residual: ratio(error, norm * unit), orthogonality: ratio(one_norm(&defect), unit) }
}

fn wide<T: Element, W: Scalar<Real = f64>>(x: T) -> W {
    let x = x.widen();
    W::from_parts(x.re().to_f64(), x.im().to_f64())
}

/// ‖X‖₁, the largest sum of magnitudes of a column; NaN if there is one.
fn one_norm<W: Scalar<Real = f64>>(x: &Array2<W>) -> f64 {
    let sums = x.columns().into_iter().map(|column| column.iter().map(|x| x.re().hypot(x.im())).sum::<f64>().abs());
    sums.max_by(f64::total_cmp).unwrap_or(0.0) // NaN without its sign is the largest
}
