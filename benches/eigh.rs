//! Forward and backward over n × dtype, the cases of `eigengrad bench`: `cargo bench [-- FILTER]`.
//! Results are checked once before they are timed.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eigengrad::{Cotangents, Cpu, HermitianBatch, Options, Plan, Real, Scalar};
use ndarray::{Array2, Array3, ArrayView2, s};
use num_complex::Complex;
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

const ELEMENTS: usize = 1 << 18;

/// A Gaussian number with E|x|² = 1, by Box and Muller.
fn gaussian<T: Scalar>(random: &mut fastrand::Rng) -> T {
    let (radius, angle) = ((-2.0 * (1.0 - random.f64()).ln()).sqrt(), TAU * random.f64());
    let scale = if T::COMPLEX { FRAC_1_SQRT_2 } else { 1.0 };
    T::from_parts(T::Real::of(radius * angle.cos() * scale), T::Real::of(radius * angle.sin() * scale))
}

/// A = X Xᴴ / n with Gaussian X.
fn positive<T: Scalar>(batch: usize, n: usize) -> Array3<T> {
    let mut random = fastrand::Rng::with_seed(0);
    let x = Array3::from_shape_simple_fn((batch, n, n), || gaussian(&mut random));
    let product = |x: ArrayView2<'_, T>| x.dot(&x.t().mapv(T::conj)).mapv(|a| a.scale(T::Real::of(1.0 / n as f64)));
    let mut a = x.clone();
    a.outer_iter_mut().zip(x.outer_iter()).for_each(|(mut a, x)| a.assign(&product(x)));
    a
}

fn benchmarks<T: Scalar>(c: &mut Criterion) {
    for n in [4, 8, 16, 32, 64, 128] {
        let batch = (ELEMENTS / (n * n)).max(8);
        let (cpu, a) = (Cpu::default(), positive::<T>(batch, n));
        let plan = Plan::<T>::new(&cpu, batch, n, &Options::default()).unwrap();
        let (workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<T>().unwrap());
        let mut forward = || {
            let a = HermitianBatch::borrowed(a.view()).unwrap();
            plan.eigh_into(a, pairs.view_mut(), &workspace).unwrap();
        };
        let mut group = c.benchmark_group("forward");
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new(T::DTYPE.to_string(), n), |b| b.iter(&mut forward));
        group.finish();
        forward(); // a filter may have passed over it

        let v = pairs.vectors();
        let trace = |b: usize| a.index_axis(ndarray::Axis(0), b).diag().iter().fold(0.0, |sum, x| sum + x.re().to_f64());
        let sum = |b: usize| pairs.values().slice(s![b, ..]).iter().fold(0.0, |sum, x| sum + x.to_f64());
        assert!((0..batch).all(|b| (trace(b) - sum(b)).abs() <= 1e-4 * trace(b)), "λ does not add up to tr A");

        let mut random = fastrand::Rng::with_seed(1);
        let values_bar = Array2::from_shape_simple_fn((batch, n), || T::Real::of(gaussian::<f64>(&mut random)));
        let vectors_bar = v.mapv(|x| x.scale(T::Real::of(2.0 * random.f64())));
        let cotangents = Cotangents::new(&pairs, Some(values_bar.view()), Some(vectors_bar.view())).unwrap();
        let mut gradient = plan.gradient::<T>().unwrap();
        let mut backward = || plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace).unwrap();
        let mut group = c.benchmark_group("backward");
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new(T::DTYPE.to_string(), n), |b| b.iter(&mut backward));
        group.finish();
        backward();

        let trace_bar = |b: usize| (0..n).fold(0.0, |sum, i| sum + gradient.a_bar()[[b, i, i]].re().to_f64());
        let kept_sum = |b: usize| (0..n).filter(|&k| pairs.kept()[[b, k]]).fold(0.0, |sum, k| sum + values_bar[[b, k]].to_f64());
        let largest = |b: usize| gradient.a_bar().slice(s![b, .., ..]).iter().fold(1.0, |m: f64, x| m.max(x.re().to_f64().abs()));
        let agree = |b: usize| (trace_bar(b) - kept_sum(b)).abs() < 1e-4 * n as f64 * largest(b);
        assert!((0..batch).all(agree), "tr Ā is not the sum of λ̄ over K");
    }
}

fn eigh(c: &mut Criterion) {
    benchmarks::<Complex<f32>>(c);
    benchmarks::<Complex<f64>>(c);
    benchmarks::<f32>(c);
    benchmarks::<f64>(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(std::time::Duration::from_secs(1)).warm_up_time(std::time::Duration::from_millis(300));
    targets = eigh
}
criterion_main!(benches);
