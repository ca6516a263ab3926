//! Launches of kernels.

use crate::answer::*;
use crate::device::most_shared;
use crate::kernel::Kernel;
use crate::memory;
use crate::module::{Function, function};
use crate::order;
use crate::scheduler::{self, Launch};
use crate::stream::resolve;
use std::cell::Cell;
use std::env;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// The parameters of a launch, aligned as any type may ask for.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

const LARGEST_BLOCK: [c_uint; 3] = [1024, 1024, 64];
const LARGEST_GRID: [c_uint; 3] = [c_int::MAX as c_uint, 65_535, 65_535];
const MOST_THREADS: c_uint = 1024;

thread_local! {
    static RUNNING: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// The kernel that this thread of the host is running.
pub(crate) fn running() -> Option<&'static str> {
    RUNNING.try_with(Cell::get).ok().flatten()
}

fn seed() -> u64 {
    env::var("EIGENGRAD_EMULATOR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// What a kernel is called; as long as its module is loaded.
fn name(kernel: &Kernel) -> &'static str {
    // SAFETY: a literal of the module, which the launch keeps loaded.
    unsafe { CStr::from_ptr(kernel.expression) }.to_str().unwrap_or("?")
}

/// A parameter that points to another device's memory: the driver's peer access is not emulated.
///
/// # Safety
/// There are as many parameters as the kernel has.
unsafe fn foreign(kernel: &Kernel, parameters: *mut *mut c_void, device: usize) -> Option<String> {
    (0..64).filter(|place| kernel.pointers >> place & 1 == 1).find_map(|place| {
        // SAFETY: the caller's: this parameter is a pointer.
        let address = unsafe { (*parameters.add(place)).cast::<usize>().read_unaligned() };
        let (owner, ..) = memory::owner(address).filter(|(owner, ..)| *owner != device)?;
        Some(format!("kernel {}: parameter {place} points to device memory of device {owner}, not {device}", name(kernel)))
    })
}

fn launch(
    function: &Arc<Function>,
    grid: [c_uint; 3],
    block: [c_uint; 3],
    dynamic: c_uint,
    stream: *mut c_void,
    parameters: *mut *mut c_void,
) -> Result<(), i32> {
    let stream = resolve(stream)?;
    stream.check()?;
    if function.context != stream.context {
        return Err(INVALID_HANDLE);
    }
    let fits = |sizes: [c_uint; 3], most: [c_uint; 3]| sizes.iter().zip(most).all(|(size, most)| (1..=most).contains(size));
    if !fits(grid, LARGEST_GRID) || !fits(block, LARGEST_BLOCK) || block.iter().product::<c_uint>() > MOST_THREADS {
        return Err(INVALID_VALUE);
    }
    if dynamic > function.dynamic.load(Ordering::Relaxed) {
        return Err(INVALID_VALUE);
    }
    let kernel = function.code.kernels[function.kernel];
    let mut copy = vec![Line([0; 64]); (kernel.bytes as usize).div_ceil(64).max(1)];
    if kernel.bytes > 0 {
        if parameters.is_null() {
            return Err(INVALID_VALUE);
        }
        // SAFETY: the caller of the driver gives the kernel's parameters; the copy has room for
        // them.
        unsafe { (kernel.copy)(copy.as_mut_ptr().cast(), parameters) };
        // SAFETY: as above.
        if let Some(reason) = unsafe { foreign(&kernel, parameters, stream.device) } {
            eprintln!("emulator: {reason}");
            return Err(INVALID_VALUE);
        }
    }
    let code = function.code.clone();
    let work = move || {
        let mut own = copy.clone(); // the emulated threads read it, and a graph may run it again
        let (slot, shared) = code.memory();
        let seed = order::mix(seed());
        let launch = Launch {
            run: kernel.run,
            parameters: own.as_mut_ptr().cast(),
            block,
            grid,
            seed,
            slot,
            shared,
            dynamic: dynamic as usize,
        };
        let before = RUNNING.replace(Some(name(&kernel)));
        let done = scheduler::run(&launch);
        RUNNING.set(before);
        done.map_err(|error| format!("kernel {}: {error}", name(&kernel)))
    };
    stream.append(Arc::new(Mutex::new(Box::new(work))))
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    function: *mut c_void,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
    stream: *mut c_void,
    parameters: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> c_int {
    answer("cuLaunchKernel", || {
        let function = crate::module::function(function)?;
        if !extra.is_null() {
            return Err(NOT_SUPPORTED);
        }
        launch(&function, [grid_x, grid_y, grid_z], [block_x, block_y, block_z], shared_bytes, stream, parameters)
    })
}

/// CU_FUNC_ATTRIBUTE_: threads per block, registers, PTX and binary version; no shared, constant or
/// local memory is told.
#[unsafe(no_mangle)]
extern "C" fn cuFuncGetAttribute(out: *mut c_int, attribute: c_int, name: *mut c_void) -> c_int {
    answer("cuFuncGetAttribute", || {
        let function = function(name)?;
        let (major, minor) = crate::device::capability();
        let value = match attribute {
            0 => MOST_THREADS as c_int,
            4 => 32,
            5 | 6 => 10 * major + minor,
            8 => function.dynamic.load(Ordering::Relaxed) as c_int,
            1..=15 => 0,
            _ => return Err(INVALID_VALUE),
        };
        store(out, value)
    })
}

/// CU_FUNC_ATTRIBUTE_: the most dynamic shared memory; the others are without effect.
#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(name: *mut c_void, attribute: c_int, value: c_int) -> c_int {
    answer("cuFuncSetAttribute", || {
        let function = function(name)?;
        match c_uint::try_from(value) {
            Ok(bytes) if attribute == 8 && value <= most_shared() => function.dynamic.store(bytes, Ordering::Relaxed),
            _ if attribute == 8 => return Err(INVALID_VALUE),
            _ => {}
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetCacheConfig(name: *mut c_void, _config: c_int) -> c_int {
    answer("cuFuncSetCacheConfig", || function(name).map(drop))
}
