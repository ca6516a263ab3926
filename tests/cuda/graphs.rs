//! After the first call with a shape work is enqueued, and nothing else: it can be captured into a
//! graph, a replay of which has the same bits; what cannot be captured is named, and the stream
//! goes on.
#![allow(unsafe_code, reason = "replays: whoever does one keeps the memory that it works on")]

use crate::gpu::{device, is_emulated};
use crate::sample::{Results, assert_same, bytes, matrices, numbers, run};
use eigengrad::cuda::{Cuda, Graph, Solver, Workspace};
use eigengrad::{
    Array, Backend, Cotangents, Dropped, Eigenpairs, Element, ElementOf, Engine, Error, Gradient, GradientForm, HermitianBatch,
    Options, PairLoss, Plan, Result, Targets, Triangle,
};
use half::{bf16, f16};
use num_complex::Complex;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

type C = Complex<f32>;
const BATCH: usize = 5;

/// A forward and a backward pass on memory that stays where it is.
struct Pass<T: Element, O: ElementOf<T::Scalar>>
where
    Cuda: Engine<T::Scalar>,
{
    cuda: Cuda,
    n: usize,
    plan: Plan<T, Cuda>,
    a: Array<T, Cuda, 3>,
    values_bar: Array<O::Real, Cuda, 2>,
    vectors_bar: Array<O, Cuda, 3>,
    pairs: Eigenpairs<O, Cuda>,
    gradient: Gradient<O, Cuda>,
    workspace: eigengrad::Workspace<T::Scalar, Cuda>,
}

impl<T: Element, O: ElementOf<T::Scalar>> Pass<T, O>
where
    Cuda: Engine<T::Scalar, Workspace = Workspace<T::Scalar>>,
{
    fn new(cuda: &Cuda, n: usize, options: &Options) -> Self {
        let plan = Plan::new(cuda, BATCH, n, options).unwrap();
        let (workspace, pairs, gradient) = (plan.workspace().unwrap(), plan.eigenpairs().unwrap(), plan.gradient().unwrap());
        let zeros = || Array::zeros(cuda, [BATCH, n, n]).unwrap();
        let (a, vectors_bar, values_bar) =
            (Array::zeros(cuda, [BATCH, n, n]).unwrap(), zeros(), Array::zeros(cuda, [BATCH, n]).unwrap());
        Self { cuda: cuda.clone(), n, plan, a, values_bar, vectors_bar, pairs, gradient, workspace }
    }

    /// Other matrices in the place of those before.
    fn give_matrices(&mut self, seed: u64) {
        write(&self.cuda, &mut self.a, matrices(BATCH, self.n, seed).into_raw_vec_and_offset().0);
    }

    /// Other cotangents in the place of those before.
    fn give_cotangents(&mut self, seed: u64) {
        let of = (BATCH, self.n, self.n);
        write(&self.cuda, &mut self.vectors_bar, numbers(of, seed).into_raw_vec_and_offset().0);
        write(&self.cuda, &mut self.values_bar, numbers((1, BATCH, self.n), seed + 1).into_raw_vec_and_offset().0);
    }

    fn forward(&mut self) -> Result<()> {
        let a = HermitianBatch::of_view(self.a.backend(), self.a.view(), Triangle::Lower)?;
        self.plan.eigh_into(a, self.pairs.view_mut(), &self.workspace)
    }

    fn backward(&mut self) -> Result<()> {
        let (values, vectors) = (Some(self.values_bar.view()), Some(self.vectors_bar.view()));
        let cotangents = Cotangents::from_columns(values, vectors);
        self.plan.backward_into(self.pairs.view(), cotangents, self.gradient.view_mut(), &self.workspace)
    }

    fn both(&mut self) -> Result<()> {
        self.forward()?;
        self.backward()
    }

    fn results(&self) -> Results<O> {
        (self.pairs.to_host().unwrap(), self.gradient.to_host().unwrap())
    }
}

/// Puts numbers where others were.
pub fn write<E: Element, const D: usize>(cuda: &Cuda, to: &mut Array<E, Cuda, D>, numbers: Vec<E>) {
    let (len, from) = (numbers.len(), cuda.upload(numbers).unwrap());
    let (from, to) = (Cuda::view(&from).strided([1, 1, len], [0, 0, 1]), to.view_mut().memory().strided([1, 1, len], [0, 0, 1]));
    cuda.copy(from.unwrap(), to.unwrap()).unwrap();
}

fn replay(graph: &mut Graph) {
    // SAFETY: every test keeps the memory of its passes to its end.
    unsafe { graph.replay() }.unwrap();
}

/// That of an [`Error::Backend`].
fn reason(captured: Result<Graph>) -> String {
    match captured.unwrap_err() {
        Error::Backend { backend: "cuda", reason } => reason,
        other => panic!("{other}"),
    }
}

/// That of a library.
fn version(name: &str) -> String {
    let found = eigengrad::cuda::probe().into_iter().flatten().find(|found| found.name == name).unwrap();
    found.version.unwrap().iter().map(i32::to_string).collect::<Vec<_>>().join(".")
}

/// Replays of the backward alone: the gradient of what is in the memory of the cotangents by then.
fn backward<T: Element, O: ElementOf<T::Scalar>>(n: usize, options: Options)
where
    Cuda: Engine<T::Scalar, Workspace = Workspace<T::Scalar>>,
{
    let Some(cuda) = device() else { return };
    let mut pass = Pass::<T, O>::new(&cuda, n, &options);
    pass.give_matrices(31);
    let expected = [7, 8].map(|seed| {
        pass.give_cotangents(seed);
        pass.both().unwrap();
        pass.results()
    });
    assert_ne!(bytes(expected[0].1.a_bar()), bytes(expected[1].1.a_bar()));
    let mut graph = cuda.capture(|| pass.backward()).unwrap();
    assert_same(&expected[1], &pass.results());
    for (seed, expected) in [7, 8].into_iter().zip(&expected) {
        pass.give_cotangents(seed);
        replay(&mut graph);
        replay(&mut graph);
        assert_same(expected, &pass.results());
    }
}

/// Replays of forward and backward in one graph: of what is in the memory of the matrices by then.
fn both<T: Element, O: ElementOf<T::Scalar>>(solver: Solver, n: usize, options: Options)
where
    Cuda: Engine<T::Scalar, Workspace = Workspace<T::Scalar>>,
{
    let Some(cuda) = device() else { return };
    let cuda = cuda.with_solver(solver);
    let mut pass = Pass::<T, O>::new(&cuda, n, &options);
    pass.give_cotangents(7);
    let expected = [31, 32].map(|seed| {
        pass.give_matrices(seed);
        pass.both().unwrap();
        pass.results()
    });
    assert_ne!(bytes(expected[0].1.a_bar()), bytes(expected[1].1.a_bar()));
    let mut graph = match cuda.capture(|| pass.both()) {
        Ok(graph) => graph,
        Err(error) if is_emulated() => panic!("{error}"),
        // cuSOLVER does not promise that its solvers can be captured.
        Err(error) => return assert!(error.to_string().contains("syev"), "{error}"),
    };
    assert_same(&expected[1], &pass.results());
    for (seed, expected) in [31, 32].into_iter().zip(&expected) {
        pass.give_matrices(seed);
        replay(&mut graph);
        assert_same(expected, &pass.results());
    }
}

fn of_form(gradient: GradientForm) -> Options {
    Options::default().with_gradient(gradient)
}

#[test]
fn the_backward_of_small_matrices() {
    backward::<f64, f64>(5, Options::default());
    backward::<C, C>(33, of_form(GradientForm::Triangle(Triangle::Upper)));
    backward::<f16, f16>(5, of_form(GradientForm::Triangle(Triangle::Lower)));
}

#[test]
fn the_backward_of_larger_matrices() {
    backward::<f64, f64>(89, Options::default().with_dropped(Dropped::Zero));
    backward::<Complex<bf16>, Complex<bf16>>(109, of_form(GradientForm::Triangle(Triangle::Lower)));
}

#[test]
fn forward_and_backward() {
    both::<f64, f64>(Solver::SYEV, 5, Options::default().with_dropped(Dropped::Zero));
    both::<C, C>(Solver::JACOBI, 5, of_form(GradientForm::Triangle(Triangle::Upper)));
    both::<f16, f32>(Solver::Auto, 33, Options::default());
    both::<f64, f64>(Solver::Auto, 89, Options::default());
}

/// A training step: the loss and the gradient of what is in the memory of the matrices by then.
#[test]
fn a_training_step() {
    let Some(cuda) = device() else { return };
    for solver in [Solver::Auto, Solver::Ql] {
        let cuda = cuda.clone().with_solver(solver);
        let mut pass = Pass::<C, C>::new(&cuda, 9, &Options::default());
        pass.give_matrices(30);
        pass.forward().unwrap();
        let targets = Targets::of(&pass.pairs).unwrap().on(&cuda).unwrap();
        let loss = PairLoss { spectral: 0.5, overlap: 1.0, intensity: 2.0 };
        let mut losses = pass.plan.losses::<C>().unwrap();
        let mut step = |pass: &mut Pass<C, C>| {
            pass.forward()?;
            pass.plan.loss_into(&loss, pass.pairs.view(), targets.view(), losses.view_mut())?;
            let cotangents = Cotangents::from_columns(Some(losses.values_bar.view()), Some(losses.vectors_bar.view()));
            pass.plan.backward_into(pass.pairs.view(), cotangents, pass.gradient.view_mut(), &pass.workspace)
        };
        let expected = [31, 32].map(|seed| {
            pass.give_matrices(seed);
            step(&mut pass).unwrap();
            pass.results()
        });
        assert_ne!(bytes(expected[0].1.a_bar()), bytes(expected[1].1.a_bar()));
        let mut graph = cuda.capture(|| step(&mut pass)).unwrap();
        for (seed, expected) in [31, 32].into_iter().zip(&expected) {
            pass.give_matrices(seed);
            replay(&mut graph);
            assert_same(expected, &pass.results());
        }
        assert!(losses.to_host().unwrap().loss().iter().all(|&loss| loss > 0.0));
    }
}

/// A graph may be the last that knows of its stream, and be replayed by another thread.
#[test]
fn a_graph_keeps_its_stream() {
    let Some(cuda) = device() else { return };
    let mut pass = Pass::<f64, f64>::new(&cuda, 5, &Options::default());
    pass.give_matrices(31);
    pass.forward().unwrap();
    let mut graph = cuda.capture(|| pass.backward()).unwrap();
    drop(cuda);
    std::thread::spawn(move || {
        replay(&mut graph);
        drop(pass);
        drop(graph);
    })
    .join()
    .unwrap();
}

/// While one thread captures, others load kernels, allocate and wait on streams of their own.
#[test]
fn other_threads_go_on() {
    let (Some(cuda), Some(other)) = (device(), device()) else { return };
    let mut pass = Pass::<f64, f64>::new(&cuda, 5, &Options::default());
    let captured = cuda.capture(|| {
        pass.backward()?;
        let elsewhere = |other: &Cuda| drop(run::<f32, f32>(other, &matrices(2, 3, 1), &Options::default()));
        std::thread::scope(|scope| scope.spawn(|| elsewhere(&other)).join().unwrap());
        std::thread::scope(|scope| scope.spawn(|| elsewhere(&Cuda::new(0).unwrap())).join().unwrap());
        Ok(())
    });
    replay(&mut captured.unwrap());
}

#[test]
fn the_default_stream_is_not_captured() {
    let Some(cuda) = device() else { return };
    let cuda = Cuda::from_stream(cuda.stream().context().default_stream()).unwrap();
    let mut runs = 0;
    let captured = cuda.capture(|| {
        runs += 1;
        Ok(())
    });
    assert!(reason(captured).contains("default stream"));
    assert_eq!(runs, 0);
    drop(cuda.zeros::<f32>(1).unwrap());
}

/// What `work` is told while it is recorded, and that the stream computes and captures as before.
fn refused(work: impl Fn(&Cuda) -> Result<()>) -> Option<Error> {
    let cuda = device()?;
    let mut pass = Pass::<f64, f64>::new(&cuda, 5, &Options::default());
    pass.give_matrices(31);
    pass.both().unwrap();
    let expected = pass.results();
    let mut runs = 0;
    let error = cuda.capture(|| {
        runs += 1;
        pass.backward()?;
        if runs == 2 { work(&cuda) } else { Ok(()) }
    });
    assert_eq!(runs, 2);
    pass.both().unwrap();
    let mut graph = cuda.capture(|| pass.backward()).unwrap();
    replay(&mut graph);
    assert_same(&expected, &pass.results());
    Some(error.unwrap_err())
}

#[test]
fn what_cannot_be_captured_is_named() {
    let named = |work: fn(&Cuda) -> Result<()>, call: &str| {
        let Some(error) = refused(work) else { return };
        let Error::Backend { backend: "cuda", reason } = &error else { panic!("{error}") };
        assert!(reason.contains("cannot be captured") && reason.contains(call), "{reason}");
    };
    named(Backend::synchronize, "cuStreamSynchronize");
    named(|cuda| cuda.zeros::<f64>(3).map(drop), "cuMemAllocAsync of 24 bytes: the stream is being captured");
    // Nobody told of the call that spoilt it.
    named(|cuda| cuda.synchronize().or(Ok(())), "cuStreamEndCapture");
}

#[test]
fn errors_of_the_work_come_back_as_they_are() {
    let Some(error) = refused(|_| Err(Error::Tolerance { what: "mine", got: -1.0 })) else { return };
    assert!(matches!(error, Error::Tolerance { what: "mine", got: -1.0 }), "{error}");
    let cuda = device().unwrap();
    let mut runs = 0;
    let failed = cuda.capture(|| {
        runs += 1;
        Err(Error::Backend { backend: "mine", reason: "fails".to_owned() })
    });
    assert!(matches!(failed, Err(Error::Backend { backend: "mine", reason }) if reason == "fails"));
    assert_eq!(runs, 1);
}

#[test]
fn a_panic_ends_the_capture() {
    let Some(cuda) = device() else { return };
    let mut runs = 0;
    let work = || {
        runs += 1;
        if runs == 2 { panic!("on purpose") } else { Ok(()) }
    };
    assert!(catch_unwind(AssertUnwindSafe(|| cuda.capture(work))).is_err());
    assert_eq!(cuda.download(Cuda::view(&cuda.upload(vec![3_u32]).unwrap())).unwrap(), [3]);
}

const CAPTURE: &str = "EIGENGRAD_EMULATOR_CUSOLVER_CAPTURE";

/// In a process of its own, in which the emulator's solvers refuse to be captured: each says so,
/// and the stream goes on.
#[test]
fn a_solver_that_cannot_be_captured() {
    let Some(cuda) = device() else { return };
    if !is_emulated() {
        return;
    }
    if env::var_os(CAPTURE).is_none() {
        drop(cuda);
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "graphs::a_solver_that_cannot_be_captured"]).env(CAPTURE, "refuse");
        assert!(child.status().unwrap().success());
        return;
    }
    for (solver, call) in [(Solver::JACOBI, "cusolverDnDsyevjBatched"), (Solver::SYEV, "cusolverDnXsyevBatched")] {
        let cuda = cuda.clone().with_solver(solver);
        let mut pass = Pass::<f64, f64>::new(&cuda, 5, &Options::default());
        pass.give_matrices(31);
        pass.give_cotangents(7);
        pass.both().unwrap();
        let expected = pass.results();
        let why = reason(cuda.capture(|| pass.both()));
        assert!(
            why.contains("cannot be captured") && why.contains(&format!(": cusolver {}: {call}:", version("libcusolver"))),
            "{why}"
        );
        pass.forward().unwrap();
        let mut graph = cuda.capture(|| pass.backward()).unwrap();
        replay(&mut graph);
        assert_same(&expected, &pass.results());
    }
}
