//! A training step in one CUDA graph, with nothing on the host: the forward pass, a ready loss
//! against targets, and the backward pass; and what a step takes, called and replayed.
//!
//! `cargo run --release --features cuda --example training_step [BATCH [N]]`

use eigengrad::cuda::Cuda;
use eigengrad::{Array, Backend, Cotangents, Cut, HermitianBatch, Options, PairLoss, Plan, Targets, Triangle, eigh};
use ndarray::{Array3, Zip};
use num_complex::Complex;
use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

type C = Complex<f32>;
const STEPS: u32 = 100;

/// B Bᴴ, of half the rank.
fn matrices(batch: usize, n: usize, shift: f32) -> Array3<C> {
    let wave = |m: usize, i: usize, k: usize| (1.0 + m as f32 + 2.3 * i as f32 * (k as f32 + shift)).sin();
    let b = Array3::from_shape_fn((batch, n, n.div_ceil(2)), |(m, i, k)| C::new(wave(m, i, k), wave(m + 7, i, k)));
    let mut a = Array3::zeros((batch, n, n));
    Zip::from(a.outer_iter_mut()).and(b.outer_iter()).for_each(|mut a, b| a.assign(&b.dot(&b.t().mapv(|x| x.conj()))));
    a
}

/// What a step takes.
fn timed(cuda: &Cuda, mut step: impl FnMut() -> eigengrad::Result<()>) -> eigengrad::Result<Duration> {
    cuda.synchronize()?;
    let start = Instant::now();
    (0..STEPS).try_for_each(|_| step())?;
    cuda.synchronize()?;
    Ok(start.elapsed() / STEPS)
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut sizes = env::args().skip(1).map(|size| size.parse::<usize>());
    let (batch, n) = (sizes.next().transpose()?.unwrap_or(256), sizes.next().transpose()?.unwrap_or(16));
    let cuda = Cuda::new(0)?;
    let options = Options::default().with_cut(Cut::at_most(n.div_ceil(2)));
    let targets = Targets::of(&eigh(&HermitianBatch::new(matrices(batch, n, 0.0).view())?, &options)?)?.on(&cuda)?;
    let weights = PairLoss { spectral: 1e-3, overlap: 1.0, intensity: 1.0 };

    let plan = Plan::<C, Cuda>::new(&cuda, batch, n, &options)?;
    let (workspace, mut pairs) = (plan.workspace()?, plan.eigenpairs::<C>()?);
    let (mut losses, mut gradient) = (plan.losses::<C>()?, plan.gradient::<C>()?);
    let a = Array::from_host(&cuda, matrices(batch, n, 0.03).into_raw_vec_and_offset().0, [batch, n, n])?;
    let mut step = || {
        plan.eigh_into(HermitianBatch::of_view(a.backend(), a.view(), Triangle::Lower)?, pairs.view_mut(), &workspace)?;
        plan.loss_into(&weights, pairs.view(), targets.view(), losses.view_mut())?;
        let cotangents = Cotangents::from_columns(Some(losses.values_bar.view()), Some(losses.vectors_bar.view()));
        plan.backward_into(pairs.view(), cotangents, gradient.view_mut(), &workspace)
    };
    step()?;
    let called = timed(&cuda, &mut step)?;
    let mut graph = cuda.capture(&mut step)?;
    // SAFETY: all that the graph works on lives to the end of this function.
    let replayed = timed(&cuda, || unsafe { graph.replay() })?;

    gradient.to_host()?.check()?;
    let mean = losses.to_host()?.loss().iter().sum::<f32>() / batch as f32;
    println!("loss       {mean:.6}, the mean of {batch} matrices of order {n}");
    println!("called     {:.1} µs a step", called.as_secs_f64() * 1e6);
    println!("replayed   {:.1} µs a step, as one graph", replayed.as_secs_f64() * 1e6);
    Ok(())
}
