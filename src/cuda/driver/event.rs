//! An event, and the order of two streams by one.

use crate::Result;
use crate::cuda::driver::context;
use crate::cuda::refused;
use cudarc::driver::{CudaContext, CudaStream, result, sys};
use std::sync::Arc;

/// An event that takes no time; cudarc's tells nobody which call failed.
pub(in crate::cuda) struct Event {
    raw: sys::CUevent,
    context: Arc<CudaContext>,
}

impl Event {
    /// An event in a context that is current.
    pub fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let raw = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        Ok(Self { raw: raw.map_err(|e| refused("cuEventCreate", &e))?, context: context.clone() })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let Some(_current) = context::bind_to_free(&self.context) else { return };
        // SAFETY: the only owner destroys it, once; the driver lets streams wait for what it
        // recorded.
        context::tell_later(&self.context, "cuEventDestroy", unsafe { result::event::destroy(self.raw) });
    }
}

/// Has `stream` wait for what was enqueued on `other` so far; both are of the device of `context`,
/// in which is told what fails in the end.
pub(in crate::cuda) fn join(context: &Arc<CudaContext>, stream: &CudaStream, other: &CudaStream) -> Result<()> {
    let _current = context::bind(context)?;
    let event = Event::new(context)?;
    // SAFETY: event and stream are live, and of one context, which is current.
    unsafe { result::event::record(event.raw, other.cu_stream()) }.map_err(|e| refused("cuEventRecord", &e))?;
    let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
    // SAFETY: as above.
    unsafe { result::stream::wait_event(stream.cu_stream(), event.raw, flags) }.map_err(|e| refused("cuStreamWaitEvent", &e))
}
