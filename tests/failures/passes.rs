//! Each call fails in turn: of workspaces, solvers, the backward in its forms, and graphs. Backend,
//! workspace and buffers stay the same.
#![allow(unsafe_code, reason = "replays: the memory that they work on lives to the end of the test")]

use crate::emulator::Emulator;
use crate::gpu::device;
use crate::sample::{bytes, matrices, numbers};
use crate::trial::Trial;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use eigengrad::cuda::{Algorithm, Cuda, Solver, Workspace};
use eigengrad::{
    Array, Backend, Cotangents, Dropped, Eigenpairs, Element, ElementOf, Engine, Gradient, HermitianBatch, Options, Plan, Result,
    Spectrum, Triangle, View,
};
use half::{bf16, f16};
use num_complex::Complex;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What passes work on: matrices, cotangents, results, scratch.
struct Pass<T: Element, O: ElementOf<T::Scalar>>
where
    Cuda: Engine<T::Scalar>,
{
    cuda: Cuda,
    plan: Plan<T, Cuda>,
    a: Array<T, Cuda, 3>,
    values_bar: Array<O::Real, Cuda, 2>,
    vectors_bar: Array<O, Cuda, 3>,
    pairs: RefCell<Eigenpairs<O, Cuda>>,
    spectrum: RefCell<Spectrum<<T::Scalar as Element>::Real, Cuda>>,
    gradient: RefCell<Gradient<O, Cuda>>,
    workspace: RefCell<Workspace<T::Scalar>>,
}

impl<T: Element, O: ElementOf<T::Scalar>> Pass<T, O>
where
    Cuda: Engine<T::Scalar, Workspace = Workspace<T::Scalar>>,
{
    fn new(cuda: Cuda, (batch, n): (usize, usize), options: &Options) -> Self {
        let plan = Plan::new(&cuda, batch, n, options).unwrap();
        let entries = |seed| numbers::<O>((batch, n, n), seed).into_raw_vec_and_offset().0;
        let values_bar = numbers::<O::Real>((1, batch, n), 6).into_raw_vec_and_offset().0;
        Self {
            a: Array::from_host(&cuda, matrices::<T>(batch, n, 5).into_raw_vec_and_offset().0, [batch, n, n]).unwrap(),
            values_bar: Array::from_host(&cuda, values_bar, [batch, n]).unwrap(),
            vectors_bar: Array::from_host(&cuda, entries(7), [batch, n, n]).unwrap(),
            pairs: RefCell::new(plan.eigenpairs().unwrap()),
            spectrum: RefCell::new(plan.spectrum().unwrap()),
            gradient: RefCell::new(plan.gradient().unwrap()),
            workspace: RefCell::new(plan.workspace().unwrap()),
            cuda,
            plan,
        }
    }

    fn input(&self) -> HermitianBatch<T, Cuda, View<'_>> {
        HermitianBatch::of_view(self.a.backend(), self.a.view(), Triangle::Lower).unwrap()
    }

    fn forward(&self) -> Result<()> {
        self.plan.eigh_into(self.input(), self.pairs.borrow_mut().view_mut(), &self.workspace.borrow_mut())
    }

    fn values(&self) -> Result<()> {
        self.plan.eigvalsh_into(self.input(), self.spectrum.borrow_mut().view_mut(), &self.workspace.borrow_mut())
    }

    fn backward(&self, values: bool, vectors: bool) -> Result<()> {
        let cotangents =
            Cotangents::from_columns(values.then(|| self.values_bar.view()), vectors.then(|| self.vectors_bar.view()));
        let mut gradient = self.gradient.borrow_mut();
        self.plan.backward_into(self.pairs.borrow().view(), cotangents, gradient.view_mut(), &self.workspace.borrow_mut())
    }

    fn pairs(&self) -> Vec<u8> {
        let pairs = self.pairs.borrow().to_host().unwrap();
        [bytes(pairs.values()), bytes(pairs.vectors())].concat()
    }

    fn gradient(&self) -> Vec<u8> {
        let gradient = self.gradient.borrow().to_host().unwrap();
        [bytes(gradient.a_bar()), bytes(gradient.gauge_defect())].concat()
    }

    fn trial<'a>(&'a self, emulator: &'a Emulator) -> Trial<'a> {
        Trial { emulator, backend: Some(&self.cuda) }
    }
}

fn named(failed: &BTreeSet<String>, calls: &[&str]) {
    for call in calls {
        assert!(failed.contains(*call), "{call} of {failed:?}");
    }
}

/// A workspace, and both decompositions.
fn forward<T: Element, O: ElementOf<T::Scalar>>(emulator: &Emulator, cuda: Cuda, shape: (usize, usize), calls: &[&str])
where
    Cuda: Engine<T::Scalar, Workspace = Workspace<T::Scalar>>,
{
    let what = format!("{:?} of {:?}, {:?}", cuda, T::DTYPE, shape);
    let pass = Pass::<T, O>::new(cuda, shape, &Options::default());
    let mut failed = pass.trial(emulator).each_call(&what, || (), |()| pass.plan.workspace(), |workspace| workspace.bytes());
    failed.append(&mut pass.trial(emulator).each_call(&what, || (), |()| pass.forward(), |()| pass.pairs()));
    let values = || {
        let spectrum = pass.spectrum.borrow().to_host().unwrap();
        bytes(spectrum.values())
    };
    failed.append(&mut pass.trial(emulator).each_call(&what, || (), |()| pass.values(), |()| values()));
    named(&failed, calls);
}

#[test]
fn of_solvers() {
    let Some(emulator) = Emulator::take() else { return };
    let cuda = device().unwrap();
    let with = |solver| cuda.clone().with_solver(solver);
    let jacobi =
        ["cusolverDnCheevjBatched", "cusolverDnCheevjBatched_bufferSize", "cusolverDnXsyevjSetTolerance", "cuLaunchKernel"];
    let to_tolerance = Solver::Jacobi { tolerance: Some(1e-6), sweeps: 30 };
    forward::<Complex<f32>, Complex<f32>>(&emulator, with(to_tolerance), (3, 4), &jacobi);
    let syev =
        ["cusolverDnXsyevBatched", "cusolverDnXsyevBatched_bufferSize", "cuMemAllocAsync", "cuMemsetD8Async", "cuMemGetInfo"];
    forward::<f64, f64>(&emulator, with(Solver::SYEV), (3, 4), &syev);
    let consistent = with(Solver::Syev(Algorithm::Consistent)).certified().with_workspace_limit(1);
    forward::<Complex<f64>, Complex<f64>>(&emulator, consistent, (3, 3), &["cusolverDnSetAdvOptions", "cuLaunchKernel"]);
    forward::<f16, f32>(&emulator, with(Solver::Auto), (2, 3), &["cuLaunchKernel"]);
    forward::<f64, f64>(
        &emulator,
        with(Solver::Auto),
        (1, 49),
        &["cusolverDnXsyevBatched", "cuMemcpyDtoDAsync", "cuLaunchKernel"],
    );
}

fn backward<T: Element, O: ElementOf<T::Scalar>>(emulator: &Emulator, shape: (usize, usize), dropped: Dropped, calls: &[&str])
where
    Cuda: Engine<T::Scalar, Workspace = Workspace<T::Scalar>>,
{
    let pass = Pass::<T, O>::new(device().unwrap(), shape, &Options::default().with_dropped(dropped));
    pass.forward().unwrap();
    let mut all = BTreeSet::new();
    for (values, vectors) in [(true, false), (false, true), (true, true)] {
        let what = format!("backward of {:?}, {shape:?}, {dropped:?}, {values}, {vectors}", O::DTYPE);
        all.append(&mut pass.trial(emulator).each_call(&what, || (), |()| pass.backward(values, vectors), |()| pass.gradient()));
    }
    named(&all, calls);
}

#[test]
fn of_the_backward_on_chip() {
    let Some(emulator) = Emulator::take() else { return };
    backward::<f64, f64>(&emulator, (3, 4), Dropped::AsComputed, &["cuCtxGetCurrent", "cuLaunchKernel"]);
    backward::<Complex<f16>, Complex<f16>>(&emulator, (3, 4), Dropped::Zero, &["cuLaunchKernel"]);
}

#[test]
fn of_the_backward_of_larger_matrices() {
    let Some(emulator) = Emulator::take() else { return };
    backward::<Complex<f64>, Complex<f64>>(&emulator, (1, 77), Dropped::Zero, &["cublasZgemmStridedBatched", "cuLaunchKernel"]);
    backward::<Complex<bf16>, Complex<bf16>>(&emulator, (1, 109), Dropped::AsComputed, &["cuLaunchKernel"]);
}

#[test]
fn of_graphs() {
    let Some(emulator) = Emulator::take() else { return };
    let pass = Pass::<f64, f64>::new(device().unwrap(), (3, 4), &Options::default());
    pass.forward().unwrap();
    let trial = pass.trial(&emulator);
    let both = || pass.forward().and_then(|()| pass.backward(true, true));
    let job = |()| {
        let mut graph = pass.cuda.capture(both)?;
        // SAFETY: all that the pass works on outlives the graph.
        unsafe { graph.replay() }.map(|()| graph)
    };
    let failed = trial.each_call("a graph", || (), job, |graph| (drop(graph), pass.gradient()).1);
    named(
        &failed,
        &["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuGraphDestroy"],
    );
    let made = || pass.cuda.capture(both).unwrap();
    named(
        &trial.each_call(
            "the end of a graph",
            made,
            |graph| {
                drop(graph);
                Ok(())
            },
            |()| (),
        ),
        &["cuGraphExecDestroy"],
    );
}

/// Memory that is dropped while its stream is captured is freed when that is over, and the capture
/// fails for it.
#[test]
fn memory_that_is_dropped_in_a_capture() {
    let Some(emulator) = Emulator::take() else { return };
    let cuda = device().unwrap();
    cuda.synchronize().unwrap();
    let before = emulator.alive();
    let mut runs = 0;
    let mut buffer = Some(cuda.zeros::<f64>(3).unwrap());
    let captured = cuda.capture(|| {
        runs += 1;
        drop((runs == 2).then(|| buffer.take()));
        Ok(())
    });
    let error = captured.unwrap_err().to_string();
    assert!(error.contains("cuMemFreeAsync: the stream is being captured"), "{error}");
    cuda.synchronize().unwrap();
    assert_eq!(emulator.alive(), before);

    // Others may capture the stream, too, whose end nobody tells us: the next allocation finds out.
    let buffer = cuda.zeros::<f64>(3).unwrap();
    cuda.stream().begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    drop(buffer);
    drop(cuda.stream().end_capture(CUgraphInstantiate_flags(0)));
    let error = cuda.zeros::<f64>(1).unwrap_err().to_string();
    assert!(error.contains("cuMemFreeAsync: the stream is being captured"), "{error}");
    drop(cuda.zeros::<f64>(1).unwrap());
    cuda.synchronize().unwrap();
    assert_eq!(emulator.alive(), before);
}

/// What is dropped in any order, its scratch and buffers before the backend.
#[test]
fn of_destructors() {
    let Some(emulator) = Emulator::take() else { return };
    for solver in [Solver::JACOBI, Solver::SYEV] {
        let cuda = device().unwrap().with_solver(solver);
        let made = || {
            let pass = Pass::<f64, f64>::new(cuda.clone(), (2, 3), &Options::default());
            pass.forward().unwrap();
            (pass.pairs(), pass)
        };
        let trial = Trial { emulator: &emulator, backend: Some(&cuda) };
        let failed = trial.each_call("drop", made, |(pairs, pass)| (drop(pass), Ok(pairs)).1, |pairs| pairs);
        let of_solver = if solver == Solver::JACOBI { "cusolverDnDestroySyevjInfo" } else { "cusolverDnDestroyParams" };
        named(&failed, &["cuMemFreeAsync", "cuStreamIsCapturing", "cuCtxGetCurrent", of_solver]);
    }
    let trial = Trial { emulator: &emulator, backend: None };
    let failed = trial.each_call(
        "drop of a backend",
        || {
            // Handles are made when matrices are too large for our own kernels.
            let cuda = device().unwrap().with_solver(Solver::JACOBI);
            let pass = Pass::<f64, f64>::new(cuda.clone(), (1, 89), &Options::default().with_dropped(Dropped::Zero));
            pass.forward().and_then(|()| pass.backward(true, true)).unwrap();
            cuda
        },
        |cuda| {
            drop(cuda);
            Ok(())
        },
        |()| (),
    );
    named(&failed, &["cusolverDnDestroy", "cublasDestroy", "cuStreamDestroy", "cuDevicePrimaryCtxRelease"]);
}
