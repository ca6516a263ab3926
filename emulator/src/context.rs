//! Contexts: the primary one of each device, and those made beside it; which is current in a
//! thread; what broke one.

use crate::answer::*;
use crate::census::{self, Kind};
use crate::handle::{self, Table, lock};
use crate::queue::Stream;
use crate::{device, event, graph, host, memory, module, stream};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

/// A context.
pub(crate) struct Context {
    pub(crate) name: usize,
    pub(crate) device: usize,
    /// The error that every later call returns, or 0.
    broken: Arc<AtomicI32>,
    pub(crate) legacy: Arc<Stream>,
}

static CONTEXTS: Table<Context> = Table::new();
/// The primary context of each device, and how often it is retained.
type Retained = HashMap<usize, (Arc<Context>, usize)>;
static PRIMARY: LazyLock<Mutex<Retained>> = LazyLock::new(Mutex::default);

thread_local! {
    static CURRENT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Context {
    fn new(device: usize) -> Arc<Self> {
        let (name, broken) = (handle::fresh(), Arc::new(AtomicI32::new(0)));
        let legacy = Arc::new(Stream::new(name, device, broken.clone(), false));
        let context = Arc::new(Self { name, device, broken, legacy });
        CONTEXTS.insert(name, context.clone());
        context
    }

    /// The error of work that failed earlier.
    pub(crate) fn check(&self) -> Result<(), i32> {
        match self.broken.load(Ordering::SeqCst) {
            0 => Ok(()),
            code => Err(code),
        }
    }

    pub(crate) fn broken(&self) -> Arc<AtomicI32> {
        self.broken.clone()
    }

    /// Runs all work of all its streams.
    pub(crate) fn synchronize(&self) -> Result<(), i32> {
        self.legacy.refuse_capture()?;
        let streams = stream::of_context(self.name);
        streams.iter().try_for_each(|stream| stream.refuse_capture())?;
        self.legacy.drain();
        streams.iter().for_each(|stream| stream.drain());
        self.check()
    }

    /// Ends it with all that belongs to it. The census keeps counting that, since its owner did not
    /// give it back.
    fn end(&self) {
        let _ = self.synchronize();
        CONTEXTS.remove(self.name as *mut c_void);
        stream::abandon(self.name);
        event::abandon(self.name);
        graph::abandon(self.name);
        module::abandon(self.name);
        memory::abandon(self.name);
        host::abandon(self.name);
    }
}

/// The current context of this thread.
pub(crate) fn current() -> Result<Arc<Context>, i32> {
    let name = CURRENT.with_borrow(|stack| stack.last().copied()).filter(|name| *name != 0).ok_or(INVALID_CONTEXT)?;
    CONTEXTS.get(name as *mut c_void).ok_or(CONTEXT_IS_DESTROYED)
}

/// The context of a name; null is the current one.
fn of(name: *mut c_void) -> Result<Arc<Context>, i32> {
    if name.is_null() { current() } else { CONTEXTS.get(name).ok_or(INVALID_CONTEXT) }
}

/// Breaks the current context for a reason, which is written out.
pub(crate) fn fail(reason: &str) -> i32 {
    match current() {
        Ok(context) => stream::break_down(&context.broken, reason),
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(out: *mut *mut c_void, device: c_int) -> c_int {
    allocate("cuDevicePrimaryCtxRetain", || {
        let device = device::parse(device)?;
        if device::refuses(device) {
            return Err(DEVICE_UNAVAILABLE);
        }
        let mut primary = lock(&PRIMARY);
        let (context, retained) = primary.entry(device).or_insert_with(|| (Context::new(device), 0));
        *retained += 1;
        census::born(Kind::Context, context.name);
        store(out, context.name as *mut c_void)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> c_int {
    give_back("cuDevicePrimaryCtxRelease_v2", || {
        let device = device::parse(device)?;
        let mut primary = lock(&PRIMARY);
        let (context, retained) = primary.get_mut(&device).ok_or(INVALID_CONTEXT)?;
        census::died(Kind::Context, context.name);
        *retained -= 1;
        let ended = (*retained == 0).then(|| context.clone());
        if ended.is_some() {
            primary.remove(&device);
        }
        drop(primary);
        ended.iter().for_each(|context| context.end());
        Ok(())
    })
}

/// Mends a broken context too: all that belonged to it is gone, and those who retained it hold a
/// new one.
#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxReset_v2(device: c_int) -> c_int {
    answer("cuDevicePrimaryCtxReset_v2", || {
        let device = device::parse(device)?;
        let ended = lock(&PRIMARY).remove(&device);
        ended.iter().for_each(|(context, retained)| {
            for _ in 0..*retained {
                census::died(Kind::Context, context.name);
            }
            context.end();
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxGetState(device: c_int, flags: *mut c_uint, active: *mut c_int) -> c_int {
    answer("cuDevicePrimaryCtxGetState", || {
        let is_active = lock(&PRIMARY).contains_key(&device::parse(device)?);
        store(flags, 0).and(store(active, is_active.into()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, _flags: c_uint) -> c_int {
    answer("cuDevicePrimaryCtxSetFlags_v2", || device::parse(device).map(drop))
}

fn create(out: *mut *mut c_void, device: c_int) -> Result<(), i32> {
    let context = Context::new(device::parse(device)?);
    census::born(Kind::Context, context.name);
    CURRENT.with_borrow_mut(|stack| stack.push(context.name));
    store(out, context.name as *mut c_void)
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxCreate_v2(out: *mut *mut c_void, _flags: c_uint, device: c_int) -> c_int {
    allocate("cuCtxCreate_v2", || create(out, device))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxCreate_v4(out: *mut *mut c_void, _parameters: *mut c_void, _flags: c_uint, device: c_int) -> c_int {
    allocate("cuCtxCreate_v4", || create(out, device))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxDestroy_v2(context: *mut c_void) -> c_int {
    give_back("cuCtxDestroy_v2", || {
        let context = CONTEXTS.get(context).ok_or(INVALID_CONTEXT)?;
        if lock(&PRIMARY).values().any(|(primary, _)| primary.name == context.name) {
            return Err(INVALID_CONTEXT);
        }
        CURRENT.with_borrow_mut(|stack| stack.pop_if(|name| *name == context.name));
        census::died(Kind::Context, context.name);
        context.end();
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(out: *mut *mut c_void) -> c_int {
    answer("cuCtxGetCurrent", || store(out, CURRENT.with_borrow(|stack| stack.last().copied().unwrap_or(0)) as *mut c_void))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(context: *mut c_void) -> c_int {
    answer("cuCtxSetCurrent", || {
        if !context.is_null() {
            CONTEXTS.get(context).ok_or(INVALID_CONTEXT)?;
        }
        CURRENT.with_borrow_mut(|stack| {
            stack.pop();
            stack.extend((!context.is_null()).then(|| context.addr()));
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxPushCurrent_v2(context: *mut c_void) -> c_int {
    answer("cuCtxPushCurrent_v2", || {
        CONTEXTS.get(context).ok_or(INVALID_CONTEXT)?;
        CURRENT.with_borrow_mut(|stack| stack.push(context.addr()));
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxPopCurrent_v2(out: *mut *mut c_void) -> c_int {
    answer("cuCtxPopCurrent_v2", || {
        let name = CURRENT.with_borrow_mut(Vec::pop).ok_or(INVALID_CONTEXT)?;
        if out.is_null() { Ok(()) } else { store(out, name as *mut c_void) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetDevice(out: *mut c_int) -> c_int {
    answer("cuCtxGetDevice", || store(out, current()?.device as c_int))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetApiVersion(context: *mut c_void, out: *mut c_uint) -> c_int {
    answer("cuCtxGetApiVersion", || of(context).and(store(out, 13_000)))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> c_int {
    answer("cuCtxSynchronize", || {
        stream::prohibit_while_capturing()?;
        current()?.synchronize()
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) -> c_int {
    answer("cuCtxGetStreamPriorityRange", || current().and(store(least, 0)).and(store(greatest, -5)))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetFlags(_flags: c_uint) -> c_int {
    answer("cuCtxSetFlags", || current().map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetFlags(out: *mut c_uint) -> c_int {
    answer("cuCtxGetFlags", || current().and(store(out, 0)))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCacheConfig(_config: c_uint) -> c_int {
    answer("cuCtxSetCacheConfig", || current().map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCacheConfig(out: *mut c_uint) -> c_int {
    answer("cuCtxGetCacheConfig", || current().and(store(out, 0)))
}
