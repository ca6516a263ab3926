//! The context of a device in the calling thread, and errors of destructors, told by the next call that can tell.

use super::refused;
use crate::{Error, Result};
use cudarc::driver::{CudaContext, DriverError, result};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What failed where nobody could be told, with the contexts that it failed in.
static UNTOLD: Mutex<Vec<(Weak<CudaContext>, Error)>> = Mutex::new(Vec::new());

/// The contexts of devices, each shared while anybody has it: cudarc waits for the whole device when it makes the first stream of a
/// `CudaContext`, which the driver refuses, and spoils the capture, while any stream of the device is captured.
static CONTEXTS: Mutex<BTreeMap<usize, Weak<CudaContext>>> = Mutex::new(BTreeMap::new());

/// The context of a device.
///
/// # Errors
/// [`Error::Backend`]; where the driver fails after it gave the context, cudarc keeps it until the process ends.
pub(super) fn of_device(ordinal: usize) -> Result<Arc<CudaContext>> {
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = contexts.get(&ordinal).and_then(Weak::upgrade) {
        return Ok(context);
    }
    let failed = |call, e| refused(&format!("device {ordinal}: {call}"), &e);
    result::init().map_err(|e| failed("cuInit", e))?;
    let number = i32::try_from(ordinal).map_err(|e| refused(&format!("device {ordinal}"), &e))?;
    result::device::get(number).map_err(|e| failed("cuDeviceGet", e))?;
    // cudarc does not say which of its calls it was.
    let calls = "one of cuInit, cuDeviceGet, cuDevicePrimaryCtxRetain, cuDeviceGetAttribute, cuCtxGetCurrent and cuCtxSetCurrent";
    let context = CudaContext::new(ordinal).map_err(|e| failed(calls, e))?;
    contexts.insert(ordinal, Arc::downgrade(&context));
    Ok(context)
}

/// Makes a context the calling thread's.
///
/// # Errors
/// [`Error::Backend`] if the driver refuses, or if something failed in this context before and nobody could be told.
pub(super) fn bind(context: &Arc<CudaContext>) -> Result<()> {
    told(context)?;
    context.check_err().map_err(|e| refused("an earlier call, in a destructor of cudarc's", &e))?;
    current(context).map_err(|e| refused("cuCtxSetCurrent", &e))
}

/// The same for destructors. cudarc's own function would do nothing but return an earlier error, if there is one.
pub(super) fn bind_to_free(context: &Arc<CudaContext>) {
    tell_later(context, "cuCtxSetCurrent", current(context));
}

fn current(context: &CudaContext) -> Result<(), DriverError> {
    // SAFETY: the context is live as long as it is borrowed.
    unsafe { result::ctx::set_current(context.cu_ctx()) }
}

/// Has the next call in a context return this error; the first, if there are several.
pub(super) fn tell_later<T, E: Display>(context: &Arc<CudaContext>, call: &str, done: Result<T, E>) {
    let Err(e) = done else { return };
    let mut untold = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner);
    untold.retain(|(context, _)| context.strong_count() > 0);
    if !untold.iter().any(|(of, _)| is(of, context)) {
        untold.push((
            Arc::downgrade(context),
            refused(&format!("deferred from a destructor, of any backend of this device: {call}"), &e),
        ));
    }
}

fn told(context: &Arc<CudaContext>) -> Result<()> {
    let mut untold = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(at) = untold.iter().position(|(of, _)| is(of, context)) else { return Ok(()) };
    Err(untold.swap_remove(at).1)
}

fn is(weak: &Weak<CudaContext>, context: &Arc<CudaContext>) -> bool {
    std::ptr::eq(weak.as_ptr(), Arc::as_ptr(context))
}
