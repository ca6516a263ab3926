//! The powers of two by which the matrices of a group are scaled where the plain way leaves the
//! range, and results scaled back.
//!
//! With λ·2⁻ᵉ and E·2⁻ᵃ: P·2⁻ᵃ and F·2ᵉ. With λ̄·2⁻ʰ and V̄·2⁻ʰ⁻ᵉ: G·2⁻ʰ. With what comes beside,
//! V̄·2⁻ʰ⁻ᵃ and λ̄·2ᵉ⁻ʰ⁻ᵃ: the second derivatives by A are 2ᵉ⁻ʰ⁻ᵃ of themselves. With f·2⁻ᵍ, of
//! weights W·2⁻ʷ: f(A)·2⁻ᵍ, and the map of E 2⁻ᵃ⁻ʷ of itself.

use super::group::{DerivativeGroup, GroupShape};
use super::work::DerivativeScratch;
use crate::cpu::range::{Power, exponent};
use crate::cpu::simd::aligned::Aligned;
use crate::{Function, Real, Scalar};

/// An exponent of two, as a whole number and a part of one: their sum would round what 2 to its
/// power is not small beside.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cpu) struct Exponent {
    pub whole: i32,
    pub part: f64,
}

impl Exponent {
    /// p·e, with the rounding of the product.
    fn product(p: f64, e: i32) -> Self {
        let e = f64::from(e);
        let (product, whole) = (p * e, (p * e).floor());
        Self { whole: whole as i32, part: product - whole + p.mul_add(e, -product) }
    }

    pub fn plus(self, e: i32) -> Self {
        Self { whole: self.whole + e, ..self }
    }

    pub fn twice(self) -> Self {
        Self { whole: 2 * self.whole, part: 2.0 * self.part }
    }
}

impl From<i32> for Exponent {
    fn from(whole: i32) -> Self {
        Self { whole, part: 0.0 }
    }
}

/// The exponents of one matrix; all are 0 where the plain way is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cpu) struct Exponents {
    /// Whether the matrix is scaled.
    pub on: bool,
    /// e.
    pub lambda: i32,
    /// a.
    pub direction: i32,
    /// h.
    pub bar: i32,
    /// g and w.
    pub f: [Exponent; 2],
}

impl Exponents {
    /// g and w of a function, for λ·2⁻ᵉ with an even e.
    pub fn of_function(function: Function, e: i32) -> [Exponent; 2] {
        match function {
            Function::Projector | Function::Log => [0, -e],
            Function::Sqrt => [e / 2, -e / 2],
            Function::Rsqrt => [-e / 2, -3 * (e / 2)],
            Function::Pinv => [-e, -2 * e],
            Function::Exp => [0; 2],
            Function::XLogX => [e, 0],
            Function::Pow(p) => return [Exponent::product(p, e), Exponent::product(p, e).plus(-e)],
        }
        .map(Exponent::from)
    }
}

impl<T: Scalar> DerivativeScratch<T> {
    /// Multiplies the numbers of each lane that is scaled by a power of two.
    pub(in crate::cpu) fn scale(
        &mut self,
        memory: impl Fn(&mut DerivativeGroup<T::Real>) -> &mut Aligned<T::Real>,
        by: impl Fn(&Exponents) -> Exponent,
    ) {
        let (width, exponents) = (self.group.shape.width, &self.exponents);
        for (lane, exponents) in exponents.iter().enumerate().filter(|x| x.1.on) {
            let Exponent { whole, part } = by(exponents);
            let (power, rest) = (Power::<T::Real>::of(whole), T::Real::of(part.exp2()));
            memory(&mut self.group).iter_mut().skip(lane).step_by(width).for_each(|x| *x = power.times(*x * rest));
        }
    }

    /// The exponent of the largest number of a lane in columns of K, of rows of numbers of so many
    /// parts, `stride` numbers apart.
    fn exponent_on_k(&self, memory: &[T::Real], lane: usize, [parts, stride]: [usize; 2]) -> Option<i32> {
        let (GroupShape { n, width, .. }, label) = (self.group.shape, &self.group.columns.label);
        let rows = memory.chunks_exact((stride * parts * width).max(1)).take(n);
        let numbers = rows.flat_map(|row| row.chunks_exact(parts * width).zip(label.chunks_exact(width)));
        let kept = numbers.filter(|(_, label)| label[lane] > T::Real::of(0.0));
        exponent(kept.flat_map(|(number, _)| number.iter().skip(lane).step_by(width).copied()))
    }

    /// Scales the Hermitian matrices that were given.
    pub(in crate::cpu) fn scale_direction(&mut self) {
        let GroupShape { n, width, parts, .. } = self.group.shape;
        let stride = self.group.shape.stride * parts;
        for (lane, exponents) in self.exponents.iter_mut().enumerate().filter(|x| x.1.on) {
            let rows = self.group.given.chunks_exact((stride * width).max(1)).take(n);
            let of_lane = rows.flat_map(|row| row.iter().skip(lane).step_by(width).take(n * parts).copied());
            exponents.direction = exponent(of_lane).unwrap_or(0);
        }
        self.scale(|group| &mut group.given, |by| (-by.direction).into());
    }

    /// Scales cotangents, behind [`DerivativeScratch::scale_direction`].
    pub(in crate::cpu) fn scale_bars(&mut self) {
        if !self.exponents.iter().any(|exponents| exponents.on) {
            return;
        }
        let DerivativeGroup { shape, out, more, columns, with_bar, with_more, .. } = &self.group;
        let (row, rows) = ([1, shape.n], [shape.parts, shape.stride]);
        let of_lane = |lane: usize| {
            let Exponents { lambda: e, direction: a, .. } = self.exponents[lane];
            [
                self.exponent_on_k(&columns.bar, lane, row),
                self.exponent_on_k(out, lane, rows).filter(|_| *with_bar).map(|v| v - e),
                self.exponent_on_k(&columns.bar_dot, lane, row).map(|x| x + e - a),
                self.exponent_on_k(more, lane, rows).filter(|_| *with_more).map(|v| v - a),
            ]
        };
        let all: Vec<_> = (0..shape.width).map(|lane| of_lane(lane).into_iter().flatten().max().unwrap_or(0)).collect();
        self.exponents.iter_mut().zip(all).for_each(|(exponents, h)| exponents.bar = h);
        self.scale(|group| &mut group.columns.bar, |by| (-by.bar).into());
        self.scale(|group| &mut group.out, |by| (-by.bar - by.lambda).into());
        self.scale(|group| &mut group.columns.bar_dot, |by| (by.lambda - by.bar - by.direction).into());
        self.scale(|group| &mut group.more, |by| (-by.bar - by.direction).into());
    }

    /// Scales λ̇ or λ̄̄ back, which are as the direction.
    pub(in crate::cpu) fn restore_values(&mut self) {
        self.scale(|group| &mut group.columns.dot, |by| (by.direction).into());
    }

    /// Scales V̇ or V̄̄ back.
    pub(in crate::cpu) fn restore_vectors(&mut self, memory: impl Fn(&mut DerivativeGroup<T::Real>) -> &mut Aligned<T::Real>) {
        self.scale(memory, |by| (by.direction - by.lambda).into());
    }

    /// Scales a second derivative by A back.
    pub(in crate::cpu) fn restore_second(&mut self) {
        self.scale(|group| &mut group.out, |by| (by.bar + by.direction - by.lambda).into());
    }
}
