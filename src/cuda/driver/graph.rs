//! Work that is recorded once and enqueued again by one call: [`Graph`].

use crate::cuda::device::Cuda;
use crate::cuda::driver::context;
use crate::cuda::memory::allocation;
use crate::cuda::refused;
use crate::{Backend, Error, Result};
use cudarc::driver::result::{graph, stream};
use cudarc::driver::sys::{CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUstreamCaptureMode, CUstreamCaptureStatus};
use cudarc::driver::{CudaContext, CudaStream};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a closure enqueued, to be enqueued again as a whole, without the host's part in it: a CUDA
/// graph.
///
/// ```no_run
/// # use eigengrad::{Array, Cotangents, HermitianBatch, Options, Plan, Triangle, cuda::Cuda};
/// # fn main() -> eigengrad::Result<()> {
/// let cuda = Cuda::new(0)?;
/// let plan = Plan::<f32, Cuda>::new(&cuda, 1000, 8, &Options::default())?;
/// let (workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<f32>()?, plan.gradient::<f32>()?);
/// let (a, v_bar) = (Array::zeros(&cuda, [1000, 8, 8])?, Array::zeros(&cuda, [1000, 8, 8])?);
/// let mut graph = cuda.capture(|| {
///     plan.eigh_into(HermitianBatch::of_view(a.backend(), a.view(), Triangle::Lower)?, pairs.view_mut(), &workspace)?;
///     // a kernel that makes V̄ of V goes here
///     let cotangents = Cotangents::from_columns(None, Some(v_bar.view()));
///     plan.backward_into(pairs.view(), cotangents, gradient.view_mut(), &workspace)
/// })?;
/// for _ in 1..100 {
///     // SAFETY: all that the graph works on lives until the end of this block.
///     unsafe { graph.replay() }?;
/// }
/// gradient.to_host()?.check()
/// # }
/// ```
#[derive(Debug)]
pub struct Graph {
    executable: CUgraphExec,
    /// Keeps the stream, the libraries' handles and the kernels live.
    cuda: Cuda,
}

// SAFETY: a graph may be used from any thread, one at a time: all but destruction takes `&mut`.
unsafe impl Send for Graph {}

impl Cuda {
    /// Runs `work`, and then runs it once more to record what it enqueues on this stream, which
    /// does not happen that time.
    ///
    /// The first run is for what cannot be recorded: kernels are compiled and loaded, and the
    /// libraries allocate what they need. In both `work` has to enqueue the same and nothing else:
    /// to allocate, to free, to wait, and thus to upload and to download, is refused while it is
    /// recorded. Numbers that kernels are given by value stay those of the recording; memory stays
    /// where it is, and what it holds may change. Other threads may not wait for the whole device
    /// meanwhile, as cudarc does when it makes the first stream of a `CudaContext` (backends of
    /// [`Cuda::new`] share one); what they enqueue on this stream is recorded too. Backends whose
    /// last clone is dropped meanwhile are kept until nothing is recorded, since cuBLAS waits for
    /// the device in the end.
    ///
    /// [`Plan::backward_into`](crate::Plan::backward_into) can be recorded. Of
    /// [`Plan::eigh_into`](crate::Plan::eigh_into) cuSOLVER does not promise it. Memory that
    /// [`Cuda::read`] and [`Cuda::write`] lend cannot take part, since it is ordered by events.
    ///
    /// # Errors
    /// What `work` returns, and where it failed only while it was recorded also that;
    /// [`Error::Backend`] for the default stream, which cannot be recorded. The stream is as it was
    /// before.
    pub fn capture(&self, mut work: impl FnMut() -> Result<()>) -> Result<Graph> {
        if self.stream().cu_stream().addr() <= LEGACY {
            return Err(refused(
                "capture",
                &"the default stream cannot be captured, one of Cuda::new or CudaContext::new_stream can",
            ));
        }
        work()?;
        self.synchronize()?;
        let recording = Recording::begin(self)?;
        let done = work();
        let recorded = recording.end();
        done.and(recorded).map_err(not_captured)?.instantiate(self)
    }
}

impl Graph {
    /// Enqueues the recorded work on the stream that it was recorded from.
    ///
    /// # Safety
    /// The device memory that the recorded work uses, workspaces among it, has been neither freed
    /// nor given away since it was recorded, nor have kernels of the caller's been unloaded; who
    /// else uses any of it is ordered with this stream.
    ///
    /// # Errors
    /// [`Error::Backend`] if the driver refuses.
    pub unsafe fn replay(&mut self) -> Result<()> {
        let _current = self.cuda.bind()?;
        // SAFETY: the graph and the stream are live, and of one context; the rest is the caller's.
        let launched = unsafe { graph::launch(self.executable, self.cuda.stream().cu_stream()) };
        launched.map_err(|e| refused("cuGraphLaunch", &e))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let context = self.cuda.stream().context();
        let Some(_current) = context::bind_to_free(context) else { return };
        // SAFETY: the only owner destroys it, once; the driver lets launched graphs finish.
        context::tell_later(context, "cuGraphExecDestroy", unsafe { graph::exec_destroy(self.executable) });
    }
}

/// CU_STREAM_LEGACY, which null is another name of.
const LEGACY: usize = 1;

/// An error of work that runs where it is not recorded.
fn not_captured(error: Error) -> Error {
    match error {
        Error::Backend { backend, reason } => {
            Error::Backend { backend, reason: format!("runs, but cannot be captured into a graph: {reason}") }
        }
        other => other,
    }
}

/// Whether the work of a stream, whose context is current, is being recorded.
pub(in crate::cuda) fn is_captured(stream: &CudaStream) -> Result<bool> {
    // SAFETY: the stream is live and its context current.
    let status = unsafe { stream::is_capturing(stream.cu_stream()) }.map_err(|e| refused("cuStreamIsCapturing", &e))?;
    Ok(status != CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
}

/// How many streams are captured, and what was dropped meanwhile.
#[derive(Debug)]
struct Captures {
    going: usize,
    kept: Vec<Box<dyn Kept>>,
}

trait Kept: Send + fmt::Debug {}
impl<T: Send + fmt::Debug> Kept for T {}

static CAPTURES: Mutex<Captures> = Mutex::new(Captures { going: 0, kept: Vec::new() });

fn captures() -> MutexGuard<'static, Captures> {
    CAPTURES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Captures {
    fn end(&mut self) {
        self.going -= 1;
        if self.going == 0 {
            self.kept.clear();
        }
    }
}

/// Drops what may wait for the whole device in its destructor, as cuBLAS's handles do, while no
/// stream is captured: the driver would end the capture, whichever thread waits.
pub(in crate::cuda) fn drop_uncaptured<T: Send + fmt::Debug + 'static>(owner: T) {
    let mut captures = captures();
    if captures.going > 0 {
        captures.kept.push(Box::new(owner));
    } else {
        drop(owner); // and nobody begins to capture meanwhile
    }
}

/// A stream whose work is recorded until this ends or is dropped.
struct Recording<'a>(&'a Cuda);

impl<'a> Recording<'a> {
    fn begin(cuda: &'a Cuda) -> Result<Self> {
        let _current = cuda.bind()?;
        // Not global: that would refuse the allocations and the waiting of every other thread. Not
        // relaxed: that would let through, once and unrecorded, what a library does behind our
        // back.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let mut captures = captures();
        // SAFETY: the stream is live and its context current.
        let begun = unsafe { stream::begin_capture(cuda.stream().cu_stream(), mode) };
        begun.map_err(|e| refused("cuStreamBeginCapture", &e))?;
        captures.going += 1;
        Ok(Self(cuda))
    }

    fn end(self) -> Result<Recorded> {
        let recorded = self.ended();
        std::mem::forget(self);
        recorded
    }

    /// Ends it whatever else fails.
    fn ended(&self) -> Result<Recorded> {
        let context = self.0.stream().context();
        let bound = self.0.bind().map(drop);
        let _current = context::bind_to_free(context);
        // SAFETY: the stream is live and is captured by this thread.
        let raw = unsafe { stream::end_capture(self.0.stream().cu_stream()) };
        let recorded = raw.map_err(|e| refused("cuStreamEndCapture", &e));
        let recorded = recorded.map(|raw| Recorded { raw, context: context.clone() });
        Captures::end(&mut captures());
        allocation::free_kept(self.0.stream());
        bound.and(recorded)
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        drop(self.ended()); // `work` panicked
    }
}

/// Work that was recorded, not yet in a form that a device runs.
struct Recorded {
    raw: CUgraph,
    context: Arc<CudaContext>,
}

impl Recorded {
    fn instantiate(self, cuda: &Cuda) -> Result<Graph> {
        let _current = cuda.bind()?;
        // SAFETY: the graph is live, the context current.
        let executable = unsafe { graph::instantiate(self.raw, CUgraphInstantiate_flags(0)) };
        let executable = executable.map_err(|e| refused("cuGraphInstantiateWithFlags", &e))?;
        Ok(Graph { executable, cuda: cuda.clone() })
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let Some(_current) = context::bind_to_free(&self.context) else { return };
        // SAFETY: the only owner destroys it, once.
        context::tell_later(&self.context, "cuGraphDestroy", unsafe { graph::destroy(self.raw) });
    }
}
