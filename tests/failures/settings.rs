//! Settings of a process, each in one of its own.

use crate::child::{command, passes};
use crate::emulator::folder;
use crate::sample::{bytes, matrices};
use eigengrad::cuda::{Cuda, Solver};
use eigengrad::{Cotangents, HermitianBatch, Options, Plan};
use num_complex::Complex;
use std::path::Path;

/// The number of buffers changes no bit, the kernels of large matrices the last places; what is no
/// setting is told.
#[test]
fn kernels_of_gradients() {
    if folder().is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let of = |setting: &str| {
        let out = place.path().join(setting);
        let mut child = command("settings::makes_a_gradient");
        passes(child.env("EIGENGRAD_BACKWARD", setting).env("EIGENGRAD_EMULATOR_MULTIPROCESSORS", "1").env("OUT", &out));
        std::fs::read(out).unwrap()
    };
    let [one, two, large] = ["one-buffer", "two-buffers", "inner-outer"].map(of);
    assert_eq!(one, two);
    assert_ne!(one, large);
    let numbers =
        |bytes: &[u8]| -> Vec<f64> { bytes.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect() };
    let (one, large) = (numbers(&one), numbers(&large));
    let largest = one.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    for (x, y) in one.iter().zip(&large) {
        assert!((x - y).abs() <= 30.0 * N as f64 * f64::from(f32::EPSILON) * largest, "{x} for {y}");
    }
    passes(command("settings::is_told").env("EIGENGRAD_BACKWARD", "three-buffers"));
}

const N: usize = 36;

#[test]
#[ignore = "started by kernels_of_gradients"]
fn makes_a_gradient() {
    type C = Complex<f32>;
    let cuda = Cuda::new(0).unwrap().with_solver(Solver::OnChip);
    let batch = HermitianBatch::on(&cuda, matrices::<C>(9, N, 3).view()).unwrap();
    let plan = Plan::<C, Cuda>::new(&cuda, 9, N, &Options::default()).unwrap();
    let (workspace, mut pairs, mut gradient) =
        (plan.workspace().unwrap(), plan.eigenpairs::<C>().unwrap(), plan.gradient::<C>().unwrap());
    plan.eigh_into(batch.view(), pairs.view_mut(), &workspace).unwrap();
    let cotangents = Cotangents::new(&pairs, None, Some(matrices::<C>(9, N, 4).view())).unwrap();
    plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace).unwrap();
    let gradient = gradient.to_host().unwrap();
    std::fs::write(Path::new(&std::env::var_os("OUT").unwrap()), bytes(gradient.a_bar())).unwrap();
}

#[test]
#[ignore = "started by kernels_of_gradients"]
fn is_told() {
    let told = Cuda::new(0).unwrap_err().to_string();
    assert!(told.contains("expected one-buffer, two-buffers, inner-outer or nothing, got \"three-buffers\""), "{told}");
}
