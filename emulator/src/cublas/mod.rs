//! libcublas: handles and strided-batched products, as documented in the cuBLAS library guide, on
//! the host.

pub(crate) mod device;
mod gemm;
mod handle;
pub(crate) mod number;

use crate::fault;
use std::ffi::{CStr, c_char, c_int};

/// cublasStatus_t
mod status {
    use std::ffi::c_int;

    pub const SUCCESS: c_int = 0;
    pub const NOT_INITIALIZED: c_int = 1;
    pub const INVALID_VALUE: c_int = 7;
    pub const EXECUTION_FAILED: c_int = 13;
}

/// 13.0.2, as cuBLAS writes it: 10000·major + 100·minor + patch.
const VERSION: [c_int; 3] = [13, 0, 2];

/// What a call returns: an error on purpose if it is its turn, else what its body says.
fn answer(call: &'static str, body: impl FnOnce() -> Result<(), c_int>) -> c_int {
    if fault::strikes(call) {
        return status::EXECUTION_FAILED;
    }
    body().err().unwrap_or(status::SUCCESS)
}

/// The same of a call that gives something back: it has, even if it then fails on purpose.
fn give_back(call: &'static str, body: impl FnOnce() -> Result<(), c_int>) -> c_int {
    let strikes = fault::strikes(call);
    let done = body();
    if strikes { status::EXECUTION_FAILED } else { done.err().unwrap_or(status::SUCCESS) }
}

/// Every status with its name and its description.
const STATUSES: [(c_int, &CStr, &CStr); 10] = [
    (0, c"CUBLAS_STATUS_SUCCESS", c"success"),
    (1, c"CUBLAS_STATUS_NOT_INITIALIZED", c"the library was not initialized"),
    (3, c"CUBLAS_STATUS_ALLOC_FAILED", c"the resource allocation failed"),
    (7, c"CUBLAS_STATUS_INVALID_VALUE", c"an unsupported value or parameter was passed to the function"),
    (8, c"CUBLAS_STATUS_ARCH_MISMATCH", c"the function requires a feature absent from the device"),
    (11, c"CUBLAS_STATUS_MAPPING_ERROR", c"an access to GPU memory space failed"),
    (13, c"CUBLAS_STATUS_EXECUTION_FAILED", c"the GPU program failed to execute"),
    (14, c"CUBLAS_STATUS_INTERNAL_ERROR", c"an internal operation failed"),
    (15, c"CUBLAS_STATUS_NOT_SUPPORTED", c"the functionality requested is not supported"),
    (16, c"CUBLAS_STATUS_LICENSE_ERROR", c"an error was detected when checking the current licensing"),
];

#[unsafe(no_mangle)]
extern "C" fn cublasGetStatusName(status: c_int) -> *const c_char {
    STATUSES.iter().find(|(code, ..)| *code == status).map_or(c"unrecognized error code", |(_, name, _)| name).as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetStatusString(status: c_int) -> *const c_char {
    STATUSES.iter().find(|(code, ..)| *code == status).map_or(c"unrecognized error code", |(.., text)| text).as_ptr()
}
