//! Owned device memory, allocated, filled with zeros and freed in the order of a stream.

use crate::Result;
use crate::compute::Lent;
use crate::cuda::driver::context;
use crate::cuda::driver::context::Caller;
use crate::cuda::driver::event::Event;
use crate::cuda::driver::graph;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::refused;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaSlice, CudaStream, DevicePtrMut, result};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes at an address, freed when this is dropped, after the work that was enqueued on the stream
/// by then.
///
/// Unlike `CudaSlice` it has no events: everything of a backend is ordered by its one stream.
#[derive(Debug)]
pub(in crate::cuda) struct Allocation {
    address: CUdeviceptr,
    bytes: usize,
    /// Dropped with the memory, since the last owner's destructor is cudarc's, which changes the
    /// thread's context.
    stream: ManuallyDrop<Arc<CudaStream>>,
}

impl Allocation {
    /// `bytes` zeros.
    pub fn zeros(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        // the driver refuses to allocate nothing
        let (context, size) = (stream.context(), bytes.max(1));
        let _current = context::bind(context)?;
        if graph::is_captured(stream)? {
            // The driver would make it memory of the graph, which is there while the graph runs.
            return Err(refused(&format!("cuMemAllocAsync of {size} bytes"), &"the stream is being captured"));
        }
        free_kept(stream);
        let address = if context.has_async_alloc() {
            // SAFETY: the stream is live and its context current.
            unsafe { result::malloc_async(stream.cu_stream(), size) }
                .map_err(|e| refused(&format!("cuMemAllocAsync of {size} bytes"), &e))
        } else {
            // SAFETY: the context is current.
            unsafe { result::malloc_sync(size) }.map_err(|e| refused(&format!("cuMemAlloc of {size} bytes"), &e))
        };
        let allocation = Self { address: address?, bytes: size, stream: ManuallyDrop::new(stream.clone()) };
        // SAFETY: the allocation holds as many bytes, and nobody else knows it.
        let filled = unsafe { result::memset_d8_async(allocation.address, 0, size, stream.cu_stream()) };
        filled.map_err(|e| refused("cuMemsetD8Async", &e)).map(|()| allocation)
    }

    /// Takes over a slice, on the stream that it belongs to, which then waits for those that use
    /// it.
    pub fn from_slice<R>(slice: CudaSlice<R>) -> Result<Self> {
        let (stream, bytes) = (slice.stream().clone(), slice.num_bytes());
        let _current = context::bind(stream.context())?;
        let allocation = Self { address: slice.leak(), bytes, stream: ManuallyDrop::new(stream.clone()) };
        let told = allocation.stream.context().check_err();
        told.map_err(|e| refused("one of cuCtxGetCurrent, cuStreamWaitEvent and cuEventDestroy", &e)).map(|()| allocation)
    }

    /// A slice of `len` numbers, whose owners wait for the work that was enqueued so far.
    ///
    /// # Safety
    /// The allocation holds `len` numbers, and its bytes are values of `R`.
    pub unsafe fn into_slice<R>(self, len: usize) -> Result<CudaSlice<R>> {
        let (stream, address) = (Arc::clone(&self.stream), self.address);
        let _current = context::bind(stream.context())?;
        // cudarc makes events for the slice, and panics if it cannot: that is found out before.
        // What fails between is caught.
        for _ in 0..2 {
            Event::new(stream.context())?;
        }
        // SAFETY: the slice becomes the only owner, since this one is forgotten; the rest is the
        // caller's.
        let made = catch_unwind(AssertUnwindSafe(|| unsafe { stream.upgrade_device_ptr::<R>(address, len) }));
        let mut slice = made.map_err(|_| refused("one of cuCtxGetCurrent and cuEventCreate", &"no event for the slice"))?;
        self.forget();
        drop(slice.device_ptr_mut(&stream));
        stream
            .context()
            .check_err()
            .map_err(|e| refused("one of cuCtxGetCurrent, cuStreamWaitEvent and cuEventRecord", &e))
            .map(|()| slice)
    }

    /// Leaves the memory to another owner.
    fn forget(mut self) {
        self.address = 0;
    }

    pub fn address(&self) -> CUdeviceptr {
        self.address
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same memory, freed in the order of another stream.
    pub fn moved_to(mut self, stream: &Arc<CudaStream>) -> Self {
        *self.stream = stream.clone();
        self
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let Some(_caller) = Caller::of(self.stream.context()) else { return };
        if self.address != 0 {
            self.free();
        }
        // SAFETY: nobody uses it any more.
        unsafe { ManuallyDrop::drop(&mut self.stream) };
    }
}

impl Allocation {
    fn free(&mut self) {
        let context = self.stream.context().clone();
        let Some(_current) = context::bind_to_free(&context) else { return };
        match graph::is_captured(&self.stream) {
            Ok(true) => return self.keep(),
            asked => context::tell_later(&context, "cuMemFreeAsync", asked),
        }
        if context.has_async_alloc() {
            // SAFETY: the only owner frees it, once, after the stream's work so far.
            let freed = unsafe { result::free_async(self.address, self.stream.cu_stream()) };
            context::tell_later(&context, "cuMemFreeAsync", freed);
        } else {
            // SAFETY: the stream is live and its context current.
            let waited = unsafe { result::stream::synchronize(self.stream.cu_stream()) };
            context::tell_later(&context, "cuStreamSynchronize", waited);
            // SAFETY: the only owner frees it, once, and the work on it is done.
            context::tell_later(&context, "cuMemFree", unsafe { result::free_sync(self.address) });
        }
    }

    /// Leaves the memory to [`free_kept`].
    fn keep(&mut self) {
        let kept = Self { address: std::mem::take(&mut self.address), bytes: self.bytes, stream: self.stream.clone() };
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        context::tell_later(self.stream.context(), "cuMemFreeAsync", Err::<(), _>("the stream is being captured"));
    }
}

/// What was dropped while its stream was captured, where the driver would not free it.
static KEPT: Mutex<Vec<Allocation>> = Mutex::new(Vec::new());

/// Frees what was dropped while a stream was captured, which it is no more.
pub(in crate::cuda) fn free_kept(stream: &CudaStream) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let freed: Vec<_> = kept.extract_if(.., |allocation| **allocation.stream == *stream).collect();
    drop(kept); // what is freed may have to be kept once more
    drop(freed);
}

/// Memory of a workspace: its own, or lent.
#[derive(Debug)]
pub(in crate::cuda) enum Ground {
    Own(Allocation),
    Lent(Lent),
}

impl Ground {
    /// `bytes` zeros.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is no memory for them, or if less is
    /// lent.
    pub fn zeros(stream: &Arc<CudaStream>, bytes: usize, lent: Option<Lent>) -> Result<Self> {
        let Some(lent) = lent else { return Allocation::zeros(stream, bytes).map(Self::Own) };
        if lent.bytes < bytes || !lent.address.is_multiple_of(256) {
            let reason = format!("{bytes} bytes at a multiple of 256 are needed, {} at {:#x} are lent", lent.bytes, lent.address);
            return Err(refused("lent memory", &reason));
        }
        let _current = context::bind(stream.context())?;
        // SAFETY: so many bytes are lent, for as long as this lives, to the stream of this backend.
        let filled = unsafe { result::memset_d8_async(lent.address as CUdeviceptr, 0, bytes, stream.cu_stream()) };
        filled.map_err(|e| refused("cuMemsetD8Async", &e)).map(|()| Self::Lent(lent))
    }

    pub fn address(&self) -> CUdeviceptr {
        match self {
            Self::Own(allocation) => allocation.address(),
            Self::Lent(lent) => lent.address as CUdeviceptr,
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Own(allocation) => allocation.bytes(),
            Self::Lent(lent) => lent.bytes,
        }
    }
}

/// Hands out memory from a start, each piece aligned as cudaMalloc aligns.
pub(in crate::cuda) struct Cursor(pub u64);

impl Cursor {
    pub fn take<E>(&mut self, elements: usize) -> Option<DevicePtr<E>> {
        let at = self.0;
        let bytes = u64::try_from(elements.checked_mul(size_of::<E>())?).ok()?;
        self.0 = at.checked_add(bytes)?.checked_next_multiple_of(256)?;
        Some(DevicePtr::new(at))
    }
}
