//! After the first call with a shape work is enqueued, and nothing else: it can be captured in a graph, which allows no waiting and no
//! memory of its own, and a replay has the same bits.
#![allow(unsafe_code, reason = "cudarc's events are switched off, as capture demands")]

use crate::gpu::device;
use crate::sample::{assert_same, matrices, numbers, run};
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use eigengrad::cuda::{Cuda, Solver};
use eigengrad::{Cotangents, Dropped, Element, Engine, HermitianBatch, Options, Plan, Stored};
use half::f16;
use num_complex::Complex;

/// Captures `work` and replays it twice; none if it cannot be captured.
fn replayed(cuda: &Cuda, work: impl FnOnce() -> eigengrad::Result<()>) -> Option<()> {
    let stream = cuda.stream();
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    let done = work();
    let graph = stream.end_capture(CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
    let graph = done.ok().and(graph.ok().flatten())?;
    graph.launch().unwrap();
    graph.launch().unwrap();
    Some(())
}

fn captured<T: Element, O: Stored<T::Scalar>>(solver: Solver, dropped: Dropped)
where
    Cuda: Engine<T::Scalar> + Engine<O::Scalar>,
{
    let Some(cuda) = device() else { return };
    // SAFETY: everything here runs on one stream.
    unsafe { cuda.stream().context().disable_event_tracking() };
    let cuda = cuda.with_solver(solver);
    let options = Options { dropped, ..Options::default() };
    let a = matrices::<T>(19, 7, 31);
    let expected = run::<T, O>(&cuda, &a, &options);
    let batch = HermitianBatch::on(&cuda, a.view()).unwrap();
    let plan = Plan::<T, Cuda>::new(&cuda, 19, 7, &options).unwrap();
    let (mut workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<O>().unwrap());
    let mut gradient = plan.gradient::<O>().unwrap();
    if replayed(&cuda, || plan.eigh_into(batch.as_ref(), pairs.as_mut(), &mut workspace)).is_none() {
        // cuSOLVER does not promise that its solvers can be captured.
        cuda.stream().synchronize().unwrap();
        plan.eigh_into(batch.as_ref(), pairs.as_mut(), &mut workspace).unwrap();
    }
    let values_bar = numbers::<O::Real>((1, 19, 7), 7);
    let vectors_bar = numbers::<O>((19, 7, 7), 8);
    let values_bar = values_bar.index_axis(ndarray::Axis(0), 0);
    let cotangents = Cotangents::new(&pairs, Some(values_bar), Some(vectors_bar.view())).unwrap();
    let work = || plan.backward_into(pairs.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut workspace);
    replayed(&cuda, work).expect("the backward is captured");
    assert_same(&expected, &(pairs.to_host().unwrap(), gradient.to_host().unwrap()));
}

#[test]
fn graphs_of_forward_and_backward() {
    captured::<f64, f64>(Solver::SYEV, Dropped::AsComputed);
    captured::<Complex<f32>, Complex<f32>>(Solver::JACOBI, Dropped::Zero);
    captured::<f16, f16>(Solver::Auto, Dropped::AsComputed);
}
