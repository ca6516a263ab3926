//! What the emulator and a compiled module know of each other: the layouts of runtime/*.hpp.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};

/// `eg_block`: what all threads of a block share.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Block {
    pub(crate) block: [c_uint; 3],
    pub(crate) threads: [c_uint; 3],
    pub(crate) blocks: [c_uint; 3],
    pub(crate) dynamic: *mut c_void,
}

/// `eg_thread`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Thread {
    pub(crate) thread: [c_uint; 3],
    pub(crate) block: *const Block,
}

/// `eg_host_functions`.
#[repr(C)]
pub(crate) struct HostFunctions {
    pub(crate) block: extern "C" fn(c_uint, c_int, *const c_char) -> c_uint,
    pub(crate) warp: extern "C" fn(c_uint, c_ulonglong, c_uint, c_int, *const c_char) -> c_ulonglong,
    pub(crate) alive: extern "C" fn() -> c_uint,
    pub(crate) copy: extern "C" fn(*mut [c_ulonglong; 2], c_ulonglong, c_ulonglong),
    pub(crate) await_copies: extern "C" fn(),
    pub(crate) fail: extern "C" fn(*const c_char, c_int, *const c_char),
    pub(crate) access: extern "C" fn(*const c_void, usize, c_int, *const c_void),
}

/// `eg_kernel`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Kernel {
    pub(crate) name: *const c_char,
    pub(crate) expression: *const c_char,
    pub(crate) bytes: c_uint,
    pub(crate) pointers: c_ulonglong,
    pub(crate) copy: unsafe extern "C" fn(*mut c_void, *mut *mut c_void),
    pub(crate) run: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: literals and code of a module, which its owner keeps loaded.
unsafe impl Send for Kernel {}
// SAFETY: as above; nothing of it changes.
unsafe impl Sync for Kernel {}

/// The table of kernels, which ends with one without a name.
pub(crate) const KERNELS: &std::ffi::CStr = c"eigengrad_emulator_kernels";
/// Tells a module the functions of the scheduler, and gives where the calling thread's `eg_self`
/// is.
pub(crate) const SELF: &std::ffi::CStr = c"eigengrad_emulator_self";
pub(crate) type SelfOf = unsafe extern "C" fn(*const HostFunctions) -> *mut *const Thread;
/// How the mark begins by which an image is known, followed by its architecture, as `sm_90`, and a
/// semicolon.
pub(crate) const MARK: &str = "eigengrad emulator module 1 for ";
