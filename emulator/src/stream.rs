//! Streams as the driver's functions know them. Their work runs only when something waits for it:
//! see queue.rs.

use crate::answer::*;
use crate::census::{self, Kind};
use crate::context::current;
use crate::graph;
use crate::handle::{self, Table};
use crate::queue::Stream;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Arc, Mutex};

pub(crate) use crate::queue::{break_down, working_on};

/// Work in a stream. It may run more than once, where a graph was captured; its error is text for a
/// person.
pub(crate) type Work = Box<dyn Fn() -> Result<(), String> + Send>;

const NON_BLOCKING: c_uint = 1;

static STREAMS: Table<Stream> = Table::new();

/// Appends work to a stream; null is the legacy default stream of the current context. The error is
/// a CUresult.
pub(crate) fn enqueue(stream: *mut c_void, work: Work) -> Result<(), i32> {
    resolve(stream)?.append(Arc::new(Mutex::new(work)))
}

/// CU_STREAM_LEGACY and CU_STREAM_PER_THREAD.
const LEGACY: usize = 1;
const PER_THREAD: usize = 2;

thread_local! {
    /// The per-thread default streams of this thread of the host, by their contexts.
    static OWN: RefCell<HashMap<usize, Arc<Stream>>> = RefCell::default();
}

/// The stream of a handle.
pub(crate) fn resolve(stream: *mut c_void) -> Result<Arc<Stream>, i32> {
    match stream.addr() {
        0..=LEGACY => Ok(current()?.legacy.clone()),
        PER_THREAD => {
            let context = current()?;
            let make = || {
                let stream = Arc::new(Stream::new(context.name, context.device, context.broken(), true));
                // so that whoever waits for the context waits for it
                STREAMS.insert(handle::fresh(), stream.clone());
                stream
            };
            Ok(OWN.with_borrow_mut(|own| own.entry(context.name).or_insert_with(make).clone()))
        }
        _ => STREAMS.get(stream).ok_or(INVALID_HANDLE),
    }
}

/// All streams that were made in a context.
pub(crate) fn of_context(context: usize) -> Vec<Arc<Stream>> {
    STREAMS.all(|stream| stream.context == context)
}

/// The streams of a context are no more.
pub(crate) fn abandon(context: usize) {
    STREAMS.retain(|stream| stream.context != context);
}

/// An error while a graph is captured in a mode that prohibits what may wait or synchronise.
pub(crate) fn prohibit_while_capturing() -> Result<(), i32> {
    if graph::prohibits() { Err(CAPTURE_UNSUPPORTED) } else { Ok(()) }
}

/// Runs what was appended to a stream so far; if it is the legacy one, to those that block it too.
pub(crate) fn synchronize(stream: &Stream) -> Result<(), i32> {
    stream.refuse_capture()?;
    stream.drain();
    if let Some(context) = current().ok().filter(|context| std::ptr::eq(&*context.legacy, stream)) {
        of_context(context.name).iter().filter(|stream| stream.blocking).for_each(|stream| stream.drain());
    }
    stream.check()
}

fn create(out: *mut *mut c_void, flags: c_uint) -> Result<(), i32> {
    let context = current()?;
    context.check()?;
    if flags > NON_BLOCKING || out.is_null() {
        return Err(INVALID_VALUE);
    }
    let name = handle::fresh();
    STREAMS.insert(name, Arc::new(Stream::new(context.name, context.device, context.broken(), flags != NON_BLOCKING)));
    census::born(Kind::Stream, name);
    store(out, name as *mut c_void)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(out: *mut *mut c_void, flags: c_uint) -> c_int {
    allocate("cuStreamCreate", || create(out, flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreateWithPriority(out: *mut *mut c_void, flags: c_uint, _priority: c_int) -> c_int {
    allocate("cuStreamCreateWithPriority", || create(out, flags))
}

/// The work that is left runs at once: nothing would wait for it later.
#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: *mut c_void) -> c_int {
    give_back("cuStreamDestroy_v2", || {
        let ended = STREAMS.get(stream).ok_or(INVALID_HANDLE)?;
        ended.drain();
        STREAMS.remove(stream);
        census::died(Kind::Stream, stream.addr());
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: *mut c_void) -> c_int {
    answer("cuStreamSynchronize", || synchronize(&*resolve(stream)?))
}

/// Runs the work rather than to say for ever that it is not ready.
#[unsafe(no_mangle)]
extern "C" fn cuStreamQuery(stream: *mut c_void) -> c_int {
    answer("cuStreamQuery", || synchronize(&*resolve(stream)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetCtx(stream: *mut c_void, out: *mut *mut c_void) -> c_int {
    answer("cuStreamGetCtx", || store(out, resolve(stream)?.context as *mut c_void))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetDevice(stream: *mut c_void, out: *mut c_int) -> c_int {
    answer("cuStreamGetDevice", || store(out, resolve(stream)?.device as c_int))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetFlags(stream: *mut c_void, out: *mut c_uint) -> c_int {
    answer("cuStreamGetFlags", || store(out, if resolve(stream)?.blocking { 0 } else { NON_BLOCKING }))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetPriority(stream: *mut c_void, out: *mut c_int) -> c_int {
    answer("cuStreamGetPriority", || resolve(stream).and(store(out, 0)))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetId(stream: *mut c_void, out: *mut u64) -> c_int {
    answer("cuStreamGetId", || resolve(stream).and(store(out, stream.addr() as u64)))
}

/// A function of the host in the order of a stream.
#[unsafe(no_mangle)]
extern "C" fn cuLaunchHostFunc(stream: *mut c_void, function: Option<extern "C" fn(*mut c_void)>, data: *mut c_void) -> c_int {
    answer("cuLaunchHostFunc", || {
        let (function, data) = (function.ok_or(INVALID_VALUE)?, data.addr());
        let call = move || {
            function(data as *mut c_void);
            Ok(())
        };
        enqueue(stream, Box::new(call))
    })
}
