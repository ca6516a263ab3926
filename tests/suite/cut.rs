//! K, rank, gaps and ties across the cut, against the naive selection.

use crate::numbers::{Matrix, diagonal, narrow, wide};
use crate::oracle::{Decomposition, select};
use crate::random::Rng;
use crate::run;
use eigengrad::{Cpu, Cut, Element, Engine, Options, Precision, Scalar, Spectrum, Status};

/// Compares what the library made of each spectrum with the naive selection from the very same λ.
fn check<T: Scalar, B: Engine<T>>(
    backend: &B,
    n: usize,
    matrices: &[Matrix],
    cut: Cut,
    tau: impl Fn(f64) -> Option<f64>,
    at_most: usize,
) -> Vec<u32> {
    let (_, pairs) = run::eigh::<T, B>(backend, n, matrices, &Options::default().with_cut(cut));
    let spectrum: &Spectrum<T::Real, Cpu> = &pairs.spectrum;
    for b in 0..matrices.len() {
        let d = Decomposition::of(&pairs, b);
        let within = T::PRECISION.tie_cutoff(n) * d.norm();
        let expected = select(&d.lambda, tau(d.norm()), at_most, within);
        assert_eq!(d.kept, expected.kept, "matrix {b}: {:?}", d.lambda);
        assert_eq!(spectrum.rank()[b] as usize, expected.rank);
        let gap = |x: f64| if x.is_finite() { narrow::<T::Real>(x.into()) } else { narrow(f64::INFINITY.into()) };
        assert_eq!(spectrum.gap_kept()[b], gap(expected.gap_kept), "matrix {b}: {:?}", d.lambda);
        assert_eq!(spectrum.gap_dropped()[b], gap(expected.gap_dropped), "matrix {b}: {:?}", d.lambda);
        assert_eq!(spectrum.status()[b].intersects(Status::TIE_ACROSS_CUT), expected.tie_across, "matrix {b}: {:?}", d.lambda);
        assert_eq!(spectrum.status()[b].intersects(Status::AMBIGUOUS_RANK), expected.ambiguous, "matrix {b}: {:?}", d.lambda);
        assert_eq!(spectrum.check().is_ok(), spectrum.status().iter().all(|s| s.is_ok()));
    }
    spectrum.rank().to_vec()
}

/// τ as the library computes it, in the precision of `T`.
fn tau<T: Scalar>(atol: f64, rtol: f64) -> impl Fn(f64) -> Option<f64> {
    let round = |x: f64| wide(narrow::<T::Real>(x.into())).re;
    move |norm| Some(round(atol).max(round(round(rtol) * norm)))
}

pub fn every_rank_in_one_batch<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(3);
    for n in [1, 2, 3, 5, 12, 33] {
        for indefinite in [false, true] {
            let matrices: Vec<_> = (0..=n).map(|r| rng.of_rank::<T>(n, r, indefinite)).collect();
            let ranks = check::<T, B>(backend, n, &matrices, Cut::default(), tau::<T>(0.0, T::PRECISION.cutoff(n)), n);
            assert_eq!(ranks, (0..=n as u32).collect::<Vec<_>>());
        }
    }
}

/// Eigenvalues on both sides of a cut of max(n, 10) ε, by more than the round-off of a stable
/// eigensolver.
pub fn the_default_relative_cut<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [2, 9, 10, 11, 20] {
        let cutoff = n.max(10) as f64 * T::PRECISION.epsilon();
        let mut lambda = vec![1.0; n];
        let below = diagonal(&{
            lambda[0] = cutoff * 0.8;
            lambda.clone()
        });
        let above = diagonal(&{
            lambda[0] = -cutoff * 1.25;
            lambda.clone()
        });
        let ranks = check::<T, B>(backend, n, &[below, above], Cut::default(), tau::<T>(0.0, cutoff), n);
        assert_eq!(ranks, [n as u32 - 1, n as u32]);
    }
}

pub fn tolerances_and_strictness<T: Scalar, B: Engine<T>>(backend: &B) {
    let matrices = [diagonal(&[0.0; 5]), diagonal(&[-2.0, -1.0, 0.5, 1.0, 4.0]), diagonal(&[0.25, 0.5, 0.5, 1.0, 1.0])];
    let ranks = |cut, tau: &dyn Fn(f64) -> Option<f64>| check::<T, B>(backend, 5, &matrices, cut, tau, 5);
    assert_eq!(ranks(Cut::default(), &tau::<T>(0.0, T::PRECISION.cutoff(5))), [0, 5, 5]);
    assert_eq!(ranks(Cut::none(), &|_| None), [5, 5, 5]);
    assert_eq!(ranks(Cut::none().with_atol(9.0).with_rtol(9.0), &|_| None), [5, 5, 5]);
    assert_eq!(ranks(Cut::relative(0.0), &tau::<T>(0.0, 0.0)), [0, 5, 5]);
    assert_eq!(ranks(Cut::absolute(1.0), &tau::<T>(1.0, 0.0)), [0, 2, 0]);
    assert_eq!(ranks(Cut::absolute(0.5), &tau::<T>(0.5, 0.0)), [0, 4, 2]);
    assert_eq!(ranks(Cut::relative(0.5), &tau::<T>(0.0, 0.5)), [0, 1, 2]);
    // the larger of both
    assert_eq!(ranks(Cut::relative(0.25).with_atol(0.5), &tau::<T>(0.5, 0.25)), [0, 2, 2]);
    assert_eq!(ranks(Cut::relative(1.0), &tau::<T>(0.0, 1.0)), [0, 0, 0]);
    assert_eq!(ranks(Cut::absolute(f64::INFINITY), &tau::<T>(f64::INFINITY, 0.0)), [0, 0, 0]);
}

pub fn at_most_the_largest<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(4);
    let n = 6;
    let mut matrices = vec![
        diagonal(&[-3.0, -1.0, 0.0, 0.0, 2.0, 2.5]),
        diagonal(&[-2.0, -1.0, 0.0, 0.0, 1.0, 2.0]),
        diagonal(&[0.0; 6]),
        diagonal(&[1.0; 6]),
        diagonal(&[0.0, 0.0, 1.0, 1.0, 1.0, 5.0]),
    ];
    matrices.extend((0..=n).map(|r| rng.of_rank::<T>(n, r, r % 2 == 0)));
    for r in 0..=n + 2 {
        let ranks = check::<T, B>(backend, n, &matrices, Cut::at_most(r), tau::<T>(0.0, T::PRECISION.cutoff(n)), r);
        let full = [4, 4, 0, 6, 4, 0, 1, 2, 3, 4, 5, 6];
        assert_eq!(ranks, full.map(|full: u32| full.min(r as u32)));
        check::<T, B>(backend, n, &matrices, Cut::none().with_at_most(r), |_| None, r);
    }
}

/// A tie within the cutoff is reported, whoever cut; one just outside it is not. λ and −λ are
/// another finding, of "at most" alone.
pub fn ties_across_the_cut<T: Scalar, B: Engine<T>>(backend: &B) {
    let status = |lambda: &[f64], cut: Cut, tie_rtol| {
        let options = Options::default().with_cut(cut).with_tie_rtol(tie_rtol);
        run::eigh::<T, B>(backend, lambda.len(), &[diagonal(lambda)], &options).1.status()[0]
    };
    let cut = Cut::at_most(2);
    assert_eq!(status(&[1.0, 2.0, 2.0], cut, None), Status::OK);
    assert_eq!(status(&[-2.0, 2.0, 3.0], cut, None), Status::AMBIGUOUS_RANK);
    assert_eq!(status(&[-3.0, 2.0, 3.0], Cut::at_most(1), None), Status::AMBIGUOUS_RANK);
    assert_eq!(status(&[-3.0, -2.0, 2.0], Cut::at_most(2), None), Status::AMBIGUOUS_RANK);
    assert_eq!(status(&[1.0, 1.0, 3.0], cut, None), Status::TIE_ACROSS_CUT);
    assert_eq!(status(&[0.0, 1.0, 3.0], cut, Some(1.0)), Status::TIE_ACROSS_CUT);
    let close = 1.0 + 4.0 * T::PRECISION.epsilon();
    assert_eq!(status(&[1.0, close, 3.0], cut, None), Status::TIE_ACROSS_CUT);
    assert_eq!(status(&[1.0, close, 3.0], cut, Some(0.0)), Status::OK);
    assert_eq!(status(&[1.0, 2.0, 4.0], cut, Some(0.25)), Status::TIE_ACROSS_CUT);
    assert_eq!(status(&[1.0, 2.0, 4.0], cut, Some(0.125)), Status::OK);
    let one = Cut::at_most(1);
    assert_eq!(status(&[1.0, 1.0], Cut::at_most(0), None), Status::OK);
    assert_eq!(status(&[1.0, 1.0], Cut::at_most(0), Some(f64::INFINITY)), Status::OK);
    assert_eq!(status(&[1.0, 1.0], one, None), Status::TIE_ACROSS_CUT);
    assert_eq!(status(&[1.0, 1.0], one.with_atol(1.0), None), Status::OK);
    let next = 1.0 + T::PRECISION.epsilon();
    for cut in [Cut::absolute(1.0), Cut::relative(0.25), Cut::at_most(2)] {
        assert_eq!(status(&[1.0, next, 4.0], cut, None), Status::TIE_ACROSS_CUT, "{cut:?}");
    }
    assert_eq!(status(&[-1.0, 1.0, next], Cut::absolute(1.0), None), Status::TIE_ACROSS_CUT);
    assert_eq!(status(&[-next, 1.0, 4.0], Cut::absolute(1.0), None), Status::OK);
    // Noise on both sides of the default τ.
    let tau = T::PRECISION.cutoff(3);
    assert_eq!(status(&[0.999 * tau, 1.001 * tau, 1.0], Cut::default(), None), Status::TIE_ACROSS_CUT);
}

/// The default cut follows the precision in which the data were computed, not the one that they are
/// stored in.
pub fn data_computed_in_a_coarser_precision<T: Scalar, B: Engine<T>>(backend: &B) {
    let ranks = |cut: Cut| {
        let lambda = [1.0, 0.07, 0.02, 3e-3, 1e-3, 5e-5, 3e-6, 3e-8, 1e-10, 3e-15];
        let options = Options::default().with_cut(cut);
        run::eigh::<T, B>(backend, 10, &[diagonal(&lambda)], &options).1.rank()[0]
    };
    // √10·2⁻⁷ = 0.025, √10·2⁻¹⁰ = 3.1e-3, 10·2⁻²³ = 1.2e-6, 10·2⁻⁵² = 2.2e-15
    for (precision, rank) in [(Precision::Bf16, 2), (Precision::F16, 3), (Precision::F32, 7), (Precision::F64, 10)] {
        assert_eq!(ranks(Cut::default().with_computed_in(precision)), rank, "{precision:?}");
        assert_eq!(ranks(Cut::default().with_computed_in(precision).with_rtol(0.5)), 1);
    }
    assert_eq!(ranks(Cut::default()), if <T::Real as Element>::PRECISION == Precision::F32 { 7 } else { 10 });
}
