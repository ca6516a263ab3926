//! Whether the triangles of a matrix agree: |A_ij − conj A_ji| ≤ 8·n·ε·max|A|.

use crate::cpu::Compare;
use crate::element::Scalar;
use crate::{Element, Error, Precision, Real, Result};
use num_traits::{Float, Zero};
use std::f64::consts::SQRT_2;

/// Looks in consecutive matrices, of which the first has the number `first`, for the first entry
/// that differs from its mirror; notes matrices that are not finite, where it does not look.
///
/// # Errors
/// [`Error::NotHermitian`].
pub(crate) fn compare_triangles<T: Element>(
    first: usize,
    n: usize,
    a: &[T],
    precision: Precision,
    not_finite: &mut Vec<usize>,
) -> Result<()> {
    let (count, mut next) = (a.len() / (n * n).max(1), 0);
    while next < count {
        // Of types that are only stored each is looked at.
        let doubtful =
            T::as_scalars(&a[next * n * n..]).map_or(Some(0), |a| T::Scalar::doubtful(n, a, tolerance(precision, n, 1.0)));
        let Some(after) = doubtful else { break };
        let matrix = next + after;
        if !compare(first + matrix, n, &a[matrix * n * n..][..n * n], precision)? {
            not_finite.push(first + matrix);
        }
        next = matrix + 1;
    }
    Ok(())
}

/// Compares one matrix, unless it is not finite; whether it is.
fn compare<T: Element>(matrix: usize, n: usize, a: &[T], precision: Precision) -> Result<bool> {
    let [largest, difference] = extremes(n, a);
    if largest.is_nan() {
        return Ok(false);
    }
    // max|A| is at least its largest component, and a modulus at most √2 times that of its number:
    // this settles nearly every matrix.
    if SQRT_2 * difference.to_f64() <= tolerance(precision, n, largest.to_f64()) {
        return Ok(true);
    }
    // Differences of the largest numbers overflow: a quarter of everything is compared.
    let quarter = if largest.to_f64() > 1e300 { 0.25 } else { 1.0 };
    let modulus = |x: T::Scalar| (x.re().to_f64() * quarter).hypot(x.im().to_f64() * quarter);
    let tolerance = tolerance(precision, n, a.iter().fold(0.0, |largest, x| largest.max(modulus(x.widen()))));
    for row in 0..n {
        for column in 0..=row {
            let (x, y) = (a[row * n + column].widen(), a[column * n + row].widen().conj());
            let re = x.re().to_f64() * quarter - y.re().to_f64() * quarter;
            let difference = re.hypot(x.im().to_f64() * quarter - y.im().to_f64() * quarter);
            if difference > tolerance {
                let (difference, tolerance) = (difference / quarter, tolerance / quarter);
                return Err(Error::NotHermitian { matrix, row, column, difference, tolerance });
            }
        }
    }
    Ok(true)
}

/// Whether some entry that is not finite lies in the lower triangle.
///
/// # Errors
/// [`Error::NotHermitian`] with the first of the upper triangle, if not: its difference is NaN.
pub(crate) fn expect_in_lower<T: Element>(matrix: usize, n: usize, a: &[T]) -> Result<()> {
    let finite = |row: usize, column: usize| a[row * n + column].widen().finite();
    let mut lower = (0..n).flat_map(|row| (0..=row).map(move |column| (row, column)));
    if lower.clone().any(|(row, column)| !finite(row, column)) {
        return Ok(());
    }
    let lone = lower.find(|&(row, column)| !finite(column, row));
    let (difference, tolerance) = (f64::NAN, f64::NAN);
    lone.map_or(Ok(()), |(row, column)| Err(Error::NotHermitian { matrix, row, column, difference, tolerance }))
}

fn tolerance(precision: Precision, n: usize, largest: f64) -> f64 {
    8.0 * n as f64 * precision.epsilon() * largest
}

type Component<T> = <<T as Element>::Scalar as Element>::Real;

/// The largest component of A, NaN if one is not finite, and the largest of A − Aᴴ, pair by pair.
fn extremes<T: Element>(n: usize, a: &[T]) -> [Component<T>; 2] {
    let zero = Component::<T>::zero();
    let (mut largest, mut difference, mut zeros) = (zero, zero, zero);
    for row in 0..n {
        for (x, y) in a[row * n..][..=row].iter().zip(a[row..].iter().step_by(n)) {
            let (x, y) = (x.widen(), y.widen());
            let [x, y] = [[x.re(), x.im()], [y.re(), -y.im()]];
            for part in 0..2 {
                difference = larger(difference, (x[part] - y[part]).abs());
                largest = larger(largest, larger(x[part].abs(), y[part].abs()));
                zeros += x[part] * zero + y[part] * zero; // 0·∞ and 0·NaN are NaN
            }
        }
    }
    [if zeros.is_zero() { largest } else { Component::<T>::nan() }, difference]
}

/// The larger of two numbers that are not NaN: one instruction, where `max` takes care of NaN.
fn larger<R: Real>(x: R, y: R) -> R {
    if x > y { x } else { y }
}
