//! λ, the labels of equation (17) and λ̄ of the matrices in the lanes, and what λ̄ says of ties:
//! [`LaneColumns`].

use crate::cpu::memory::filled;
use crate::cpu::simd::aligned::Aligned;
use crate::cpu::simd::moves::{Runs, into_lanes};
use crate::cpu::simd::vector::Vector;
use crate::{Real, Result};
use pulp::Simd;

/// What belongs to the columns of a group; `[n]` vectors, where nothing else is said.
#[derive(Debug)]
pub(in crate::cpu) struct LaneColumns<R> {
    /// 1 on K and 0 on D, of one matrix after the other.
    keep: Vec<R>,
    pub lambda: Aligned<R>,
    /// 0 on D; F is 0 between equal labels.
    pub label: Aligned<R>,
    pub lambda_bar: Aligned<R>,
    /// One vector: 1 where eigenvalues tie, otherwise 0.
    pub tied: Aligned<R>,
    /// One vector: the largest spread of λ̄ over a group, relative to the largest |λ̄|.
    pub spread: Aligned<R>,
}

/// The columns of one matrix after the other, and the rule for ties.
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct Given<'a, R> {
    pub lambda: &'a [R],
    pub kept: &'a [bool],
    pub lambda_bar: Option<&'a [R]>,
    /// Whether ties are divided by.
    pub exact: bool,
    pub tie_rtol: R,
    /// Whether dropped eigenvalues are as they were computed, or 0.
    pub as_computed: bool,
}

impl<R: Real> LaneColumns<R> {
    pub fn new(n: usize, width: usize) -> Result<Self> {
        let reals = |count: usize| Aligned::new(R::zero(), count * width);
        let keep = filled(R::zero(), n * width)?;
        let (lambda, label, lambda_bar) = (reals(n)?, reals(n)?, reals(n)?);
        Ok(Self { keep, lambda, label, lambda_bar, tied: reals(1)?, spread: reals(1)? })
    }
}

impl<R: Vector> LaneColumns<R> {
    /// Brings the columns into lanes and labels them; lanes without a matrix keep nothing. Whether
    /// eigenvalues tie in any lane.
    #[inline(always)]
    pub fn label<S: Simd>(&mut self, s: S, n: usize, given: Given<'_, R>) -> bool {
        let Self { keep, lambda, label, lambda_bar, tied, spread } = self;
        let [lambda, label, lambda_bar] = [lambda, label, lambda_bar].map(|x| &mut R::vectors_mut(s, x)[..n]);
        let [tied, spread] = [tied, spread].map(|x| R::vectors_mut(s, x));
        let (zero, one) = (R::splat(s, R::zero()), R::splat(s, R::one()));
        for (to, &kept) in keep.iter_mut().zip(given.kept) {
            *to = if kept { R::one() } else { R::zero() };
        }
        let row = Runs::row(n);
        into_lanes::<S, R, 1>(s, given.lambda, row, lambda);
        into_lanes::<S, R, 1>(s, &keep[..given.kept.len()], row, label);
        match given.lambda_bar {
            Some(bar) => into_lanes::<S, R, 1>(s, bar, row, lambda_bar),
            None => lambda_bar.fill(zero),
        }
        let norm = R::maxs(s, R::abss(s, lambda[0]), R::abss(s, lambda[n - 1]));
        let within = R::muls(s, R::splat(s, given.tie_rtol), norm);
        let (mut group, mut last) = (zero, zero);
        tied[0] = zero;
        for ((x, label), bar) in lambda.iter_mut().zip(&mut *label).zip(&mut *lambda_bar) {
            let kept = R::equal(s, *label, one);
            let close = R::both(s, R::less(s, zero, group), R::at_most(s, R::subs(s, *x, last), within));
            let joins = R::both(s, kept, close);
            tied[0] = R::select(s, joins, one, tied[0]);
            let next = R::adds(s, group, one);
            let own = if given.exact { next } else { R::select(s, joins, group, next) };
            group = R::select(s, kept, own, group);
            last = R::select(s, kept, *x, last);
            *label = R::select(s, kept, group, zero);
            *bar = R::select(s, kept, *bar, zero);
            if !given.as_computed {
                *x = R::select(s, kept, *x, zero);
            }
        }
        let any = R::any(s, R::equal(s, tied[0], one));
        spread[0] = if any { spread_of_bars::<S, R>(s, label, lambda_bar) } else { zero };
        any
    }
}

/// The largest spread of λ̄ over kept columns of equal labels, relative to the largest |λ̄| of the
/// matrix.
#[inline(always)]
fn spread_of_bars<S: Simd, R: Vector>(s: S, label: &[R::V<S>], lambda_bar: &[R::V<S>]) -> R::V<S> {
    let (zero, half) = (R::splat(s, R::zero()), R::splat(s, R::of(0.5)));
    let (mut group, mut low, mut high, mut largest, mut scale) = (zero, zero, zero, zero, zero);
    for (&label, &bar) in label.iter().zip(lambda_bar) {
        let kept = R::less(s, zero, label);
        let starts = R::both(s, kept, R::not(s, R::equal(s, label, group)));
        scale = R::maxs(s, scale, R::abss(s, bar));
        let bar = R::muls(s, bar, half);
        largest = R::select(s, starts, R::maxs(s, largest, R::subs(s, high, low)), largest);
        let (least, most) = (R::select(s, R::less(s, bar, low), bar, low), R::maxs(s, high, bar));
        low = R::select(s, starts, bar, R::select(s, kept, least, low));
        high = R::select(s, starts, bar, R::select(s, kept, most, high));
        group = R::select(s, kept, label, group);
    }
    let largest = R::maxs(s, largest, R::subs(s, high, low));
    let relative = R::muls(s, R::divs(s, largest, scale), R::splat(s, R::of(2.0)));
    R::if_equal(s, largest, zero, zero, relative)
}
