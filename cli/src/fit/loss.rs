//! L = (1/r) Σ_k [((λ_k − λ*_k)/λ*_k)² + ℓ(v_k, v*_k)] of one matrix, with its cotangents; the mean
//! over a batch is what is shown.

use crate::args::Loss;
use eigengrad::{Real, Scalar};
use ndarray::{ArrayView1, ArrayViewMut1};
use num_traits::Zero;
use std::ops::AddAssign;

/// The two parts of a loss.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// (1/r) Σ_k ((λ_k − λ*_k)/λ*_k)².
    pub values: f64,
    /// (1/r) Σ_k ℓ(v_k, v*_k).
    pub vectors: f64,
}

impl Parts {
    /// Both together.
    pub fn total(self) -> f64 {
        self.values + self.vectors
    }

    /// Both, `by` times as large.
    pub fn scale(self, by: f64) -> Self {
        Self { values: self.values * by, vectors: self.vectors * by }
    }
}

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Self) {
        *self = Self { values: self.values + other.values, vectors: self.vectors + other.vectors };
    }
}

/// w·((λ − λ*)/λ*)² and λ̄.
///
/// Relative to λ* itself, not to max|λ*|: as λ moves with B in proportion to itself, this is
/// equally stiff for all k.
pub fn value<R: Real>(lambda: R, target: R, weight: f64) -> (f64, R) {
    let difference = ((lambda - target) / target).to_f64();
    (weight * difference * difference, R::of(2.0 * weight * difference) / target)
}

/// w·ℓ(v, v*), and V̄ into `v_bar`. Neither ℓ depends on the phases of v and v*.
///
/// - Overlap: ℓ = 1 − |v*ᴴv|², taken as ‖v − v* (v*ᴴv)‖², which keeps its digits near 0; V̄ = −2 v*
///   (v*ᴴv).
/// - Intensity: ℓ = Σ_i (|v_i|² − |v*_i|²)²; V̄_i = 4 (|v_i|² − |v*_i|²) v_i.
pub fn vector<T: Scalar>(
    loss: Loss,
    v: ArrayView1<'_, T>,
    target: ArrayView1<'_, T>,
    weight: f64,
    v_bar: ArrayViewMut1<'_, T>,
) -> f64 {
    let each = v.iter().zip(target).zip(v_bar);
    let mut sum = T::Real::zero();
    match loss {
        Loss::Overlap => {
            let overlap = v.iter().zip(target).fold(T::zero(), |sum, (&v, &t)| sum + t.conj() * v);
            each.for_each(|((&v, &t), v_bar)| {
                sum += (v - t * overlap).norm_sqr();
                *v_bar = (t * overlap).scale(Real::of(-2.0 * weight));
            });
        }
        Loss::Intensity => each.for_each(|((&v, &t), v_bar)| {
            let difference = v.norm_sqr() - t.norm_sqr();
            sum += difference * difference;
            *v_bar = v.scale(T::Real::of(4.0 * weight) * difference);
        }),
    }
    weight * sum.to_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, array};
    use num_complex::Complex;

    fn c(re: f64, im: f64) -> Complex<f64> {
        Complex::new(re, im)
    }

    fn unit(x: Array1<Complex<f64>>) -> Array1<Complex<f64>> {
        let norm = x.iter().map(Complex::norm_sqr).sum::<f64>().sqrt();
        x / c(norm, 0.0)
    }

    /// The loss, and its slope along a tangent of the sphere by the cotangent and by a central
    /// difference.
    fn slopes(loss: Loss, phase: Complex<f64>) -> (f64, f64, f64) {
        let v = unit(array![c(0.6, 0.1), c(-0.3, 0.5), c(0.2, 0.4)] * phase);
        let target = unit(array![c(0.5, -0.2), c(0.1, 0.7), c(0.4, 0.1)]);
        let along = array![c(0.3, 0.2), c(-0.1, 0.9), c(0.8, -0.4)] * phase;
        let dot =
            |x: &Array1<Complex<f64>>, y: &Array1<Complex<f64>>| x.iter().zip(y).map(|(x, y)| (x.conj() * y).re).sum::<f64>();
        let along = &along - &v * c(dot(&v, &along), 0.0);
        let at = |v: &Array1<Complex<f64>>| {
            let mut v_bar = Array1::zeros(3);
            (vector(loss, v.view(), target.view(), 0.7, v_bar.view_mut()), v_bar)
        };
        let near = |t: f64| at(&unit(&v + &along * c(t, 0.0))).0;
        let (loss, v_bar) = at(&v);
        (loss, dot(&v_bar, &along), (near(1e-5) - near(-1e-5)) / 2e-5)
    }

    #[test]
    fn cotangents_are_those_of_differences_and_of_no_phase() {
        for loss in [Loss::Overlap, Loss::Intensity] {
            let (value, slope, difference) = slopes(loss, c(1.0, 0.0));
            assert!((slope - difference).abs() < 1e-9, "{loss:?}: {slope} {difference}");
            let (turned_value, turned_slope, _) = slopes(loss, c(0.6, -0.8));
            assert!((value - turned_value).abs() < 1e-14 && (slope - turned_slope).abs() < 1e-14, "{loss:?}");
        }
    }

    #[test]
    fn the_loss_of_a_value_is_relative() {
        assert_eq!(value(3.0, 2.0, 0.5), (0.125, 0.25));
        let small = 2f64.powi(-40);
        assert_eq!(value(3.0 * small, 2.0 * small, 0.5).0, value(3.0, 2.0, 0.5).0);
    }
}
