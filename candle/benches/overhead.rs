//! What candle's operator costs on top of the library: 4×4 matrices, batches of 1 to 4096.

#![allow(missing_docs, reason = "macros of criterion")]

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use eigengrad::{Array, Cotangents, Cpu, HermitianBatch, Options, Plan, Read};

const N: usize = 4;

/// Bᵀ B of numbers that look like nothing.
fn matrices(batch: usize) -> Tensor {
    let numbers: Vec<_> = (0..batch * N * 3).map(|i| ((1 + i) as f64 * 12.9898).sin()).collect();
    let b = Tensor::from_vec(numbers, (batch, N, 3), &Device::Cpu).unwrap();
    b.matmul(&b.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap()
}

/// An operator of these shapes that does nothing: what candle itself takes for the graph.
struct Nothing;

impl CustomOp1 for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn cpu_fwd(&self, _: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let len = layout.shape().elem_count() / N * (N + 1);
        Ok((CpuStorage::F64(vec![0.0; len]), Shape::from(len)))
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        a.zeros_like().map(Some)
    }
}

fn overhead(c: &mut Criterion) {
    let options = Options::default();
    for batch in [1, 16, 256, 4096] {
        let a = matrices(batch);
        let numbers = a.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        // As the front ends do it: a small batch on the calling thread.
        let cpu = if batch * N * N > 4096 { Cpu::default() } else { Cpu::inline() };
        let data = Array::from_host(&cpu, numbers, [batch, N, N]).unwrap();
        let matrices = HermitianBatch::of(data, Read::Mean).unwrap();
        let plan = Plan::<f64>::new(&cpu, batch, N, &options).unwrap();
        let workspace = plan.workspace().unwrap();
        let mut forward = c.benchmark_group("eigh");
        forward.bench_function(BenchmarkId::new("library", batch), |b| {
            b.iter(|| {
                let mut pairs = plan.eigenpairs::<f64>().unwrap();
                plan.eigh_into(matrices.view(), pairs.view_mut(), &workspace).unwrap();
                pairs
            });
        });
        forward.bench_function(BenchmarkId::new("candle", batch), |b| {
            b.iter(|| eigengrad_candle::eigh(&a, &options).unwrap());
        });
        forward.finish();

        let var = Var::from_tensor(&a).unwrap();
        let ones = Array::from_host(&cpu, vec![1.0; batch * N], [batch, N]).unwrap();
        let zeros = Array::zeros(&cpu, [batch, N, N]).unwrap();
        let bars = Cotangents::from_columns(Some(ones), Some(zeros));
        let mut both = c.benchmark_group("eigh and its gradient");
        both.bench_function(BenchmarkId::new("library", batch), |b| {
            b.iter(|| {
                let mut pairs = plan.eigenpairs::<f64>().unwrap();
                plan.eigh_into(matrices.view(), pairs.view_mut(), &workspace).unwrap();
                let mut gradient = plan.gradient::<f64>().unwrap();
                plan.backward_into(pairs.view(), bars.view(), gradient.view_mut(), &workspace).unwrap();
                gradient
            });
        });
        both.bench_function(BenchmarkId::new("candle", batch), |b| {
            b.iter(|| {
                let pairs = eigengrad_candle::eigh(var.as_tensor(), &options).unwrap();
                pairs.eigenvalues.sum_all().unwrap().backward().unwrap()
            });
        });
        both.bench_function(BenchmarkId::new("the graph alone", batch), |b| {
            b.iter(|| {
                let pack = var.apply_op1(Nothing).unwrap();
                let values = pack.narrow(0, batch * N * N, batch * N).unwrap().reshape((batch, N)).unwrap();
                values.sum_all().unwrap().backward().unwrap()
            });
        });
        both.finish();
    }
}

criterion_group!(benches, overhead);
criterion_main!(benches);
