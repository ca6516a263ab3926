//! T = Z Λ Zᵀ of real tridiagonal matrices, one in each lane of G vectors: implicit QL with
//! Wilkinson's shift.
//!
//! All lanes take their sweeps at the same time, each over the window of its own lowest block that
//! is not yet diagonal. A lane's numbers change only within its window, so what the others do
//! leaves no trace in it. The rotations are noted and applied to Z later, many at a time.

use crate::cpu::simd::vector::Vector;
use pulp::Simd;

/// A sweep makes an element negligible, usually after two or three; LAPACK's limit for all of n is
/// 30 n.
pub(in crate::cpu) const SWEEPS: usize = 30;

/// A row of T: the diagonal element, and the one below it.
pub(in crate::cpu) type Entry<V, const G: usize> = [[V; G]; 2];

/// The rotation of columns i and i + 1 as shears: t = −tan θ/2 and s = sin θ. It is I where both
/// are 0.
pub(in crate::cpu) type Rotation<V> = [V; 2];

/// Rotations of columns i = high − 1, …, low, which begin at `at`.
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct Sweep {
    pub low: usize,
    pub high: usize,
    pub at: usize,
}

/// How far QL has come.
#[derive(Default)]
pub(in crate::cpu) struct Progress {
    /// The first row that is not diagonal in every lane.
    bottom: usize,
    /// The number of sweeps.
    sweeps: usize,
}

/// The windows of the lanes of one vector: rows `low` to `high`, −1 where all is diagonal, and
/// where Wilkinson's shift sets out.
#[derive(Clone, Copy)]
struct Windows<V> {
    low: V,
    high: V,
    shifted: V,
}

/// Diagonalises T in place, d ↦ Λ in no order, and notes the sweeps if it is to, until there is no
/// room for another: false then, to be called again. Elements below the diagonal that are not 0 in
/// the end belong to lanes that did not converge.
#[inline(always)]
pub(in crate::cpu) fn ql<S: Simd, R: Vector, const G: usize>(
    s: S,
    t: &mut [Entry<R::V<S>, G>],
    progress: &mut Progress,
    mut notes: Option<&mut Vec<Sweep>>,
    rotations: &mut [[Rotation<R::V<S>>; G]],
) -> bool {
    let n = t.len();
    let mut at = 0;
    while progress.sweeps < SWEEPS * n {
        let mut of_groups =
            [Windows { low: R::splat(s, R::zero()), high: R::splat(s, R::zero()), shifted: R::splat(s, R::zero()) }; G];
        let (mut low, mut high) = (n, 0);
        for (g, of_group) in of_groups.iter_mut().enumerate() {
            let (windows, lowest) = windows::<S, R, G>(s, t, g, progress.bottom);
            *of_group = windows;
            low = low.min(lowest);
            high = high.max(R::largest(s, windows.high).to_f64() as usize);
        }
        if low == n {
            return true;
        }
        progress.bottom = low;
        if let Some(notes) = &mut notes {
            if at + n > rotations.len() || notes.len() == notes.capacity() {
                return false;
            }
            notes.push(Sweep { low, high, at });
        }
        sweep::<S, R, G>(s, &mut t[low..=high], low, &of_groups, &mut rotations[at..][..high - low]);
        progress.sweeps += 1;
        if notes.is_some() {
            at += high - low;
        }
    }
    true
}

/// Sets negligible elements to 0 and finds every lane's lowest block; returns the lowest row of
/// all, n if all is diagonal.
///
/// |e_i| is negligible beside its neighbours, ε(|d_i| + |d_{i+1}|), or beside the matrix, ¼ε
/// max|A|, which is about 1: without the second, null spaces are diagonalised to no purpose.
#[inline(always)]
fn windows<S: Simd, R: Vector, const G: usize>(
    s: S,
    t: &mut [Entry<R::V<S>, G>],
    g: usize,
    bottom: usize,
) -> (Windows<R::V<S>>, usize) {
    let (zero, one) = (R::splat(s, R::zero()), R::splat(s, R::one()));
    let (relative, absolute) = (R::splat(s, R::epsilon()), R::splat(s, R::epsilon() * R::of(0.25)));
    let index = |i: usize| R::splat(s, R::of(i as f64));
    let n = t.len();
    let (mut low, mut high) = (R::splat(s, -R::one()), R::splat(s, -R::one()));
    let (mut d_low, mut d_next, mut e_low, mut d_high) = (zero, zero, one, zero);
    let mut above = t[n - 1][0][g];
    let mut was_negligible = R::equal(s, zero, zero);
    let mut lowest = n;
    for i in (bottom..n - 1).rev() {
        let [d, e] = &mut t[i];
        let (d, size) = (d[g], R::abss(s, e[g]));
        let bound = R::mul_adds(s, relative, R::adds(s, R::abss(s, d), R::abss(s, above)), absolute);
        let negligible = R::at_most(s, size, bound);
        let open = R::not(s, negligible);
        let kept = R::select(s, negligible, zero, e[g]);
        if R::any(s, R::not(s, R::equal(s, kept, e[g]))) {
            e[g] = kept;
        }
        let begins = R::both(s, open, was_negligible);
        high = R::select(s, begins, index(i + 1), high);
        d_high = R::select(s, begins, above, d_high);
        low = R::select(s, open, index(i), low);
        d_low = R::select(s, open, d, d_low);
        d_next = R::select(s, open, above, d_next);
        e_low = R::select(s, open, kept, e_low);
        if R::any(s, open) {
            lowest = i;
        }
        (was_negligible, above) = (negligible, d);
    }
    // d_high − σ, σ the eigenvalue of the lowest 2×2 that is closer to its first element.
    let half = R::divs(s, R::subs(s, d_next, d_low), R::adds(s, e_low, e_low));
    let root = R::sqrts(s, R::mul_adds(s, half, half, one));
    let correction = R::divs(s, e_low, R::adds(s, half, R::with_sign(s, root, half)));
    let shifted = R::adds(s, R::subs(s, d_high, d_low), correction);
    (Windows { low, high, shifted }, lowest)
}

/// What goes from row to row of a sweep: the element chased, s and c of the last rotation, and what
/// it takes from the next d.
#[derive(Clone, Copy)]
struct Chase<V> {
    chased: V,
    sine: V,
    cosine: V,
    p: V,
    /// The row above. It is kept here, not read again: LLVM makes a masked store of a blend with
    /// what is in memory, which is slow.
    d: V,
    e: V,
}

/// One sweep over rows `low` … of T, from high to low; rotation i is that of rows low + i and low +
/// i + 1.
#[inline(always)]
fn sweep<S: Simd, R: Vector, const G: usize>(
    s: S,
    t: &mut [Entry<R::V<S>, G>],
    low: usize,
    windows: &[Windows<R::V<S>>; G],
    rotations: &mut [[Rotation<R::V<S>>; G]],
) {
    let (zero, one) = (R::splat(s, R::zero()), R::splat(s, R::one()));
    let tiny = R::splat(s, R::min_positive_value() / R::epsilon());
    let Some(([d_high, e_high], rows)) = t.split_last_mut() else { return };
    let mut chase = [Chase { chased: zero, sine: one, cosine: one, p: zero, d: zero, e: zero }; G];
    for g in 0..G {
        (chase[g].d, chase[g].e) = (d_high[g], e_high[g]);
    }
    let (mut d_above, mut e_above) = (d_high, e_high);
    let mut above = R::splat(s, R::of((low + rows.len()) as f64));
    for ([d, e], rotations) in rows.iter_mut().zip(rotations).rev() {
        let here = R::subs(s, above, one);
        for g in 0..G {
            let (window, last) = (&windows[g], chase[g]);
            let begins = R::equal(s, window.high, above);
            let active = R::both(s, R::at_most(s, window.low, here), R::less(s, here, window.high));
            let ends = R::both(s, active, R::equal(s, window.low, here));
            let chased = R::select(s, begins, window.shifted, last.chased);
            let (sine, cosine) = (R::select(s, begins, one, last.sine), R::select(s, begins, one, last.cosine));
            let p = R::select(s, begins, zero, last.p);
            let (f, b) = (R::muls(s, sine, e[g]), R::muls(s, cosine, e[g]));
            let square = R::mul_adds(s, chased, chased, R::muls(s, f, f));
            let none = R::at_most(s, square, tiny);
            let r = R::sqrts(s, square);
            let inverse = R::divs(s, one, r);
            // c ≥ 0: the sign goes to s and r.
            let sign = R::signs(s, chased);
            let sine = R::select(s, none, zero, R::xors(s, R::muls(s, f, inverse), sign));
            let cosine = R::select(s, none, one, R::muls(s, R::abss(s, chased), inverse));
            e_above[g] = R::select(s, R::both(s, active, R::not(s, begins)), R::ors(s, r, sign), last.e);
            let shifted = R::subs(s, last.d, p);
            let twice = R::muls(s, cosine, b);
            let q = R::mul_adds(s, R::subs(s, d[g], shifted), sine, R::adds(s, twice, twice));
            let p = R::muls(s, sine, q);
            d_above[g] = R::select(s, active, R::adds(s, shifted, p), last.d);
            let chased = R::mul_adds(s, cosine, q, R::negs(s, b));
            let d = R::select(s, ends, R::subs(s, d[g], p), d[g]);
            let e = R::select(s, ends, chased, e[g]);
            chase[g] = Chase { chased, sine, cosine, p, d, e };
            let shear = R::divs(s, R::negs(s, sine), R::adds(s, one, cosine));
            rotations[g] = [R::select(s, active, shear, zero), R::select(s, active, sine, zero)];
        }
        (d_above, e_above, above) = (d, e, here);
    }
    for g in 0..G {
        (d_above[g], e_above[g]) = (chase[g].d, chase[g].e);
    }
}
