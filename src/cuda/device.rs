//! One GPU seen through one stream: [`Cuda`], and what all its clones share.

use super::refused;
use crate::cuda::driver::context;
use crate::cuda::driver::context::{Caller, Current};
use crate::cuda::driver::graph;
use crate::cuda::driver::handles::{Blas, SolverHandle};
use crate::cuda::driver::library;
use crate::cuda::kernel::columns::Columns;
use crate::cuda::kernel::module::Module;
use crate::cuda::kernel::on_chip::{BACKWARD, Buffers, Layout, Room};
use crate::cuda::kernel::table::{Family, Instantiation};
use crate::{Dtype, Error, Result};
use cudarc::driver::sys::{CUdevice_attribute, CUstream};
use cudarc::driver::{CudaContext, CudaStream, result};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One GPU, seen through one stream, on which all work of this backend is enqueued in order.
///
/// Clones share the stream and the library handles, as do backends made from the same stream while
/// one of them lives; all backends of a device share its compiled kernels. The handles of cuSOLVER
/// and cuBLAS, which take milliseconds and up to 32 MiB, are made for a stream when its first
/// matrix beyond the orders of our own kernels comes: another stream costs nothing before. Nothing
/// waits for the device but [`Backend::download`](crate::Backend::download),
/// [`Backend::upload`](crate::Backend::upload) and
/// [`Backend::synchronize`](crate::Backend::synchronize).
#[derive(Clone, Debug)]
pub struct Cuda {
    shared: Arc<Shared>,
    pub(super) solver: Solver,
    pub(super) workspace_limit: Option<usize>,
    pub(super) certified: bool,
}

/// Which eigensolver decomposes a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Solver {
    /// What the user's [`SolverTable`](crate::cuda::SolverTable) says. Otherwise [`Solver::OnChip`]
    /// up to n = 48. Beyond, [`Solver::Syev`], or where the library lacks it [`Solver::Jacobi`].
    /// What a routine of cuSOLVER fails on, or [`Cuda::certified`] would not pass, our solver
    /// decomposes again, on the device and up to n = 256. Beyond, what fails has a status.
    #[default]
    Auto,
    /// Our own, by Jacobi rotations: a matrix and its vectors stay in the shared memory of a
    /// multiprocessor, which holds orders up to about 165, 117, 117 and 83 in f32, complex64, f64
    /// and complex128. The bits depend neither on the batch nor on the place in it.
    OnChip,
    /// Our own, by Householder's reflections and implicit QL, with matrices in registers: n ≤ 128 in
    /// f32 and complex64, n ≤ 64 in f64 and complex128. Backward stable as LAPACK's solvers are: errors of eigenvalues are small
    /// beside ‖A‖₂, where [`Solver::OnChip`] has small eigenvalues of graded matrices right to
    /// their last digits. The bits depend neither on the batch nor on the place in it. Not yet run
    /// on a GPU.
    Ql,
    /// cuSOLVER's Jacobi rotations: `syevjBatched` and `heevjBatched`.
    Jacobi {
        /// The tolerance that the library is given; none is its own, of which 12.0.4 is 2 to 7
        /// times as fast as with ε, and no worse.
        tolerance: Option<f64>,
        /// The largest number of sweeps; a matrix of which the library says that it needs more is
        /// [`Status::NOT_CONVERGED`](crate::Status::NOT_CONVERGED). 12.0.4 does not say so of every
        /// matrix that does.
        sweeps: i32,
    },
    /// cuSOLVER's `XsyevBatched`, of CUDA 12.6 update 2 and later.
    Syev(Algorithm),
}

impl Solver {
    /// cuSOLVER's Jacobi rotations with its own tolerance and the 100 sweeps that it allows by
    /// default; 15 are the most that were seen.
    pub const JACOBI: Self = Self::Jacobi { tolerance: None, sweeps: 100 };
    /// `XsyevBatched` with its default algorithm.
    pub const SYEV: Self = Self::Syev(Algorithm::Fastest);
}

/// The algorithm that `XsyevBatched` is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// `CUSOLVER_ALG_0`: the fastest for each n.
    #[default]
    Fastest,
    /// `CUSOLVER_ALG_1`: consistent accuracy over all n; cuSOLVER 12.0.4, of CUDA 13.0, refuses it.
    Consistent,
}

/// A context and a stream in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamId {
    context: usize,
    stream: usize,
}

impl StreamId {
    fn of(stream: &CudaStream) -> Self {
        Self { context: stream.context().cu_ctx() as usize, stream: stream.cu_stream() as usize }
    }
}

/// What belongs to a device, until nothing is captured any more.
#[derive(Debug)]
struct Device {
    /// Loaded when they are first asked for.
    modules: Option<Mutex<HashMap<ModuleKey, Arc<Module>>>>,
    capability: (i32, i32),
    room: Room,
    /// None where no gradient is to be made in one kernel.
    buffers: Option<Buffers>,
    context: Arc<CudaContext>,
}

/// What is compiled at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ModuleKey {
    /// Kernels of any order, for a stored type.
    Family(Family, Dtype),
    /// A kernel of one order, for the types that its template takes.
    OnChip(&'static str, &'static [Dtype], Layout),
    /// A kernel that has columns in registers, for the types that its template takes.
    Columns(&'static str, &'static [Dtype], Columns),
}

/// What belongs to a stream, until nothing is captured any more.
#[derive(Debug)]
struct Shared {
    parts: Option<Parts>,
    device: Arc<Device>,
}

/// Fields are dropped in this order: the handles before the stream that they work on.
#[derive(Debug)]
struct Parts {
    solver: Mutex<Option<SolverHandle>>,
    blas: Mutex<Option<Blas>>,
    stream: Arc<CudaStream>,
}

/// A handle, made for its stream, while no other thread uses it.
pub(super) struct Held<'a, H>(MutexGuard<'a, Option<H>>);

impl<H> Deref for Held<'_, H> {
    type Target = H;

    fn deref(&self) -> &H {
        let Some(handle) = &*self.0 else { unreachable!("it was made") };
        handle
    }
}

impl<H> DerefMut for Held<'_, H> {
    fn deref_mut(&mut self) -> &mut H {
        let Some(handle) = &mut *self.0 else { unreachable!("it was made") };
        handle
    }
}

/// The handle of a stream, made by `make` unless it is there.
fn held<'a, H>(
    handle: &'a Mutex<Option<H>>,
    stream: &Arc<CudaStream>,
    make: impl FnOnce(&Arc<CudaStream>) -> Result<H>,
) -> Result<Held<'a, H>> {
    let mut handle = lock(handle);
    if handle.is_none() {
        let _current = context::bind(stream.context())?;
        *handle = Some(make(stream)?);
    }
    Ok(Held(handle))
}

/// CU_STREAM_PER_THREAD.
const PER_THREAD: usize = 2;

/// The devices and the streams that have a backend.
static KNOWN: Mutex<Known> = Mutex::new(Known { devices: Vec::new(), streams: Vec::new() });

/// By context, and by stream.
struct Known {
    devices: Vec<(usize, Weak<Device>)>,
    streams: Vec<(StreamId, Weak<Shared>)>,
}

impl Known {
    fn device(&mut self, context: &Arc<CudaContext>) -> Result<Arc<Device>> {
        let id = context.cu_ctx() as usize;
        self.devices.retain(|(_, device)| device.strong_count() > 0);
        let known = self.devices.iter().find(|(known, _)| *known == id).and_then(|(_, device)| device.upgrade());
        known.map_or_else(
            || {
                let device = Arc::new(Device::new(context)?);
                self.devices.push((id, Arc::downgrade(&device)));
                Ok(device)
            },
            Ok,
        )
    }

    fn stream(&mut self, stream: Arc<CudaStream>) -> Result<Arc<Shared>> {
        let id = StreamId::of(&stream);
        self.streams.retain(|(_, shared)| shared.strong_count() > 0);
        if let Some(shared) = self.streams.iter().find(|(known, _)| *known == id).and_then(|(_, shared)| shared.upgrade()) {
            return Ok(shared);
        }
        let device = self.device(stream.context())?;
        let shared = Arc::new(Shared { parts: Some(Parts { solver: Mutex::default(), blas: Mutex::default(), stream }), device });
        self.streams.push((id, Arc::downgrade(&shared)));
        Ok(shared)
    }
}

impl Cuda {
    /// The GPU of this number, on a stream of its own.
    ///
    /// # Errors
    /// [`Error::Library`] if a library or a function of it is missing, [`Error::Backend`]
    /// if there is no such device.
    pub fn new(ordinal: usize) -> Result<Self> {
        library::require()?;
        let caller = Caller::new()?;
        let context = context::of_device(ordinal)?;
        context::told(&context)?;
        // cudarc does not say which
        let calls = "one of cuCtxGetCurrent, cuCtxSetCurrent, cuCtxSynchronize and cuStreamCreate";
        let cuda = Self::from_stream(context.new_stream().map_err(|e| refused(calls, &e))?)?;
        caller.restore()?;
        Ok(cuda)
    }

    /// The GPU of a stream that exists, on that stream; not the per-thread default stream, which is
    /// another one in each thread, while memory and workspaces go from thread to thread.
    ///
    /// # Errors
    /// As [`Cuda::new`], and [`Error::Backend`] for the per-thread default stream.
    pub fn from_stream(stream: Arc<CudaStream>) -> Result<Self> {
        library::require()?;
        context::refuse_child()?;
        if stream.cu_stream().addr() == PER_THREAD {
            let reason = "it is another stream in each thread: make one by CudaContext::new_stream";
            return Err(refused("the per-thread default stream", &reason));
        }
        let shared = lock(&KNOWN).stream(stream)?;
        Ok(Self { shared, solver: Solver::Auto, workspace_limit: None, certified: false })
    }

    /// The GPU of this number, on a stream of another owner: a framework's, say, whose handle is
    /// `stream`; null is the default stream.
    ///
    /// # Safety
    /// The stream is one of the primary context of this device, and lives as long as this backend,
    /// its clones and what they made.
    ///
    /// # Errors
    /// As [`Cuda::from_stream`].
    pub unsafe fn from_raw(ordinal: usize, stream: CUstream) -> Result<Self> {
        library::require()?;
        let caller = Caller::new()?;
        let context = context::of_device(ordinal)?;
        context::told(&context)?;
        // SAFETY: the caller's.
        let cuda = Self::from_stream(unsafe { context.wrap_borrowed_stream(stream) })?;
        caller.restore()?;
        Ok(cuda)
    }

    /// Sets the eigensolver (default [`Solver::Auto`]).
    pub fn with_solver(self, solver: Solver) -> Self {
        Self { solver, ..self }
    }

    /// Sets how many bytes of device memory a workspace may take (default: a quarter of what is
    /// free when it is made). A batch that would need more is worked on in parts; a single matrix
    /// gets what it needs.
    pub fn with_workspace_limit(self, bytes: usize) -> Self {
        Self { workspace_limit: Some(bytes), ..self }
    }

    /// Measures every decomposition and makes those that exceed 100·n·ε failures (default: trusts
    /// the eigensolver). |VᴴV − I| is [`Status::NOT_ORTHONORMAL`](crate::Status::NOT_ORTHONORMAL).
    /// Trace, Frobenius norm and product with a vector, relative to ‖A‖_F, are
    /// [`Status::LARGE_RESIDUAL`](crate::Status::LARGE_RESIDUAL); without eigenvectors the first
    /// two.
    pub fn certified(self) -> Self {
        Self { certified: true, ..self }
    }

    /// What a destructor failed at in the context of this device, whichever backend's it was, if
    /// nobody was told so far. It is told once: here, or by the next call of a backend of this
    /// device.
    pub fn take_deferred_error(&self) -> Option<Error> {
        context::told(self.stream().context()).err()
    }

    /// The stream that work is enqueued on.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.shared.stream
    }

    /// The compute capability of the device.
    pub fn capability(&self) -> (i32, i32) {
        self.shared.device.capability
    }

    pub(super) fn id(&self) -> StreamId {
        StreamId::of(self.stream())
    }

    /// Makes this context the calling thread's, until what this returns is dropped.
    pub(super) fn bind(&self) -> Result<Current<'_>> {
        context::bind(self.stream().context())
    }

    /// How many bytes of device memory a workspace may take.
    pub(super) fn workspace_limit(&self) -> Result<usize> {
        let _current = self.bind()?;
        let free = || result::mem_get_info().map(|(free, _)| free / 4).map_err(|e| refused("cuMemGetInfo", &e));
        self.workspace_limit.map_or_else(free, Ok)
    }

    /// Whether memory may be used in the order of this stream.
    pub(super) fn owns(&self, stream: StreamId) -> Result<()> {
        if stream == self.id() {
            return Ok(());
        }
        Err(refused("memory of another device or stream", &"lend it by Cuda::read or Cuda::write, which order the work"))
    }

    pub(super) fn same_device(&self, context: &CudaContext) -> Result<()> {
        if *self.stream().context().as_ref() == *context {
            return Ok(());
        }
        Err(refused("a slice of another device", &format!("{}, not {}", context.ordinal(), self.stream().context().ordinal())))
    }

    pub(super) fn solver_handle(&self) -> Result<Held<'_, SolverHandle>> {
        held(&self.shared.solver, self.stream(), SolverHandle::new)
    }

    pub(super) fn blas(&self) -> Result<Held<'_, Blas>> {
        held(&self.shared.blas, self.stream(), Blas::new)
    }

    /// The kernels of a family for a stored type, compiled when they are first asked for.
    pub(super) fn module(&self, family: Family, dtype: Dtype) -> Result<Arc<Module>> {
        self.loaded(ModuleKey::Family(family, dtype), || family.of(dtype))
    }

    /// The kernel of a layout for the types that its template takes, as [`Cuda::module`].
    pub(super) fn on_chip(&self, kernel: &'static str, dtypes: &'static [Dtype], layout: Layout) -> Result<Arc<Module>> {
        self.loaded(ModuleKey::OnChip(kernel, dtypes, layout), || vec![layout.instantiation(kernel, dtypes)])
    }

    /// The kernel that has columns in registers, as [`Cuda::module`].
    pub(super) fn of_columns(&self, kernel: &'static str, dtypes: &'static [Dtype], columns: Columns) -> Result<Arc<Module>> {
        self.loaded(ModuleKey::Columns(kernel, dtypes, columns), || vec![columns.instantiation(kernel, dtypes)])
    }

    fn loaded(&self, key: ModuleKey, wanted: impl FnOnce() -> Vec<Instantiation>) -> Result<Arc<Module>> {
        let device = &self.shared.device;
        let mut known = lock(device.modules());
        if let Some(module) = known.get(&key) {
            return Ok(module.clone());
        }
        let module = Arc::new(Module::load(&device.context, &wanted(), device.capability, device.room.block)?);
        known.insert(key, module.clone());
        Ok(module)
    }

    /// How a gradient of this order goes in one kernel; none where it goes by those of larger
    /// matrices.
    pub(super) fn of_backward(&self, computed: Dtype, n: usize) -> Option<Layout> {
        Layout::new(&BACKWARD, computed, n, self.room(), self.shared.device.buffers?)
    }

    pub(super) fn room(&self) -> Room {
        self.shared.device.room
    }

    /// Bytes of shared memory that a block can have.
    pub(super) fn most_shared(&self) -> usize {
        self.room().block
    }

    pub(super) fn multiprocessors(&self) -> usize {
        self.room().multiprocessors
    }
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        let Some(parts) = &self.parts else { unreachable!("taken only when it is dropped") };
        parts
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        match Caller::of(self.stream.context()) {
            Some(_caller) => graph::drop_uncaptured(self.parts.take()),
            None => std::mem::forget(self.parts.take()),
        }
    }
}

impl Device {
    fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let _current = context::bind(context)?;
        let capability = context.compute_capability().map_err(|e| refused("cuDeviceGetAttribute", &e))?;
        let attribute = |name| {
            let value = context.attribute(name).map_err(|e| refused("cuDeviceGetAttribute", &e))?;
            Ok(usize::try_from(value).unwrap_or(0))
        };
        let room = Room {
            block: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            multiprocessor: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
            multiprocessors: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1),
        };
        let buffers = Buffers::from_environment()?;
        Ok(Self { modules: Some(Mutex::default()), capability, room, buffers, context: context.clone() })
    }

    fn modules(&self) -> &Mutex<HashMap<ModuleKey, Arc<Module>>> {
        let Some(modules) = &self.modules else { unreachable!("taken only when it is dropped") };
        modules
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        match Caller::of(&self.context) {
            Some(_caller) => graph::drop_uncaptured(self.modules.take()),
            None => std::mem::forget(self.modules.take()),
        }
    }
}

/// A lock that a panic in another thread does not spoil: what it guards is whole between calls.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
