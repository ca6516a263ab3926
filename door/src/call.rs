//! [`Call`]: shape, options and place; and the [`Job`] that it makes of them for an operation.

use crate::cache::{self, Kind};
use crate::operation::Operation;
#[cfg(all(feature = "cuda", target_os = "linux"))]
use eigengrad::cuda::Cuda;
use eigengrad::num_complex::Complex;
use eigengrad::{Array, Engine, Error, FactorPlan, HermitianBatch, Options, Plan, Pod, Read, Result, Scalar, View, ViewMut};
use std::fmt;

/// Where memory is.
pub type Address = usize;

/// A type that is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Real, 32 bits.
    F32,
    /// Real, 64 bits.
    F64,
    /// Complex, components of 32 bits.
    Complex64,
    /// Complex, components of 64 bits.
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
#[derive(Clone, Copy)]
pub struct Memory<'a>(pub &'a (dyn Fn(usize) -> Option<Address> + Sync));

impl fmt::Debug for Memory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

/// Where a batch is, and who works.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Host memory, and so many threads.
    Cpu { threads: usize },
    /// Memory of the GPU of this number, and the stream of this handle; on Linux alone.
    Cuda { ordinal: usize, stream: usize, memory: Memory<'a> },
    /// Memory and stream of this backend.
    #[cfg(all(feature = "cuda", target_os = "linux"))]
    On { cuda: &'a Cuda, memory: Memory<'a> },
}

/// A batch of n×n matrices in `T`, on a backend, and what is asked of it.
pub struct Job<'a, T: Scalar, B: Engine<T>> {
    pub plan: Plan<T, B>,
    pub backend: &'a B,
    memory: Option<Memory<'a>>,
    pub options: Options,
    pub batch: usize,
    pub n: usize,
}

/// Shape, options and place of a call.
#[derive(Clone, Copy, Debug)]
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
    pub unsafe fn run(&self, operation: impl Into<Operation>) -> Result<()> {
        self.placed(&operation.into())
    }

    /// Of no type, so that every operation is compiled into this crate.
    fn placed(&self, operation: &Operation) -> Result<()> {
        match self.place {
            Place::Cpu { threads } => self.on(&cache::cpu(threads, self.batch, self.n)?, None, operation),
            #[cfg(all(feature = "cuda", target_os = "linux"))]
            Place::On { cuda, memory } => self.on(cuda, Some(memory), operation),
            #[cfg(all(feature = "cuda", target_os = "linux"))]
            Place::Cuda { ordinal, stream, memory } => {
                // SAFETY: whoever called `Call::run` promised it.
                let cuda = unsafe { cache::cuda(ordinal, stream) }?;
                self.on(&cuda, Some(memory), operation)
            }
            #[cfg(not(all(feature = "cuda", target_os = "linux")))]
            Place::Cuda { .. } => {
                let reason = "this build has no GPUs: they are for Linux, and the feature `cuda`";
                Err(Error::Backend { backend: "cuda", reason: reason.to_owned() })
            }
        }
    }

    fn on<B>(&self, backend: &B, memory: Option<Memory<'_>>, operation: &Operation) -> Result<()>
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

    fn in_type<T: Scalar, B: Engine<T>>(&self, backend: &B, memory: Option<Memory<'_>>, operation: &Operation) -> Result<()> {
        let &Self { batch, n, options, .. } = self;
        let plan = Plan::<T, B>::new(backend, batch, n, &options)?;
        operation.run(&Job { plan, backend, memory, options, batch, n })
    }
}

impl<T: Scalar, B: Engine<T>> Job<'_, T, B> {
    pub fn view<'a, P: Pod, const D: usize>(&self, address: Address, shape: [usize; D]) -> Result<Array<P, B, D, View<'a>>> {
        // SAFETY: whoever called `Call::run` promised it.
        unsafe { Array::borrow(self.backend, address, shape) }
    }

    pub fn view_mut<'a, P: Pod, const D: usize>(
        &self,
        address: Address,
        shape: [usize; D],
    ) -> Result<Array<P, B, D, ViewMut<'a>>> {
        // SAFETY: whoever called `Call::run` promised it.
        unsafe { Array::borrow_mut(self.backend, address, shape) }
    }

    /// Matrices of which both triangles count.
    pub fn means<'a>(&self, address: Address, directions: usize) -> Result<HermitianBatch<T, B, View<'a>>> {
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
        work(&over((memory.0)(bytes).ok_or_else(none)?, bytes)?)
    }

    pub fn with_scratch(&self, work: impl FnOnce(&B::Scratch) -> Result<()>) -> Result<()> {
        // SAFETY: the memory is the call's.
        let over = |address, bytes| unsafe { self.plan.scratch_at(address, bytes) };
        self.within(Kind::Scratch, || self.plan.scratch_bytes(), over, || self.largest()?.scratch(), work)
    }

    pub fn with_workspace(&self, work: impl FnOnce(&B::Workspace) -> Result<()>) -> Result<()> {
        // SAFETY: the memory is the call's.
        let over = |address, bytes| unsafe { self.plan.workspace_at(address, bytes) };
        self.within(Kind::Workspace, || self.plan.workspace_bytes(), over, || self.largest()?.workspace(), work)
    }

    pub fn with_factors(&self, plan: &FactorPlan<T, B>, work: impl FnOnce(&B::FactorWorkspace) -> Result<()>) -> Result<()> {
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
