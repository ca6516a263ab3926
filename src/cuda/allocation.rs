//! Owned device memory, allocated, filled with zeros and freed in the order of a stream.

use super::{graph, refused};
use crate::Result;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtrMut, result};
use std::sync::Arc;

/// Bytes at an address, freed when this is dropped, after the work that was enqueued on the stream by then.
///
/// Unlike `CudaSlice` it has no events: everything of a backend is ordered by its one stream.
#[derive(Debug)]
pub(super) struct Allocation {
    address: CUdeviceptr,
    bytes: usize,
    stream: Arc<CudaStream>,
}

impl Allocation {
    /// `bytes` zeros.
    pub fn zeros(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        let (context, size) = (stream.context(), bytes.max(1)); // the driver refuses to allocate nothing
        context.bind_to_thread().map_err(|e| refused("cuCtxSetCurrent", &e))?;
        if graph::is_captured(stream)? {
            // The driver would make it memory of the graph, which is there while the graph runs.
            return Err(refused(&format!("cuMemAllocAsync of {size} bytes"), &"the stream is being captured"));
        }
        let address = if context.has_async_alloc() {
            // SAFETY: the stream is live and its context current.
            unsafe { result::malloc_async(stream.cu_stream(), size) }
                .map_err(|e| refused(&format!("cuMemAllocAsync of {size} bytes"), &e))
        } else {
            // SAFETY: the context is current.
            unsafe { result::malloc_sync(size) }.map_err(|e| refused(&format!("cuMemAlloc of {size} bytes"), &e))
        };
        let allocation = Self { address: address?, bytes: size, stream: stream.clone() };
        // SAFETY: the allocation holds as many bytes, and nobody else knows it.
        let filled = unsafe { result::memset_d8_async(allocation.address, 0, size, stream.cu_stream()) };
        filled.map_err(|e| refused("cuMemsetD8Async", &e)).map(|()| allocation)
    }

    /// Takes over a slice, on the stream that it belongs to.
    pub fn from_slice<R>(slice: CudaSlice<R>) -> Self {
        let (stream, bytes) = (slice.stream().clone(), slice.num_bytes());
        Self { address: slice.leak(), bytes, stream }
    }

    /// A slice of `len` numbers, whose owners wait for the work that was enqueued so far.
    ///
    /// # Safety
    /// The allocation holds `len` numbers, and its bytes are values of `R`.
    pub unsafe fn into_slice<R>(self, len: usize) -> CudaSlice<R> {
        let (stream, address) = (self.stream.clone(), self.address);
        // SAFETY: the slice becomes the only owner, since this one is forgotten; the rest is the caller's.
        let mut slice = unsafe { stream.upgrade_device_ptr::<R>(address, len) };
        self.forget();
        drop(slice.device_ptr_mut(&stream));
        slice
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

    pub fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    /// The same memory, freed in the order of another stream.
    pub fn moved_to(mut self, stream: &Arc<CudaStream>) -> Self {
        self.stream = stream.clone();
        self
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if self.address == 0 {
            return;
        }
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        if context.has_async_alloc() {
            // SAFETY: the only owner frees it, once, after the stream's work so far.
            context.record_err(unsafe { result::free_async(self.address, self.stream.cu_stream()) });
        } else {
            context.record_err(self.stream.synchronize());
            // SAFETY: the only owner frees it, once, and the work on it is done.
            context.record_err(unsafe { result::free_sync(self.address) });
        }
    }
}
