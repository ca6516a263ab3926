//! The CPU backend: host memory, rayon over the batch, faer for each matrix, SIMD lanes across small ones.

mod assemble;
mod backward;
mod backward_factor;
mod backward_jvp;
mod calculus;
mod dense;
mod double_backward;
mod eigh;
mod eigh_factor;
mod jvp;
mod lanes;
mod parallel;
mod range;
mod rescale;
mod simd;
mod spectral;

use crate::compute::Workspaces;
use crate::options::Problem;
use crate::scalar::sealed::Sealed;
use crate::{Backend, Error, FactorProblem, Pod, Result, Scalar};
use eigh::Solver;
use parallel::PerThread;
pub use simd::triangles::Compare;
use std::sync::Arc;

/// The CPU, the default backend.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// None is rayon's global pool.
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl Cpu {
    /// A backend with its own pool of `threads` threads; the default shares rayon's global one.
    ///
    /// # Errors
    /// [`Error::Backend`] if they cannot be started.
    pub fn with_threads(threads: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map(|pool| Self { pool: Some(Arc::new(pool)) }).map_err(|e| Error::Backend { backend: "cpu", reason: e.to_string() })
    }

    /// The number of threads that work on a batch.
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or_else(rayon::current_num_threads, |pool| pool.current_num_threads())
    }

    /// The SIMD instruction set that was found and is used, as `V3` for AVX2 with FMA and `V4` for AVX-512.
    pub fn instruction_set(&self) -> &'static str {
        simd::vector::dispatch(Name)
    }

    /// How many threads may have matrices of a batch of their own at a time.
    fn workers(&self, batch: usize) -> usize {
        self.threads().min(batch.max(1))
    }

    /// Runs `work` on the threads of this backend.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

struct Name;

impl pulp::WithSimd for Name {
    type Output = &'static str;
    fn with_simd<S: pulp::Simd>(self, _: S) -> &'static str {
        let path = std::any::type_name::<S>();
        path.rsplit("::").next().unwrap_or(path)
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

    fn download<T: Pod>(&self, view: &[T]) -> Result<Vec<T>> {
        Ok(view.to_vec())
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
    dense::evd::Evd
    + dense::products::Multiply
    + lanes::eigh::EighLanes
    + lanes::kernel::AssembleLanes
    + calculus::MultiplyAlone
    + calculus::Calculate
    + Compare
{
}
impl<T> Kernels for T where
    T: dense::evd::Evd
        + dense::products::Multiply
        + lanes::eigh::EighLanes
        + lanes::kernel::AssembleLanes
        + calculus::MultiplyAlone
        + calculus::Calculate
        + Compare
{
}

/// Scratch memory of the CPU backend, for each thread.
#[derive(Debug)]
pub struct Workspace<T: Scalar> {
    n: usize,
    solvers: PerThread<Solver<T>>,
    assemblies: PerThread<backward::Assembly<T>>,
}

impl<T: Scalar> Workspaces<T> for Cpu {
    type Workspace = Workspace<T>;

    fn workspace(&self, problem: &Problem) -> Result<Workspace<T>> {
        let (threads, n) = (self.workers(problem.batch), if problem.batch == 0 { 0 } else { problem.n });
        Ok(Workspace {
            n,
            solvers: PerThread::new(threads, n, || Solver::new(n))?,
            assemblies: PerThread::new(threads, n, || Ok(backward::Assembly::new(n)))?,
        })
    }

    fn serves(&self, workspace: &Workspace<T>, problem: &Problem) -> bool {
        problem.batch == 0 || workspace.n == problem.n
    }

    type Scratch = calculus::Scratch<T>;

    fn scratch(&self, problem: &Problem) -> Result<Self::Scratch> {
        calculus::Scratch::new(problem, self.workers(problem.batch))
    }

    fn scratch_serves(&self, scratch: &Self::Scratch, problem: &Problem) -> bool {
        scratch.serves(problem)
    }

    type FactorWorkspace = eigh_factor::Workspace<T>;

    fn factor_workspace(&self, problem: &FactorProblem) -> Result<eigh_factor::Workspace<T>> {
        eigh_factor::Workspace::new(self.workers(problem.matrices.batch), problem)
    }

    fn serves_factor(&self, workspace: &eigh_factor::Workspace<T>, problem: &FactorProblem) -> bool {
        workspace.serves(problem)
    }
}
