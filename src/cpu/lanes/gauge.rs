//! ‖V̄_k‖ and the gauge defects ρ_k = |Im X_kk| / ‖V̄_k‖ of equation (13), one matrix in each SIMD
//! lane.

use crate::cpu::lanes::matrices::LaneMatrices;
use crate::cpu::simd::numbers::Number;
use crate::cpu::simd::vector::Vector;
use num_traits::Float;
use pulp::Simd;

impl<S: Simd, R: Vector, const C: usize> LaneMatrices<S, R, C> {
    /// 0 in the columns outside K, whatever they hold.
    #[inline(always)]
    pub fn clear_dropped(&self, label: &[R::V<S>], v_bar: &mut [Number<S, R, C>]) {
        let (s, zero) = (self.x.s, self.x.zero());
        for (k, &label) in label.iter().enumerate() {
            let dropped = R::equal(s, label, zero);
            if R::any(s, dropped) {
                for row in v_bar.chunks_mut(self.stride).take(self.n) {
                    for part in &mut row[k] {
                        *part = R::select(s, dropped, zero, *part);
                    }
                }
            }
        }
    }

    /// ‖V̄_k‖; where squares might over- or underflow, by V̄_k scaled.
    #[inline(always)]
    pub fn norms(&self, v: &[Number<S, R, C>], v_bar: &[Number<S, R, C>], label: &[R::V<S>], norm: &mut [R::V<S>]) {
        let s = self.x.s;
        norm.fill(self.x.zero());
        for row in self.rows(v_bar, 0) {
            for (square, number) in norm.iter_mut().zip(row) {
                for &part in number {
                    *square = R::mul_adds(s, part, part, *square);
                }
            }
        }
        for (k, (norm, &label)) in norm.iter_mut().zip(label).enumerate() {
            *norm = R::sqrts(s, *norm);
            let outside = self.out_of_range(*norm, label);
            if R::any(s, outside) {
                *norm = R::select(s, outside, self.scaled(v, v_bar, k)[0], *norm);
            }
        }
    }

    /// ρ_k where |Im X_kk| was; returns the largest.
    #[inline(always)]
    pub fn gauge_defects(
        &self,
        v: &[Number<S, R, C>],
        v_bar: &[Number<S, R, C>],
        label: &[R::V<S>],
        norm: &[R::V<S>],
        defects: &mut [R::V<S>],
    ) -> R::V<S> {
        let (s, zero) = (self.x.s, self.x.zero());
        let mut largest = zero;
        for (k, ((defect, &norm), &label)) in defects.iter_mut().zip(norm).zip(label).enumerate() {
            let mut quotient = R::divs(s, *defect, norm);
            let outside = self.out_of_range(norm, label);
            if R::any(s, outside) {
                quotient = R::select(s, outside, self.scaled(v, v_bar, k)[1], quotient);
            }
            *defect = R::if_equal(s, norm, zero, zero, quotient);
            largest = R::select(s, R::less(s, largest, *defect), *defect, largest);
        }
        largest
    }

    /// Where the norm of a kept column is so large or small that squares, or products with V, may
    /// lose bits.
    #[inline(always)]
    fn out_of_range(&self, norm: R::V<S>, label: R::V<S>) -> R::Mask<S> {
        let s = self.x.s;
        let least = Float::sqrt(R::min_positive_value()) / R::epsilon();
        let (least, most) = (self.x.splat(least), self.x.splat(R::one() / least));
        let inside = R::both(s, R::at_most(s, least, norm), R::at_most(s, norm, most));
        R::both(s, R::not(s, inside), R::less(s, self.x.zero(), label))
    }

    /// ‖V̄_k‖ and |Im X_kk| / ‖V̄_k‖ by V̄_k / max|V̄_k|.
    #[inline(always)]
    fn scaled(&self, v: &[Number<S, R, C>], v_bar: &[Number<S, R, C>], k: usize) -> [R::V<S>; 2] {
        let s = self.x.s;
        let mut largest = self.x.splat(R::min_positive_value());
        for row in self.rows(v_bar, k) {
            for &part in &row[0] {
                largest = R::maxs(s, largest, R::abss(s, part));
            }
        }
        let inverse = R::divs(s, self.x.splat(R::one()), largest);
        let (mut square, mut x) = (self.x.zero(), [self.x.zero(); C]);
        for (v, v_bar) in self.rows(v, k).zip(self.rows(v_bar, k)) {
            let v_bar = self.x.scale(v_bar[0], inverse);
            square = R::adds(s, square, self.x.norm_sqr(v_bar));
            x = self.x.conj_mul_add(x, v[0], v_bar);
        }
        let length = R::sqrts(s, square);
        [R::muls(s, largest, length), R::divs(s, R::abss(s, x[C - 1]), length)]
    }
}
