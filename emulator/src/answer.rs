//! CUresult: its values, their names, and how a driver function comes to return one.

use crate::fault;
use std::ffi::{CStr, c_char, c_int};

pub(crate) const INVALID_VALUE: i32 = 1;
pub(crate) const OUT_OF_MEMORY: i32 = 2;
pub(crate) const NOT_INITIALIZED: i32 = 3;
pub(crate) const DEVICE_UNAVAILABLE: i32 = 46;
pub(crate) const INVALID_DEVICE: i32 = 101;
pub(crate) const INVALID_IMAGE: i32 = 200;
pub(crate) const INVALID_CONTEXT: i32 = 201;
pub(crate) const NO_BINARY_FOR_GPU: i32 = 209;
pub(crate) const INVALID_HANDLE: i32 = 400;
pub(crate) const NOT_FOUND: i32 = 500;
pub(crate) const ILLEGAL_ADDRESS: i32 = 700;
pub(crate) const CONTEXT_IS_DESTROYED: i32 = 709;
pub(crate) const LAUNCH_FAILED: i32 = 719;
pub(crate) const NOT_SUPPORTED: i32 = 801;
pub(crate) const CAPTURE_UNSUPPORTED: i32 = 900;
pub(crate) const CAPTURE_INVALIDATED: i32 = 901;
pub(crate) const CAPTURE_MERGE: i32 = 902;
pub(crate) const CAPTURE_UNMATCHED: i32 = 903;
pub(crate) const CAPTURE_UNJOINED: i32 = 904;
pub(crate) const UNKNOWN: i32 = 999;

/// What a driver function returns: an error on purpose if it is its turn, else what its body says.
pub(crate) fn answer(call: &'static str, body: impl FnOnce() -> Result<(), i32>) -> c_int {
    if fault::strikes(call) {
        return UNKNOWN;
    }
    body().err().unwrap_or(0)
}

/// The same of a function that allocates.
pub(crate) fn allocate(call: &'static str, body: impl FnOnce() -> Result<(), i32>) -> c_int {
    if fault::strikes(call) {
        return OUT_OF_MEMORY;
    }
    body().err().unwrap_or(0)
}

/// The same of a function that gives something back: that succeeds even if the function then fails
/// on purpose, since it "may also return error codes from previous, asynchronous launches".
pub(crate) fn give_back(call: &'static str, body: impl FnOnce() -> Result<(), i32>) -> c_int {
    let strikes = fault::strikes(call);
    let done = body();
    if strikes { UNKNOWN } else { done.err().unwrap_or(0) }
}

/// Stores a result through a pointer that the caller vouches for, unless it is null.
pub(crate) fn store<T>(out: *mut T, value: T) -> Result<(), i32> {
    if out.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: a result parameter of C: not null, and to be written to, by the documentation of
    // every function that has one.
    unsafe { out.write_unaligned(value) };
    Ok(())
}

/// A string parameter.
pub(crate) fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: a string parameter of C: not null, and ending in a zero.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

const RESULTS: [(c_int, &CStr, &CStr); 28] = [
    (0, c"CUDA_SUCCESS", c"no error"),
    (INVALID_VALUE, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
    (OUT_OF_MEMORY, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
    (NOT_INITIALIZED, c"CUDA_ERROR_NOT_INITIALIZED", c"initialization error"),
    (DEVICE_UNAVAILABLE, c"CUDA_ERROR_DEVICE_UNAVAILABLE", c"CUDA-capable device(s) is/are busy or unavailable"),
    (100, c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
    (INVALID_DEVICE, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal"),
    (INVALID_IMAGE, c"CUDA_ERROR_INVALID_IMAGE", c"device kernel image is invalid"),
    (INVALID_CONTEXT, c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context"),
    (NO_BINARY_FOR_GPU, c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"no kernel image is available for execution on the device"),
    (218, c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed"),
    (INVALID_HANDLE, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle"),
    (NOT_FOUND, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
    (600, c"CUDA_ERROR_NOT_READY", c"device not ready"),
    (ILLEGAL_ADDRESS, c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered"),
    (701, c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", c"too many resources requested for launch"),
    (708, c"CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", c"cannot set while device is active in this process"),
    (CONTEXT_IS_DESTROYED, c"CUDA_ERROR_CONTEXT_IS_DESTROYED", c"context is destroyed"),
    (716, c"CUDA_ERROR_MISALIGNED_ADDRESS", c"misaligned address"),
    (LAUNCH_FAILED, c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure"),
    (800, c"CUDA_ERROR_NOT_PERMITTED", c"operation not permitted"),
    (NOT_SUPPORTED, c"CUDA_ERROR_NOT_SUPPORTED", c"operation not supported"),
    (CAPTURE_UNSUPPORTED, c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", c"operation not permitted when stream is capturing"),
    (CAPTURE_INVALIDATED, c"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", c"operation failed due to a previous error during capture"),
    (CAPTURE_MERGE, c"CUDA_ERROR_STREAM_CAPTURE_MERGE", c"operation would result in a merge of separate capture sequences"),
    (CAPTURE_UNMATCHED, c"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", c"capture was not ended in the same stream as it began"),
    (CAPTURE_UNJOINED, c"CUDA_ERROR_STREAM_CAPTURE_UNJOINED", c"capturing stream has unjoined work"),
    (UNKNOWN, c"CUDA_ERROR_UNKNOWN", c"unknown error"),
];

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(code: c_int, out: *mut *const c_char) -> c_int {
    let name = RESULTS.iter().find(|result| result.0 == code);
    let stored = store(out, name.map_or(std::ptr::null(), |result| result.1.as_ptr()));
    name.map_or(INVALID_VALUE, |_| stored.err().unwrap_or(0))
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(code: c_int, out: *mut *const c_char) -> c_int {
    let name = RESULTS.iter().find(|result| result.0 == code);
    let stored = store(out, name.map_or(std::ptr::null(), |result| result.2.as_ptr()));
    name.map_or(INVALID_VALUE, |_| stored.err().unwrap_or(0))
}
