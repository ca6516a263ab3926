//! Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ, one matrix in each SIMD lane: scalar code over vectors of lanes.

use super::lanes::Group;
use super::vector::Vector;
use crate::Element;
use num_complex::Complex;
use pulp::{Arch, Simd, WithSimd};
use std::array::from_fn;
use std::marker::PhantomData;

/// Rows of the largest block of the micro-kernel: 4 for real, 2 for complex numbers, by [`COLUMNS`]. Eight accumulators either way,
/// which keep two FMA units of latency 4 busy.
pub(super) const MAX_ROWS: usize = 4;
const COLUMNS: usize = 2;

/// The lane kernel, compiled once for each type and instruction set.
pub trait AssembleLanes: Element {
    /// The number of lanes of the instruction set at hand.
    fn lanes() -> usize;
    fn assemble_lanes(group: &mut Group<Self::Real>);
}

macro_rules! assemble_lanes {
    ($($t:ty: $real:ty, $parts:literal, $rows:literal);*) => { $(
        impl AssembleLanes for $t {
            fn lanes() -> usize {
                Arch::new().dispatch(Width::<$real>(PhantomData))
            }
            fn assemble_lanes(group: &mut Group<$real>) {
                Arch::new().dispatch(Kernel::<'_, $real, $parts, $rows>(group));
            }
        }
    )* }
}
assemble_lanes!(f32: f32, 1, 4; f64: f64, 1, 4; Complex<f32>: f32, 2, 2; Complex<f64>: f64, 2, 2);

struct Width<R>(PhantomData<R>);

impl<R: Vector> WithSimd for Width<R> {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        size_of::<R::V<S>>() / size_of::<R>()
    }
}

struct Kernel<'a, R, const C: usize, const ROWS: usize>(&'a mut Group<R>);

impl<R: Vector, const C: usize, const ROWS: usize> WithSimd for Kernel<'_, R, C, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let &mut Group { n, padded, stride, .. } = self.0;
        let group = self.0;
        let x = Numbers::<S, R, C> { s, n, padded, stride, component: PhantomData };
        let (v, lambda_bar) = (R::vectors(s, &group.v), R::vectors(s, &group.lambda_bar));
        let g = R::vectors_mut(s, &mut group.g);
        if group.with_vectors_bar {
            let v_bar = R::vectors(s, &group.v_bar);
            let norm = R::vectors_mut(s, &mut group.norm);
            x.gauge(v, v_bar, norm, R::vectors_mut(s, &mut group.gauge_defect));
            let (lambda, label) = (R::vectors(s, &group.lambda), R::vectors(s, &group.label));
            let tie_defect = &mut R::vectors_mut(s, &mut group.tie_defect)[0];
            x.weigh::<ROWS>(v, v_bar, &Weights { lambda, label, norm }, g, tie_defect);
            for (k, &bar) in lambda_bar.iter().enumerate() {
                x.set(g, x.at(k, k), from_fn(|part| if part == 0 { bar } else { x.zero() }));
            }
        }
        let g = group.with_vectors_bar.then_some(&*g);
        x.conjugate::<ROWS>(v, g, lambda_bar, R::vectors_mut(s, &mut group.m), R::vectors_mut(s, &mut group.a_bar));
    }
}

/// What F and the defects are made of, each `[n]`.
struct Weights<'a, V> {
    lambda: &'a [V],
    label: &'a [V],
    norm: &'a [V],
}

/// Arithmetic on n×n matrices of numbers of C vectors.
struct Numbers<S, R, const C: usize> {
    s: S,
    n: usize,
    padded: usize,
    stride: usize,
    component: PhantomData<R>,
}

type Number<S, R, const C: usize> = [<R as Vector>::V<S>; C];

impl<S: Simd, R: Vector, const C: usize> Numbers<S, R, C> {
    #[inline(always)]
    fn zero(&self) -> R::V<S> {
        R::splat(self.s, R::zero())
    }

    /// The place of the number in row `minor` of column `major`, or the other way round.
    #[inline(always)]
    fn at(&self, major: usize, minor: usize) -> usize {
        major * self.stride + minor
    }

    #[inline(always)]
    fn get(&self, x: &[R::V<S>], at: usize) -> Number<S, R, C> {
        let x = &x[at * C..][..C];
        from_fn(|part| x[part])
    }

    #[inline(always)]
    fn set(&self, x: &mut [R::V<S>], at: usize, to: Number<S, R, C>) {
        x[at * C..][..C].copy_from_slice(&to);
    }

    #[inline(always)]
    fn scale(&self, x: Number<S, R, C>, by: R::V<S>) -> Number<S, R, C> {
        from_fn(|part| R::muls(self.s, x[part], by))
    }

    #[inline(always)]
    fn conj(&self, x: Number<S, R, C>) -> Number<S, R, C> {
        from_fn(|part| if part == 0 { x[0] } else { R::negs(self.s, x[part]) })
    }

    /// x + a·b.
    #[inline(always)]
    fn mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        from_fn(|part| match (C, part) {
            (1, _) => R::mul_adds(s, a[0], b[0], x[0]),
            (_, 0) => R::neg_mul_adds(s, a[1], b[1], R::mul_adds(s, a[0], b[0], x[0])),
            _ => R::mul_adds(s, a[1], b[0], R::mul_adds(s, a[0], b[1], x[1])),
        })
    }

    /// x + conj(a)·b.
    #[inline(always)]
    fn conj_mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        from_fn(|part| match (C, part) {
            (1, _) => R::mul_adds(s, a[0], b[0], x[0]),
            (_, 0) => R::mul_adds(s, a[1], b[1], R::mul_adds(s, a[0], b[0], x[0])),
            _ => R::neg_mul_adds(s, a[1], b[0], R::mul_adds(s, a[0], b[1], x[1])),
        })
    }

    /// x − conj(a)·b.
    #[inline(always)]
    fn neg_conj_mul_add(&self, x: Number<S, R, C>, a: Number<S, R, C>, b: Number<S, R, C>) -> Number<S, R, C> {
        let s = self.s;
        from_fn(|part| match (C, part) {
            (1, _) => R::neg_mul_adds(s, a[0], b[0], x[0]),
            (_, 0) => R::neg_mul_adds(s, a[1], b[1], R::neg_mul_adds(s, a[0], b[0], x[0])),
            _ => R::mul_adds(s, a[1], b[0], R::neg_mul_adds(s, a[0], b[1], x[1])),
        })
    }

    /// |x|².
    #[inline(always)]
    fn norm_sqr(&self, x: Number<S, R, C>) -> R::V<S> {
        x.iter().fold(self.zero(), |sum, &part| R::mul_adds(self.s, part, part, sum))
    }

    /// ‖V̄_k‖ and ρ_k = |Im X_kk| / ‖V̄_k‖, scaled so that no square over- or underflows.
    #[inline(always)]
    fn gauge(&self, v: &[R::V<S>], v_bar: &[R::V<S>], norm: &mut [R::V<S>], gauge_defect: &mut [R::V<S>]) {
        let s = self.s;
        let (zero, one) = (self.zero(), R::splat(s, R::one()));
        for k in 0..self.n {
            let column = self.at(k, 0) * C..self.at(k, self.n) * C;
            let (v, v_bar) = (&v[column.clone()], &v_bar[column]);
            let largest = v_bar.iter().fold(zero, |m, &x| R::maxs(s, m, R::abss(s, x)));
            let scale = R::if_equal(s, largest, zero, one, largest);
            let (mut square, mut x) = (zero, [zero; C]);
            for i in 0..self.n {
                let v_bar: Number<S, R, C> = from_fn(|part| R::divs(s, v_bar[i * C + part], scale));
                square = R::adds(s, square, self.norm_sqr(v_bar));
                x = self.conj_mul_add(x, from_fn(|part| v[i * C + part]), v_bar);
            }
            let length = R::sqrts(s, square);
            norm[k] = R::muls(s, scale, length);
            let im = if C == 1 { zero } else { R::abss(s, x[C - 1]) };
            gauge_defect[k] = R::if_equal(s, length, zero, zero, R::divs(s, im, length));
        }
    }

    /// G_ij = F_ij·½(X_ij − conj X_ji) off the diagonal, where F_ij is 0 between equal labels; X is not formed.
    #[inline(always)]
    fn weigh<const ROWS: usize>(
        &self,
        v: &[R::V<S>],
        v_bar: &[R::V<S>],
        weights: &Weights<'_, R::V<S>>,
        g: &mut [R::V<S>],
        tie_defect: &mut R::V<S>,
    ) {
        let s = self.s;
        *tie_defect = self.zero();
        for j0 in (0..self.n).step_by(COLUMNS) {
            for i0 in (0..=j0).step_by(ROWS) {
                let mut x = [[[self.zero(); C]; COLUMNS]; ROWS];
                for k in 0..self.n {
                    let row = |x: &[R::V<S>], i| self.get(x, self.at(i, k));
                    let (vi, bi): ([_; ROWS], [_; ROWS]) = (from_fn(|r| row(v, i0 + r)), from_fn(|r| row(v_bar, i0 + r)));
                    let (vj, bj): ([_; COLUMNS], [_; COLUMNS]) = (from_fn(|c| row(v, j0 + c)), from_fn(|c| row(v_bar, j0 + c)));
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            x[r][c] = self.neg_conj_mul_add(self.conj_mul_add(x[r][c], vi[r], bj[c]), bi[r], vj[c]);
                        }
                    }
                }
                for (r, row) in x.iter().enumerate() {
                    for (c, &twice_skew) in row.iter().enumerate() {
                        let (i, j) = (i0 + r, j0 + c);
                        if i < j && j < self.n {
                            let skew = self.scale(twice_skew, R::splat(s, R::of(0.5)));
                            let entry = self.scale(skew, self.f(weights, i, j));
                            self.set(g, self.at(j, i), entry);
                            self.set(g, self.at(i, j), self.conj(entry));
                            *tie_defect = R::maxs(s, *tie_defect, self.tie_defect(weights, skew, i, j));
                        }
                    }
                }
            }
        }
    }

    /// F_ij = 1/(λ_j − λ_i), or 0 between equal labels: selected before dividing, so that no 0·∞ is formed.
    #[inline(always)]
    fn f(&self, weights: &Weights<'_, R::V<S>>, i: usize, j: usize) -> R::V<S> {
        let (s, one) = (self.s, R::splat(self.s, R::one()));
        let (a, b) = (weights.label[i], weights.label[j]);
        let gap = R::if_equal(s, a, b, one, R::subs(s, weights.lambda[j], weights.lambda[i]));
        R::if_equal(s, a, b, self.zero(), R::divs(s, one, gap))
    }

    /// |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖) where i and j are in one group of kept eigenvalues, otherwise 0.
    #[inline(always)]
    fn tie_defect(&self, weights: &Weights<'_, R::V<S>>, skew: Number<S, R, C>, i: usize, j: usize) -> R::V<S> {
        let (s, zero) = (self.s, self.zero());
        let norm = R::maxs(s, weights.norm[i], weights.norm[j]);
        let scale = R::if_equal(s, norm, zero, R::splat(s, R::one()), norm);
        let defect = R::sqrts(s, self.norm_sqr(from_fn(|part| R::divs(s, skew[part], scale))));
        let in_group = R::if_equal(s, weights.label[i], weights.label[j], defect, zero);
        R::if_equal(s, weights.label[i], zero, zero, in_group)
    }

    /// The lower triangle of Ā = V G Vᴴ, a few rows of M = V G at a time; without G it is diag λ̄.
    #[inline(always)]
    fn conjugate<const ROWS: usize>(
        &self,
        v: &[R::V<S>],
        g: Option<&[R::V<S>]>,
        lambda_bar: &[R::V<S>],
        m: &mut [R::V<S>],
        a_bar: &mut [R::V<S>],
    ) {
        for i0 in (0..self.n).step_by(ROWS) {
            for j0 in (0..self.padded).step_by(COLUMNS) {
                let mut x = [[[self.zero(); C]; COLUMNS]; ROWS];
                if let Some(g) = g {
                    for k in 0..self.n {
                        let a: [_; ROWS] = from_fn(|r| self.get(v, self.at(k, i0 + r)));
                        let b: [_; COLUMNS] = from_fn(|c| self.get(g, self.at(j0 + c, k)));
                        for r in 0..ROWS {
                            for c in 0..COLUMNS {
                                x[r][c] = self.mul_add(x[r][c], a[r], b[c]);
                            }
                        }
                    }
                } else {
                    for r in 0..ROWS {
                        for c in (0..COLUMNS).filter(|c| j0 + c < self.n) {
                            x[r][c] = self.scale(self.get(v, self.at(j0 + c, i0 + r)), lambda_bar[j0 + c]);
                        }
                    }
                }
                x.iter().enumerate().for_each(|(r, row)| {
                    row.iter().enumerate().for_each(|(c, &x)| self.set(m, self.at(r, j0 + c), x));
                });
            }
            for j0 in (0..i0 + ROWS).step_by(COLUMNS) {
                let mut x = [[[self.zero(); C]; COLUMNS]; ROWS];
                for k in 0..self.n {
                    let a: [_; COLUMNS] = from_fn(|c| self.get(v, self.at(k, j0 + c)));
                    let b: [_; ROWS] = from_fn(|r| self.get(m, self.at(r, k)));
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            x[r][c] = self.conj_mul_add(x[r][c], a[c], b[r]);
                        }
                    }
                }
                x.iter().enumerate().for_each(|(r, row)| {
                    row.iter().enumerate().for_each(|(c, &x)| self.set(a_bar, self.at(i0 + r, j0 + c), x));
                });
            }
        }
    }
}
