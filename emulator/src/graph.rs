//! Graphs: what streams captured, to be run again. Work is kept in the order of the calls, which
//! honours every dependency.

use crate::answer::*;
use crate::census::{self, Kind};
use crate::handle::{self, Table, lock};
use crate::queue::{Shared, Stream};
use crate::stream;
use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A capture in progress.
pub(crate) struct Capture {
    origin: Arc<Stream>,
    mode: c_int,
    invalid: AtomicBool,
    work: Mutex<Vec<Shared>>,
    /// The streams that joined, and whether they did something that the origin has not waited for.
    joined: Mutex<Vec<(Arc<Stream>, bool)>>,
}

/// CU_STREAM_CAPTURE_MODE_
const GLOBAL: c_int = 0;
const THREAD_LOCAL: c_int = 1;
const RELAXED: c_int = 2;

static GLOBAL_CAPTURES: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static OWN_CAPTURES: Cell<usize> = const { Cell::new(0) };
}

/// Whether calls that may wait or synchronise are prohibited in this thread.
pub(crate) fn prohibits() -> bool {
    GLOBAL_CAPTURES.load(Ordering::SeqCst) > 0 || OWN_CAPTURES.get() > 0
}

impl Capture {
    pub(crate) fn is_invalid(&self) -> bool {
        self.invalid.load(Ordering::SeqCst)
    }

    pub(crate) fn invalidate(&self) {
        self.invalid.store(true, Ordering::SeqCst);
    }

    pub(crate) fn add(&self, stream: &Stream, work: Shared) -> Result<(), i32> {
        if self.is_invalid() {
            return Err(CAPTURE_INVALIDATED);
        }
        lock(&self.work).push(work);
        lock(&self.joined).iter_mut().filter(|(joined, _)| std::ptr::eq(&**joined, stream)).for_each(|(_, ahead)| *ahead = true);
        Ok(())
    }

    /// A stream waits for an event that was recorded in one that takes part.
    pub(crate) fn join(self: &Arc<Self>, stream: &Arc<Stream>, from: &Arc<Stream>) -> Result<(), i32> {
        let mut capture = lock(&stream.capture);
        match &*capture {
            Some(other) if !Arc::ptr_eq(other, self) => return Err(CAPTURE_MERGE),
            Some(_) => {}
            None => {
                *capture = Some(self.clone());
                lock(&self.joined).push((stream.clone(), true));
            }
        }
        lock(&self.joined).iter_mut().filter(|(joined, _)| Arc::ptr_eq(joined, from)).for_each(|(_, ahead)| *ahead = false);
        Ok(())
    }
}

struct Graph(Vec<Shared>);
static GRAPHS: Table<Graph> = Table::new();

struct Executable {
    context: usize,
    work: Vec<Shared>,
}
static EXECUTABLES: Table<Executable> = Table::new();

/// The executable graphs of a context are no more.
pub(crate) fn abandon(context: usize) {
    EXECUTABLES.retain(|executable| executable.context != context);
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamBeginCapture_v2(stream: *mut c_void, mode: c_int) -> c_int {
    answer("cuStreamBeginCapture_v2", || {
        let origin = stream::resolve(stream)?;
        origin.check()?;
        if !(GLOBAL..=RELAXED).contains(&mode) {
            return Err(INVALID_VALUE);
        }
        if stream.addr() <= 2 {
            return Err(CAPTURE_UNSUPPORTED);
        }
        let mut capture = lock(&origin.capture);
        if capture.is_some() {
            return Err(401);
        }
        let new = Capture {
            origin: origin.clone(),
            mode,
            invalid: AtomicBool::new(false),
            work: Mutex::default(),
            joined: Mutex::default(),
        };
        *capture = Some(Arc::new(new));
        match mode {
            GLOBAL => drop(GLOBAL_CAPTURES.fetch_add(1, Ordering::SeqCst)),
            THREAD_LOCAL => OWN_CAPTURES.set(OWN_CAPTURES.get() + 1),
            _ => {}
        }
        Ok(())
    })
}

/// Ends the capture of a stream: what was captured, if it can become a graph.
fn end_capture(stream: *mut c_void) -> Result<Graph, i32> {
    let stream = stream::resolve(stream)?;
    let capture = stream.capturing().ok_or(401)?;
    if !Arc::ptr_eq(&capture.origin, &stream) {
        return Err(CAPTURE_UNMATCHED);
    }
    match capture.mode {
        GLOBAL => drop(GLOBAL_CAPTURES.fetch_sub(1, Ordering::SeqCst)),
        THREAD_LOCAL => OWN_CAPTURES.set(OWN_CAPTURES.get().saturating_sub(1)),
        _ => {}
    }
    *lock(&stream.capture) = None;
    let joined = std::mem::take(&mut *lock(&capture.joined));
    joined.iter().for_each(|(joined, _)| *lock(&joined.capture) = None);
    if capture.is_invalid() {
        return Err(CAPTURE_INVALIDATED);
    }
    if joined.iter().any(|(_, ahead)| *ahead) {
        return Err(CAPTURE_UNJOINED);
    }
    Ok(Graph(std::mem::take(&mut *lock(&capture.work))))
}

/// The capture has ended even if this then fails on purpose.
#[unsafe(no_mangle)]
extern "C" fn cuStreamEndCapture(stream: *mut c_void, out: *mut *mut c_void) -> c_int {
    let ended = end_capture(stream);
    answer("cuStreamEndCapture", || {
        store(out, std::ptr::null_mut())?;
        let name = handle::fresh();
        GRAPHS.insert(name, Arc::new(ended?));
        census::born(Kind::Graph, name);
        store(out, name as *mut c_void)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamIsCapturing(stream: *mut c_void, out: *mut c_int) -> c_int {
    answer("cuStreamIsCapturing", || {
        store(out, stream::resolve(stream)?.capturing().map_or(0, |capture| if capture.is_invalid() { 2 } else { 1 }))
    })
}

fn instantiate(out: *mut *mut c_void, graph: *mut c_void) -> Result<(), i32> {
    let (graph, context) = (GRAPHS.get(graph).ok_or(INVALID_VALUE)?, crate::context::current()?);
    context.check()?;
    let name = handle::fresh();
    EXECUTABLES.insert(name, Arc::new(Executable { context: context.name, work: graph.0.clone() }));
    census::born(Kind::GraphExec, name);
    store(out, name as *mut c_void)
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphInstantiateWithFlags(out: *mut *mut c_void, graph: *mut c_void, _flags: c_ulonglong) -> c_int {
    allocate("cuGraphInstantiateWithFlags", || instantiate(out, graph))
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphLaunch(executable: *mut c_void, stream: *mut c_void) -> c_int {
    answer("cuGraphLaunch", || {
        let (executable, stream) = (EXECUTABLES.get(executable).ok_or(INVALID_VALUE)?, stream::resolve(stream)?);
        if executable.context != stream.context {
            return Err(INVALID_HANDLE);
        }
        executable.work.iter().try_for_each(|work| stream.append(work.clone()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphUpload(executable: *mut c_void, stream: *mut c_void) -> c_int {
    answer("cuGraphUpload", || EXECUTABLES.get(executable).ok_or(INVALID_VALUE).and(stream::resolve(stream)?.check()))
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphGetNodes(graph: *mut c_void, nodes: *mut *mut c_void, count: *mut usize) -> c_int {
    answer("cuGraphGetNodes", || {
        let graph = GRAPHS.get(graph).ok_or(INVALID_VALUE)?;
        if nodes.is_null() { store(count, graph.0.len()) } else { Err(NOT_SUPPORTED) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphDestroy(graph: *mut c_void) -> c_int {
    give_back("cuGraphDestroy", || {
        GRAPHS.remove(graph).ok_or(INVALID_VALUE)?;
        census::died(Kind::Graph, graph.addr());
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphExecDestroy(executable: *mut c_void) -> c_int {
    give_back("cuGraphExecDestroy", || {
        EXECUTABLES.remove(executable).ok_or(INVALID_VALUE)?;
        census::died(Kind::GraphExec, executable.addr());
        Ok(())
    })
}

/// The signature of CUDA 10 and 11, too, whose remaining parameters report errors.
#[unsafe(no_mangle)]
extern "C" fn cuGraphInstantiate_v2(out: *mut *mut c_void, graph: *mut c_void) -> c_int {
    allocate("cuGraphInstantiate_v2", || instantiate(out, graph))
}

#[unsafe(no_mangle)]
extern "C" fn cuThreadExchangeStreamCaptureMode(mode: *mut c_uint) -> c_int {
    answer("cuThreadExchangeStreamCaptureMode", || if mode.is_null() { Err(INVALID_VALUE) } else { Err(NOT_SUPPORTED) })
}
