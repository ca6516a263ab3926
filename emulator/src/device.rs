//! The devices: how many, how large, and their properties, which are about those of an H200.

use crate::answer::{INVALID_DEVICE, INVALID_VALUE, NOT_INITIALIZED, answer, store};
use std::env;
use std::ffi::{c_char, c_int};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &[u8] = b"eigengrad emulator\0";

fn setting(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| setting("EIGENGRAD_EMULATOR_DEVICES", 2))
}

/// Bytes of memory that each device has.
pub(crate) fn memory() -> usize {
    static MEMORY: OnceLock<usize> = OnceLock::new();
    *MEMORY.get_or_init(|| setting("EIGENGRAD_EMULATOR_MEMORY", 4 << 30))
}

/// Major and minor compute capability: EIGENGRAD_EMULATOR_CAPABILITY=9.0.
pub(crate) fn capability() -> (c_int, c_int) {
    let given = env::var("EIGENGRAD_EMULATOR_CAPABILITY").unwrap_or_default();
    given.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?))).unwrap_or((9, 0))
}

/// Bytes of shared memory that a block can opt in to, and those of a multiprocessor, by the CUDA C++
/// Programming Guide's table of compute capabilities.
fn shared() -> (c_int, c_int) {
    let (block, multiprocessor) = match capability() {
        (7, 5) => (64, 64),
        (8, 0 | 7) => (163, 164),
        (8, _) | (12, _) => (99, 100),
        _ => (227, 228),
    };
    (block << 10, multiprocessor << 10)
}

pub(crate) fn most_shared() -> c_int {
    shared().0
}

/// Whether a device has no context for anybody, as one in prohibited compute mode:
/// EIGENGRAD_EMULATOR_UNAVAILABLE=0.
pub(crate) fn refuses(device: usize) -> bool {
    env::var("EIGENGRAD_EMULATOR_UNAVAILABLE").is_ok_and(|refused| refused.parse() == Ok(device))
}

static INITIALIZED: AtomicBool = AtomicBool::new(false);

/// The device of an ordinal.
pub(crate) fn parse(device: c_int) -> Result<usize, i32> {
    if !INITIALIZED.load(Ordering::Acquire) {
        return Err(NOT_INITIALIZED);
    }
    usize::try_from(device).ok().filter(|device| *device < count()).ok_or(INVALID_DEVICE)
}

#[unsafe(no_mangle)]
extern "C" fn cuInit(flags: u32) -> c_int {
    answer("cuInit", || {
        if flags != 0 {
            return Err(INVALID_VALUE);
        }
        if count() == 0 {
            return Err(100);
        }
        INITIALIZED.store(true, Ordering::Release);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(out: *mut c_int) -> c_int {
    answer("cuDriverGetVersion", || store(out, 13_000))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(out: *mut c_int, ordinal: c_int) -> c_int {
    answer("cuDeviceGet", || parse(ordinal).and_then(|_| store(out, ordinal)))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(out: *mut c_int) -> c_int {
    answer("cuDeviceGetCount", || match INITIALIZED.load(Ordering::Acquire) {
        true => store(out, count() as c_int),
        false => Err(NOT_INITIALIZED),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(out: *mut c_char, len: c_int, device: c_int) -> c_int {
    answer("cuDeviceGetName", || {
        parse(device)?;
        let room = usize::try_from(len).ok().filter(|room| *room > 0 && !out.is_null()).ok_or(INVALID_VALUE)?;
        let taken = NAME.len().min(room);
        // SAFETY: the caller says that `out` has room for `len` bytes; `taken` is not more.
        unsafe {
            std::ptr::copy_nonoverlapping(NAME.as_ptr(), out.cast(), taken);
            out.add(taken - 1).write(0);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid_v2(out: *mut [u8; 16], device: c_int) -> c_int {
    answer("cuDeviceGetUuid_v2", || {
        let mut uuid = *b"eigengrad emul 0";
        uuid[15] = b'0' + parse(device)? as u8;
        store(out, uuid)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid(out: *mut [u8; 16], device: c_int) -> c_int {
    cuDeviceGetUuid_v2(out, device)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceTotalMem_v2(out: *mut usize, device: c_int) -> c_int {
    answer("cuDeviceTotalMem_v2", || parse(device).and_then(|_| store(out, memory())))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceCanAccessPeer(out: *mut c_int, device: c_int, peer: c_int) -> c_int {
    answer("cuDeviceCanAccessPeer", || parse(device).and(parse(peer)).and_then(|_| store(out, 0)))
}

/// What is not named here is 0: texture sizes, and abilities that the emulator has not.
#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(out: *mut c_int, attribute: c_int, device: c_int) -> c_int {
    answer("cuDeviceGetAttribute", || {
        let device = parse(device)?;
        let value = match attribute {
            1 => 1024,        // threads per block
            2 | 3 => 1024,    // block x, y
            4 => 64,          // block z
            5 => c_int::MAX,  // grid x
            6 | 7 => 65_535,  // grid y, z
            8 => 49_152,      // shared memory per block
            9 => 65_536,      // constant memory
            10 => 32,         // warp size
            11 => c_int::MAX, // pitch
            12 => 65_536,     // registers per block
            13 => 1_980_000,  // clock, kHz
            14 => 512,        // texture alignment
            // overlap, concurrent kernels, unified addressing, priorities, L1 caches
            15 | 31 | 41 | 78..=80 => 1,
            16 => setting("EIGENGRAD_EMULATOR_MULTIPROCESSORS", 2) as c_int,
            19 => 1,                   // maps host memory
            32 => 1,                   // ECC
            33 => device as c_int + 1, // PCI bus
            36 => 3_201_000,           // memory clock, kHz
            37 => 6144,                // memory bus, bits
            38 => 62_914_560,          // L2, bytes
            39 => 2048,                // threads per multiprocessor
            40 => 3,                   // copy engines
            51 => 32,                  // texture pitch alignment
            75 => capability().0,
            76 => capability().1,
            // shared memory per multiprocessor
            81 => shared().1,
            82 => 65_536,          // registers per multiprocessor
            85 => device as c_int, // board group
            87 => 2,               // f32 : f64
            // shared memory per block, opted in
            97 => most_shared(),
            106 => 32, // blocks per multiprocessor
            // reserved shared memory per block
            111 => 1024,
            115 => setting("EIGENGRAD_EMULATOR_POOLS", 1) as c_int, // memory pools
            ..=0 | 150.. => return Err(INVALID_VALUE),
            _ => 0,
        };
        store(out, value)
    })
}
