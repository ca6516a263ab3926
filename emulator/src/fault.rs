//! Failures on purpose: the N-th call that can fail does, with N from EIGENGRAD_EMULATOR_FAIL or
//! `eigengrad_emulator_fail`; the N-th piece of a stream's work, from EIGENGRAD_EMULATOR_BREAK or
//! `eigengrad_emulator_break`, breaks its context when it runs. 0 is never.

use std::collections::BTreeSet;
use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

static CALLS: AtomicU64 = AtomicU64::new(0);
static TARGET: AtomicU64 = AtomicU64::new(0);
static WORK: AtomicU64 = AtomicU64::new(0);
static BREAKING: AtomicU64 = AtomicU64::new(0);
static FROM_ENVIRONMENT: OnceLock<()> = OnceLock::new();
static STRUCK: Mutex<&str> = Mutex::new("");
/// Whether the program itself decides, which then can ask what failed.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether this call shall fail. Every exported function that can fail asks once.
pub(crate) fn strikes(call: &'static str) -> bool {
    from_environment();
    if let Some(called) = called() {
        called.lock().unwrap_or_else(PoisonError::into_inner).insert(call);
    }
    let number = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    let strikes = number == TARGET.load(Ordering::SeqCst);
    if strikes {
        *STRUCK.lock().unwrap_or_else(PoisonError::into_inner) = call;
        if !ASKED.load(Ordering::SeqCst) {
            eprintln!("emulator: call {number}, {call}, fails on purpose");
        }
    }
    strikes
}

/// The calls that were made, if EIGENGRAD_EMULATOR_CALLED names a file for them.
fn called() -> Option<&'static Mutex<BTreeSet<&'static str>>> {
    static CALLED: OnceLock<Option<Mutex<BTreeSet<&'static str>>>> = OnceLock::new();
    CALLED.get_or_init(|| env::var_os("EIGENGRAD_EMULATOR_CALLED").map(|_| Mutex::default())).as_ref()
}

/// Appends their names to the file.
pub(crate) fn tell_called() {
    let (Some(called), Some(file)) = (called(), env::var_os("EIGENGRAD_EMULATOR_CALLED")) else { return };
    let names: String = called.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|name| format!("{name}\n")).collect();
    let written = OpenOptions::new().append(true).create(true).open(file).and_then(|mut file| file.write_all(names.as_bytes()));
    if let Err(e) = written {
        eprintln!("emulator: EIGENGRAD_EMULATOR_CALLED: {e}");
    }
}

fn from_environment() {
    FROM_ENVIRONMENT.get_or_init(|| {
        let wanted = |name| env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        TARGET.store(wanted("EIGENGRAD_EMULATOR_FAIL"), Ordering::SeqCst);
        BREAKING.store(wanted("EIGENGRAD_EMULATOR_BREAK"), Ordering::SeqCst);
    });
}

/// Whether this piece of work, a kernel, a copy or a solver's, shall touch memory that is not
/// there. Each asks once, when it runs.
pub(crate) fn breaks() -> bool {
    from_environment();
    WORK.fetch_add(1, Ordering::SeqCst) + 1 == BREAKING.load(Ordering::SeqCst)
}

/// Has the `n`-th piece of work from here on break its context.
#[unsafe(no_mangle)]
extern "C" fn eigengrad_emulator_break(n: u64) {
    from_environment();
    BREAKING.store(0, Ordering::SeqCst);
    WORK.store(0, Ordering::SeqCst);
    BREAKING.store(n, Ordering::SeqCst);
}

/// Has the `n`-th call from here on fail.
#[unsafe(no_mangle)]
extern "C" fn eigengrad_emulator_fail(n: u64) {
    from_environment();
    *STRUCK.lock().unwrap_or_else(PoisonError::into_inner) = "";
    ASKED.store(true, Ordering::SeqCst);
    TARGET.store(0, Ordering::SeqCst);
    CALLS.store(0, Ordering::SeqCst);
    TARGET.store(n, Ordering::SeqCst);
}

/// How many calls there were since `eigengrad_emulator_fail`, or at all.
#[unsafe(no_mangle)]
extern "C" fn eigengrad_emulator_calls() -> u64 {
    CALLS.load(Ordering::SeqCst)
}

/// Writes the name of the call that failed on purpose, with a final zero and cut to `len` bytes;
/// returns its length, 0 if none did.
#[unsafe(no_mangle)]
extern "C" fn eigengrad_emulator_struck(out: *mut u8, len: usize) -> usize {
    let name = *STRUCK.lock().unwrap_or_else(PoisonError::into_inner);
    if !out.is_null() && len > 0 {
        let cut = name.len().min(len - 1);
        // SAFETY: the caller says that `out` has room for `len` bytes; `cut` is less.
        unsafe {
            std::ptr::copy_nonoverlapping(name.as_ptr(), out, cut);
            out.add(cut).write(0);
        }
    }
    name.len()
}
