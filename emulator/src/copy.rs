//! Copies and fills, checked when they are called and again when they run.

use crate::answer::*;
use crate::host::is_pinned;
use crate::memory::is_any_device;
use crate::stream::{self, Work, resolve, synchronize};
use std::ffi::{c_int, c_uchar, c_uint, c_ushort, c_void};
use std::sync::{Arc, Mutex};

/// Where a copy reads or writes.
#[derive(Clone)]
enum End {
    Device(usize),
    /// Memory of the host that is used when the copy runs.
    Host(usize),
    /// What the host held when the copy was called, as the driver stages it.
    Staged(Arc<[u8]>),
}

impl End {
    fn address(&self, bytes: usize) -> Result<usize, String> {
        match self {
            Self::Device(address) if !is_any_device(*address, bytes) => {
                Err(format!("a copy touched {bytes} bytes at {address:#x}, which are no longer device memory"))
            }
            Self::Device(address) | Self::Host(address) => Ok(*address),
            Self::Staged(copy) => Ok(copy.as_ptr().addr()),
        }
    }
}

fn device(address: usize, bytes: usize) -> Result<End, i32> {
    is_any_device(address, bytes).then_some(End::Device(address)).ok_or(INVALID_VALUE)
}

fn host(address: usize) -> Result<End, i32> {
    (address != 0).then_some(End::Host(address)).ok_or(INVALID_VALUE)
}

fn work(to: End, from: End, bytes: usize) -> Work {
    Box::new(move || {
        let (to, from) = (to.address(bytes)?, from.address(bytes)?);
        // SAFETY: both ends are device memory that is alive, the copy of host memory, or memory
        // that the caller of the driver vouches for.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    })
}

fn append(stream: *mut c_void, work: Work) -> Result<(), i32> {
    resolve(stream)?.append(Arc::new(Mutex::new(work)))
}

fn to_device(to: usize, from: usize, bytes: usize, stream: *mut c_void) -> Result<(), i32> {
    let queue = resolve(stream)?;
    queue.check()?;
    if bytes == 0 {
        return Ok(());
    }
    let (to, mut from) = (device(to, bytes)?, host(from)?);
    if let End::Host(address) = from
        && queue.capturing().is_none()
        && !is_pinned(address, bytes)
    {
        // SAFETY: the caller of the driver says that so many bytes lie there.
        from = End::Staged(unsafe { std::slice::from_raw_parts(address as *const u8, bytes) }.into());
    }
    append(stream, work(to, from, bytes))
}

/// Into pageable memory the copy is done when the function returns.
fn to_host(to: usize, from: usize, bytes: usize, stream: *mut c_void) -> Result<(), i32> {
    let queue = resolve(stream)?;
    queue.check()?;
    if bytes == 0 {
        return Ok(());
    }
    append(stream, work(host(to)?, device(from, bytes)?, bytes))?;
    if queue.capturing().is_some() || is_pinned(to, bytes) { Ok(()) } else { synchronize(&queue) }
}

fn on_device(to: usize, from: usize, bytes: usize, stream: *mut c_void) -> Result<(), i32> {
    resolve(stream)?.check()?;
    if bytes == 0 { Ok(()) } else { append(stream, work(device(to, bytes)?, device(from, bytes)?, bytes)) }
}

fn anywhere(to: usize, from: usize, bytes: usize, stream: *mut c_void) -> Result<(), i32> {
    match (is_any_device(to, bytes), is_any_device(from, bytes)) {
        (true, true) => on_device(to, from, bytes, stream),
        (true, false) => to_device(to, from, bytes, stream),
        (false, true) => to_host(to, from, bytes, stream),
        (false, false) => append(stream, work(host(to)?, host(from)?, bytes)),
    }
}

/// Runs a copy in the legacy stream and waits for it.
fn at_once(copy: impl Fn(*mut c_void) -> Result<(), i32>) -> Result<(), i32> {
    stream::prohibit_while_capturing()?;
    let legacy = std::ptr::null_mut();
    let queue = resolve(legacy)?;
    synchronize(&queue)?;
    copy(legacy)?;
    synchronize(&queue)
}

fn fill<T: Copy + Send + 'static>(to: usize, value: T, count: usize, stream: *mut c_void) -> Result<(), i32> {
    resolve(stream)?.check()?;
    let bytes = count.checked_mul(size_of::<T>()).ok_or(INVALID_VALUE)?;
    if count == 0 {
        return Ok(());
    }
    let to = device(to, bytes)?;
    if !matches!(to, End::Device(address) if address.is_multiple_of(align_of::<T>())) {
        return Err(INVALID_VALUE);
    }
    let run = move || {
        let to = to.address(bytes)? as *mut T;
        // SAFETY: `count` aligned places of this size lie in device memory that is alive; T is a
        // plain integer.
        unsafe { std::slice::from_raw_parts_mut(to, count) }.fill(value);
        Ok(())
    };
    append(stream, Box::new(run))
}

macro_rules! copies {
    ($($now:ident $later:ident = $copy:ident;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $now(to: usize, from: usize, bytes: usize) -> c_int {
            answer(stringify!($now), || at_once(|stream| $copy(to, from, bytes, stream)))
        }

        #[unsafe(no_mangle)]
        extern "C" fn $later(to: usize, from: usize, bytes: usize, stream: *mut c_void) -> c_int {
            answer(stringify!($later), || $copy(to, from, bytes, stream))
        }
    )*};
}
copies! {
    cuMemcpyHtoD_v2 cuMemcpyHtoDAsync_v2 = to_device;
    cuMemcpyDtoH_v2 cuMemcpyDtoHAsync_v2 = to_host;
    cuMemcpy cuMemcpyAsync = anywhere;
}

// Copies and fills on the device do not wait, even those without a stream.
macro_rules! fills {
    ($($now:ident $later:ident = $number:ty;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $now(to: usize, value: $number, count: usize) -> c_int {
            answer(stringify!($now), || stream::prohibit_while_capturing().and_then(|()| fill(to, value, count, std::ptr::null_mut())))
        }

        #[unsafe(no_mangle)]
        extern "C" fn $later(to: usize, value: $number, count: usize, stream: *mut c_void) -> c_int {
            answer(stringify!($later), || fill(to, value, count, stream))
        }
    )*};
}
fills! {
    cuMemsetD8_v2 cuMemsetD8Async = c_uchar;
    cuMemsetD16_v2 cuMemsetD16Async = c_ushort;
    cuMemsetD32_v2 cuMemsetD32Async = c_uint;
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoD_v2(to: usize, from: usize, bytes: usize) -> c_int {
    answer("cuMemcpyDtoD_v2", || {
        stream::prohibit_while_capturing()?;
        on_device(to, from, bytes, std::ptr::null_mut())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: usize, from: usize, bytes: usize, stream: *mut c_void) -> c_int {
    answer("cuMemcpyDtoDAsync_v2", || on_device(to, from, bytes, stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyPeerAsync(
    to: usize,
    _to_context: *mut c_void,
    from: usize,
    _from_context: *mut c_void,
    bytes: usize,
    stream: *mut c_void,
) -> c_int {
    answer("cuMemcpyPeerAsync", || on_device(to, from, bytes, stream))
}
