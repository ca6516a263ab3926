//! libcusolver: batched Hermitian eigendecomposition as documented in the cuSOLVER library guide,
//! and as known, on the host.

mod batch;
mod evj;
mod handle;
mod jacobi;
mod syev;

use crate::fault;
use std::env;
use std::ffi::c_int;
use std::mem::MaybeUninit;

/// cusolverStatus_t
mod status {
    use std::ffi::c_int;

    pub const SUCCESS: c_int = 0;
    pub const NOT_INITIALIZED: c_int = 1;
    pub const INVALID_VALUE: c_int = 3;
    pub const EXECUTION_FAILED: c_int = 6;
    pub const INTERNAL_ERROR: c_int = 7;
    pub const NOT_SUPPORTED: c_int = 9;
}

/// What a call returns: an error on purpose if it is its turn, else what its body says.
fn answer(call: &'static str, body: impl FnOnce() -> Result<(), c_int>) -> c_int {
    if fault::strikes(call) {
        return status::INTERNAL_ERROR;
    }
    body().err().unwrap_or(status::SUCCESS)
}

/// The same of a call that gives something back: it has, even if it then fails on purpose.
fn give_back(call: &'static str, body: impl FnOnce() -> Result<(), c_int>) -> c_int {
    let strikes = fault::strikes(call);
    let done = body();
    if strikes { status::INTERNAL_ERROR } else { done.err().unwrap_or(status::SUCCESS) }
}

fn store<T>(out: Option<&mut MaybeUninit<T>>, value: T) -> Result<(), c_int> {
    out.ok_or(status::INVALID_VALUE)?.write(value);
    Ok(())
}

/// 1000·major + 100·minor + patch: 12.0.4, that of CUDA 13.0, unless
/// EIGENGRAD_EMULATOR_CUSOLVER_VERSION says otherwise.
fn version() -> c_int {
    env::var("EIGENGRAD_EMULATOR_CUSOLVER_VERSION").ok().and_then(|version| version.parse().ok()).unwrap_or(12_004)
}

#[unsafe(no_mangle)]
extern "C" fn cusolverGetVersion(out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    answer("cusolverGetVersion", || store(out, version()))
}

#[unsafe(no_mangle)]
extern "C" fn cusolverGetProperty(which: c_int, out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    let version = version();
    let part = || match which {
        0 => Ok(version / 1000),
        1 => Ok(version / 100 % 10),
        2 => Ok(version % 100),
        _ => Err(status::INVALID_VALUE),
    };
    answer("cusolverGetProperty", || store(out, part()?))
}
