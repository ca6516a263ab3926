//! Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ, one matrix in each SIMD lane: scalar code over vectors of
//! lanes.

use crate::cpu::lanes::matrices::{Block, LaneMatrices};
use crate::cpu::simd::numbers::Number;
use crate::cpu::simd::vector::Vector;
use pulp::Simd;

/// What F and the defects are made of, each `[n]`.
pub(in crate::cpu) struct SchurMultiplier<'a, V> {
    pub lambda: &'a [V],
    pub label: &'a [V],
    pub lambda_bar: &'a [V],
    pub norm: &'a [V],
    /// Whether eigenvalues tie in any lane.
    pub tied: bool,
}

impl<S: Simd, R: Vector, const C: usize> LaneMatrices<S, R, C> {
    /// Gᵀ, G_ij = F_ij·½(X_ij − conj X_ji), where F_ij is 0 between equal labels, and λ̄ on the
    /// diagonal; X is not formed. Leaves |Im X_kk| in `phase` and returns the tie defects.
    #[inline(always)]
    pub fn weigh<const ROWS: usize, const COLUMNS: usize>(
        &self,
        v: &[Number<S, R, C>],
        v_bar: &[Number<S, R, C>],
        weights: &SchurMultiplier<'_, R::V<S>>,
        g: &mut [Number<S, R, C>],
        phase: &mut [R::V<S>],
    ) -> R::V<S> {
        let mut tie_defect = self.x.zero();
        for j0 in (0..self.n.div_ceil(COLUMNS)).map(|j| j * COLUMNS) {
            for i0 in (0..(j0 + COLUMNS).div_ceil(ROWS)).map(|i| i * ROWS) {
                let x = self.accumulate::<ROWS, COLUMNS, true>(self.zeros(), self.rows(v, i0), self.rows(v_bar, j0));
                let x = self.accumulate::<ROWS, COLUMNS, false>(x, self.rows(v_bar, i0), self.rows(v, j0));
                if weights.tied {
                    tie_defect = R::maxs(self.x.s, tie_defect, self.tie_defect(&x, i0, j0, weights));
                }
                self.weigh_block(&x, i0, j0, weights, g, phase);
            }
        }
        tie_defect
    }

    /// The entries of Gᵀ in a block of X − Xᴴ.
    #[inline(always)]
    fn weigh_block<const ROWS: usize, const COLUMNS: usize>(
        &self,
        x: &Block<S, R, C, ROWS, COLUMNS>,
        i0: usize,
        j0: usize,
        weights: &SchurMultiplier<'_, R::V<S>>,
        g: &mut [Number<S, R, C>],
        phase: &mut [R::V<S>],
    ) {
        for (i, row) in (i0..).zip(x) {
            for (j, &twice_skew) in (j0..).zip(row) {
                if j >= self.n || i > j {
                    continue;
                }
                if i < j {
                    let entry = self.x.scale(twice_skew, self.half_f(weights, i, j));
                    g[self.at(j, i)] = entry;
                    g[self.at(i, j)] = self.x.conj(entry);
                } else {
                    g[self.at(i, i)] = self.x.real(weights.lambda_bar[i]);
                    if C == 2 {
                        phase[i] = R::abss(self.x.s, R::muls(self.x.s, twice_skew[1], self.x.splat(R::of(0.5))));
                    }
                }
            }
        }
    }

    /// ½F_ij = ½/(λ_j − λ_i), or 0 between equal labels: selected before dividing, so that no 0·∞
    /// is formed.
    #[inline(always)]
    fn half_f(&self, weights: &SchurMultiplier<'_, R::V<S>>, i: usize, j: usize) -> R::V<S> {
        let s = self.x.s;
        let equal = R::equal(s, weights.label[i], weights.label[j]);
        let gap = R::select(s, equal, self.x.splat(R::one()), R::subs(s, weights.lambda[j], weights.lambda[i]));
        R::select(s, equal, self.x.zero(), R::divs(s, self.x.splat(R::of(0.5)), gap))
    }

    /// The largest |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖) of a block where labels agree, otherwise 0;
    /// skew(X) is 0 on D×D.
    #[inline(always)]
    fn tie_defect<const ROWS: usize, const COLUMNS: usize>(
        &self,
        x: &Block<S, R, C, ROWS, COLUMNS>,
        i0: usize,
        j0: usize,
        weights: &SchurMultiplier<'_, R::V<S>>,
    ) -> R::V<S> {
        let (s, zero) = (self.x.s, self.x.zero());
        let (half, one) = (self.x.splat(R::of(0.5)), self.x.splat(R::one()));
        let mut largest = zero;
        for (i, row) in (i0..).zip(x) {
            for (j, &twice_skew) in (j0..).zip(row) {
                if i < j && j < self.n {
                    let norm = R::maxs(s, weights.norm[i], weights.norm[j]);
                    let norm = R::if_equal(s, norm, zero, one, norm);
                    // Not times 1/‖V̄‖, which overflows where that is subnormal.
                    let mut skew = self.x.scale(twice_skew, half);
                    for part in &mut skew {
                        *part = R::divs(s, *part, norm);
                    }
                    let defect = R::sqrts(s, self.x.norm_sqr(skew));
                    largest = R::maxs(s, largest, R::if_equal(s, weights.label[i], weights.label[j], defect, zero));
                }
            }
        }
        largest
    }

    /// Ā = V G Vᴴ from Vᵀ and Gᵀ, a few rows of M = V G at a time; without G it is diag λ̄. One
    /// triangle is computed, the other is its mirror. NaN where an entry of Ā is not finite,
    /// otherwise 0.
    #[inline(always)]
    pub fn expand<const ROWS: usize, const COLUMNS: usize>(
        &self,
        columns: &[Number<S, R, C>],
        g: Option<&[Number<S, R, C>]>,
        lambda_bar: &[R::V<S>],
        m: &mut [Number<S, R, C>],
        a_bar: &mut [Number<S, R, C>],
    ) -> R::V<S> {
        let mut zeros = [self.x.zero(); ROWS];
        for i0 in (0..self.n.div_ceil(ROWS)).map(|i| i * ROWS) {
            let rows = m.as_chunks_mut::<ROWS>().0;
            match g {
                Some(g) => self.rows_of_product::<ROWS, COLUMNS>(columns, g, i0, rows),
                None => self.rows_of_scaled(columns, lambda_bar, i0, rows),
            }
            for j0 in (0..(i0 + ROWS).div_ceil(COLUMNS)).map(|j| j * COLUMNS) {
                let m = m.chunks_exact(ROWS);
                let x = self.accumulate::<COLUMNS, ROWS, true>(self.zeros(), self.rows(columns, j0), m);
                self.store_block(&x, i0, j0, &mut zeros, a_bar);
            }
        }
        let mut sum = self.x.zero();
        for zero in zeros {
            sum = R::adds(self.x.s, sum, zero);
        }
        sum
    }

    /// The entries of the transpose of a block on or below the diagonal, and their mirrors.
    #[inline(always)]
    fn store_block<const ROWS: usize, const COLUMNS: usize>(
        &self,
        x: &Block<S, R, C, COLUMNS, ROWS>,
        i0: usize,
        j0: usize,
        zeros: &mut [R::V<S>; ROWS],
        a_bar: &mut [Number<S, R, C>],
    ) {
        for (r, zero) in zeros.iter_mut().enumerate().take(self.n - i0) {
            let i = i0 + r;
            for (j, column) in (j0..).zip(x) {
                if j > i {
                    continue;
                }
                let entry = if i == j { self.x.real(column[r][0]) } else { column[r] };
                a_bar[self.at(j, i)] = self.x.conj(entry);
                a_bar[self.at(i, j)] = entry;
                for part in entry {
                    // 0·∞ and 0·NaN are NaN
                    *zero = R::mul_adds(self.x.s, part, self.x.zero(), *zero);
                }
            }
        }
    }

    /// Mᵀ of the rows of M = V G from i0 on.
    #[inline(always)]
    fn rows_of_product<const ROWS: usize, const COLUMNS: usize>(
        &self,
        columns: &[Number<S, R, C>],
        g: &[Number<S, R, C>],
        i0: usize,
        m: &mut [[Number<S, R, C>; ROWS]],
    ) {
        for (j, m) in m.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate().take(self.n.div_ceil(COLUMNS)) {
            let x = self.accumulate::<ROWS, COLUMNS, true>(self.zeros(), self.rows(columns, i0), self.rows(g, j * COLUMNS));
            for (c, m) in m.iter_mut().enumerate() {
                for (m, row) in m.iter_mut().zip(&x) {
                    *m = self.x.conj(row[c]);
                }
            }
        }
    }

    /// Mᵀ of the rows of M = V diag λ̄ from i0 on.
    #[inline(always)]
    fn rows_of_scaled<const ROWS: usize>(
        &self,
        columns: &[Number<S, R, C>],
        lambda_bar: &[R::V<S>],
        i0: usize,
        m: &mut [[Number<S, R, C>; ROWS]],
    ) {
        for ((m, column), &bar) in m.iter_mut().zip(self.rows(columns, i0)).zip(lambda_bar) {
            for (m, &v) in m.iter_mut().zip(column) {
                *m = self.x.scale(v, bar);
            }
        }
    }
}
