//! One GPU seen through one stream: [`Cuda`], and what all its clones share.

use super::refused;
use crate::cuda::driver::context;
use crate::cuda::driver::context::{Caller, Current};
use crate::cuda::driver::graph;
use crate::cuda::driver::handles::{Blas, SolverHandle};
use crate::cuda::driver::library;
use crate::cuda::kernel::derivatives;
use crate::cuda::kernel::factor;
use crate::cuda::kernel::module::{Alone, Instantiation, Kernels};
use crate::{Dtype, Element, Error, Result};
use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaStream, result};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One GPU, seen through one stream, on which all work of this backend is enqueued in order.
///
/// Clones share the stream, the library handles and the compiled kernels; so do backends made from the same stream while one of
/// them lives. Nothing waits for the device but [`Backend::download`](crate::Backend::download),
/// [`Backend::upload`](crate::Backend::upload) and [`Backend::synchronize`](crate::Backend::synchronize).
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
    /// [`Solver::OnChip`] up to n = 48. Beyond, [`Solver::Syev`], or where the library lacks it [`Solver::Jacobi`]; what fails there, or
    /// [`Cuda::certified`] would not pass, our solver decomposes again, on the device and up to
    /// n = 1024.
    #[default]
    Auto,
    /// Our own, by Jacobi rotations: a matrix and its vectors stay in the shared memory of a multiprocessor, which holds orders up to
    /// about 165, 117, 117 and 83 in f32, complex64, f64 and complex128. The bits depend neither on the batch nor on the place in it.
    OnChip,
    /// cuSOLVER's Jacobi rotations: `syevjBatched` and `heevjBatched`.
    Jacobi {
        /// The tolerance that the library is given; none is its own, of which 12.0.4 is 2 to 7 times as fast as with ε, and no worse.
        tolerance: Option<f64>,
        /// The largest number of sweeps; a matrix of which the library says that it needs more is
        /// [`Status::NOT_CONVERGED`](crate::Status::NOT_CONVERGED). 12.0.4 does not say so of every matrix that does.
        sweeps: i32,
    },
    /// cuSOLVER's `XsyevBatched`, of CUDA 12.6 update 2 and later.
    Syev(Algorithm),
}

impl Solver {
    /// cuSOLVER's Jacobi rotations with its own tolerance and the 100 sweeps that it allows by default; 15 are the most that were seen.
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

/// What belongs to a stream, until nothing is captured any more.
#[derive(Debug)]
struct Shared(Option<Parts>);

/// Fields are dropped in this order: the handles before the stream that they work on.
#[derive(Debug)]
struct Parts {
    solver: Mutex<SolverHandle>,
    blas: Mutex<Blas>,
    kernels: Mutex<HashMap<Dtype, Arc<Kernels>>>,
    calculus: Mutex<HashMap<Dtype, Arc<derivatives::Kernels>>>,
    factor: Mutex<HashMap<Dtype, Arc<factor::Kernels>>>,
    alone: Mutex<HashMap<Instantiation, Arc<Alone>>>,
    capability: (i32, i32),
    most_shared: usize,
    multiprocessors: usize,
    stream: Arc<CudaStream>,
}

/// CU_STREAM_PER_THREAD.
const PER_THREAD: usize = 2;

/// The streams that have a backend. A handle takes up to 32 MiB of the device and milliseconds to make.
static STREAMS: Mutex<Vec<(StreamId, Weak<Shared>)>> = Mutex::new(Vec::new());

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
        let calls = "one of cuCtxGetCurrent, cuCtxSetCurrent, cuCtxSynchronize and cuStreamCreate"; // cudarc does not say which
        let cuda = Self::from_stream(context.new_stream().map_err(|e| refused(calls, &e))?)?;
        caller.restore()?;
        Ok(cuda)
    }

    /// The GPU of a stream that exists, on that stream; not the per-thread default stream, which is another one in each thread, while memory
    /// and workspaces go from thread to thread.
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
        let id = StreamId::of(&stream);
        let mut streams = lock(&STREAMS);
        streams.retain(|(_, shared)| shared.strong_count() > 0);
        let known = streams.iter().find(|(known, _)| *known == id).and_then(|(_, shared)| shared.upgrade());
        let shared = match known {
            Some(shared) => shared,
            None => {
                let shared = Arc::new(Shared::new(stream)?);
                streams.push((id, Arc::downgrade(&shared)));
                shared
            }
        };
        Ok(Self { shared, solver: Solver::Auto, workspace_limit: None, certified: false })
    }

    /// Sets the eigensolver (default [`Solver::Auto`]).
    pub fn with_solver(self, solver: Solver) -> Self {
        Self { solver, ..self }
    }

    /// Sets how many bytes of device memory a workspace may take (default: a quarter of what is free when it is made). A batch that
    /// would need more is worked on in parts; a single matrix gets what it needs.
    pub fn with_workspace_limit(self, bytes: usize) -> Self {
        Self { workspace_limit: Some(bytes), ..self }
    }

    /// Measures every decomposition and makes those that exceed 100·n·ε failures (default: trusts the eigensolver). |VᴴV − I| is
    /// [`Status::NOT_ORTHONORMAL`](crate::Status::NOT_ORTHONORMAL). Trace, Frobenius norm and product with a vector, relative to ‖A‖_F, are
    /// [`Status::LARGE_RESIDUAL`](crate::Status::LARGE_RESIDUAL); without eigenvectors the first two.
    pub fn certified(self) -> Self {
        Self { certified: true, ..self }
    }

    /// What a destructor failed at in the context of this device, whichever backend's it was, if nobody was told so far. It is told once:
    /// here, or by the next call of a backend of this device.
    pub fn take_deferred_error(&self) -> Option<Error> {
        context::told(self.stream().context()).err()
    }

    /// The stream that work is enqueued on.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.shared.stream
    }

    /// The compute capability of the device.
    pub fn capability(&self) -> (i32, i32) {
        self.shared.capability
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

    pub(super) fn solver_handle(&self) -> MutexGuard<'_, SolverHandle> {
        lock(&self.shared.solver)
    }

    pub(super) fn blas(&self) -> MutexGuard<'_, Blas> {
        lock(&self.shared.blas)
    }

    /// The kernels for numbers stored as `E`, compiled when they are first asked for.
    pub(super) fn kernels<E: Element>(&self) -> Result<Arc<Kernels>> {
        let mut known = lock(&self.shared.kernels);
        if let Some(kernels) = known.get(&E::DTYPE) {
            return Ok(kernels.clone());
        }
        let kernels = Arc::new(Kernels::load(self.stream().context(), E::DTYPE, self.capability(), self.most_shared())?);
        known.insert(E::DTYPE, kernels.clone());
        Ok(kernels)
    }

    /// As [`Cuda::kernels`], those of derivatives beyond the gradient and of functions of the spectrum.
    pub(super) fn calculus<E: Element>(&self) -> Result<Arc<derivatives::Kernels>> {
        let mut known = lock(&self.shared.calculus);
        if let Some(kernels) = known.get(&E::DTYPE) {
            return Ok(kernels.clone());
        }
        let kernels = Arc::new(derivatives::Kernels::load(self.stream().context(), E::DTYPE, self.capability())?);
        known.insert(E::DTYPE, kernels.clone());
        Ok(kernels)
    }

    /// As [`Cuda::kernels`], those of factors.
    pub(super) fn factor<E: Element>(&self) -> Result<Arc<factor::Kernels>> {
        let mut known = lock(&self.shared.factor);
        if let Some(kernels) = known.get(&E::DTYPE) {
            return Ok(kernels.clone());
        }
        let kernels = Arc::new(factor::Kernels::load(self.stream().context(), E::DTYPE, self.capability())?);
        known.insert(E::DTYPE, kernels.clone());
        Ok(kernels)
    }

    /// A kernel that has a module of its own, compiled when it is first asked for.
    pub(super) fn alone(&self, wanted: Instantiation) -> Result<Arc<Alone>> {
        let mut known = lock(&self.shared.alone);
        if let Some(kernel) = known.get(&wanted) {
            return Ok(kernel.clone());
        }
        let kernel = Arc::new(Alone::load(self.stream().context(), &wanted, self.capability())?);
        known.insert(wanted, kernel.clone());
        Ok(kernel)
    }

    /// Bytes of shared memory that a block can have.
    pub(super) fn most_shared(&self) -> usize {
        self.shared.most_shared
    }

    pub(super) fn multiprocessors(&self) -> usize {
        self.shared.multiprocessors
    }
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        let Some(parts) = &self.0 else { unreachable!("taken only when it is dropped") };
        parts
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        match Caller::of(self.stream.context()) {
            Some(_caller) => graph::drop_uncaptured(self.0.take()),
            None => std::mem::forget(self.0.take()),
        }
    }
}

impl Shared {
    fn new(stream: Arc<CudaStream>) -> Result<Self> {
        let context = &stream.context().clone();
        let current = context::bind(context)?;
        let capability = context.compute_capability().map_err(|e| refused("cuDeviceGetAttribute", &e))?;
        let attribute = |name| {
            let value = context.attribute(name).map_err(|e| refused("cuDeviceGetAttribute", &e))?;
            Ok(usize::try_from(value).unwrap_or(0))
        };
        let most_shared = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let multiprocessors = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.max(1);
        let (solver, blas) = (SolverHandle::new(&stream)?, Blas::new(&stream)?);
        drop(current);
        Ok(Self(Some(Parts {
            solver: Mutex::new(solver),
            blas: Mutex::new(blas),
            kernels: Mutex::default(),
            calculus: Mutex::default(),
            factor: Mutex::default(),
            alone: Mutex::default(),
            capability,
            most_shared,
            multiprocessors,
            stream,
        })))
    }
}

/// A lock that a panic in another thread does not spoil: what it guards is whole between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
