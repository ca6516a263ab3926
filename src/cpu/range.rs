//! Powers of two that keep gaps, weights and products in range: all of it is homogeneous, and
//! scaling by them is exact.

use crate::element::sealed::Ldexp;
use crate::{Element, Precision, Real, cut};
use num_traits::Float;

/// 2^e as factors in range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Power<R>([R; 4]);

impl<R: Real> Power<R> {
    pub fn of(e: i32) -> Self {
        let two = R::of(2.0);
        let most = if R::PRECISION == Precision::F32 { 126 } else { 1022 };
        let mut left = e;
        Self([(); 4].map(|()| {
            let step = left.clamp(-most, most);
            left -= step;
            two.powi(step)
        }))
    }

    pub fn times(self, x: R) -> R {
        self.0.into_iter().fold(x, |x, factor| x * factor)
    }
}

/// The binary exponent of the largest size; none where all are zero or one is infinite.
pub(super) fn exponent<R: Real>(sizes: impl IntoIterator<Item = R>) -> Option<i32> {
    let largest = sizes.into_iter().fold(R::of(0.0), |largest, x| if Float::abs(x) > largest { Float::abs(x) } else { largest });
    (largest > R::of(0.0) && largest.is_finite()).then(|| largest.binary_exponent())
}

/// Whether the plain way may lose a number to overflow or underflow where ‖A‖₂ is that of an
/// ascending spectrum.
pub(super) fn is_extreme<O: Element<Scalar: Real>>(lambda: &[O]) -> bool {
    let ends = [lambda.first(), lambda.last()].map(|x| x.map_or(Real::of(0.0), |x| Float::abs(x.widen())));
    let norm = Float::max(ends[0], ends[1]);
    let most = if O::Scalar::PRECISION == Precision::F32 { 2f64.powi(30) } else { 2f64.powi(240) };
    norm > Real::of(most) || (norm > Real::of(0.0) && norm < Real::of(1.0 / most))
}

/// The exponent e for which λ·2⁻ᵉ is where neither differences nor their reciprocals leave the
/// range, however close two of them are.
pub(super) fn lift<R: Real>(lambda: &[R]) -> i32 {
    let centre = if R::PRECISION == Precision::F32 { 40 } else { 300 };
    exponent([cut::norm(lambda)]).map_or(0, |e| e - centre)
}
