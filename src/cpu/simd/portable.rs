//! pulp's portable ways, of one lane and of vectors as wide as NEON's: the same bits as by the
//! instruction set at hand.

use crate::{Cotangents, Cpu, HermitianBatch, Options, Real, Scalar, eigh, eigvalsh};
use ndarray::{Array2, Array3};
use num_complex::Complex;
use pulp::{Arch, Scalar128b, Simd, WithSimd};
use std::cell::Cell;
use std::fmt::Debug;

#[derive(Clone, Copy, Debug)]
enum InstructionSet {
    AtHand,
    Scalar,
    Scalar128b,
}

thread_local! {
    static WAY: Cell<InstructionSet> = const { Cell::new(InstructionSet::AtHand) };
}

/// Works by the way that this thread was told.
pub(in crate::cpu) fn dispatch<W: WithSimd>(work: W) -> W::Output {
    match WAY.get() {
        InstructionSet::AtHand => Arch::new().dispatch(work),
        InstructionSet::Scalar => pulp::Scalar.vectorize(work),
        InstructionSet::Scalar128b => Scalar128b.vectorize(work),
    }
}

/// Zero, tied, of rank one, not finite, and as many others as leave lanes without a matrix.
fn matrices<T: Scalar>(n: usize) -> Array3<T> {
    let mut random = fastrand::Rng::with_seed(n as u64);
    let mut part = || T::Real::of(random.f64() - 0.5);
    let x = Array3::from_shape_simple_fn((19, n, n), || T::from_parts(part(), part()));
    Array3::from_shape_fn(x.dim(), |(b, i, j)| match b {
        0 => T::zero(),
        1 if i == j => T::from_parts(Real::of((i / 2) as f64), Real::of(0.0)),
        1 => T::zero(),
        2 => x[[b, 0, i]] * x[[b, 0, j]].conj(),
        3 => T::from_parts(Real::of(f64::NAN), Real::of(0.0)),
        _ => x[[b, i, j]] + x[[b, j, i]].conj(),
    })
}

fn shown<A: Debug>(x: impl IntoIterator<Item = A>) -> String {
    format!("{:?}", x.into_iter().collect::<Vec<_>>())
}

/// What is in lanes of the interface, by name; to be compared to the last bit, the signs of zeros,
/// too.
fn results<T: Scalar>(n: usize) -> Vec<(&'static str, String)> {
    let mut x = matrices::<T>(n);
    let a = HermitianBatch::new(x.view()).unwrap();
    let pairs = eigh(&a, &Options::default()).unwrap();
    let spectrum = eigvalsh(&a, &Options::default()).unwrap();
    let lambda_bar = Array2::from_shape_fn((x.dim().0, n), |(b, k)| Real::of((b + k) as f64));
    let cotangents = Cotangents::new(&pairs, Some(lambda_bar.view()), Some(x.view())).unwrap();
    let gradient = pairs.backward(&cotangents).unwrap();
    x[[17, n - 1, 0]] += T::one();
    x[[17, 0, n - 1]] -= T::one();
    vec![
        ("instruction set", Cpu::default().instruction_set().into()),
        ("λ", shown(pairs.values())),
        ("V", shown(pairs.vectors())),
        ("K", shown(pairs.kept())),
        ("gaps", shown(pairs.gap_kept().iter().chain(pairs.gap_dropped()))),
        ("status", shown(pairs.status())),
        ("λ alone", shown(spectrum.values())),
        ("Ā", shown(gradient.a_bar())),
        ("gauge defects", shown(gradient.gauge_defect())),
        ("tie defects", shown(gradient.tie_defect())),
        ("status of Ā", shown(gradient.status())),
        ("what is not Hermitian", shown(HermitianBatch::new(x.view()))),
    ]
}

fn check<T: Scalar>() {
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let by = |way, n| {
        alone.install(|| {
            WAY.set(way);
            results::<T>(n)
        })
    };
    for n in [1, 2, 3, 4, 5, 8, 17, 33] {
        let expected = by(InstructionSet::AtHand, n);
        for (way, name) in [(InstructionSet::Scalar, "Scalar"), (InstructionSet::Scalar128b, "Scalar128b")] {
            let got = by(way, n);
            assert_eq!(got[0].1, name);
            for ((what, got), (_, expected)) in got.iter().zip(&expected).skip(1) {
                assert!(got == expected, "{what}, {}, n = {n}, {way:?}: {got} instead of {expected}", T::DTYPE);
            }
        }
    }
}

#[test]
fn float32() {
    check::<f32>();
}

#[test]
fn float64() {
    check::<f64>();
}

#[test]
fn complex64() {
    check::<Complex<f32>>();
}

#[test]
fn complex128() {
    check::<Complex<f64>>();
}
