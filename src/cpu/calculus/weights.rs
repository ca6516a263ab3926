//! F and the divided differences of functions, of all pairs of columns: docs/derivation.md, (7),
//! (17) and §11.

use super::formulas::Formulas;
use super::group::{DerivativeColumns, DerivativeGroup};
use super::multiply::MultiplyBy;
use crate::cpu::simd::vector::Vector;
use crate::{Function, SchurMultiplier};
use pulp::Simd;

impl<S: Simd, R: Vector, const C: usize, W: MultiplyBy<S, R, C>> Formulas<S, R, C, W> {
    /// F_ij = 1/(λ_j − λ_i), i < j, or 0 between equal labels: selected before dividing, so that no
    /// 0·∞ is formed.
    #[inline(always)]
    pub fn weigh_gaps(&self, group: &mut DerivativeGroup<R>) {
        let (s, one) = (self.x.s, self.splat(1.0));
        let (lambda, label) = (R::vectors(s, &group.columns.lambda), R::vectors(s, &group.columns.label));
        let f = R::vectors_mut(s, &mut group.weights);
        for i in 0..self.n {
            for j in i + 1..self.n {
                let gap = R::if_equal(s, label[i], label[j], one, R::subs(s, lambda[j], lambda[i]));
                f[self.at(i, j)] = R::if_equal(s, label[i], label[j], self.x.zero(), R::divs(s, one, gap));
            }
        }
    }

    /// The weights W_ij, i ≤ j, of a function: divided differences, f being 0 on D, or products.
    #[inline(always)]
    pub fn weigh_function(&self, group: &mut DerivativeGroup<R>) {
        let s = self.x.s;
        let (function, kind) = (group.function, group.kind);
        let pairs = Pairs::of(s, &group.columns, R::vectors(s, &group.within)[0]);
        let w = R::vectors_mut(s, &mut group.weights);
        for i in 0..self.n {
            for j in i..self.n {
                w[self.at(i, j)] = match kind {
                    SchurMultiplier::Product => R::muls(s, pairs.f[i], pairs.f[j]),
                    SchurMultiplier::Divided if i == j => pairs.slope[i],
                    SchurMultiplier::Divided => self.divided_or_mixed(&pairs, function, i, j),
                };
            }
        }
    }

    /// f[λ_i, λ_j] on K×K, otherwise (f_j − f_i)/(λ_j − λ_i) with 0 for f on D, which is 0 on D×D.
    #[inline(always)]
    fn divided_or_mixed(&self, pairs: &Pairs<'_, R::V<S>>, function: Option<Function>, i: usize, j: usize) -> R::V<S> {
        let (s, zero, one) = (self.x.s, self.x.zero(), self.splat(1.0));
        let (label_i, label_j) = (pairs.label[i], pairs.label[j]);
        let gap = R::subs(s, pairs.lambda[j], pairs.lambda[i]);
        let nonzero = R::if_equal(s, R::adds(s, label_i, label_j), zero, one, gap);
        let quotient = R::divs(s, R::subs(s, pairs.f[j], pairs.f[i]), nonzero);
        let divided = self.divided(pairs, function, i, j, gap, quotient);
        R::if_equal(s, R::muls(s, label_i, label_j), zero, quotient, divided)
    }

    /// f[a, b] of kept a = λ_j ≥ b = λ_i, to a few ε however close they are.
    #[inline(always)]
    fn divided(
        &self,
        pairs: &Pairs<'_, R::V<S>>,
        function: Option<Function>,
        i: usize,
        j: usize,
        gap: R::V<S>,
        quotient: R::V<S>,
    ) -> R::V<S> {
        let (s, zero) = (self.x.s, self.x.zero());
        let (a, b, f_a, f_b) = (pairs.lambda[j], pairs.lambda[i], pairs.f[j], pairs.f[i]);
        let sum = R::adds(s, f_a, f_b);
        match function {
            None => {
                let mean = R::muls(s, R::adds(s, pairs.slope[i], pairs.slope[j]), self.splat(0.5));
                self.if_less(pairs.within, R::abss(s, gap), quotient, mean)
            }
            Some(Function::Projector) => zero,
            // 1/(√a + √b)
            Some(Function::Sqrt) => R::divs(s, self.splat(1.0), sum),
            // −1/(√a √b (√a + √b)), so ordered that nothing overflows unless the result does
            Some(Function::Rsqrt) => {
                let half = R::muls(s, f_a, R::divs(s, f_b, sum));
                R::negs(s, R::muls(s, R::muls(s, f_a, half), f_b))
            }
            // −1/(a b)
            Some(Function::Pinv) => R::negs(s, R::muls(s, f_a, f_b)),
            Some(Function::Log) => self.divided_log(a, b, [pairs.log[j], pairs.log[i]]),
            // e^a (1 − e^−δ)/δ, δ = a − b
            Some(Function::Exp) => {
                let near = R::muls(s, f_a, self.exponential(R::negs(s, gap)));
                self.if_less(self.splat(1.0), R::abss(s, gap), quotient, near)
            }
            // log a + b log[a, b]
            Some(Function::XLogX) => {
                let far = R::muls(s, b, self.divided_log(a, b, [pairs.log[j], pairs.log[i]]));
                let log = R::adds(s, pairs.log[j], R::if_equal(s, b, zero, zero, far));
                R::if_equal(s, gap, zero, pairs.slope[j], log)
            }
            // b^p (e^t − 1)/t · p log[a, b], t = p (log a − log b)
            Some(Function::Pow(p)) => {
                // Of different signs an even power is one of |a| and |b|: (|a| − |b|)/(a − b) times
                // its divided difference there.
                let other_signs = R::both(s, R::less(s, b, zero), R::less(s, zero, a));
                let even = p == p.round() && p.rem_euclid(2.0) == 0.0;
                let size = if even { R::select(s, other_signs, R::negs(s, b), b) } else { b };
                let apart = R::subs(s, a, size);
                let rate = R::muls(s, self.splat(p), self.divided_log(a, size, [pairs.log[j], pairs.log[i]]));
                let t = R::muls(s, rate, apart);
                let near = R::muls(s, R::muls(s, f_b, self.exponential(t)), rate);
                let near = if even { R::select(s, other_signs, R::muls(s, near, R::divs(s, apart, gap)), near) } else { near };
                let near = self.if_less(self.splat(1.0), R::abss(s, t), quotient, near);
                let one_sign = R::maxs(s, size, R::negs(s, a));
                let divided = self.if_less(zero, one_sign, near, quotient);
                R::if_equal(s, gap, zero, pairs.slope[j], divided)
            }
        }
    }

    /// log[a, b] = 2 atanh(z)/(a − b), z = (a − b)/(a + b): by a series of z² up to a = 2b,
    /// otherwise from the logarithms.
    #[inline(always)]
    fn divided_log(&self, a: R::V<S>, b: R::V<S>, [log_a, log_b]: [R::V<S>; 2]) -> R::V<S> {
        let s = self.x.s;
        let (sum, gap) = (R::adds(s, a, b), R::subs(s, a, b));
        let z = R::divs(s, gap, sum);
        let series = self.polynomial(R::muls(s, z, z), &ATANH[..const { atanh_terms(R::PRECISION.epsilon()) }]);
        let near = R::muls(s, R::divs(s, self.splat(2.0), sum), series);
        let far = R::divs(s, R::subs(s, log_a, log_b), gap);
        self.if_less(self.splat(WIDEST * WIDEST), R::muls(s, z, z), far, near)
    }

    /// (e^t − 1)/t for |t| ≤ 1.
    #[inline(always)]
    fn exponential(&self, t: R::V<S>) -> R::V<S> {
        self.polynomial(t, &EXPONENTIAL[..const { exponential_terms(R::PRECISION.epsilon()) }])
    }

    /// Σ c_k x^k, by Horner.
    #[inline(always)]
    fn polynomial(&self, x: R::V<S>, coefficients: &[f64]) -> R::V<S> {
        let mut sum = self.x.zero();
        for &c in coefficients.iter().rev() {
            sum = R::mul_adds(self.x.s, sum, x, self.splat(c));
        }
        sum
    }

    /// In each lane a if x < y, otherwise b; b, too, where y is NaN.
    #[inline(always)]
    fn if_less(&self, x: R::V<S>, y: R::V<S>, a: R::V<S>, b: R::V<S>) -> R::V<S> {
        R::if_equal(self.x.s, R::maxs(self.x.s, y, x), x, b, a)
    }
}

/// What the weights of a pair are made of.
struct Pairs<'a, V> {
    lambda: &'a [V],
    label: &'a [V],
    f: &'a [V],
    slope: &'a [V],
    log: &'a [V],
    within: V,
}

impl<'a, V: Copy> Pairs<'a, V> {
    #[inline(always)]
    fn of<S: Simd, R: Vector<V<S> = V>>(s: S, columns: &'a DerivativeColumns<R>, within: V) -> Self {
        Self {
            lambda: R::vectors(s, &columns.lambda),
            label: R::vectors(s, &columns.label),
            f: R::vectors(s, &columns.f),
            slope: R::vectors(s, &columns.slope),
            log: R::vectors(s, &columns.log),
            within,
        }
    }
}

/// The largest |z| at which the series of atanh is used: a = 2b.
const WIDEST: f64 = 1.0 / 3.0;

/// What truncation may add to rounding, relative to the value and ε.
const TRUNCATION: f64 = 0.25;

/// The largest number of terms of either series.
const MOST: usize = 20;

/// atanh(z)/z = Σ z^2k / (2k + 1).
const ATANH: [f64; MOST] = {
    let mut terms = [0.0; MOST];
    let mut k = 0;
    while k < MOST {
        terms[k] = 1.0 / (2 * k + 1) as f64;
        k += 1;
    }
    terms
};

/// (e^t − 1)/t = Σ t^k / (k + 1)!.
const EXPONENTIAL: [f64; MOST] = {
    let mut terms = [1.0; MOST];
    let mut k = 1;
    while k < MOST {
        terms[k] = terms[k - 1] / (k + 1) as f64;
        k += 1;
    }
    terms
};

/// The number of terms of atanh(z)/z ≥ 1 for |z| ≤ 1/3: those left out are less than a geometric
/// series of ratio z².
const fn atanh_terms(epsilon: f64) -> usize {
    let square = WIDEST * WIDEST;
    let (mut k, mut power) = (0, 1.0);
    while power * ATANH[k] / (1.0 - square) > TRUNCATION * epsilon {
        power *= square;
        k += 1;
    }
    k
}

/// The number of terms of (e^t − 1)/t ≥ 1 − 1/e for |t| ≤ 1: those left out are less than a
/// geometric series of ratio 1/(k + 2).
const fn exponential_terms(epsilon: f64) -> usize {
    let mut k = 0;
    while EXPONENTIAL[k] * (k + 2) as f64 / (k + 1) as f64 > 0.63 * TRUNCATION * epsilon {
        k += 1;
    }
    k
}
