//! What each derivative costs beside the first backward, on the same batch: `cargo bench --bench
//! calculus [-- FILTER]`. After the groups a table of medians over the backward's, of interleaved
//! runs.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eigengrad::{Cotangents, Cpu, Function, HermitianBatch, Options, Plan, Real, Scalar, SchurMultiplier, Spectral, Triangle};
use ndarray::{Array2, Array3};
use num_complex::Complex;
use std::time::Instant;

const ELEMENTS: usize = 1 << 18;
const ROUNDS: usize = 15;

fn number<T: Scalar>(random: &mut fastrand::Rng) -> T {
    let mut uniform = || T::Real::of(2.0 * random.f64() - 1.0);
    T::from_parts(uniform(), uniform())
}

fn hermitian<T: Scalar>(batch: usize, n: usize, random: &mut fastrand::Rng) -> HermitianBatch<T> {
    let x = Array3::from_shape_simple_fn((batch, n, n), || number::<T>(random));
    HermitianBatch::from_triangle(x.view(), Triangle::Lower).unwrap()
}

/// X Xᴴ + I / 10, so that every function has its domain.
fn positive<T: Scalar>(batch: usize, n: usize, random: &mut fastrand::Rng) -> HermitianBatch<T> {
    let mut a = Array3::from_shape_simple_fn((batch, n, n), || number::<T>(random));
    for mut a in a.outer_iter_mut() {
        let product = a.dot(&a.t().mapv(T::conj)) + &Array2::from_diag_elem(n, T::from_parts(T::Real::of(0.1), T::Real::of(0.0)));
        a.assign(&product);
    }
    HermitianBatch::from_triangle(a.view(), Triangle::Lower).unwrap()
}

fn benchmarks<T: Scalar>(c: &mut Criterion) {
    for n in [4, 8, 16, 32, 64, 128] {
        let (batch, mut random) = ((ELEMENTS / (n * n)).max(8), fastrand::Rng::with_seed(0));
        let plan = Plan::<T>::new(&Cpu::default(), batch, n, &Options::default()).unwrap();
        let (workspace, scratch) = (plan.workspace().unwrap(), plan.scratch().unwrap());
        let mut pairs = plan.eigenpairs::<T>().unwrap();
        plan.eigh_into(positive::<T>(batch, n, &mut random).view(), pairs.view_mut(), &workspace).unwrap();
        let e = hermitian::<T>(batch, n, &mut random);
        let values_bar = Array2::from_shape_simple_fn((batch, n), || T::Real::of(random.f64()));
        let vectors_bar = pairs.vectors().mapv(|x| x.scale(T::Real::of(2.0 * random.f64())));
        let bars = Cotangents::new(&pairs, Some(values_bar.view()), Some(vectors_bar.view())).unwrap();
        let none = Cotangents::new(&pairs, None, None).unwrap();
        let functions = [("sqrt", Function::Sqrt), ("log", Function::Log), ("exp", Function::Exp)];
        let functions = functions.map(|(name, function)| (name, Spectral::<T>::from(function)));
        let (mut gradient, mut tangents) = (plan.gradient::<T>().unwrap(), plan.tangents::<T>(1).unwrap());
        let (mut matrices, mut twice) = (plan.matrices::<T>().unwrap(), plan.double_gradient::<T>().unwrap());

        let mut run = |name: &str| {
            let (pairs, bars, none, e) = (pairs.view(), bars.view(), none.view(), e.view());
            match name {
                "backward" => plan.backward_into(pairs, bars, gradient.view_mut(), &workspace),
                "jvp" => plan.jvp_into(pairs, e, tangents.view_mut(), &scratch),
                "backward_jvp" => plan.backward_jvp_into(pairs, bars, e, bars, matrices.view_mut(), &scratch),
                "hvp" => plan.double_backward_into(pairs, bars, e, none, twice.view_mut(), &scratch),
                "double_backward" => plan.double_backward_into(pairs, bars, e, bars, twice.view_mut(), &scratch),
                _ => {
                    let (_, function) = functions.iter().find(|(function, _)| *function == name).unwrap();
                    plan.map_into(pairs, function.view(), SchurMultiplier::Divided, e, None, matrices.view_mut(), &scratch)
                }
            }
            .unwrap();
        };
        let names = ["backward", "jvp", "sqrt", "log", "exp", "backward_jvp", "hvp", "double_backward"];
        for name in names {
            let mut group = c.benchmark_group(name);
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(T::DTYPE.to_string(), n), |b| b.iter(|| run(name)));
            group.finish();
        }
        let mut times = names.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (name, times) in names.iter().zip(&mut times) {
                let start = Instant::now();
                run(name);
                times.push(start.elapsed().as_secs_f64());
            }
        }
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let first = times[0][ROUNDS / 2];
        let ratios = names.iter().zip(&times).map(|(name, times)| format!("{name} {:.2}", times[ROUNDS / 2] / first));
        println!("{} n = {n}: {}", T::DTYPE, ratios.collect::<Vec<_>>().join(", "));
    }
}

fn calculus(c: &mut Criterion) {
    benchmarks::<Complex<f32>>(c);
    benchmarks::<Complex<f64>>(c);
    benchmarks::<f32>(c);
    benchmarks::<f64>(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(std::time::Duration::from_millis(300)).warm_up_time(std::time::Duration::from_millis(100));
    targets = calculus
}
criterion_main!(benches);
