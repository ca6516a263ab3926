//! Events: places in streams, which streams and the host wait for.

use crate::answer::*;
use crate::census::{self, Kind};
use crate::context::current;
use crate::graph::Capture;
use crate::handle::{self, Table, lock};
use crate::queue::{Marker, Stream};
use crate::stream;
use std::ffi::{c_float, c_int, c_uint, c_void};
use std::sync::{Arc, Mutex};

const DISABLE_TIMING: c_uint = 2;

struct Event {
    context: usize,
    timed: bool,
    recorded: Mutex<Recorded>,
}

#[derive(Clone)]
enum Recorded {
    Never,
    At(Arc<Marker>),
    /// In a stream while a graph was captured.
    Captured(Arc<Capture>, Arc<Stream>),
}

static EVENTS: Table<Event> = Table::new();

/// The events of a context are no more.
pub(crate) fn abandon(context: usize) {
    EVENTS.retain(|event| event.context != context);
}

fn of(event: *mut c_void) -> Result<Arc<Event>, i32> {
    EVENTS.get(event).ok_or(INVALID_HANDLE)
}

impl Event {
    /// The mark; none if it was never recorded.
    fn marker(&self) -> Result<Option<Arc<Marker>>, i32> {
        match lock(&self.recorded).clone() {
            Recorded::Never => Ok(None),
            Recorded::At(marker) => Ok(Some(marker)),
            Recorded::Captured(..) => Err(907),
        }
    }

    fn synchronize(&self) -> Result<(), i32> {
        self.marker()?.iter().for_each(|marker| marker.wait());
        current().ok().filter(|context| context.name == self.context).map_or(Ok(()), |context| context.check())
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(out: *mut *mut c_void, flags: c_uint) -> c_int {
    allocate("cuEventCreate", || {
        let context = current()?;
        context.check()?;
        if flags > 7 || out.is_null() {
            return Err(INVALID_VALUE);
        }
        let name = handle::fresh();
        let timed = flags & DISABLE_TIMING == 0;
        EVENTS.insert(name, Arc::new(Event { context: context.name, timed, recorded: Mutex::new(Recorded::Never) }));
        census::born(Kind::Event, name);
        store(out, name as *mut c_void)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: *mut c_void) -> c_int {
    give_back("cuEventDestroy_v2", || {
        EVENTS.remove(event).ok_or(INVALID_HANDLE)?;
        census::died(Kind::Event, event.addr());
        Ok(())
    })
}

fn record(event: *mut c_void, stream: *mut c_void) -> Result<(), i32> {
    let (event, stream) = (of(event)?, stream::resolve(stream)?);
    stream.check()?;
    if event.context != stream.context {
        return Err(INVALID_HANDLE);
    }
    let recorded = match stream.capturing() {
        Some(capture) => Recorded::Captured(capture, stream),
        None => Recorded::At(stream.record()),
    };
    *lock(&event.recorded) = recorded;
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: *mut c_void, stream: *mut c_void) -> c_int {
    answer("cuEventRecord", || record(event, stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecordWithFlags(event: *mut c_void, stream: *mut c_void, _flags: c_uint) -> c_int {
    answer("cuEventRecordWithFlags", || record(event, stream))
}

/// Runs the work rather than to say for ever that it is not ready.
#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: *mut c_void) -> c_int {
    answer("cuEventQuery", || of(event)?.synchronize())
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: *mut c_void) -> c_int {
    answer("cuEventSynchronize", || {
        stream::prohibit_while_capturing()?;
        of(event)?.synchronize()
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(stream: *mut c_void, event: *mut c_void, _flags: c_uint) -> c_int {
    answer("cuStreamWaitEvent", || {
        let (event, stream) = (of(event)?, stream::resolve(stream)?);
        stream.check()?;
        let recorded = lock(&event.recorded).clone();
        match recorded {
            Recorded::Never => Ok(()),
            Recorded::Captured(capture, from) => capture.join(&stream, &from),
            Recorded::At(_) if stream.capturing().is_some() => Err(905),
            Recorded::At(marker) => {
                stream.wait_for(marker);
                Ok(())
            }
        }
    })
}

fn elapsed(out: *mut c_float, start: *mut c_void, end: *mut c_void) -> Result<(), i32> {
    let (start, end) = (of(start)?, of(end)?);
    if !start.timed || !end.timed {
        return Err(INVALID_HANDLE);
    }
    let (start, end) = (start.marker()?.ok_or(INVALID_HANDLE)?, end.marker()?.ok_or(INVALID_HANDLE)?);
    let (start, end) = (start.at().ok_or(600)?, end.at().ok_or(600)?);
    store(out, end.saturating_duration_since(start).as_secs_f32() * 1e3)
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime(out: *mut c_float, start: *mut c_void, end: *mut c_void) -> c_int {
    answer("cuEventElapsedTime", || elapsed(out, start, end))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime_v2(out: *mut c_float, start: *mut c_void, end: *mut c_void) -> c_int {
    answer("cuEventElapsedTime_v2", || elapsed(out, start, end))
}
