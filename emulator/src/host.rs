//! Pinned host memory, and what the driver knows about a pointer.

use crate::answer::*;
use crate::census::{self, Kind};
use crate::context::current;
use crate::handle::lock;
use crate::memory;
use crate::region::Region;
use crate::stream;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Mutex;

/// The allocations by their start, with their contexts.
static PINNED: Mutex<BTreeMap<usize, (Region, usize)>> = Mutex::new(BTreeMap::new());

/// Whether the bytes lie within one pinned allocation: copies of them run in the order of the
/// stream.
pub(crate) fn is_pinned(address: usize, bytes: usize) -> bool {
    let pinned = lock(&PINNED);
    let found = pinned.range(..=address).next_back();
    found.is_some_and(|(start, (region, _))| bytes <= region.bytes && address - start <= region.bytes - bytes)
}

/// Ends what a context leaves; the census keeps counting it.
pub(crate) fn abandon(context: usize) {
    lock(&PINNED).retain(|_, (region, of)| {
        let stays = *of != context;
        if !stays {
            region.retire();
        }
        stays
    });
}

fn new(out: *mut *mut c_void, bytes: usize) -> Result<(), i32> {
    stream::prohibit_while_capturing()?;
    let context = current()?;
    context.check()?;
    if bytes == 0 || out.is_null() {
        return Err(INVALID_VALUE);
    }
    let region = Region::new(bytes).ok_or(OUT_OF_MEMORY)?;
    lock(&PINNED).insert(region.start, (region, context.name));
    census::born(Kind::HostMemory, region.start);
    store(out, region.start as *mut c_void)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(out: *mut *mut c_void, bytes: usize, _flags: c_uint) -> c_int {
    allocate("cuMemHostAlloc", || new(out, bytes))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocHost_v2(out: *mut *mut c_void, bytes: usize) -> c_int {
    allocate("cuMemAllocHost_v2", || new(out, bytes))
}

/// Waits for all work of the context, which may use the memory.
#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(address: *mut c_void) -> c_int {
    give_back("cuMemFreeHost", || {
        if !lock(&PINNED).contains_key(&address.addr()) {
            return Err(INVALID_VALUE);
        }
        let done = current().and_then(|context| context.synchronize());
        let (region, _) = lock(&PINNED).remove(&address.addr()).ok_or(INVALID_VALUE)?;
        census::died(Kind::HostMemory, address.addr());
        region.retire();
        done
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostGetDevicePointer_v2(out: *mut usize, address: *mut c_void, _flags: c_uint) -> c_int {
    answer("cuMemHostGetDevicePointer_v2", || match is_pinned(address.addr(), 1) {
        true => store(out, address.addr()),
        false => Err(INVALID_VALUE),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostGetFlags(out: *mut c_uint, address: *mut c_void) -> c_int {
    answer("cuMemHostGetFlags", || if is_pinned(address.addr(), 1) { store(out, 0) } else { Err(INVALID_VALUE) })
}

/// CU_POINTER_ATTRIBUTE_: memory type, device and host pointer, device ordinal, start and size of
/// the allocation, mapped, managed.
#[unsafe(no_mangle)]
extern "C" fn cuPointerGetAttribute(out: *mut c_void, attribute: c_int, address: usize) -> c_int {
    answer("cuPointerGetAttribute", || {
        let (device, pinned) = (memory::owner(address), is_pinned(address, 1));
        match (attribute, device) {
            _ if device.is_none() && !pinned => Err(INVALID_VALUE),
            (2, _) => store(out.cast::<c_uint>(), if pinned { 1 } else { 2 }),
            (3, _) => store(out.cast(), address),
            (4, None) => store(out.cast(), address),
            (8, _) => store(out.cast::<u8>(), 0),
            (9, Some((ordinal, ..))) => store(out.cast::<c_int>(), ordinal as c_int),
            (11, Some((_, start, _))) => store(out.cast(), start),
            (12, Some((.., bytes))) => store(out.cast(), bytes),
            (13, _) => store(out.cast::<c_int>(), 1),
            _ => Err(INVALID_VALUE),
        }
    })
}
