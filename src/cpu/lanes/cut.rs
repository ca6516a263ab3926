//! What the cut makes of as many spectra as there are lanes: `cut::select` as scalar code over
//! vectors of lanes.

use crate::Status;
use crate::cpu::lanes::group::EighGroup;
use crate::cpu::simd::moves::{Runs, into_lanes};
use crate::cpu::simd::vector::Vector;
use crate::options::Problem;
use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

/// Where the selections of a group are written, `[matrices, n]` or `[matrices]`; as in
/// [`Spectrum`](crate::Spectrum).
#[derive(Debug)]
#[allow(missing_docs, reason = "named as in Spectrum")]
pub struct Selections<'a, R> {
    pub kept: &'a mut [bool],
    pub rank: &'a mut [u32],
    pub gap_kept: &'a mut [R],
    pub gap_dropped: &'a mut [R],
}

/// Selects in a group of matrices. Returns whether all is as usual; if a matrix failed, distances
/// may overflow, there are more above τ than may be kept or eigenvalues tie across the cut, what
/// was written is not to be used.
pub(in crate::cpu) struct Select<'a, R> {
    pub group: &'a mut EighGroup<R>,
    pub problem: &'a Problem,
    pub out: Selections<'a, R>,
}

/// One spectrum in each lane, seen from the first to the last eigenvalue.
#[derive(Clone, Copy)]
struct Cut<V> {
    rank: V,
    gap_kept: V,
    gap_dropped: V,
    /// The eigenvalue before, and 1 if it is kept, otherwise 0.
    before: V,
    keeps: V,
    /// The kept eigenvalue before.
    kept: V,
}

impl<R: Vector> WithSimd for Select<'_, R> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> bool {
        let Self { group, problem, out } = self;
        let EighGroup { n, width, lambda, columns, status, .. } = group;
        let (n, width, count) = (*n, *width, out.rank.len());
        let tau = problem.tau.map(|(atol, rtol)| [R::splat(s, R::of(atol)), R::splat(s, R::of(rtol))]);
        let tie_rtol = R::splat(s, R::of(problem.tie_rtol::<R>()));
        let columns = &mut R::vectors_mut(s, columns)[..n];
        let mut usual = status[..count].iter().fold(true, |usual, &status| usual & (status == Status::OK));
        for (g, lambda) in lambda[..count * n].chunks(width * n).enumerate() {
            into_lanes::<S, R, 1>(s, lambda, Runs::row(n), columns);
            let norm = R::maxs(s, R::abss(s, columns[0]), R::abss(s, columns[n - 1]));
            let tau = tau.map_or(R::splat(s, -R::one()), |[atol, rtol]| R::maxs(s, atol, R::muls(s, rtol, norm)));
            let cut = cut::<S, R>(s, columns, tau);
            let few = R::at_most(s, cut.rank, R::splat(s, R::of(problem.at_most as f64)));
            let in_range = R::at_most(s, norm, R::splat(s, R::max_value() * R::of(0.5)));
            let apart = R::less(s, R::muls(s, tie_rtol, norm), cut.gap_dropped);
            let unusual = R::not(s, R::both(s, R::both(s, few, in_range), apart));
            usual &= !R::any(s, unusual);
            let lanes = [[tau], [cut.rank], [cut.gap_kept], [cut.gap_dropped]];
            let [tau, rank, gap_kept, gap_dropped] = [0, 1, 2, 3].map(|what| cast_slice::<_, R>(&lanes[what]));
            let kept = out.kept[g * width * n..].chunks_exact_mut(n);
            for ((kept, lambda), &tau) in kept.zip(lambda.chunks_exact(n)).zip(tau) {
                for (to, x) in kept.iter_mut().zip(lambda) {
                    *to = x.abs() > tau;
                }
            }
            for (to, &rank) in out.rank[g * width..].iter_mut().zip(rank) {
                *to = rank.to_f64() as u32;
            }
            for (to, gaps) in [(&mut *out.gap_kept, gap_kept), (&mut *out.gap_dropped, gap_dropped)] {
                for (to, &gap) in to[g * width..].iter_mut().zip(gaps) {
                    *to = gap;
                }
            }
        }
        usual
    }
}

/// Keeps |λ| > τ. In an ascending spectrum each least distance is one of neighbours, or of those on
/// both sides of D.
#[inline(always)]
fn cut<S: Simd, R: Vector>(s: S, lambda: &[R::V<S>], tau: R::V<S>) -> Cut<R::V<S>> {
    let (zero, one) = (R::splat(s, R::zero()), R::splat(s, R::one()));
    let (far, none) = (R::splat(s, R::infinity()), R::splat(s, R::neg_infinity()));
    let mut cut = Cut { rank: zero, gap_kept: far, gap_dropped: far, before: none, keeps: zero, kept: none };
    for &x in lambda {
        let above = R::less(s, tau, R::abss(s, x));
        let keeps = R::select(s, above, one, zero);
        let here = R::subs(s, x, cut.kept);
        let nearer = R::both(s, above, R::less(s, here, cut.gap_kept));
        let step = R::subs(s, x, cut.before);
        let differ = R::not(s, R::equal(s, keeps, cut.keeps));
        let closer = R::both(s, differ, R::less(s, step, cut.gap_dropped));
        cut = Cut {
            rank: R::adds(s, cut.rank, keeps),
            gap_kept: R::select(s, nearer, here, cut.gap_kept),
            gap_dropped: R::select(s, closer, step, cut.gap_dropped),
            before: x,
            keeps,
            kept: R::select(s, above, x, cut.kept),
        };
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::lanes::eigh::EighLanes;
    use crate::cpu::simd::vector::dispatch;
    use crate::{Cut, Options, cut};

    /// Ascending, a few magnitudes of either sign, so that zeros and ties are frequent.
    fn spectrum(n: usize, random: &mut fastrand::Rng) -> Vec<f32> {
        let sizes = [0.0, 1e-9, 0.5, 1.0, 1.0, 3.0, 7.0];
        let mut lambda: Vec<f32> = (0..n).map(|_| random.choice(sizes).unwrap() * random.choice([-1.0, 1.0]).unwrap()).collect();
        lambda.sort_by(f32::total_cmp);
        lambda
    }

    #[test]
    fn selects_as_one_after_the_other() {
        let mut random = fastrand::Rng::with_seed(7);
        for n in 1..=9 {
            let mut group = f32::group(n).unwrap();
            for cut in [Cut::default(), Cut::none(), Cut::default().with_atol(0.75), Cut::default().with_rtol(0.2)] {
                for count in 1..=group.capacity() {
                    let problem = Problem::new::<f32>(count, n, &Options { cut, ..Options::default() }).unwrap();
                    group.lambda.chunks_exact_mut(n).for_each(|lambda| lambda.copy_from_slice(&spectrum(n, &mut random)));
                    let (mut kept, mut rank) = (vec![true; count * n], vec![9; count]);
                    let (mut gap_kept, mut gap_dropped) = (vec![0.0; count], vec![0.0; count]);
                    let (k, r, g, d) = (&mut *kept, &mut *rank, &mut *gap_kept, &mut *gap_dropped);
                    let out = Selections { kept: k, rank: r, gap_kept: g, gap_dropped: d };
                    let usual = dispatch(Select { group: &mut group, problem: &problem, out });
                    let mut untied = true;
                    for (b, lambda) in group.lambda.chunks_exact(n).take(count).enumerate() {
                        let mut expected = vec![true; n];
                        let one = cut::select(&problem, lambda, &mut expected);
                        assert_eq!(kept[b * n..][..n], expected, "{lambda:?}");
                        let found = (rank[b] as usize, gap_kept[b], gap_dropped[b]);
                        assert_eq!(found, (one.rank, one.gap_kept, one.gap_dropped), "{lambda:?}");
                        untied &= one.status == Status::OK;
                    }
                    assert!(usual || !untied || count < group.capacity(), "{cut:?}");
                    assert!(untied || !usual, "{cut:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_unusual_is_told() {
        let usual = |lambda: [f32; 3], status, at_most| {
            let options = Options { cut: Cut::default().with_at_most(at_most), ..Options::default() };
            let mut group = f32::group(3).unwrap();
            group.lambda[..3].copy_from_slice(&lambda);
            group.status[0] = status;
            let problem = Problem::new::<f32>(1, 3, &options).unwrap();
            let out = Selections { kept: &mut [false; 3], rank: &mut [0], gap_kept: &mut [0.0], gap_dropped: &mut [0.0] };
            f32::select_lanes(&mut group, &problem, out)
        };
        assert!(usual([0.0, 1.0, 2.0], Status::OK, 2));
        assert!(!usual([0.0, 1.0, 2.0], Status::OK, 1));
        assert!(!usual([0.0, 1.0, 2.0], Status::NOT_CONVERGED, 2));
        assert!(!usual([0.0, 1.0, f32::INFINITY], Status::OK, 2));
        assert!(!usual([-2e38, 1.0, 2e38], Status::OK, 3));
        assert!(!usual([0.0, 1.3e-6, 1.0], Status::OK, 3));
        assert!(!usual([f32::NAN; 3], Status::OK, 2));
    }
}
