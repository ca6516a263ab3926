//! Device memory: what is allocated on which device, and the driver's functions that allocate and
//! free.

use crate::answer::{INVALID_VALUE, OUT_OF_MEMORY, allocate, answer, give_back, store};
use crate::census::{self, Kind};
use crate::context::{self, current};
use crate::device;
use crate::handle::lock;
use crate::queue::Stream;
use crate::region::Region;
use crate::stream;
use std::collections::BTreeMap;
use std::env;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A live allocation.
struct Allocation {
    region: Region,
    device: usize,
    context: usize,
    /// It was given back in the order of a stream that has not come so far: work before that may
    /// use it, no new work may.
    doomed: bool,
}

static ALLOCATIONS: RwLock<BTreeMap<usize, Allocation>> = RwLock::new(BTreeMap::new());

fn read() -> RwLockReadGuard<'static, BTreeMap<usize, Allocation>> {
    ALLOCATIONS.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, BTreeMap<usize, Allocation>> {
    ALLOCATIONS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the bytes lie within one live device allocation, of the device that works or whose
/// context is current.
pub(crate) fn is_device(address: *const c_void, bytes: usize) -> bool {
    let (working, device) = match stream::working_on() {
        Some(device) => (true, Some(device)),
        None => (false, current().ok().map(|context| context.device)),
    };
    lies_within(address.addr(), bytes, working, device)
}

/// The same without regard to the device: copies between devices are allowed.
pub(crate) fn is_any_device(address: usize, bytes: usize) -> bool {
    lies_within(address, bytes, stream::working_on().is_some(), None)
}

fn lies_within(address: usize, bytes: usize, working: bool, device: Option<usize>) -> bool {
    read().range(..=address).next_back().is_some_and(|(start, allocation)| {
        let inside = bytes <= allocation.region.bytes && address - start <= allocation.region.bytes - bytes;
        inside && (working || !allocation.doomed) && device.is_none_or(|device| device == allocation.device)
    })
}

/// The device of the live allocation around an address, with its start and size.
pub(crate) fn owner(address: usize) -> Option<(usize, usize, usize)> {
    let allocations = read();
    let (start, allocation) = allocations.range(..=address).next_back()?;
    (address - start < allocation.region.bytes).then_some((allocation.device, *start, allocation.region.bytes))
}

/// What lies at an address that was touched in vain; for the signal handler, which must not wait.
pub(crate) fn place(address: usize) -> Option<&'static str> {
    let allocations = ALLOCATIONS.try_read().ok()?;
    let near = allocations.range(..=address).next_back().into_iter().chain(allocations.range(address..).next());
    near.into_iter().any(|(_, allocation)| allocation.region.surrounds(address)).then_some("unowned memory beside an allocation,")
}

/// How many bytes of a device are taken.
fn taken(device: usize) -> usize {
    read()
        .values()
        .filter(|allocation| allocation.device == device)
        .map(|allocation| allocation.region.bytes.next_multiple_of(256))
        .sum()
}

fn new(bytes: usize) -> Result<usize, i32> {
    let context = current()?;
    context.check()?;
    if bytes == 0 {
        return Err(INVALID_VALUE);
    }
    if taken(context.device).checked_add(bytes).is_none_or(|sum| sum > device::memory()) {
        return Err(OUT_OF_MEMORY);
    }
    let region = Region::new(bytes).ok_or(OUT_OF_MEMORY)?;
    write().insert(region.start, Allocation { region, device: context.device, context: context.name, doomed: false });
    census::born(Kind::Memory, region.start);
    Ok(region.start)
}

/// Ends an allocation; an error if there is none, or if something was written beside it.
fn end(address: usize) -> Result<(), String> {
    let gone = |address| format!("{address:#x} is no device memory");
    let allocation = write().remove(&address).ok_or_else(|| gone(address))?;
    census::died(Kind::Memory, address);
    let spilt = allocation.region.spilt();
    let bytes = allocation.region.bytes;
    allocation.region.retire();
    spilt.map_or(Ok(()), |at| Err(format!("byte {at} of {bytes} bytes of device memory at {address:#x} was written")))
}

/// Takes note that an allocation ends when a stream comes so far.
fn doom(address: usize) -> Result<(), i32> {
    match write().get_mut(&address) {
        Some(allocation) if !allocation.doomed => allocation.doomed = true,
        _ => return Err(INVALID_VALUE),
    }
    Ok(())
}

/// Ends what a context leaves; the census keeps counting it.
pub(crate) fn abandon(context: usize) {
    write().retain(|_, allocation| {
        let stays = allocation.context != context;
        if !stays {
            allocation.region.retire();
        }
        stays
    });
}

/// Memory that was given back in the order of a stream, which the driver's pool may give to the
/// same stream at once, as it is.
struct Pooled {
    stream: usize,
    bytes: usize,
    address: usize,
    /// By an allocation, or by the end of the memory.
    taken: Arc<AtomicBool>,
}

static POOL: Mutex<Vec<Pooled>> = Mutex::new(Vec::new());

/// Whether pools give memory again: EIGENGRAD_EMULATOR_POOLS=reuse.
fn reuses() -> bool {
    static REUSES: OnceLock<bool> = OnceLock::new();
    *REUSES.get_or_init(|| env::var("EIGENGRAD_EMULATOR_POOLS").as_deref() == Ok("reuse"))
}

/// Memory of as many bytes that this stream gave back.
fn again(stream: &Arc<Stream>, bytes: usize) -> Option<usize> {
    let mut pool = lock(&POOL);
    pool.retain(|pooled| !pooled.taken.load(Ordering::SeqCst));
    let own = |pooled: &&Pooled| (pooled.stream, pooled.bytes) == (Arc::as_ptr(stream).addr(), bytes);
    let pooled = pool.iter().rev().find(own).filter(|pooled| !pooled.taken.swap(true, Ordering::SeqCst))?;
    write().get_mut(&pooled.address)?.doomed = false;
    census::born(Kind::Memory, pooled.address);
    Some(pooled.address)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(out: *mut usize, bytes: usize) -> c_int {
    allocate("cuMemAlloc_v2", || {
        stream::prohibit_while_capturing()?;
        store(out, new(bytes)?)
    })
}

/// The memory may be used at once: the order of the stream is that of its use.
#[unsafe(no_mangle)]
extern "C" fn cuMemAllocAsync(out: *mut usize, bytes: usize, stream: *mut c_void) -> c_int {
    allocate("cuMemAllocAsync", || {
        let stream = stream::resolve(stream)?;
        stream.refuse_capture()?;
        match again(&stream, bytes) {
            Some(address) => store(out, address),
            None => store(out, new(bytes)?),
        }
    })
}

/// Waits for all work of the context, as the driver does.
#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: usize) -> c_int {
    give_back("cuMemFree_v2", || {
        if address == 0 {
            return Ok(());
        }
        doom(address)?;
        let done = match current() {
            Ok(context) => context.synchronize(),
            Err(code) => Err(code),
        };
        end(address).map_err(|text| context::fail(&text))?;
        done
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(address: usize, stream: *mut c_void) -> c_int {
    give_back("cuMemFreeAsync", || {
        let stream = stream::resolve(stream)?;
        stream.refuse_capture()?;
        doom(address)?;
        if !reuses() {
            stream.append_always(move || end(address));
            return Ok(());
        }
        let bytes = owner(address).map_or(0, |(_, _, bytes)| bytes);
        let taken = Arc::new(AtomicBool::new(false));
        census::died(Kind::Memory, address);
        lock(&POOL).push(Pooled { stream: Arc::as_ptr(&stream).addr(), bytes, address, taken: taken.clone() });
        stream.append_always(move || {
            if taken.swap(true, Ordering::SeqCst) {
                return Ok(()); // it has another owner
            }
            census::born(Kind::Memory, address); // dies in the end
            end(address)
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    answer("cuMemGetInfo_v2", || {
        let context = current()?;
        store(free, device::memory() - taken(context.device).min(device::memory()))?;
        store(total, device::memory())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetAddressRange_v2(base: *mut usize, size: *mut usize, address: usize) -> c_int {
    answer("cuMemGetAddressRange_v2", || {
        let (_, start, bytes) = owner(address).ok_or(crate::answer::NOT_FOUND)?;
        if !base.is_null() {
            store(base, start)?;
        }
        if !size.is_null() {
            store(size, bytes)?;
        }
        Ok(())
    })
}
