//! An order of each path of each kernel, with values compared as elsewhere: what the emulator's
//! race mode runs, where a kernel takes long. `scripts/barrier-mutants` leaves out each barrier in
//! turn, and wants one of these to fail.

use crate::gpu::device;
use crate::sample::matrices;
use crate::{calculus, factors, orders, solvers};
use eigengrad::cuda::Solver;
use eigengrad::{HermitianBatch, Options, PairLoss, Targets, eigh};
use num_complex::Complex;

type C = Complex<f64>;

/// Teams of each size, in a warp and beyond; ours behind cuSOLVER's at 49, which decomposes what
/// that fails on.
#[test]
fn decompositions() {
    let Some(cuda) = device() else { return };
    for n in [3, 6, 9, 20, 41] {
        solvers::ratios::<f32>(&cuda.clone().with_solver(Solver::OnChip), n);
    }
    for n in [4, 13, 27, 41, 66] {
        solvers::ratios::<f32>(&cuda.clone().with_solver(Solver::Ql), n);
    }
    for n in [3, 10, 34] {
        solvers::ratios::<C>(&cuda.clone().with_solver(Solver::Ql), n);
    }
    solvers::at_most::<f32>(&cuda.clone().with_solver(Solver::Ql), 41);
    for n in [5, 13, 17, 49] {
        solvers::ratios::<C>(&cuda.clone().certified(), n);
    }
}

/// In one kernel, several matrices a block and one, group after group; and by `inner` and `outer`.
#[test]
fn gradients() {
    orders::as_on_the_cpu::<f32>([3, 13, 40]);
    orders::as_on_the_cpu::<f64>([66]);
    orders::as_on_the_cpu::<C>([5, 77]);
}

#[test]
fn derivatives() {
    calculus::derivatives::<f32, f32>([5, 19, 65]);
    calculus::derivatives::<C, C>([3, 9]);
}

#[test]
fn functions() {
    calculus::functions::<f32, f32>([4, 33, 65]);
    calculus::functions::<C, C>([7]);
}

#[test]
fn factors_of_both_shapes() {
    factors::in_parts::<f64, f64>((23, 9, 4));
    factors::in_parts::<Complex<f32>, Complex<f32>>((7, 40, 11));
}

/// Teams of each size, beside the CPU's.
#[test]
fn losses() {
    let Some(cuda) = device() else { return };
    let loss = PairLoss { spectral: 0.5, overlap: 1.0, intensity: 2.0 };
    for n in [1, 3, 20, 67] {
        let of = |seed| matrices::<C>(3, n, seed);
        let targets = Targets::of(&eigh(&HermitianBatch::new(of(8).view()).unwrap(), &Options::default()).unwrap()).unwrap();
        let pairs = eigh(&HermitianBatch::on(&cuda, of(9).view()).unwrap(), &Options::default()).unwrap();
        let got = pairs.loss(&loss, &targets.on(&cuda).unwrap()).unwrap().to_host().unwrap();
        let expected = pairs.to_host().unwrap().loss(&loss, &targets).unwrap();
        let unit = 30.0 * n as f64 * f64::EPSILON;
        for (x, y) in got.loss().iter().zip(expected.loss()) {
            assert!((x - y).abs() <= unit * y.abs().max(1.0), "n = {n}: {x} for {y}");
        }
        for (x, y) in got.vectors_bar().iter().zip(expected.vectors_bar()) {
            assert!((x - y).norm() <= unit * 10.0, "n = {n}: {x} for {y}");
        }
    }
}
