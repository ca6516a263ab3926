//! The cuBLAS handle: a stream and a few modes.

use super::device::Device;
use super::status::{INVALID_VALUE, NOT_INITIALIZED};
use super::{VERSION, answer, give_back};
use crate::census::{self, Kind};
use crate::context;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a handle remembers.
#[derive(Clone, Copy, Default)]
pub(super) struct Handle {
    /// The address of the stream.
    pub(super) stream: usize,
    /// CUBLAS_POINTER_MODE_DEVICE, not _HOST.
    pub(super) device_scalars: bool,
    math: c_int,
    atomics: c_int,
}

/// The handles by their number, which is never used twice.
static HANDLES: Mutex<(usize, BTreeMap<usize, Handle>)> = Mutex::new((0xb1a5_0000, BTreeMap::new()));

fn handles() -> MutexGuard<'static, (usize, BTreeMap<usize, Handle>)> {
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The handle, or what a call that is given none returns.
pub(super) fn of(handle: *mut c_void) -> Result<Handle, c_int> {
    handles().1.get(&handle.addr()).copied().ok_or(NOT_INITIALIZED)
}

fn change(handle: *mut c_void, change: impl FnOnce(&mut Handle)) -> Result<(), c_int> {
    handles().1.get_mut(&handle.addr()).map(change).ok_or(NOT_INITIALIZED)
}

fn store<T>(out: Option<&mut MaybeUninit<T>>, value: T) -> Result<(), c_int> {
    out.ok_or(INVALID_VALUE)?.write(value);
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn cublasCreate_v2(out: Option<&mut MaybeUninit<*mut c_void>>) -> c_int {
    answer("cublasCreate_v2", || {
        let out = out.ok_or(INVALID_VALUE)?;
        let (last, handles) = &mut *handles();
        *last += 16;
        handles.insert(*last, Handle::default());
        census::born(Kind::BlasHandle, *last);
        out.write(*last as *mut c_void);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasDestroy_v2(handle: *mut c_void) -> c_int {
    give_back("cublasDestroy_v2", || {
        handles().1.remove(&handle.addr()).ok_or(NOT_INITIALIZED)?;
        census::died(Kind::BlasHandle, handle.addr());
        // as cuBLAS does, which ends any capture
        let _ = context::current().and_then(|context| context.synchronize());
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetStream_v2(handle: *mut c_void, stream: *mut c_void) -> c_int {
    answer("cublasSetStream_v2", || change(handle, |handle| handle.stream = stream.addr()))
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetStream_v2(handle: *mut c_void, out: Option<&mut MaybeUninit<*mut c_void>>) -> c_int {
    answer("cublasGetStream_v2", || store(out, of(handle)?.stream as *mut c_void))
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetPointerMode_v2(handle: *mut c_void, mode: c_int) -> c_int {
    answer("cublasSetPointerMode_v2", || match mode {
        0 | 1 => change(handle, |handle| handle.device_scalars = mode == 1),
        _ => of(handle).and(Err(INVALID_VALUE)),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetPointerMode_v2(handle: *mut c_void, out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    answer("cublasGetPointerMode_v2", || store(out, of(handle)?.device_scalars.into()))
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetMathMode(handle: *mut c_void, mode: c_int) -> c_int {
    answer("cublasSetMathMode", || match mode & !16 {
        0..=4 | 8 => change(handle, |handle| handle.math = mode),
        _ => of(handle).and(Err(INVALID_VALUE)),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetMathMode(handle: *mut c_void, out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    answer("cublasGetMathMode", || store(out, of(handle)?.math))
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetAtomicsMode(handle: *mut c_void, mode: c_int) -> c_int {
    answer("cublasSetAtomicsMode", || match mode {
        0 | 1 => change(handle, |handle| handle.atomics = mode),
        _ => of(handle).and(Err(INVALID_VALUE)),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetAtomicsMode(handle: *mut c_void, out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    answer("cublasGetAtomicsMode", || store(out, of(handle)?.atomics))
}

/// The products need no workspace; one that is given must be device memory, aligned to 256 bytes.
#[unsafe(no_mangle)]
extern "C" fn cublasSetWorkspace_v2(handle: *mut c_void, workspace: *mut c_void, bytes: usize) -> c_int {
    answer("cublasSetWorkspace_v2", || {
        of(handle)?;
        let sound = workspace.addr().is_multiple_of(256) && Device::<u8>::new(workspace.cast(), bytes).is_some();
        (bytes == 0 || sound).then_some(()).ok_or(INVALID_VALUE)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetVersion_v2(handle: *mut c_void, out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    let [major, minor, patch] = VERSION;
    answer("cublasGetVersion_v2", || of(handle).and_then(|_| store(out, 10_000 * major + 100 * minor + patch)))
}

#[unsafe(no_mangle)]
extern "C" fn cublasGetProperty(which: c_int, out: Option<&mut MaybeUninit<c_int>>) -> c_int {
    let part = || usize::try_from(which).ok().and_then(|which| VERSION.get(which)).copied().ok_or(INVALID_VALUE);
    answer("cublasGetProperty", || store(out, part()?))
}
