//! Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ, one matrix in each SIMD lane: scalar code over vectors of lanes.

use super::lanes::Group;
use super::numbers::{Number, Numbers};
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
        let &mut Group { n, padded, stride, tied, .. } = self.0;
        let group = self.0;
        let x = Numbers::<S, R, C>::new(s);
        let matrices = Matrices { x, n, padded, stride };
        let (v, lambda_bar) = (x.numbers(&group.v), R::vectors(s, &group.lambda_bar));
        let g = x.numbers_mut(&mut group.g);
        if group.with_vectors_bar {
            let v_bar = x.numbers(&group.v_bar);
            let norm = R::vectors_mut(s, &mut group.norm);
            matrices.gauge(v, v_bar, norm, R::vectors_mut(s, &mut group.gauge_defect));
            let (lambda, label) = (R::vectors(s, &group.lambda), R::vectors(s, &group.label));
            let tie_defect = &mut R::vectors_mut(s, &mut group.tie_defect)[0];
            matrices.weigh::<ROWS>(v, v_bar, &Weights { lambda, label, norm, tied }, g, tie_defect);
            for (k, &bar) in lambda_bar.iter().enumerate() {
                g[k * stride + k] = from_fn(|part| if part == 0 { bar } else { x.zero() });
            }
        }
        let g = group.with_vectors_bar.then_some(&*g);
        matrices.conjugate::<ROWS>(v, g, lambda_bar, x.numbers_mut(&mut group.m), x.numbers_mut(&mut group.a_bar));
    }
}

/// What F and the defects are made of, each `[n]`.
struct Weights<'a, V> {
    lambda: &'a [V],
    label: &'a [V],
    norm: &'a [V],
    /// Whether eigenvalues tie in any lane.
    tied: bool,
}

type Block<S, R, const C: usize, const ROWS: usize> = [[Number<S, R, C>; COLUMNS]; ROWS];

/// n×n matrices of numbers, element (i, k) at `k·stride + i`.
struct Matrices<S, R, const C: usize> {
    x: Numbers<S, R, C>,
    n: usize,
    padded: usize,
    stride: usize,
}

impl<S: Simd, R: Vector, const C: usize> Matrices<S, R, C> {
    /// The first n numbers of consecutive columns.
    #[inline(always)]
    fn columns<'a, const N: usize>(&self, x: &'a [Number<S, R, C>], first: usize) -> [&'a [Number<S, R, C>]; N] {
        from_fn(|c| &x[(first + c) * self.stride..][..self.n])
    }

    /// ‖V̄_k‖ and ρ_k = |Im X_kk| / ‖V̄_k‖, scaled so that no square over- or underflows.
    #[inline(always)]
    fn gauge(&self, v: &[Number<S, R, C>], v_bar: &[Number<S, R, C>], norm: &mut [R::V<S>], gauge_defect: &mut [R::V<S>]) {
        let (s, zero) = (self.x.s, self.x.zero());
        for k in 0..self.n {
            let ([v], [v_bar]) = (self.columns(v, k), self.columns(v_bar, k));
            let size = |m, x: &Number<S, R, C>| x.iter().fold(m, |m, &part| R::maxs(s, m, R::abss(s, part)));
            let largest = R::maxs(s, v_bar.iter().fold(zero, size), R::splat(s, R::min_positive_value()));
            let scale = R::divs(s, R::splat(s, R::one()), largest);
            let (mut square, mut x) = (zero, [zero; C]);
            for (&v, &v_bar) in v.iter().zip(v_bar) {
                let v_bar = self.x.scale(v_bar, scale);
                square = R::adds(s, square, self.x.norm_sqr(v_bar));
                x = self.x.conj_mul_add(x, v, v_bar);
            }
            let length = R::sqrts(s, square);
            norm[k] = R::muls(s, largest, length);
            let im = if C == 1 { zero } else { R::abss(s, x[C - 1]) };
            gauge_defect[k] = R::if_equal(s, length, zero, zero, R::divs(s, im, length));
        }
    }

    /// G_ij = F_ij·½(X_ij − conj X_ji) off the diagonal, where F_ij is 0 between equal labels; X is not formed.
    #[inline(always)]
    fn weigh<const ROWS: usize>(
        &self,
        v: &[Number<S, R, C>],
        v_bar: &[Number<S, R, C>],
        weights: &Weights<'_, R::V<S>>,
        g: &mut [Number<S, R, C>],
        tie_defect: &mut R::V<S>,
    ) {
        *tie_defect = self.x.zero();
        for j0 in (0..self.n).step_by(COLUMNS) {
            let (vj, bj) = (self.columns::<COLUMNS>(v, j0), self.columns::<COLUMNS>(v_bar, j0));
            for i0 in (0..=j0).step_by(ROWS) {
                let (vi, bi) = (self.columns::<ROWS>(v, i0), self.columns::<ROWS>(v_bar, i0));
                let mut x: Block<S, R, C, ROWS> = [[[self.x.zero(); C]; COLUMNS]; ROWS];
                for k in 0..self.n {
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            x[r][c] =
                                self.x.neg_conj_mul_add(self.x.conj_mul_add(x[r][c], vi[r][k], bj[c][k]), bi[r][k], vj[c][k]);
                        }
                    }
                }
                self.weigh_block(&x, i0, j0, weights, g, tie_defect);
            }
        }
    }

    /// The entries of G in a block of X − Xᴴ.
    #[inline(always)]
    fn weigh_block<const ROWS: usize>(
        &self,
        x: &Block<S, R, C, ROWS>,
        i0: usize,
        j0: usize,
        weights: &Weights<'_, R::V<S>>,
        g: &mut [Number<S, R, C>],
        tie_defect: &mut R::V<S>,
    ) {
        for (i, row) in (i0..).zip(x) {
            for (j, &twice_skew) in (j0..).zip(row) {
                if i < j && j < self.n {
                    let skew = self.x.scale(twice_skew, R::splat(self.x.s, R::of(0.5)));
                    let entry = self.x.scale(skew, self.f(weights, i, j));
                    g[j * self.stride + i] = entry;
                    g[i * self.stride + j] = self.x.conj(entry);
                    if weights.tied {
                        *tie_defect = R::maxs(self.x.s, *tie_defect, self.tie_defect(weights, skew, i, j));
                    }
                }
            }
        }
    }

    /// F_ij = 1/(λ_j − λ_i), or 0 between equal labels: selected before dividing, so that no 0·∞ is formed.
    #[inline(always)]
    fn f(&self, weights: &Weights<'_, R::V<S>>, i: usize, j: usize) -> R::V<S> {
        let (s, one) = (self.x.s, R::splat(self.x.s, R::one()));
        let (a, b) = (weights.label[i], weights.label[j]);
        let gap = R::if_equal(s, a, b, one, R::subs(s, weights.lambda[j], weights.lambda[i]));
        R::if_equal(s, a, b, self.x.zero(), R::divs(s, one, gap))
    }

    /// |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖) where labels agree, otherwise 0; skew(X) is 0 on D×D.
    #[inline(always)]
    fn tie_defect(&self, weights: &Weights<'_, R::V<S>>, skew: Number<S, R, C>, i: usize, j: usize) -> R::V<S> {
        let (s, zero) = (self.x.s, self.x.zero());
        let norm = R::maxs(s, weights.norm[i], weights.norm[j]);
        let scale = R::if_equal(s, norm, zero, R::splat(s, R::one()), norm);
        let defect = R::sqrts(s, self.x.norm_sqr(from_fn(|part| R::divs(s, skew[part], scale))));
        R::if_equal(s, weights.label[i], weights.label[j], defect, zero)
    }

    /// Ā = V G Vᴴ, a few rows of M = V G at a time; without G it is diag λ̄. One triangle is computed, the other is its mirror.
    #[inline(always)]
    fn conjugate<const ROWS: usize>(
        &self,
        v: &[Number<S, R, C>],
        g: Option<&[Number<S, R, C>]>,
        lambda_bar: &[R::V<S>],
        m: &mut [Number<S, R, C>],
        a_bar: &mut [Number<S, R, C>],
    ) {
        for i0 in (0..self.n).step_by(ROWS) {
            match g {
                Some(g) => self.rows_of_product::<ROWS>(v, g, i0, m),
                None => {
                    for (k, (column, &bar)) in v.chunks_exact(self.stride).zip(lambda_bar).enumerate() {
                        (0..ROWS).for_each(|r| m[k * ROWS + r] = self.x.scale(column[i0 + r], bar));
                    }
                }
            }
            let m = &m.as_chunks::<ROWS>().0[..self.n];
            for j0 in (0..i0 + ROWS).step_by(COLUMNS) {
                let mut x: Block<S, R, C, ROWS> = [[[self.x.zero(); C]; COLUMNS]; ROWS];
                for (column, b) in v.chunks_exact(self.stride).zip(m) {
                    let Some(a) = column[j0..].first_chunk::<COLUMNS>() else { return };
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            x[r][c] = self.x.conj_mul_add(x[r][c], a[c], b[r]);
                        }
                    }
                }
                for (i, row) in (i0..).zip(&x) {
                    for (j, &entry) in (j0..).zip(row) {
                        if j < i {
                            a_bar[j * self.stride + i] = self.x.conj(entry);
                            a_bar[i * self.stride + j] = entry;
                        } else if j == i {
                            a_bar[i * self.stride + i] = from_fn(|part| if part == 0 { entry[0] } else { self.x.zero() });
                        }
                    }
                }
            }
        }
    }

    /// ROWS rows of M = V G from row i0 on, column by column.
    #[inline(always)]
    fn rows_of_product<const ROWS: usize>(
        &self,
        v: &[Number<S, R, C>],
        g: &[Number<S, R, C>],
        i0: usize,
        m: &mut [Number<S, R, C>],
    ) {
        for j0 in (0..self.padded).step_by(COLUMNS) {
            let b = self.columns::<COLUMNS>(g, j0);
            let mut x: Block<S, R, C, ROWS> = [[[self.x.zero(); C]; COLUMNS]; ROWS];
            for (k, column) in v.chunks_exact(self.stride).take(self.n).enumerate() {
                let Some(a) = column[i0..].first_chunk::<ROWS>() else { return };
                for r in 0..ROWS {
                    for c in 0..COLUMNS {
                        x[r][c] = self.x.mul_add(x[r][c], a[r], b[c][k]);
                    }
                }
            }
            for (c, m) in m[j0 * ROWS..].chunks_exact_mut(ROWS).take(COLUMNS).enumerate() {
                m.iter_mut().zip(&x).for_each(|(m, row)| *m = row[c]);
            }
        }
    }
}
