//! K and D of one spectrum, its gaps, and which kept eigenvalues tie. Pure functions of λ;
//! docs/derivation.md §1 and §4.

use crate::options::Problem;
use crate::{Element, Real, Status, TieRule};
use num_traits::Float;

/// What the cut made of one matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Selection<R> {
    pub rank: usize,
    /// min |λ_j − λ_i| over i ≠ j in K; infinite where there is no pair.
    pub gap_kept: R,
    /// min |λ_j − λ_i| over i in D, j in K; infinite where there is no pair.
    pub gap_dropped: R,
    pub status: Status,
}

/// max|λ|, which is ‖A‖₂, of an ascending spectrum.
pub(crate) fn norm<R: Real>(lambda: &[R]) -> R {
    match lambda {
        [] => R::zero(),
        [first, .., last] => first.abs().max(last.abs()),
        [only] => only.abs(),
    }
}

/// Marks the kept eigenvalues: |λ| > τ, of them the `at_most` largest. In an ascending spectrum D
/// is a run of neighbours.
pub(crate) fn select<R: Real>(problem: &Problem, lambda: &[R], kept: &mut [bool]) -> Selection<R> {
    let (n, norm) = (lambda.len(), norm(lambda));
    let tau = problem.tau.map(|(atol, rtol)| R::of(atol).max(R::of(rtol) * norm));
    let mut low = lambda.iter().take_while(|&&x| x < -tau.unwrap_or(R::zero())).count();
    let mut high = tau.map_or(low, |tau| n - lambda.iter().rev().take_while(|&&x| x > tau).count());
    let within = R::of(problem.tie_rtol::<R>()) * norm;
    let mut status = Status::OK;
    while low + n - high > problem.at_most {
        // Of the neighbours of D that with the smaller |λ| goes, the negative one if both are
        // alike.
        let negative = low > 0 && (high == n || lambda[low - 1].abs() <= lambda[high].abs());
        let dropped = if negative { low - 1 } else { high };
        (low, high) = if negative { (low - 1, high) } else { (low, high + 1) };
        let opposite = if negative { lambda[high..].first() } else { lambda[..low].last() };
        let ambiguous = |kept: &R| kept.abs() - lambda[dropped].abs() <= within && (*kept - lambda[dropped]).abs() > within;
        status = Status::AMBIGUOUS_RANK.when(opposite.is_some_and(ambiguous));
    }
    kept.iter_mut().enumerate().for_each(|(k, kept)| *kept = !(low..high).contains(&k));
    let (gap_kept, gap_dropped) = gaps(lambda, low, high);
    Selection { rank: low + n - high, gap_kept, gap_dropped, status: status | across(gap_dropped, within) }
}

/// A tie of a kept and a dropped eigenvalue.
fn across<R: Real>(gap_dropped: R, within: R) -> Status {
    Status::TIE_ACROSS_CUT.when(gap_dropped.is_finite() && gap_dropped <= within)
}

/// As [`select`] for the r eigenvalues of B Bᴴ that B can make other than null: beside them lie
/// `nulls` exact zeros, which are dropped.
pub(crate) fn select_beside<R: Real>(nulls: usize, problem: &Problem, lambda: &[R], kept: &mut [bool]) -> Selection<R> {
    let mut selection = select(problem, lambda, kept);
    if nulls > 0 && selection.rank > 0 {
        let least = lambda.iter().zip(&*kept).filter(|&(_, &kept)| kept).fold(R::infinity(), |least, (x, _)| least.min(x.abs()));
        selection.gap_dropped = selection.gap_dropped.min(least);
        selection.status |= across(selection.gap_dropped, R::of(problem.tie_rtol::<R>()) * norm(lambda));
    }
    selection
}

/// min |λ|/τ over K and max |λ|/τ over D: ∞ and 0 where there is no τ or no such eigenvalue, and 0
/// for 0/0.
pub(crate) fn margins<R: Element<Scalar: Real>>(problem: &Problem, lambda: &[R], kept: &[bool]) -> [R::Scalar; 2] {
    let size = |x: &R| Float::abs(x.widen());
    let norm = lambda.iter().map(size).fold(Real::of(0.0), Float::max);
    let tau = problem.tau.map(|(atol, rtol)| Float::max(R::Scalar::of(atol), R::Scalar::of(rtol) * norm));
    let over = |size: R::Scalar| match tau {
        _ if size == Real::of(0.0) => size,
        Some(tau) => size / tau,
        None => Float::infinity(),
    };
    let all = || lambda.iter().map(size).zip(kept);
    let least = all().filter(|x| *x.1).fold(Float::infinity(), |least, x| Float::min(least, x.0));
    let most = all().filter(|x| !*x.1).fold(Real::of(0.0), |most, x| Float::max(most, x.0));
    [if tau.is_none() { Float::infinity() } else { over(least) }, over(most)]
}

/// The kept–kept and the kept–dropped gap, D being low … high − 1: each minimum is attained between
/// neighbours.
fn gaps<R: Real>(lambda: &[R], low: usize, high: usize) -> (R, R) {
    let smaller = |x: R, y: R| if y < x { y } else { x }; // no NaN is there to be taken care of
    // Infinity means that there is no pair: what overflows is the largest number instead.
    let distance = |x: R, y: R| smaller(y - x, R::max_value());
    let least = |part: &[R]| part.windows(2).fold(R::infinity(), |gap, pair| smaller(gap, distance(pair[0], pair[1])));
    let (below, dropped, above) = (&lambda[..low], &lambda[low..high], &lambda[high..]);
    let between = |x: Option<&R>, y: Option<&R>| x.zip(y).map_or(R::infinity(), |(&x, &y)| distance(x, y));
    let gap_kept = smaller(smaller(least(below), least(above)), between(below.last(), above.first()));
    (gap_kept, smaller(between(below.last(), dropped.first()), between(dropped.last(), above.first())))
}

/// Labels each eigenvalue so that F_ij = 1/(λ_j − λ_i) where labels differ and 0 where they agree:
/// 0 for the dropped, and for the kept a number of their own, or of their group under a rule that
/// takes ties out. Returns whether kept eigenvalues tie.
///
/// A group is a chain of consecutive kept eigenvalues, each within `tie_rtol`·‖A‖₂ of the next.
pub(crate) fn label<R: Real>(ties: TieRule, tie_rtol: f64, lambda: &[R], kept: &[bool], labels: &mut [R]) -> bool {
    let within = R::of(tie_rtol) * norm(lambda);
    let mut tied = false;
    let mut group = R::zero();
    let mut last = None;
    for ((&x, &keep), label) in lambda.iter().zip(kept).zip(labels) {
        if !keep {
            *label = R::zero();
            continue;
        }
        let joins = last.is_some_and(|last| x - last <= within);
        tied |= joins;
        if !joins || ties == TieRule::Exact {
            group += R::one();
        }
        *label = group;
        last = Some(x);
    }
    tied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cut, Options};

    fn selected(cut: Cut, lambda: &[f64]) -> (Vec<bool>, Selection<f64>) {
        let problem = Problem::new::<f64>(1, lambda.len(), &Options { cut, ..Options::default() }).unwrap();
        let mut kept = vec![true; lambda.len()];
        let selection = select(&problem, lambda, &mut kept);
        (kept, selection)
    }

    #[test]
    fn the_comparison_is_strict() {
        assert_eq!(selected(Cut::default(), &[0.0, 0.0]).1.rank, 0);
        assert_eq!(selected(Cut::default().with_atol(1.0), &[-1.0, 1.0, 1.5]).0, [false, false, true]);
        assert_eq!(selected(Cut::default().with_rtol(0.5), &[-1.0, 1.0, 2.0]).0, [false, false, true]);
        assert_eq!(selected(Cut::none(), &[0.0, 0.0]).1.rank, 2);
    }

    #[test]
    fn the_default_cut_follows_the_precision() {
        let lambda = [1e-6, 1.0];
        assert_eq!(selected(Cut::default(), &lambda).1.rank, 2);
        assert_eq!(selected(Cut::default().with_computed_in(crate::Precision::F32), &lambda).1.rank, 1);
    }

    #[test]
    fn at_most_r_takes_the_largest_magnitudes_from_both_ends() {
        let (kept, selection) = selected(Cut::default().with_at_most(2), &[-3.0, -1.0, 0.0, 2.0]);
        assert_eq!(kept, [true, false, false, true]);
        assert_eq!((selection.rank, selection.gap_kept, selection.gap_dropped), (2, 5.0, 2.0));
        assert!(selection.status.is_ok());
        assert_eq!(selected(Cut::default().with_at_most(0), &[1.0, 1.0]).1.status, Status::OK);
        assert_eq!(selected(Cut::default().with_at_most(1), &[-1.0, 0.0, 1.0]).1.status, Status::AMBIGUOUS_RANK);
        assert_eq!(selected(Cut::default().with_at_most(2), &[-1.0, 0.0, 1.0]).1.status, Status::OK);
    }

    #[test]
    fn gaps_are_minima_over_all_pairs() {
        let (_, s) = selected(Cut::default().with_atol(0.5), &[-2.0, -0.25, 0.25, 1.0, 4.0]);
        assert_eq!((s.gap_kept, s.gap_dropped), (3.0, 0.75));
        let (_, s) = selected(Cut::default(), &[0.0]);
        assert_eq!((s.gap_kept, s.gap_dropped), (f64::INFINITY, f64::INFINITY));
        let (_, s) = selected(Cut::none(), &[-1.2e308, 1.2e308]);
        assert_eq!((s.gap_kept, s.gap_dropped), (f64::MAX, f64::INFINITY));
    }

    #[test]
    fn ties_across_the_cut_are_told_whoever_cut() {
        let next = 1.0 + f64::EPSILON;
        let lambda = [1.0, next, 3.0];
        let across = |cut: Cut| selected(cut, &lambda).1.status == Status::TIE_ACROSS_CUT;
        assert!(
            across(Cut::default().with_atol(1.0))
                && across(Cut::default().with_rtol(1.0 / 3.0))
                && across(Cut::default().with_at_most(2))
        );
        assert_eq!(selected(Cut::none(), &lambda).1.status, Status::OK);
        let tau = 10.0 * f64::EPSILON;
        assert_eq!(selected(Cut::default(), &[0.999 * tau, 1.001 * tau, 1.0]).1.status, Status::TIE_ACROSS_CUT);
        assert_eq!(selected(Cut::default().with_atol(1.0), &[-1.0, 1.0, next]).1.status, Status::TIE_ACROSS_CUT);
    }

    #[test]
    fn labels_agree_where_f_is_zero() {
        let lambda = [0.0, 0.0, 1.0, 1.0 + 1e-15, 1.0 + 2e-15, 2.0];
        let kept = [false, false, true, true, true, true];
        let mut labels = [9.0; 6];
        assert!(label(TieRule::ZeroAndReport, 1e-15, &lambda, &kept, &mut labels));
        assert_eq!(labels, [0.0, 0.0, 1.0, 1.0, 1.0, 2.0]);
        assert!(label(TieRule::Exact, 1e-15, &lambda, &kept, &mut labels));
        assert_eq!(labels, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
        assert!(!label(TieRule::ZeroAndReport, 0.0, &lambda, &kept, &mut labels));
    }
}
