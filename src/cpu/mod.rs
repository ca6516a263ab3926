//! The CPU backend: host memory, rayon over the batch, faer for each matrix, SIMD lanes across small ones.

mod aligned;
mod assemble;
mod back_transform;
mod backward;
mod calculus;
mod columns;
mod eigh;
mod evd;
mod factor;
mod factor_backward;
mod householder;
mod lane_columns;
mod lane_cut;
mod lane_eigh;
mod lane_gauge;
mod lane_group;
mod lane_kernel;
mod lane_products;
mod lanes;
mod moves;
mod numbers;
mod pack;
mod parallel;
#[cfg(test)]
mod portable;
mod products;
mod ql;
mod range;
mod rayleigh;
mod rescale;
mod rotations;
mod transpose;
mod triangles;
mod tridiagonal;
mod vector;

use crate::options::Problem;
use crate::{
    Backend, CotangentsRef, DoubleGradientMut, EigenpairsMut, EigenpairsRef, Element, Engine, Error, FactorGradientMut,
    FactorPairsMut, FactorPairsRef, FactorProblem, FunctionRef, GradientMut, HermitianRef, MatricesMut, Of, Pod, Result, Scalar,
    SpectrumMut, Status, Stored, TangentsMut, Weights,
};
use eigh::Solver;
use parallel::PerThread;
use std::sync::Arc;
pub use triangles::Compare;

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
        vector::dispatch(Name)
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

/// The operations on a type that are compiled once, here, whatever is stored as what around them.
pub trait Kernels:
    Scalar
    + evd::Evd
    + products::Multiply
    + lane_eigh::EighLanes
    + lane_kernel::AssembleLanes
    + calculus::MultiplyAlone
    + calculus::Calculate
{
}
impl<T> Kernels for T where
    T: Scalar
        + evd::Evd
        + products::Multiply
        + lane_eigh::EighLanes
        + lane_kernel::AssembleLanes
        + calculus::MultiplyAlone
        + calculus::Calculate
{
}

/// Scratch memory of the CPU backend, for each thread.
#[derive(Debug)]
pub struct Workspace<T: Kernels> {
    n: usize,
    solvers: PerThread<Solver<T>>,
    assemblies: PerThread<assemble::Assembly<T>>,
}

impl<T: Kernels> Engine<T> for Cpu {
    type Workspace = Workspace<T>;

    fn workspace(&self, problem: &Problem) -> Result<Workspace<T>> {
        let (threads, n) = (self.threads(), if problem.batch == 0 { 0 } else { problem.n });
        Ok(Workspace {
            n,
            solvers: PerThread::new(threads, n, || Solver::new(n))?,
            assemblies: PerThread::new(threads, n, || Ok(assemble::Assembly::new(n)))?,
        })
    }

    fn serves(&self, workspace: &Workspace<T>, problem: &Problem) -> bool {
        problem.batch == 0 || workspace.n == problem.n
    }

    fn eigh<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: EigenpairsMut<'a, O, Self>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let chunk = eigh::Forward { n: problem.n, a: a.data, spectrum: out.spectrum, vectors: Some(out.vectors) };
        let solvers = &workspace.solvers;
        let grain = solvers.with(|solver| solver.width());
        let work = |solver: &mut Solver<T>, chunk: eigh::Forward<'_, I, O>| solver.decompose(problem, a.triangle, chunk);
        self.run(|| solvers.each(chunk, grain, &work));
        Ok(())
    }

    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianRef<'a, I, Self>,
        out: SpectrumMut<'a, R, Self>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let chunk = eigh::Forward { n: problem.n, a: a.data, spectrum: out, vectors: None::<&mut [T]> };
        let solvers = &workspace.solvers;
        let grain = solvers.with(|solver| solver.width());
        let work = |solver: &mut Solver<T>, chunk: eigh::Forward<'_, I, T, R>| solver.decompose(problem, a.triangle, chunk);
        self.run(|| solvers.each(chunk, grain, &work));
        Ok(())
    }

    fn backward<'a, O: Stored<T>, G: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: GradientMut<'a, G, Self>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let chunk = backward::Backward { n: problem.n, pairs, cotangents, out };
        let assemblies = &workspace.assemblies;
        let grain = assemblies.with(|assembly| assembly.width());
        let work = |assembly: &mut assemble::Assembly<T>, chunk| backward::backward(problem, chunk, assembly);
        self.run(|| assemblies.each(chunk, grain, &work));
        Ok(())
    }

    type Scratch = calculus::Scratch<T>;

    fn scratch(&self, problem: &Problem) -> Result<Self::Scratch> {
        calculus::Scratch::new(problem, self.threads())
    }

    fn scratch_serves(&self, scratch: &Self::Scratch, problem: &Problem) -> bool {
        scratch.serves(problem)
    }

    fn jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        out: TangentsMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        scratch.jvp(self, problem, pairs, a_dot, out);
        Ok(())
    }

    fn backward_jvp<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        a_dot: HermitianRef<'a, O, Self>,
        cotangents_dot: CotangentsRef<'a, O, Self>,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        scratch.backward_jvp(self, problem, pairs, cotangents, a_dot, cotangents_dot, out);
        Ok(())
    }

    fn double_backward<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        h: HermitianRef<'a, O, Self>,
        downstream: CotangentsRef<'a, O, Self>,
        out: DoubleGradientMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        scratch.double_backward(self, problem, pairs, cotangents, h, downstream, out);
        Ok(())
    }

    fn spectral<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        of: Of,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        scratch.spectral(self, problem, pairs, function, of, out);
        Ok(())
    }

    fn map<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        weights: Weights,
        e: HermitianRef<'a, O, Self>,
        scale: Option<Self::View<'a, T::Real>>,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        scratch.map(self, problem, pairs, function, weights, e, scale, out);
        Ok(())
    }

    fn trace<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        out: Self::ViewMut<'a, T::Real>,
        status: Self::ViewMut<'a, Status>,
    ) -> Result<()> {
        calculus::trace::<T, O>(self, problem, pairs, function, out, status);
        Ok(())
    }

    type FactorWorkspace = factor::Workspace<T>;

    fn factor_workspace(&self, problem: &FactorProblem) -> Result<factor::Workspace<T>> {
        factor::Workspace::new(self.threads(), problem)
    }

    fn serves_factor(&self, workspace: &factor::Workspace<T>, problem: &FactorProblem) -> bool {
        workspace.serves(problem)
    }

    fn eigh_factor<'a, I: Element<Scalar = T>, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        b: &'a [I],
        out: FactorPairsMut<'a, O, Self>,
        workspace: &mut factor::Workspace<T>,
    ) -> Result<()> {
        let (shape, solvers) = ((problem.matrices.n, problem.r), &workspace.solvers);
        let work = |solver: &mut factor::FactorSolver<T>, chunk| solver.decompose(problem, chunk);
        self.run(|| solvers.each(factor::Forward { shape, b, out }, 1, &work));
        Ok(())
    }

    fn backward_factor<'a, O: Stored<T>>(
        &self,
        problem: &FactorProblem,
        pairs: FactorPairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: FactorGradientMut<'a, O, Self>,
        workspace: &mut factor::Workspace<T>,
    ) -> Result<()> {
        let (shape, products) = ((problem.matrices.n, problem.r), &workspace.products);
        let work = |products: &mut factor_backward::Products<T>, chunk| products.backward(problem, chunk);
        self.run(|| products.each(factor_backward::Backward { shape, pairs, cotangents, out }, 1, &work));
        Ok(())
    }
}
