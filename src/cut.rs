//! K and D of one spectrum, its gaps, and which kept eigenvalues tie. Pure functions of λ; docs/derivation.md §1 and §4.

use crate::options::Problem;
use crate::{Real, Status, TieRule};

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

/// Marks the kept eigenvalues: |λ| > τ, of them the `at_most` largest.
pub(crate) fn select<R: Real>(problem: &Problem, lambda: &[R], kept: &mut [bool]) -> Selection<R> {
    let norm = norm(lambda);
    let tau = problem.tau.map(|(atol, rtol)| R::of(atol).max(R::of(rtol) * norm));
    let above = |x: R| tau.is_none_or(|tau| x.abs() > tau);
    kept.fill(false);
    let mut rank = 0;
    let mut least_kept = R::infinity();
    let mut status = Status::OK;
    // The largest |λ| of an ascending spectrum is at one of its ends.
    let (mut low, mut high) = (0, lambda.len());
    while low < high {
        let at_high = lambda[high - 1].abs() >= lambda[low].abs();
        let next = if at_high { high - 1 } else { low };
        if !above(lambda[next]) {
            break;
        }
        if rank == problem.at_most {
            let tied = least_kept - lambda[next].abs() <= R::of(problem.tie_rtol::<R>()) * norm;
            status |= Status::TIE_ACROSS_CUT.when(tied && rank > 0);
            break;
        }
        kept[next] = true;
        rank += 1;
        least_kept = lambda[next].abs();
        if at_high { high -= 1 } else { low += 1 }
    }
    let (gap_kept, gap_dropped) = gaps(lambda, kept);
    Selection { rank, gap_kept, gap_dropped, status }
}

/// The kept–kept and the kept–dropped gap: each minimum is attained between neighbours, of K and of the whole spectrum.
fn gaps<R: Real>(lambda: &[R], kept: &[bool]) -> (R, R) {
    let (mut gap_kept, mut gap_dropped) = (R::infinity(), R::infinity());
    let mut last_kept = None;
    for (i, (&x, &keep)) in lambda.iter().zip(kept).enumerate() {
        if i > 0 && kept[i - 1] != keep {
            gap_dropped = gap_dropped.min(x - lambda[i - 1]);
        }
        if keep {
            gap_kept = last_kept.map_or(gap_kept, |last| gap_kept.min(x - last));
            last_kept = Some(x);
        }
    }
    (gap_kept, gap_dropped)
}

/// Labels each eigenvalue so that F_ij = 1/(λ_j − λ_i) where labels differ and 0 where they agree: 0 for the dropped, and for the
/// kept a number of their own, or of their group under a rule that takes ties out. Returns whether kept eigenvalues tie.
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
        assert_eq!(selected(Cut::default().atol(1.0), &[-1.0, 1.0, 1.5]).0, [false, false, true]);
        assert_eq!(selected(Cut::default().rtol(0.5), &[-1.0, 1.0, 2.0]).0, [false, false, true]);
        assert_eq!(selected(Cut::none(), &[0.0, 0.0]).1.rank, 2);
    }

    #[test]
    fn the_default_cut_follows_the_precision() {
        let lambda = [1e-6, 1.0];
        assert_eq!(selected(Cut::default(), &lambda).1.rank, 2);
        assert_eq!(selected(Cut::default().computed_in(crate::Precision::F32), &lambda).1.rank, 1);
    }

    #[test]
    fn at_most_r_takes_the_largest_magnitudes_from_both_ends() {
        let (kept, selection) = selected(Cut::default().at_most(2), &[-3.0, -1.0, 0.0, 2.0]);
        assert_eq!(kept, [true, false, false, true]);
        assert_eq!((selection.rank, selection.gap_kept, selection.gap_dropped), (2, 5.0, 2.0));
        assert!(selection.status.is_ok());
        assert_eq!(selected(Cut::default().at_most(0), &[1.0, 1.0]).1.status, Status::OK);
        assert_eq!(selected(Cut::default().at_most(1), &[-1.0, 0.0, 1.0]).1.status, Status::TIE_ACROSS_CUT);
        assert_eq!(selected(Cut::default().at_most(2), &[-1.0, 0.0, 1.0]).1.status, Status::OK);
    }

    #[test]
    fn gaps_are_minima_over_all_pairs() {
        let (_, s) = selected(Cut::default().atol(0.5), &[-2.0, -0.25, 0.25, 1.0, 4.0]);
        assert_eq!((s.gap_kept, s.gap_dropped), (3.0, 0.75));
        let (_, s) = selected(Cut::default(), &[0.0]);
        assert_eq!((s.gap_kept, s.gap_dropped), (f64::INFINITY, f64::INFINITY));
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
