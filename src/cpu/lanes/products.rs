//! Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ, one matrix in each SIMD lane: scalar code over vectors of lanes.

use crate::cpu::simd::numbers::{Number, Numbers};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use std::slice::ChunksExact;

/// What F and the defects are made of, each `[n]`.
pub(in crate::cpu) struct SchurMultiplier<'a, V> {
    pub lambda: &'a [V],
    pub label: &'a [V],
    pub lambda_bar: &'a [V],
    pub norm: &'a [V],
    /// Whether eigenvalues tie in any lane.
    pub tied: bool,
}

/// ROWS by COLUMNS entries of a product, in registers.
type Block<S, R, const C: usize, const ROWS: usize, const COLUMNS: usize> = [[Number<S, R, C>; COLUMNS]; ROWS];

/// n×n matrices of numbers by rows, `stride` apart.
pub(in crate::cpu) struct LaneMatrices<S, R, const C: usize> {
    pub x: Numbers<S, R, C>,
    pub n: usize,
    pub stride: usize,
}

impl<S: Simd, R: Vector, const C: usize> LaneMatrices<S, R, C> {
    /// The rows of a matrix from column `first` on, each with as much of the next row as makes it whole.
    #[inline(always)]
    pub fn rows<'a>(&self, x: &'a [Number<S, R, C>], first: usize) -> ChunksExact<'a, Number<S, R, C>> {
        x[first..][..self.n * self.stride].chunks_exact(self.stride)
    }

    /// Xᵀ.
    #[inline(always)]
    pub fn transpose(&self, x: &[Number<S, R, C>], to: &mut [Number<S, R, C>]) {
        for (i, row) in self.rows(x, 0).enumerate() {
            for (k, &number) in row[..self.n].iter().enumerate() {
                to[k * self.stride + i] = number;
            }
        }
    }

    #[inline(always)]
    fn zeros<const ROWS: usize, const COLUMNS: usize>(&self) -> Block<S, R, C, ROWS, COLUMNS> {
        [[[self.x.zero(); C]; COLUMNS]; ROWS]
    }

    /// G_ij = F_ij·½(X_ij − conj X_ji), where F_ij is 0 between equal labels, and λ̄ on the diagonal; X is not formed.
    /// Leaves |Im X_kk| in `phase` and returns the tie defects.
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
                let mut x = self.zeros::<ROWS, COLUMNS>();
                let (rows_i, rows_j) = (self.rows(v, i0).zip(self.rows(v_bar, i0)), self.rows(v, j0).zip(self.rows(v_bar, j0)));
                for ((vi, bi), (vj, bj)) in rows_i.zip(rows_j) {
                    let (Some(vi), Some(bi)) = (vi.first_chunk::<ROWS>(), bi.first_chunk::<ROWS>()) else { break };
                    let (Some(vj), Some(bj)) = (vj.first_chunk::<COLUMNS>(), bj.first_chunk::<COLUMNS>()) else { break };
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            let half = self.x.conj_mul_add(x[r][c], vi[r], bj[c]);
                            x[r][c] = self.x.neg_conj_mul_add(half, bi[r], vj[c]);
                        }
                    }
                }
                if weights.tied {
                    tie_defect = R::maxs(self.x.s, tie_defect, self.tie_defect(&x, i0, j0, weights));
                }
                self.weigh_block(&x, i0, j0, weights, g, phase);
            }
        }
        tie_defect
    }

    /// The entries of G in a block of X − Xᴴ.
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
                    g[i * self.stride + j] = entry;
                    g[j * self.stride + i] = self.x.conj(entry);
                } else {
                    g[i * self.stride + i] = self.x.real(weights.lambda_bar[i]);
                    if C == 2 {
                        phase[i] = R::abss(self.x.s, R::muls(self.x.s, twice_skew[1], self.x.splat(R::of(0.5))));
                    }
                }
            }
        }
    }

    /// ½F_ij = ½/(λ_j − λ_i), or 0 between equal labels: selected before dividing, so that no 0·∞ is formed.
    #[inline(always)]
    fn half_f(&self, weights: &SchurMultiplier<'_, R::V<S>>, i: usize, j: usize) -> R::V<S> {
        let s = self.x.s;
        let equal = R::equal(s, weights.label[i], weights.label[j]);
        let gap = R::select(s, equal, self.x.splat(R::one()), R::subs(s, weights.lambda[j], weights.lambda[i]));
        R::select(s, equal, self.x.zero(), R::divs(s, self.x.splat(R::of(0.5)), gap))
    }

    /// The largest |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖) of a block where labels agree, otherwise 0; skew(X) is 0 on D×D.
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

    /// Ā = V G Vᴴ from the columns of V, a few rows of M = V G at a time; without G it is diag λ̄. One triangle is computed, the other
    /// is its mirror. NaN where an entry of Ā is not finite, otherwise 0.
    #[inline(always)]
    pub fn conjugate<const ROWS: usize, const COLUMNS: usize>(
        &self,
        columns: &[Number<S, R, C>],
        g: Option<&[Number<S, R, C>]>,
        lambda_bar: &[R::V<S>],
        m: &mut [Number<S, R, C>],
        a_bar: &mut [Number<S, R, C>],
    ) -> R::V<S> {
        let mut zeros = [self.x.zero(); ROWS];
        let m = m.as_chunks_mut::<ROWS>().0;
        for i0 in (0..self.n.div_ceil(ROWS)).map(|i| i * ROWS) {
            match g {
                Some(g) => self.rows_of_product::<ROWS, COLUMNS>(columns, g, i0, m),
                None => self.rows_of_scaled(columns, lambda_bar, i0, m),
            }
            for j0 in (0..(i0 + ROWS).div_ceil(COLUMNS)).map(|j| j * COLUMNS) {
                let mut x = self.zeros::<ROWS, COLUMNS>();
                for (a, b) in self.rows(columns, j0).zip(&*m) {
                    let Some(a) = a.first_chunk::<COLUMNS>() else { break };
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            x[r][c] = self.x.conj_mul_add(x[r][c], a[c], b[r]);
                        }
                    }
                }
                self.store_block(&x, i0, j0, &mut zeros, a_bar);
            }
        }
        let mut sum = self.x.zero();
        for zero in zeros {
            sum = R::adds(self.x.s, sum, zero);
        }
        sum
    }

    /// The entries of a block on or below the diagonal, and their mirrors.
    #[inline(always)]
    fn store_block<const ROWS: usize, const COLUMNS: usize>(
        &self,
        x: &Block<S, R, C, ROWS, COLUMNS>,
        i0: usize,
        j0: usize,
        zeros: &mut [R::V<S>; ROWS],
        a_bar: &mut [Number<S, R, C>],
    ) {
        for ((i, row), zero) in (i0..self.n).zip(x).zip(zeros) {
            for (j, &entry) in (j0..).zip(row) {
                if j > i {
                    continue;
                }
                let entry = if i == j { self.x.real(entry[0]) } else { entry };
                a_bar[j * self.stride + i] = self.x.conj(entry);
                a_bar[i * self.stride + j] = entry;
                for part in entry {
                    *zero = R::mul_adds(self.x.s, part, self.x.zero(), *zero); // 0·∞ and 0·NaN are NaN
                }
            }
        }
    }

    /// Rows of M = V G from i0 on, column by column.
    #[inline(always)]
    fn rows_of_product<const ROWS: usize, const COLUMNS: usize>(
        &self,
        columns: &[Number<S, R, C>],
        g: &[Number<S, R, C>],
        i0: usize,
        m: &mut [[Number<S, R, C>; ROWS]],
    ) {
        for (j, m) in m.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate().take(self.n.div_ceil(COLUMNS)) {
            let mut x = self.zeros::<ROWS, COLUMNS>();
            for (a, b) in self.rows(columns, i0).zip(self.rows(g, j * COLUMNS)) {
                let (Some(a), Some(b)) = (a.first_chunk::<ROWS>(), b.first_chunk::<COLUMNS>()) else { break };
                for r in 0..ROWS {
                    for c in 0..COLUMNS {
                        x[r][c] = self.x.mul_add(x[r][c], a[r], b[c]);
                    }
                }
            }
            for (c, m) in m.iter_mut().enumerate() {
                for (m, row) in m.iter_mut().zip(&x) {
                    *m = row[c];
                }
            }
        }
    }

    /// Rows of M = V diag λ̄ from i0 on, column by column.
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
