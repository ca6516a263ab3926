//! Whether the passes can be captured into a CUDA graph, whether its replay gives the same bits,
//! and what a replay takes.

use crate::arguments::Way;
use crate::clock::Times;
use crate::input;
use crate::run::{Field, Result, Run};
use eigengrad::cuda::{Cuda, Graph};
use eigengrad::{Array, Backend, Cotangents, HermitianBatch, Options, PairLoss, Plan, Targets};
use ndarray::Array2;
use num_complex::Complex;

type C = Complex<f32>;
const BATCH: usize = 256;

/// Each case on a stream of its own: one on which a capture failed may refuse whatever comes next.
pub fn measure(run: &mut Run) -> Result<()> {
    for n in run.orders(&[8, 32, 64]) {
        for way in run.ways.clone() {
            let cuda = Cuda::new(0)?.with_solver(way.solver(f32::EPSILON.into()));
            let reps = run.reps;
            run.case("capture", labels("forward", n, way), || forward(&cuda, n, reps));
        }
        let (cuda, reps) = (Cuda::new(0)?, run.reps);
        run.case("capture", labels("backward", n, Way::Auto), || backward(&cuda, n, reps));
        for way in run.ways.clone() {
            let cuda = Cuda::new(0)?.with_solver(way.solver(f32::EPSILON.into()));
            run.case("capture", labels("training step", n, way), || training_step(&cuda, n, reps));
        }
    }
    Ok(())
}

fn labels(what: &'static str, n: usize, way: Way) -> Vec<Field> {
    vec![
        ("what", what.into()),
        ("dtype", "complex64".into()),
        ("n", n.into()),
        ("batch", BATCH.into()),
        ("solver", way.to_string().into()),
    ]
}

/// Nanoseconds of calls and of replays, and whether those found the same.
fn compared(
    cuda: &Cuda,
    reps: usize,
    calls: &Times,
    mut graph: Graph,
    same: impl FnOnce() -> Result<bool>,
) -> Result<Vec<Field>> {
    // SAFETY: callers keep the memory that the graph works on.
    let mut replay = || unsafe { graph.replay() };
    replay()?;
    let same = same()?;
    let replays = Times::of(cuda, reps, || Ok(replay()?))?;
    Ok(vec![
        ("captured", true.into()),
        ("same_bits", same.into()),
        ("call_ns", calls.median().into()),
        ("replay_ns", replays.median().into()),
    ])
}

fn forward(cuda: &Cuda, n: usize, reps: usize) -> Result<Vec<Field>> {
    let a = input::on_device::<C>(cuda, &input::positive(BATCH, n, n), BATCH)?;
    let zero: HermitianBatch<C, Cuda> = HermitianBatch::of(Array::zeros(cuda, [BATCH, n, n])?, eigengrad::Triangle::Lower)?;
    let plan = Plan::<C, Cuda>::new(cuda, BATCH, n, &Options::default())?;
    let (workspace, mut pairs) = (plan.workspace()?, plan.eigenpairs::<C>()?);
    let calls = Times::of(cuda, reps, || Ok(plan.eigh_into(a.view(), pairs.view_mut(), &workspace)?))?;
    let expected = cuda.download(pairs.vectors.view().memory())?;
    let graph = cuda.capture(|| plan.eigh_into(a.view(), pairs.view_mut(), &workspace))?;
    // so that what the replay writes is seen
    plan.eigh_into(zero.view(), pairs.view_mut(), &workspace)?;
    compared(cuda, reps, &calls, graph, || Ok(cuda.download(pairs.vectors.view().memory())? == expected))
}

fn backward(cuda: &Cuda, n: usize, reps: usize) -> Result<Vec<Field>> {
    let a = input::on_device::<C>(cuda, &input::positive(BATCH, n, n), BATCH)?;
    let plan = Plan::<C, Cuda>::new(cuda, BATCH, n, &Options::default())?;
    let (workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<C>()?, plan.gradient::<C>()?);
    plan.eigh_into(a.view(), pairs.view_mut(), &workspace)?;
    let vectors_bar = pairs.to_host()?.vectors().indexed_iter().map(|((_, i, _), v)| v * (i as f32 + 1.0)).collect::<Vec<_>>();
    let vectors_bar = ndarray::Array3::from_shape_vec((BATCH, n, n), vectors_bar)?;
    let values_bar = Array2::from_elem((BATCH, n), 1.0);
    let cotangents = Cotangents::new(&pairs, Some(values_bar.view()), Some(vectors_bar.view()))?;
    let other = Cotangents::new(&pairs, Some(values_bar.view()), None)?;
    let calls =
        Times::of(cuda, reps, || Ok(plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace)?))?;
    let expected = gradient.to_host()?.a_bar().to_owned();
    let graph = cuda.capture(|| plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace))?;
    plan.backward_into(pairs.view(), other.view(), gradient.view_mut(), &workspace)?;
    compared(cuda, reps, &calls, graph, || Ok(gradient.to_host()?.a_bar() == expected))
}

/// Forward, a loss against other matrices, and backward.
fn training_step(cuda: &Cuda, n: usize, reps: usize) -> Result<Vec<Field>> {
    let a = input::on_device::<C>(cuda, &input::positive(BATCH, n, n), BATCH)?;
    let zero: HermitianBatch<C, Cuda> = HermitianBatch::of(Array::zeros(cuda, [BATCH, n, n])?, eigengrad::Triangle::Lower)?;
    let plan = Plan::<C, Cuda>::new(cuda, BATCH, n, &Options::default())?;
    let (workspace, mut pairs) = (plan.workspace()?, plan.eigenpairs::<C>()?);
    let (mut losses, mut gradient) = (plan.losses::<C>()?, plan.gradient::<C>()?);
    plan.eigh_into(a.view(), pairs.view_mut(), &workspace)?;
    let mut turned = Targets::of(&pairs)?; // each matrix against the next one's pairs
    turned.vectors.rotate_left(n * n);
    let targets = turned.on(cuda)?;
    let loss = PairLoss { spectral: 1.0, overlap: 1.0, intensity: 1.0 };
    let mut step = |a: &HermitianBatch<C, Cuda>| {
        plan.eigh_into(a.view(), pairs.view_mut(), &workspace)?;
        plan.loss_into(&loss, pairs.view(), targets.view(), losses.view_mut())?;
        let cotangents = Cotangents::from_columns(Some(losses.values_bar.view()), Some(losses.vectors_bar.view()));
        plan.backward_into(pairs.view(), cotangents, gradient.view_mut(), &workspace)
    };
    let calls = Times::of(cuda, reps, || Ok(step(&a)?))?;
    let graph = cuda.capture(|| step(&a))?;
    step(&a)?;
    let expected = cuda.download(gradient.a_bar.view().memory())?;
    let mut step = |a: &HermitianBatch<C, Cuda>| {
        plan.eigh_into(a.view(), pairs.view_mut(), &workspace)?;
        plan.backward_into(pairs.view(), Cotangents::from_columns(None, None), gradient.view_mut(), &workspace)
    };
    step(&zero)?;
    compared(cuda, reps, &calls, graph, || Ok(cuda.download(gradient.a_bar.view().memory())? == expected))
}
