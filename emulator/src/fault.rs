//! Failures on purpose: the N-th call that can fail does, with N from EIGENGRAD_EMULATOR_FAIL or `eigengrad_emulator_fail`; the N-th piece
//! of a stream's work, from EIGENGRAD_EMULATOR_BREAK or `eigengrad_emulator_break`, breaks its context when it runs. 0 is never.

use std::env;
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

fn from_environment() {
    FROM_ENVIRONMENT.get_or_init(|| {
        let wanted = |name| env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        TARGET.store(wanted("EIGENGRAD_EMULATOR_FAIL"), Ordering::SeqCst);
        BREAKING.store(wanted("EIGENGRAD_EMULATOR_BREAK"), Ordering::SeqCst);
    });
}

/// Whether this piece of work, a kernel, a copy or a solver's, shall touch memory that is not there. Each asks once, when it runs.
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

/// Writes the name of the call that failed on purpose, with a final zero and cut to `len` bytes; returns its length, 0 if none did.
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
