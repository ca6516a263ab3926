//! Memory of another owner, lent to operations of a backend: [`Cuda::read`], [`Cuda::write`].

use crate::cuda::device::Cuda;
use crate::cuda::driver::context;
use crate::cuda::driver::event;
use crate::cuda::memory::buffer::{Bits, DeviceView, DeviceViewMut, aligned, elements};
use crate::cuda::refused;
use crate::{Pod, Result};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut, SyncOnDrop};
use std::sync::Arc;

/// Device memory of another owner while work on it is enqueued; when this is dropped, the owner
/// learns how far to wait.
#[derive(Debug)]
pub struct Reading<'a, T> {
    view: DeviceView<'a, T>,
    _until: Until<'a>,
}

/// As [`Reading`], for memory that is written.
#[derive(Debug)]
pub struct Writing<'a, T> {
    view: DeviceViewMut<'a, T>,
    _until: Until<'a>,
}

impl<T> Reading<'_, T> {
    /// The memory, for one operation of the backend it was made for.
    pub fn view(&self) -> DeviceView<'_, T> {
        self.view
    }
}

impl<T> Writing<'_, T> {
    /// The memory, for one operation of the backend it was made for.
    pub fn view_mut(&mut self) -> DeviceViewMut<'_, T> {
        self.view.reborrow()
    }
}

/// Has the owner wait, when it is dropped, for the work that was enqueued until then.
#[derive(Debug)]
struct Until<'a> {
    cuda: &'a Cuda,
    /// The stream of the owner, where cudarc does not order the two.
    owner: Option<Arc<CudaStream>>,
    recording: Option<SyncOnDrop<'a>>,
}

impl<'a> Until<'a> {
    /// Has the stream of `cuda` wait for the work of `owner`, where `recording` says how far others
    /// have to wait.
    fn new(cuda: &'a Cuda, owner: Arc<CudaStream>, recording: SyncOnDrop<'a>) -> Result<Self> {
        let owner = Some(owner).filter(|owner| unordered(cuda, owner));
        let until = Self { cuda, owner, recording: Some(recording) };
        let context = cuda.stream().context();
        context.check_err().map_err(|e| refused("one of cuCtxGetCurrent and cuStreamWaitEvent", &e))?;
        let joined = until.owner.as_ref().map_or(Ok(()), |owner| event::join(context, cuda.stream(), owner));
        joined.map(|()| until)
    }
}

impl Drop for Until<'_> {
    fn drop(&mut self) {
        let (stream, context) = (self.cuda.stream(), self.cuda.stream().context());
        let Some(_caller) = context::Caller::of(context) else { return };
        drop(self.recording.take());
        let recorded = context.check_err().map_err(|e| refused("one of cuCtxGetCurrent and cuEventRecord", &e));
        let ordered = recorded.and(self.owner.as_ref().map_or(Ok(()), |owner| event::join(context, owner, stream)));
        if ordered.is_err() {
            // Nobody will wait for this stream, so this does.
            let _current = context::bind_to_free(context);
            context::tell_later(context, "cuStreamSynchronize", self.cuda.wait());
        }
        context::tell_later(context, "lent memory", ordered);
    }
}

/// Whether the stream of the owner is another than that of `cuda` and cudarc leaves the order of
/// the two to us: it does where the context of one, an object of which there may be several for a
/// device, has made no stream, or has been told not to track events.
fn unordered(cuda: &Cuda, owner: &CudaStream) -> bool {
    let manages = |stream: &CudaStream| stream.context().is_managing_stream_synchronization();
    *owner != **cuda.stream() && !(manages(owner) && manages(cuda.stream()))
}

impl Cuda {
    /// Lends memory of a slice to operations of this backend.
    ///
    /// # Errors
    /// As [`Cuda::adopt`].
    pub fn read<'a, T: Pod, R: Bits>(&'a self, slice: &'a CudaSlice<R>) -> Result<Reading<'a, T>> {
        let len = elements::<T>(slice.num_bytes())?;
        self.same_device(slice.context())?;
        let _current = self.bind()?;
        let (address, recording) = slice.device_ptr(self.stream());
        let until = Until::new(self, slice.stream().clone(), recording)?;
        aligned::<T>(address, len)?;
        Ok(Reading { view: DeviceView::new(self, address, len), _until: until })
    }

    /// As [`Cuda::read`], for memory that is written.
    ///
    /// # Errors
    /// As [`Cuda::adopt`].
    pub fn write<'a, T: Pod, R: Bits>(&'a self, slice: &'a mut CudaSlice<R>) -> Result<Writing<'a, T>> {
        let len = elements::<T>(slice.num_bytes())?;
        self.same_device(slice.context())?;
        let _current = self.bind()?;
        let owner = slice.stream().clone();
        let (address, recording) = slice.device_ptr_mut(self.stream());
        let until = Until::new(self, owner, recording)?;
        aligned::<T>(address, len)?;
        Ok(Writing { view: DeviceViewMut::new(self, address, len), _until: until })
    }
}
