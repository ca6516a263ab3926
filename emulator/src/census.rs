//! What is alive, by kind, and the report of what never died.

use std::collections::HashMap;
use std::env;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// What is counted. The numbers are those of `eigengrad_emulator_live`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Context,
    Stream,
    Event,
    Memory,
    HostMemory,
    Module,
    Graph,
    GraphExec,
    Program,
    SolverHandle,
    SolverParams,
    JacobiInfo,
    BlasHandle,
}

const NAMES: [&str; 13] = [
    "context",
    "stream",
    "event",
    "allocation",
    "pinned allocation",
    "module",
    "graph",
    "executable graph",
    "program",
    "cuSOLVER handle",
    "cuSOLVER parameter object",
    "syevjInfo",
    "cuBLAS handle",
];

/// How often each is held; a context may be retained several times.
static ALIVE: Mutex<Option<[HashMap<usize, usize>; NAMES.len()]>> = Mutex::new(None);

fn alive() -> MutexGuard<'static, Option<[HashMap<usize, usize>; NAMES.len()]>> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts an object.
pub(crate) fn born(kind: Kind, object: usize) {
    static REPORT: Once = Once::new();
    REPORT.call_once(|| {
        // SAFETY: `report` is a function without arguments that lives as long as the library, which
        // is never unloaded.
        unsafe { libc::atexit(report) };
    });
    *alive().get_or_insert_default()[kind as usize].entry(object).or_default() += 1;
}

/// Counts an object no more, or not so often; whether it was alive.
pub(crate) fn died(kind: Kind, object: usize) -> bool {
    let mut alive = alive();
    let objects = &mut alive.get_or_insert_default()[kind as usize];
    let Some(held) = objects.get_mut(&object) else { return false };
    *held -= 1;
    if *held == 0 {
        objects.remove(&object);
    }
    true
}

/// How many objects of a kind are alive.
#[unsafe(no_mangle)]
extern "C" fn eigengrad_emulator_live(kind: u32) -> u64 {
    alive().as_ref().and_then(|kinds| kinds.get(kind as usize)).map_or(0, |objects| objects.values().sum::<usize>() as u64)
}

/// Names what leaked; under EIGENGRAD_EMULATOR_LEAKS=error it is fatal.
extern "C" fn report() {
    crate::fault::tell_called();
    let mut leaked = false;
    for (kind, name) in (0..).zip(NAMES) {
        let count = eigengrad_emulator_live(kind);
        if count > 0 {
            leaked = true;
            eprintln!("emulator: leaked {count} {name}{}", if count == 1 { "" } else { "s" });
        }
    }
    if leaked && env::var("EIGENGRAD_EMULATOR_LEAKS").as_deref() == Ok("error") {
        // SAFETY: flushes C's streams, as the rest of exit would have done, and ends the process.
        unsafe {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(66);
        }
    }
}
