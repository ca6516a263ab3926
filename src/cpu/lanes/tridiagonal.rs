//! A ↦ T = Qᴴ A Q, real and tridiagonal, Q = H₀ H₁ ⋯ Hₙ₋₂: Householder's reduction of one matrix in
//! each lane.
//!
//! Only the lower triangle is kept, column after column. The rank-2 update of one step waits for
//! the matrix–vector product of the next, so that each pass over the matrix does both.

use crate::cpu::simd::numbers::{Number, Numbers};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use std::array::from_fn;
use std::mem::take;

/// Where column j of a packed lower triangle would have its row 0: element (i, j) is at `column(n,
/// j) + i`.
pub(in crate::cpu) const fn column(n: usize, j: usize) -> usize {
    j * n - j * (j + 1) / 2
}

/// One row of what a step works with: v and w of the last step's A − v wᴴ − w vᴴ, and this step's
/// reflector x and y = A x.
pub(in crate::cpu) type Row<S, R, const C: usize> = [Number<S, R, C>; 4];
const V: usize = 0;
const W: usize = 1;
const X: usize = 2;
const Y: usize = 3;

/// Householder's reduction of n×n matrices.
pub(in crate::cpu) struct Tridiagonalise<'a, S: Simd, R: Vector, const C: usize> {
    pub x: Numbers<S, R, C>,
    pub n: usize,
    /// The packed lower triangle; afterwards column k holds reflector k from row k + 1 on, where it
    /// is 1.
    pub a: &'a mut [Number<S, R, C>],
    /// H_k = I − τ_k x xᴴ.
    pub tau: &'a mut [Number<S, R, C>],
    pub rows: &'a mut [Row<S, R, C>],
    /// Gets the diagonal elements and those below them.
    pub t: &'a mut [[R::V<S>; 2]],
}

impl<S: Simd, R: Vector, const C: usize> Tridiagonalise<'_, S, R, C> {
    #[inline(always)]
    pub fn run<const COLUMNS: usize>(mut self) {
        let (n, zero) = (self.n, self.x.zero());
        for k in 0..n - 1 {
            if k > 0 {
                self.update_column(k);
            }
            self.t[k] = self.reflector(k);
            if k > 0 {
                self.pass::<COLUMNS, true>(k + 1);
            } else {
                self.pass::<COLUMNS, false>(k + 1);
            }
            self.rank_two(k);
        }
        if n > 1 {
            self.update_column(n - 1);
        }
        self.t[n - 1] = [self.a[column(n, n - 1) + n - 1][0], zero];
    }

    /// Column k of A − v wᴴ − w vᴴ.
    #[inline(always)]
    fn update_column(&mut self, k: usize) {
        let x = self.x;
        let (a, rows) = (&mut self.a[column(self.n, k) + k..][..self.n - k], &self.rows[k..self.n]);
        let [v_k, w_k, ..] = rows[0];
        for (a, &[v, w, ..]) in a.iter_mut().zip(rows) {
            *a = x.neg_conj_mul_add(x.neg_conj_mul_add(*a, w_k, v), v_k, w);
        }
    }

    /// The reflector that makes column k real and zero below the subdiagonal, β = ∓‖·‖: returns the
    /// diagonal element and β.
    ///
    /// Where there is nothing to do within the precision of a matrix whose largest entry is about
    /// 1, it is I.
    #[inline(always)]
    fn reflector(&mut self, k: usize) -> [R::V<S>; 2] {
        let (x, s, zero) = (self.x, self.x.s, self.x.zero());
        let a = &mut self.a[column(self.n, k) + k..][..self.n - k];
        let (diagonal, alpha) = (a[0][0], a[1]);
        // |Im α|² + Σ |a_i|², a chain for each part.
        let mut squares = [zero; C];
        for a in &a[2..] {
            for part in 0..C {
                squares[part] = R::mul_adds(s, a[part], a[part], squares[part]);
            }
        }
        let mut rest = squares[0];
        for part in 1..C {
            rest = R::adds(s, rest, R::mul_adds(s, alpha[part], alpha[part], squares[part]));
        }
        let identity = R::at_most(s, rest, x.splat(R::min_positive_value() / R::epsilon()));
        let norm = R::sqrts(s, R::mul_adds(s, alpha[0], alpha[0], rest));
        let beta = R::select(s, identity, alpha[0], R::negs(s, R::with_sign(s, norm, alpha[0])));
        let inverse = R::select(s, identity, zero, R::divs(s, x.splat(R::one()), beta));
        let mut minus_shifted = x.scale(alpha, x.splat(-R::one()));
        minus_shifted[0] = R::subs(s, beta, alpha[0]);
        self.tau[k] = x.scale(minus_shifted, inverse);
        // x = (column − β e)/(α − β), by the reciprocal of a number.
        let inverse = R::select(s, identity, zero, R::divs(s, x.splat(-R::one()), x.norm_sqr(minus_shifted)));
        let scale = x.conj(x.scale(minus_shifted, inverse));
        a[1] = x.real(x.splat(R::one()));
        for a in &mut a[2..] {
            *a = x.mul(*a, scale);
        }
        for (row, &a) in self.rows[k + 1..].iter_mut().zip(&a[1..]) {
            (row[X], row[Y]) = (a, [zero; C]);
        }
        [diagonal, beta]
    }

    /// Rows from `first` on: A − v wᴴ − w vᴴ if there is an update, and y = A x with the result.
    #[inline(always)]
    fn pass<const COLUMNS: usize, const UPDATE: bool>(&mut self, first: usize) {
        let n = self.n;
        let mut a = &mut self.a[column(n, first) + first..];
        let mut rows = &mut self.rows[first..n];
        while rows.len() >= COLUMNS {
            let columns = from_fn(|c| take_first(&mut a, rows.len() - c));
            pass_columns::<_, _, C, COLUMNS, UPDATE>(self.x, columns, rows);
            rows = &mut rows[COLUMNS..];
        }
        while !rows.is_empty() {
            let columns = [take_first(&mut a, rows.len())];
            pass_columns::<_, _, C, 1, UPDATE>(self.x, columns, rows);
            rows = &mut rows[1..];
        }
    }

    /// w = τ y − ½ τ (τ y)ᴴx x, so that Hᴴ A H = A − x wᴴ − w xᴴ.
    #[inline(always)]
    fn rank_two(&mut self, k: usize) {
        let (x, zero, tau) = (self.x, self.x.zero(), self.tau[k]);
        let rows = &mut self.rows[k + 1..self.n];
        let mut dot = [zero; C];
        for [_, _, reflector, y] in &mut *rows {
            *y = x.mul(tau, *y);
            dot = x.conj_mul_add(dot, *y, *reflector);
        }
        let by = x.scale(x.mul(tau, dot), x.splat(R::of(-0.5)));
        for [v, w, reflector, y] in rows {
            (*v, *w) = (*reflector, x.mul_add(*y, by, *reflector));
        }
    }
}

/// The first elements of a slice, which keeps the others.
#[inline(always)]
fn take_first<'a, T>(from: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let (first, others) = take(from).split_at_mut(count);
    *from = others;
    first
}

/// Some columns of a pass, from their diagonals on; `rows` begins where the first of them does.
#[inline(always)]
fn pass_columns<S: Simd, R: Vector, const C: usize, const COLUMNS: usize, const UPDATE: bool>(
    x: Numbers<S, R, C>,
    columns: [&mut [Number<S, R, C>]; COLUMNS],
    rows: &mut [Row<S, R, C>],
) {
    let (head, rows) = rows.split_at_mut(COLUMNS);
    let count = rows.len();
    let mut heads = [head[0]; COLUMNS];
    heads.copy_from_slice(head);
    let mut y = [head[0][Y]; COLUMNS];
    for c in 1..COLUMNS {
        y[c] = head[c][Y];
    }
    let mut below: [&mut [Number<S, R, C>]; COLUMNS] = from_fn(|_| Default::default());
    for (c, column) in columns.into_iter().enumerate() {
        let (corner, others) = column.split_at_mut(COLUMNS - c);
        corner[0] = updated::<_, _, C, UPDATE>(x, corner[0], &heads[c], &heads[c]);
        // The diagonal is real.
        for part in 0..C {
            y[c][part] = R::mul_adds(x.s, corner[0][0], heads[c][X][part], y[c][part]);
        }
        for (a, r) in corner[1..].iter_mut().zip(c + 1..) {
            *a = updated::<_, _, C, UPDATE>(x, *a, &heads[c], &heads[r]);
            y[r] = x.mul_add(y[r], *a, heads[c][X]);
            y[c] = x.conj_mul_add(y[c], *a, heads[r][X]);
        }
        below[c] = &mut others[..count];
    }
    for (i, row) in rows.iter_mut().enumerate() {
        for c in 0..COLUMNS {
            let a = updated::<_, _, C, UPDATE>(x, below[c][i], &heads[c], row);
            if UPDATE {
                below[c][i] = a;
            }
            row[Y] = x.mul_add(row[Y], a, heads[c][X]);
            y[c] = x.conj_mul_add(y[c], a, row[X]);
        }
    }
    for (row, y) in head.iter_mut().zip(y) {
        row[Y] = y;
    }
}

/// An element of A − v wᴴ − w vᴴ.
#[inline(always)]
fn updated<S: Simd, R: Vector, const C: usize, const UPDATE: bool>(
    x: Numbers<S, R, C>,
    a: Number<S, R, C>,
    column: &Row<S, R, C>,
    row: &Row<S, R, C>,
) -> Number<S, R, C> {
    if UPDATE { x.neg_conj_mul_add(x.neg_conj_mul_add(a, column[W], row[V]), column[V], row[W]) } else { a }
}
