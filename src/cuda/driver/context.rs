//! The context of a device in the calling thread, as long as a call takes; errors of destructors,
//! told by the next call that can tell.

use crate::cuda::refused;
use crate::{Error, Result};
use cudarc::driver::{
    CudaContext, result,
    sys::{CUcontext, CUresult},
};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// What failed where nobody could be told, with the contexts that it failed in.
static UNTOLD: Mutex<Vec<(Weak<CudaContext>, Error)>> = Mutex::new(Vec::new());

/// The contexts of devices, each shared while anybody has it: cudarc waits for the whole device
/// when it makes the first stream of a `CudaContext`, which the driver refuses, and spoils the
/// capture, while any stream of the device is captured.
static CONTEXTS: Mutex<BTreeMap<usize, Weak<CudaContext>>> = Mutex::new(BTreeMap::new());

/// The context of a device.
///
/// # Errors
/// [`Error::Backend`]; where the driver fails after it gave the context, cudarc keeps it until the
/// process ends.
pub(in crate::cuda) fn of_device(ordinal: usize) -> Result<Arc<CudaContext>> {
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
    PROCESS.get_or_init(std::process::id);
    contexts.insert(ordinal, Arc::downgrade(&context));
    Ok(context)
}

/// The process that has contexts.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// Whether fork made this process of the one that has contexts. The driver is of no use here: calls
/// say so, and destructors do nothing.
pub(in crate::cuda) fn is_child() -> bool {
    PROCESS.get().is_some_and(|process| *process != std::process::id())
}

/// # Errors
/// [`Error::Backend`] in a child that fork made.
pub(in crate::cuda) fn refuse_child() -> Result<()> {
    if is_child() {
        let reason = "CUDA does not work in a process that fork made of one that used it: start workers by spawn or exec";
        return Err(refused("fork", &reason));
    }
    Ok(())
}

/// A context that is the calling thread's as long as this lives. The one before is so again in the
/// end.
#[must_use = "the context is the thread's as long as this lives"]
pub(in crate::cuda) struct Current<'a> {
    context: &'a Arc<CudaContext>,
    before: CUcontext,
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        if self.before != self.context.cu_ctx() {
            tell_later(self.context, "cuCtxSetCurrent", give_back(self.before));
        }
    }
}

fn set(context: CUcontext) -> std::result::Result<(), result::DriverError> {
    // SAFETY: null, or a context that was current in this thread; the driver refuses one that has
    // ended.
    unsafe { result::ctx::set_current(context) }
}

/// The same for a context that was current before: one that has ended meanwhile is nobody's any
/// more.
fn give_back(context: CUcontext) -> std::result::Result<(), result::DriverError> {
    use CUresult::{CUDA_ERROR_CONTEXT_IS_DESTROYED, CUDA_ERROR_INVALID_CONTEXT};
    set(context).or_else(|e| match e.0 {
        CUDA_ERROR_INVALID_CONTEXT | CUDA_ERROR_CONTEXT_IS_DESTROYED => set(std::ptr::null_mut()),
        _ => Err(e),
    })
}

fn get() -> std::result::Result<CUcontext, result::DriverError> {
    Ok(result::ctx::get_current()?.unwrap_or(std::ptr::null_mut()))
}

/// Makes a context the calling thread's.
///
/// # Errors
/// [`Error::Backend`] if the driver refuses, or if something failed in this context before and
/// nobody could be told.
pub(in crate::cuda) fn bind(context: &Arc<CudaContext>) -> Result<Current<'_>> {
    refuse_child()?;
    told(context)?;
    let before = get().map_err(|e| refused("cuCtxGetCurrent", &e))?;
    if before != context.cu_ctx() {
        set(context.cu_ctx()).map_err(|e| refused("cuCtxSetCurrent", &e))?;
    }
    Ok(Current { context, before })
}

/// The same for destructors, which go on whatever fails, but not in a child that fork made.
/// cudarc's own function would do nothing but return an earlier error, if there is one.
pub(in crate::cuda) fn bind_to_free(context: &Arc<CudaContext>) -> Option<Current<'_>> {
    if is_child() {
        return None;
    }
    let got = get();
    let known = got.as_ref().ok().copied();
    tell_later(context, "cuCtxGetCurrent", got);
    let before = known.unwrap_or(context.cu_ctx());
    if known != Some(context.cu_ctx())
        && let Err(e) = set(context.cu_ctx())
    {
        tell_later(context, "cuCtxSetCurrent", Err::<(), _>(e));
        // without it nothing can be given back
        tell_later(context, "cuCtxSetCurrent", set(context.cu_ctx()));
    }
    Some(Current { context, before })
}

/// The context that the calling thread has, whatever cudarc makes it meanwhile, and has again when
/// this is dropped.
pub(in crate::cuda) struct Caller {
    before: Option<CUcontext>,
    /// Where what fails in the end is told.
    context: Weak<CudaContext>,
}

impl Caller {
    /// # Errors
    /// [`Error::Backend`] if the driver refuses.
    pub fn new() -> Result<Self> {
        refuse_child()?;
        result::init().map_err(|e| refused("cuInit", &e))?;
        let before = get().map_err(|e| refused("cuCtxGetCurrent", &e))?;
        Ok(Self { before: Some(before), context: Weak::new() })
    }

    /// For destructors, of which a context is told what fails; none in a child that fork made.
    pub fn of(context: &Arc<CudaContext>) -> Option<Self> {
        if is_child() {
            return None;
        }
        let got = get();
        let before = got.as_ref().ok().copied();
        tell_later(context, "cuCtxGetCurrent", got);
        Some(Self { before, context: Arc::downgrade(context) })
    }

    /// Gives the thread its context back.
    ///
    /// # Errors
    /// [`Error::Backend`] if the driver refuses.
    pub fn restore(mut self) -> Result<()> {
        self.before.take().map_or(Ok(()), give_back).map_err(|e| refused("cuCtxSetCurrent", &e))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let Some(before) = self.before else { return };
        let restored = give_back(before);
        if let Some(context) = self.context.upgrade() {
            // else the device's last owner is gone
            tell_later(&context, "cuCtxSetCurrent", restored);
        }
    }
}

/// Has the next call in a context return this error; the first, if there are several.
pub(in crate::cuda) fn tell_later<T, E: Display>(context: &Arc<CudaContext>, call: &str, done: Result<T, E>) {
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

/// # Errors
/// What failed in a destructor in this context, once.
pub(in crate::cuda) fn told(context: &Arc<CudaContext>) -> Result<()> {
    context.check_err().map_err(|e| refused("an earlier call, in a destructor of cudarc's", &e))?;
    let mut untold = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(at) = untold.iter().position(|(of, _)| is(of, context)) else { return Ok(()) };
    Err(untold.swap_remove(at).1)
}

fn is(weak: &Weak<CudaContext>, context: &Arc<CudaContext>) -> bool {
    std::ptr::eq(weak.as_ptr(), Arc::as_ptr(context))
}
