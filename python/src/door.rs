//! Operations on memory of another owner, by address: one struct for each, for every type that is
//! computed in.
//!
//! Whoever fills one in and calls [`Call::run`] promises: at each address there is memory of the
//! shape and type said beside it, of the backend; nobody writes it during the call, and nobody else
//! reads what is written. An address that is 0 stands for what is absent.
//!
//! That promise is why [`Job::view`] and [`Job::view_mut`] are right; a [`Job`] is made by nothing
//! else, and lives no longer than the call.

use crate::cache::{self, Kind};
use eigengrad::num_complex::Complex;
use eigengrad::{
    Array, Cotangents, Derivative, DoubleGradient, Eigenpairs, Engine, Error, FactorBatch, FactorGradient, FactorPlan, Function,
    Gradient, HermitianBatch, HermitianResult, Options, Plan, Pod, Read, Result, Scalar, SchurMultiplier, Spectral, Spectrum,
    Tangents, View, ViewMut, fidelity,
};

/// Where memory is.
pub type Address = usize;

/// A type that is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    F32,
    F64,
    Complex64,
    Complex128,
}

impl Dtype {
    /// Bytes of a real number beside numbers of this type.
    pub fn real_size(self) -> usize {
        match self {
            Self::F32 | Self::Complex64 => 4,
            Self::F64 | Self::Complex128 => 8,
        }
    }
}

/// Memory of a device to work in, so many bytes at a multiple of 256: nobody else uses it until
/// what the call enqueued has run. None if there is none.
pub type Memory<'a> = &'a (dyn Fn(usize) -> Option<Address> + Sync);

/// Where a batch is, and who works.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// Host memory, and so many threads.
    Cpu { threads: usize },
    /// Memory of the GPU of this number, and the stream of this handle; on Linux alone.
    Cuda { ordinal: usize, stream: usize, memory: Memory<'a> },
}

/// A batch of n×n matrices in `T`, on a backend, and what is asked of it.
pub struct Job<'a, T: Scalar, B: Engine<T>> {
    plan: Plan<T, B>,
    backend: &'a B,
    memory: Option<Memory<'a>>,
    options: Options,
    batch: usize,
    n: usize,
}

/// What is done with a batch.
pub trait Operation {
    /// Does it.
    ///
    /// # Errors
    /// The library's.
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()>;
}

/// Shape, options and place of a call.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub dtype: Dtype,
    pub batch: usize,
    pub n: usize,
    pub options: Options,
    pub place: Place<'a>,
}

impl Call<'_> {
    /// Does the work of an operation, or has it enqueued.
    ///
    /// # Safety
    /// As the module says. A stream is one of the primary context of its device, and lives as long
    /// as the process; what a device is to read was enqueued on it before.
    ///
    /// # Errors
    /// The library's.
    pub unsafe fn run(&self, operation: impl Operation) -> Result<()> {
        match self.place {
            Place::Cpu { threads } => self.on(&cache::cpu(threads, self.batch, self.n)?, None, operation),
            #[cfg(target_os = "linux")]
            Place::Cuda { ordinal, stream, memory } => {
                // SAFETY: the caller's.
                let cuda = unsafe { cache::cuda(ordinal, stream) }?;
                self.on(&cuda, Some(memory), operation)
            }
            #[cfg(not(target_os = "linux"))]
            Place::Cuda { .. } => Err(Error::Backend { backend: "cuda", reason: "it is for Linux".to_owned() }),
        }
    }

    fn on<B>(&self, backend: &B, memory: Option<Memory<'_>>, operation: impl Operation) -> Result<()>
    where
        B: Engine<f32> + Engine<f64> + Engine<Complex<f32>> + Engine<Complex<f64>>,
    {
        match self.dtype {
            Dtype::F32 => self.in_type::<f32, B>(backend, memory, operation),
            Dtype::F64 => self.in_type::<f64, B>(backend, memory, operation),
            Dtype::Complex64 => self.in_type::<Complex<f32>, B>(backend, memory, operation),
            Dtype::Complex128 => self.in_type::<Complex<f64>, B>(backend, memory, operation),
        }
    }

    fn in_type<T: Scalar, B: Engine<T>>(&self, backend: &B, memory: Option<Memory<'_>>, operation: impl Operation) -> Result<()> {
        let &Self { batch, n, options, .. } = self;
        let plan = Plan::<T, B>::new(backend, batch, n, &options)?;
        operation.run(&Job { plan, backend, memory, options, batch, n })
    }
}

impl<T: Scalar, B: Engine<T>> Job<'_, T, B> {
    fn view<'a, P: Pod, const D: usize>(&self, address: Address, shape: [usize; D]) -> Result<Array<P, B, D, View<'a>>> {
        // SAFETY: whoever called `Call::run` promised it.
        unsafe { Array::borrow(self.backend, address, shape) }
    }

    fn view_mut<'a, P: Pod, const D: usize>(&self, address: Address, shape: [usize; D]) -> Result<Array<P, B, D, ViewMut<'a>>> {
        // SAFETY: whoever called `Call::run` promised it.
        unsafe { Array::borrow_mut(self.backend, address, shape) }
    }

    /// Matrices of which both triangles count.
    fn means<'a>(&self, address: Address, directions: usize) -> Result<HermitianBatch<T, B, View<'a>>> {
        let data = self.view(address, [directions * self.batch, self.n, self.n])?;
        HermitianBatch::of_view(self.backend, data, Read::Mean)
    }

    /// Works in memory that is lent; without a lender, in what earlier calls left behind, which
    /// serves any batch of this order.
    fn within<W: 'static>(
        &self,
        kind: Kind,
        bytes: impl FnOnce() -> Result<usize>,
        over: impl FnOnce(Address, usize) -> Result<W>,
        make: impl FnOnce() -> Result<W>,
        work: impl FnOnce(&W) -> Result<()>,
    ) -> Result<()> {
        let Some(memory) = self.memory else { return cache::with(kind, self.n, self.threads(), make, work) };
        let bytes = bytes()?;
        let none = || Error::Backend { backend: B::NAME, reason: format!("there are no {bytes} bytes of its memory") };
        work(&over(memory(bytes).ok_or_else(none)?, bytes)?)
    }

    fn with_scratch(&self, work: impl FnOnce(&B::Scratch) -> Result<()>) -> Result<()> {
        // SAFETY: the memory is the call's.
        let over = |address, bytes| unsafe { self.plan.scratch_at(address, bytes) };
        self.within(Kind::Scratch, || self.plan.scratch_bytes(), over, || self.largest()?.scratch(), work)
    }

    fn with_workspace(&self, work: impl FnOnce(&B::Workspace) -> Result<()>) -> Result<()> {
        // SAFETY: the memory is the call's.
        let over = |address, bytes| unsafe { self.plan.workspace_at(address, bytes) };
        self.within(Kind::Workspace, || self.plan.workspace_bytes(), over, || self.largest()?.workspace(), work)
    }

    fn with_factors(&self, plan: &FactorPlan<T, B>, work: impl FnOnce(&B::FactorWorkspace) -> Result<()>) -> Result<()> {
        let (batch, n, r) = (self.batch.max(self.threads()), self.n, plan.r());
        let make = || FactorPlan::<T, B>::new(self.backend, batch, n, r, &self.options)?.workspace();
        // SAFETY: the memory is the call's.
        let over = |address, bytes| unsafe { plan.workspace_at(address, bytes) };
        self.within(Kind::Factors(r), || plan.workspace_bytes(), over, make, work)
    }

    /// The plan of a batch that keeps every thread busy.
    fn largest(&self) -> Result<Plan<T, B>> {
        Plan::new(self.backend, self.batch.max(self.threads()), self.n, &self.options)
    }

    fn threads(&self) -> usize {
        self.backend.host().threads()
    }
}

/// Where λ `[batch, n]` and what the cut made of it are written: kept `[batch, n]`, rank, status
/// and both gaps `[batch]`.
#[derive(Clone, Copy, Debug)]
pub struct SpectrumAt {
    pub values: Address,
    pub kept: Address,
    pub rank: Address,
    pub status: Address,
    pub gap_kept: Address,
    pub gap_dropped: Address,
}

impl SpectrumAt {
    /// Of `count` eigenvalues a matrix.
    fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>, count: usize) -> Result<Spectrum<T::Real, B, ViewMut<'a>>> {
        let batch = job.batch;
        Ok(Spectrum {
            values: job.view_mut(self.values, [batch, count])?,
            kept: job.view_mut(self.kept, [batch, count])?,
            rank: job.view_mut(self.rank, [batch])?,
            gap_kept: job.view_mut(self.gap_kept, [batch])?,
            gap_dropped: job.view_mut(self.gap_dropped, [batch])?,
            status: job.view_mut(self.status, [batch])?,
        })
    }
}

/// A `[batch, n, n]` ↦ λ, and V `[batch, k, i]` unless that is absent.
#[derive(Clone, Copy, Debug)]
pub struct Eigh {
    pub a: Address,
    pub read: Read,
    pub spectrum: SpectrumAt,
    pub vectors: Address,
    pub with_vectors: bool,
}

impl Operation for Eigh {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (&Job { batch, n, .. }, spectrum) = (job, self.spectrum.of(job, job.n)?);
        let a = job.view::<T, 3>(self.a, [batch, n, n])?;
        let a = HermitianBatch::of_view(job.backend, a, self.read)?;
        if !self.with_vectors {
            return job.with_workspace(|workspace| job.plan.eigvalsh_into(a, spectrum, workspace));
        }
        let vectors = job.view_mut::<T, 3>(self.vectors, [batch, n, n])?;
        let out = job.plan.eigenpairs_of(spectrum, vectors)?;
        job.with_workspace(|workspace| job.plan.eigh_into(a, out, workspace))
    }
}

/// Eigenpairs that were made before: λ, kept `[batch, n]`, status `[batch]`, V `[batch, k, i]`.
#[derive(Clone, Copy, Debug)]
pub struct PairsAt {
    pub values: Address,
    pub kept: Address,
    pub status: Address,
    pub vectors: Address,
}

impl PairsAt {
    fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<Eigenpairs<T, B, View<'a>>> {
        let &Job { batch, n, .. } = job;
        job.plan.eigenpairs_view(
            job.view(self.values, [batch, n])?,
            job.view(self.kept, [batch, n])?,
            job.view(self.status, [batch])?,
            job.view(self.vectors, [batch, n, n])?,
        )
    }
}

/// Cotangents, each of which may be absent: λ̄ `[directions·batch, n]` and V̄, one vector after the
/// other, `[directions·batch, k, i]`, or by rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct CotangentsAt {
    pub values: Address,
    pub vectors: Address,
    pub rows: bool,
}

impl CotangentsAt {
    fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>, directions: usize) -> Result<Cotangents<T, B, View<'a>>> {
        self.of_pairs(job, directions, job.n)
    }

    /// Of so many pairs a matrix.
    fn of_pairs<'a, T: Scalar, B: Engine<T>>(
        self,
        job: &Job<'_, T, B>,
        directions: usize,
        pairs: usize,
    ) -> Result<Cotangents<T, B, View<'a>>> {
        let (count, n) = (directions * job.batch, job.n);
        let shape = if self.rows { [count, n, pairs] } else { [count, pairs, n] };
        let present = |address: Address| (address != 0).then_some(address);
        let values = present(self.values).map(|at| job.view(at, [count, pairs])).transpose()?;
        let vectors = present(self.vectors).map(|at| job.view(at, shape)).transpose()?;
        Ok(if self.rows { Cotangents::from_rows(values, vectors) } else { Cotangents::from_columns(values, vectors) })
    }
}

/// (λ̄, V̄) ↦ Ā `[directions·batch, n, n]`, ρ `[directions·batch, n]`, the tie defect and the status
/// `[directions·batch]`.
#[derive(Clone, Copy, Debug)]
pub struct Backward {
    pub pairs: PairsAt,
    pub directions: usize,
    pub cotangents: CotangentsAt,
    pub a_bar: Address,
    pub gauge_defect: Address,
    pub tie_defect: Address,
    pub status: Address,
}

impl Operation for Backward {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (count, n) = (self.directions * job.batch, job.n);
        let out = Gradient::<T, B, ViewMut<'_>> {
            a_bar: job.view_mut(self.a_bar, [count, n, n])?,
            gauge_defect: job.view_mut(self.gauge_defect, [count, n])?,
            tie_defect: job.view_mut(self.tie_defect, [count])?,
            status: job.view_mut(self.status, [count])?,
        };
        let (pairs, cotangents) = (self.pairs.of(job)?, self.cotangents.of(job, self.directions)?);
        job.with_workspace(|workspace| job.plan.backward_into(pairs, cotangents, out, workspace))
    }
}

/// (Ȧ) ↦ λ̇ `[directions·batch, n]`, V̇ `[directions·batch, k, i]` and statuses.
#[derive(Clone, Copy, Debug)]
pub struct Jvp {
    pub pairs: PairsAt,
    pub directions: usize,
    pub a_dot: Address,
    pub values: Address,
    pub vectors: Address,
    pub status: Address,
}

impl Operation for Jvp {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (count, n) = (self.directions * job.batch, job.n);
        let out = Tangents::<T, B, ViewMut<'_>> {
            values: job.view_mut(self.values, [count, n])?,
            vectors: job.view_mut(self.vectors, [count, n, n])?,
            status: job.view_mut(self.status, [count])?,
        };
        let (pairs, a_dot) = (self.pairs.of(job)?, job.means(self.a_dot, self.directions)?);
        job.with_scratch(|scratch| job.plan.jvp_into(pairs, a_dot, out, scratch))
    }
}

/// The transpose of the backward pass: (λ̄, V̄, H) ↦ the cotangents of A, λ̄ and V̄.
#[derive(Clone, Copy, Debug)]
pub struct DoubleBackward {
    pub pairs: PairsAt,
    pub directions: usize,
    pub cotangents: CotangentsAt,
    pub h: Address,
    pub a_bar: Address,
    pub values_bar_bar: Address,
    pub vectors_bar_bar: Address,
    pub status: Address,
}

impl Operation for DoubleBackward {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (count, n) = (self.directions * job.batch, job.n);
        let out = DoubleGradient::<T, B, ViewMut<'_>> {
            a_bar: job.view_mut(self.a_bar, [count, n, n])?,
            values_bar_bar: job.view_mut(self.values_bar_bar, [count, n])?,
            vectors_bar_bar: job.view_mut(self.vectors_bar_bar, [count, n, n])?,
            status: job.view_mut(self.status, [count])?,
        };
        let (pairs, cotangents, h) =
            (self.pairs.of(job)?, self.cotangents.of(job, self.directions)?, job.means(self.h, self.directions)?);
        let downstream = Cotangents::from_columns(None, None);
        job.with_scratch(|scratch| job.plan.double_backward_into(pairs, cotangents, h, downstream, out, scratch))
    }
}

/// The tangent of Ā along Ȧ, λ̄̇ and V̄̇, `[batch, n, n]`, and statuses.
#[derive(Clone, Copy, Debug)]
pub struct BackwardJvp {
    pub pairs: PairsAt,
    pub cotangents: CotangentsAt,
    pub a_dot: Address,
    pub cotangents_dot: CotangentsAt,
    pub out: ResultAt,
}

/// Hermitian matrices `[batch, n, n]` and statuses `[batch]` that are written.
#[derive(Clone, Copy, Debug)]
pub struct ResultAt {
    pub data: Address,
    pub status: Address,
}

impl ResultAt {
    fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<HermitianResult<T, B, ViewMut<'a>>> {
        let &Job { batch, n, .. } = job;
        Ok(HermitianResult { data: job.view_mut(self.data, [batch, n, n])?, status: job.view_mut(self.status, [batch])? })
    }
}

impl Operation for BackwardJvp {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (pairs, a_dot, out) = (self.pairs.of(job)?, job.means(self.a_dot, 1)?, self.out.of(job)?);
        let (bar, bar_dot) = (self.cotangents.of(job, 1)?, self.cotangents_dot.of(job, 1)?);
        job.with_scratch(|scratch| job.plan.backward_jvp_into(pairs, bar, a_dot, bar_dot, out, scratch))
    }
}

/// A function of eigenvalues: by name, or by f(λ) and f′(λ), `[batch, n]`.
#[derive(Clone, Copy, Debug)]
pub enum FunctionAt {
    Named(Function),
    Given { values: Address, slopes: Address },
}

impl FunctionAt {
    fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<Spectral<T, B, View<'a>>> {
        let shape = [job.batch, job.n];
        Ok(match self {
            Self::Named(function) => Spectral::Named(function),
            Self::Given { values, slopes } => {
                Spectral::Given { values: job.view(values, shape)?, slopes: job.view(slopes, shape)? }
            }
        })
    }
}

/// V_K f(Λ_K) V_Kᴴ, or with f′.
#[derive(Clone, Copy, Debug)]
pub struct SpectralOf {
    pub pairs: PairsAt,
    pub function: FunctionAt,
    pub derivative: Derivative,
    pub out: ResultAt,
}

impl Operation for SpectralOf {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (pairs, out) = (self.pairs.of(job)?, self.out.of(job)?);
        let function = self.function.of(job)?;
        job.with_scratch(|scratch| job.plan.spectral_into(pairs, function, self.derivative, out, scratch))
    }
}

/// The derivative of f(A) applied to E `[batch, n, n]`, which is its own adjoint.
#[derive(Clone, Copy, Debug)]
pub struct SpectralDerivative {
    pub pairs: PairsAt,
    pub function: FunctionAt,
    pub e: Address,
    pub out: ResultAt,
}

impl Operation for SpectralDerivative {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (pairs, e, out) = (self.pairs.of(job)?, job.means(self.e, 1)?, self.out.of(job)?);
        let (function, divided) = (self.function.of(job)?, SchurMultiplier::Divided);
        job.with_scratch(|scratch| job.plan.map_into(pairs, function, divided, e, None, out, scratch))
    }
}

/// tr f(A) and statuses, `[batch]`.
#[derive(Clone, Copy, Debug)]
pub struct TraceOf {
    pub pairs: PairsAt,
    pub function: FunctionAt,
    pub trace: Address,
    pub status: Address,
}

impl Operation for TraceOf {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let batch = job.batch;
        let (pairs, trace, status) =
            (self.pairs.of(job)?, job.view_mut(self.trace, [batch])?, job.view_mut(self.status, [batch])?);
        job.plan.trace_into(pairs, self.function.of(job)?, trace, status)
    }
}

/// B `[batch, k, i]`, r columns of n components, ↦ the r eigenpairs of B Bᴴ: λ and what the cut
/// makes of it, V `[batch, k, i]`, S `[batch, c, k]`.
#[derive(Clone, Copy, Debug)]
pub struct EighFactor {
    pub b: Address,
    pub r: usize,
    pub spectrum: SpectrumAt,
    pub vectors: Address,
    pub projection: Address,
}

impl Operation for EighFactor {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (&Job { batch, n, .. }, r) = (job, self.r);
        let plan = FactorPlan::<T, B>::new(job.backend, batch, n, r, &job.options)?;
        let b = FactorBatch::from_columns(job.view::<T, 3>(self.b, [batch, r, n])?)?;
        let (vectors, projection) = (job.view_mut(self.vectors, [batch, r, n])?, job.view_mut(self.projection, [batch, r, r])?);
        let out = plan.pairs_of::<T, _>(self.spectrum.of(job, r)?, vectors, projection)?;
        job.with_factors(&plan, |workspace| plan.eigh_into(b, out, workspace))
    }
}

/// (λ̄, V̄) of those pairs ↦ B̄ `[batch, k, i]`, ρ `[batch, r]`, the tie defect and the status
/// `[batch]`.
#[derive(Clone, Copy, Debug)]
pub struct BackwardFactor {
    pub pairs: PairsAt,
    pub projection: Address,
    pub r: usize,
    pub cotangents: CotangentsAt,
    pub b_bar: Address,
    pub gauge_defect: Address,
    pub tie_defect: Address,
    pub status: Address,
}

impl Operation for BackwardFactor {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (&Job { batch, n, .. }, r, at) = (job, self.r, self.pairs);
        let plan = FactorPlan::<T, B>::new(job.backend, batch, n, r, &job.options)?;
        let (values, kept, status) =
            (job.view(at.values, [batch, r])?, job.view(at.kept, [batch, r])?, job.view(at.status, [batch])?);
        let (vectors, projection) = (job.view(at.vectors, [batch, r, n])?, job.view(self.projection, [batch, r, r])?);
        let pairs = plan.pairs_view::<T>(values, kept, status, vectors, projection)?;
        let out = FactorGradient::<T, B, ViewMut<'_>> {
            b_bar: job.view_mut(self.b_bar, [batch, r, n])?,
            gauge_defect: job.view_mut(self.gauge_defect, [batch, r])?,
            tie_defect: job.view_mut(self.tie_defect, [batch])?,
            status: job.view_mut(self.status, [batch])?,
        };
        let cotangents = self.cotangents.of_pairs(job, 1, r)?;
        job.with_factors(&plan, |workspace| plan.backward_into(pairs, cotangents, out, workspace))
    }
}

/// A and B `[batch, n, n]` ↦ the root of their fidelity and the status `[batch]`, and the gradients
/// of the fidelity by both.
#[derive(Clone, Copy, Debug)]
pub struct FidelityOf {
    pub a: Address,
    pub b: Address,
    pub read: Read,
    pub root: Address,
    pub status: Address,
    pub a_bar: Address,
    pub b_bar: Address,
}

impl Operation for FidelityOf {
    fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let &Job { backend, batch, n, .. } = job;
        // The library owns its operands: it scales them on the host.
        let state = |address| {
            let host = backend.download(job.view::<T, 3>(address, [batch, n, n])?.memory())?;
            HermitianBatch::of(Array::from_host(backend, host, [batch, n, n])?, self.read)
        };
        let found = fidelity(&state(self.a)?, &state(self.b)?, &job.options)?;
        job.view_mut::<T::Real, 1>(self.root, [batch])?
            .copy_from_host(backend, &backend.download(found.root.view().memory())?)?;
        job.view_mut(self.status, [batch])?.copy_from_host(backend, &backend.download(found.status.view().memory())?)?;
        for (gradient, at) in [(found.a_bar, self.a_bar), (found.b_bar, self.b_bar)] {
            let host = backend.download(gradient.data.view().memory())?;
            job.view_mut::<T, 3>(at, [batch, n, n])?.copy_from_host(backend, &host)?;
        }
        Ok(())
    }
}
