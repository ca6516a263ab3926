//! The CPU backend: host memory, rayon over the batch, faer for each matrix, SIMD lanes across
//! small ones.

mod backward;
mod backward_factor;
mod backward_jvp;
mod calculus;
mod dense;
mod double_backward;
mod eigh;
mod eigh_factor;
#[cfg(feature = "foreign")]
#[allow(unsafe_code, reason = "memory of other owners")]
mod foreign;
mod jvp;
mod lanes;
mod loss;
mod memory;
mod parallel;
mod range;
mod simd;
mod spectral;
mod transposed;
mod types;

use crate::array::same;
use crate::compute::{Lent, Workspaces};
use crate::element::sealed::Sealed;
use crate::options::Problem;
use crate::{Backend, Error, FactorProblem, Pod, Result, Scalar};
use eigh::Solver;
use parallel::PerThread;
pub use simd::triangles::Compare;
use std::sync::Arc;

/// The CPU, the default backend.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    threads: Threads,
}

/// Whose the threads are.
#[derive(Clone, Debug, Default)]
enum Threads {
    /// Rayon's global pool.
    #[default]
    Global,
    Own(Arc<rayon::ThreadPool>),
    /// The caller's, alone.
    Inline,
}

impl Cpu {
    /// A backend with its own pool of `threads` threads; the default shares rayon's global one.
    ///
    /// # Errors
    /// [`Error::Backend`] if they cannot be started.
    pub fn with_threads(threads: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map(|pool| Self { threads: Threads::Own(Arc::new(pool)) })
            .map_err(|e| Error::Backend { backend: "cpu", reason: e.to_string() })
    }

    /// A backend that works on the calling thread alone: for callers with threads of their own, and
    /// after `fork`, which leaves a pool without its threads. Results have the bits of other
    /// backends up to n = 255; larger matrices are split otherwise.
    pub fn inline() -> Self {
        Self { threads: Threads::Inline }
    }

    /// The number of threads that work on a batch.
    pub fn threads(&self) -> usize {
        match &self.threads {
            Threads::Global => rayon::current_num_threads(),
            Threads::Own(pool) => pool.current_num_threads(),
            Threads::Inline => 1,
        }
    }

    /// The SIMD instruction set that was found and is used: `AVX-512`, `AVX2`, `NEON`, or what pulp
    /// calls another.
    pub fn instruction_set(&self) -> &'static str {
        simd::vector::dispatch(Name)
    }

    /// How many threads may have matrices of a batch of their own at a time.
    fn workers(&self, batch: usize) -> usize {
        self.threads().min(batch.max(1))
    }

    /// Runs `work` on the threads of this backend.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let (mut work, mut done) = (Some(work), None);
        self.run_task(&mut || done = work.take().map(|work| work()));
        done.unwrap_or_else(|| unreachable!("the task ran"))
    }

    fn run_task(&self, task: parallel::Task<'_>) {
        match &self.threads {
            Threads::Global => task(),
            Threads::Own(pool) => pool.install(task),
            Threads::Inline => parallel::inline(task),
        }
    }
}

struct Name;

impl pulp::WithSimd for Name {
    type Output = &'static str;
    fn with_simd<S: pulp::Simd>(self, _: S) -> &'static str {
        let path = std::any::type_name::<S>();
        match path.rsplit("::").next().unwrap_or(path) {
            "V4" => "AVX-512",
            "V3" => "AVX2",
            "Neon" => "NEON",
            other => other,
        }
    }
}

impl Sealed for Cpu {}

impl Backend for Cpu {
    type Buffer<T: Pod> = Box<[T]>;
    type View<'a, T: Pod> = &'a [T];
    type ViewMut<'a, T: Pod> = &'a mut [T];
    const NAME: &'static str = "cpu";

    fn host(&self) -> Cpu {
        self.clone()
    }

    fn zeros<T: Pod>(&self, len: usize) -> Result<Box<[T]>> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(len).map_err(|e| Error::Backend { backend: "cpu", reason: e.to_string() })?;
        memory.resize(len, T::default());
        Ok(memory.into_boxed_slice())
    }

    fn upload<T: Pod>(&self, host: Vec<T>) -> Result<Box<[T]>> {
        Ok(host.into_boxed_slice())
    }

    fn copy_from_host<T: Pod>(&self, host: &[T], to: &mut [T]) -> Result<()> {
        same("memory", &[to.len()], &[host.len()])?;
        to.copy_from_slice(host);
        Ok(())
    }

    fn download<T: Pod>(&self, view: &[T]) -> Result<Vec<T>> {
        Ok(view.to_vec())
    }

    fn nothing<'a, T: Pod>(&self) -> &'a [T] {
        &[]
    }

    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    unsafe fn borrow<'a, T: Pod>(&self, address: usize, len: usize) -> Result<&'a [T]> {
        // SAFETY: the caller's.
        unsafe { foreign::slice(address, len) }
    }

    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    unsafe fn borrow_mut<'a, T: Pod>(&self, address: usize, len: usize) -> Result<&'a mut [T]> {
        // SAFETY: the caller's.
        unsafe { foreign::slice_mut(address, len) }
    }

    fn split<'a, T: Pod + 'a>(view: &'a [T], at: usize) -> (&'a [T], &'a [T]) {
        view.split_at(at)
    }

    fn split_mut<'a, T: Pod + 'a>(view: &'a mut [T], at: usize) -> (&'a mut [T], &'a mut [T]) {
        view.split_at_mut(at)
    }

    fn view<T: Pod>(buffer: &Box<[T]>) -> &[T] {
        buffer
    }

    fn view_mut<T: Pod>(buffer: &mut Box<[T]>) -> &mut [T] {
        buffer
    }

    fn len<T: Pod>(view: &&[T]) -> usize {
        view.len()
    }

    fn len_mut<T: Pod>(view: &&mut [T]) -> usize {
        view.len()
    }
}

/// What the CPU does in a type that is computed in, compiled once for each.
pub trait Kernels:
    dense::faer::Dense + lanes::eigh::EighLanes + lanes::kernel::BackwardLanes + calculus::Calculate + Compare
{
}
impl<T: dense::faer::Dense + lanes::eigh::EighLanes + lanes::kernel::BackwardLanes + calculus::Calculate + Compare> Kernels
    for T
{
}

/// Scratch memory of the CPU backend, for each thread.
#[derive(Debug)]
pub struct Workspace<T: Scalar> {
    n: usize,
    solvers: PerThread<Solver<T>>,
    backward: PerThread<backward::BackwardScratch<T>>,
}

impl<T: Scalar> Workspaces<T> for Cpu {
    type Workspace = Workspace<T>;

    fn workspace_bytes(&self, _: &Problem) -> Result<usize> {
        Ok(0) // each thread makes its own
    }

    fn workspace(&self, problem: &Problem, _: Option<Lent>) -> Result<Workspace<T>> {
        let (threads, n) = (self.workers(problem.batch), if problem.batch == 0 { 0 } else { problem.n });
        Ok(Workspace {
            n,
            solvers: PerThread::new(threads, n, Solver::new),
            backward: PerThread::new(threads, n, backward::BackwardScratch::new),
        })
    }

    fn serves(&self, workspace: &Workspace<T>, problem: &Problem) -> bool {
        problem.batch == 0 || workspace.n == problem.n
    }

    type Scratch = calculus::Scratch<T>;

    fn scratch_bytes(&self, _: &Problem) -> Result<usize> {
        Ok(0)
    }

    fn scratch(&self, problem: &Problem, _: Option<Lent>) -> Result<Self::Scratch> {
        Ok(calculus::Scratch::new(problem, self.workers(problem.batch)))
    }

    fn scratch_serves(&self, scratch: &Self::Scratch, problem: &Problem) -> bool {
        scratch.serves(problem)
    }

    type FactorWorkspace = eigh_factor::Workspace<T>;

    fn factor_workspace_bytes(&self, _: &FactorProblem) -> Result<usize> {
        Ok(0)
    }

    fn factor_workspace(&self, problem: &FactorProblem, _: Option<Lent>) -> Result<eigh_factor::Workspace<T>> {
        Ok(eigh_factor::Workspace::new(self.workers(problem.matrices.batch), problem))
    }

    fn serves_factor(&self, workspace: &eigh_factor::Workspace<T>, problem: &FactorProblem) -> bool {
        workspace.serves(problem)
    }
}
