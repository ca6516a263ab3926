//! The emulator's own functions: failures on purpose, and what is alive.
#![allow(unsafe_code, reason = "functions of the emulator")]

use crate::gpu::{device, is_emulated};
use libloading::Library;
use std::ffi::c_int;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The emulator, for one test at a time.
pub struct Emulator {
    library: Library,
    _turn: MutexGuard<'static, ()>,
}

/// How many objects of each kind are alive, as emulator/src/census.rs numbers them.
pub type Census = [u64; 13];
pub const CONTEXT: usize = 0;

/// The emulator's folder, if that is what is used; says so where it is not.
pub fn folder() -> Option<PathBuf> {
    let folder = is_emulated().then(|| std::env::var_os("EIGENGRAD_CUDA_LIB_DIR")).flatten().map(PathBuf::from);
    if folder.is_none() {
        let _ = writeln!(std::io::stderr(), "not run, no emulator in EIGENGRAD_CUDA_LIB_DIR");
    }
    folder
}

/// The turn of a test that uses a device in this process; for failures and objects are counted for
/// the whole of it.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Emulator {
    /// None, and says so, where there is no emulator.
    pub fn take() -> Option<Self> {
        let turn = turn();
        let folder = folder()?;
        drop(device()); // its libraries are there, or the test fails
        // SAFETY: the library is loaded already, and its initialisers do nothing.
        let library = unsafe { Library::new(folder.join("libeigengrad_emulator.so")) }.unwrap();
        Some(Self { library, _turn: turn })
    }

    fn number(&self, function: &str, n: u64) {
        // SAFETY: the functions of the names below have this type.
        let function = unsafe { self.library.get::<extern "C" fn(u64)>(function.as_bytes()) };
        function.unwrap()(n);
    }

    /// Has the `n`-th call from here on fail; 0 is none.
    pub fn fail(&self, n: u64) {
        self.number("eigengrad_emulator_fail", n);
    }

    /// Has the `n`-th piece of work from here on break its context; 0 is none.
    pub fn break_at(&self, n: u64) {
        self.number("eigengrad_emulator_break", n);
    }

    /// Lets all calls be, and says which failed on purpose, as NVIDIA's manuals write it; nothing
    /// if none did.
    pub fn stop(&self) -> Option<String> {
        let mut name = [0_u8; 100];
        // SAFETY: the function of this name has this type.
        let function = unsafe { self.library.get::<extern "C" fn(*mut u8, usize) -> usize>("eigengrad_emulator_struck") };
        let len = function.unwrap()(name.as_mut_ptr(), name.len());
        self.fail(0);
        let name = String::from_utf8(name[..len].to_vec()).unwrap();
        (len > 0).then(|| name.strip_suffix("_v2").unwrap_or(&name).to_owned())
    }

    /// How many calls there were since the last `fail`.
    pub fn calls(&self) -> u64 {
        // SAFETY: the function of this name has this type.
        let function = unsafe { self.library.get::<extern "C" fn() -> u64>("eigengrad_emulator_calls") };
        function.unwrap()()
    }

    pub fn alive(&self) -> Census {
        // SAFETY: the function of this name has this type.
        let function = unsafe { self.library.get::<extern "C" fn(u32) -> u64>("eigengrad_emulator_live") }.unwrap();
        std::array::from_fn(|kind| function(kind as u32))
    }

    /// Gives back what cudarc keeps of a device, here the last one in use, where `CudaContext::new`
    /// fails after the driver gave it the context.
    pub fn release_context(&self) {
        // SAFETY: the driver's function has this type.
        let function = unsafe { self.library.get::<extern "C" fn(c_int) -> c_int>("cuDevicePrimaryCtxRelease_v2") };
        let release = function.unwrap();
        assert!([1, 0].into_iter().any(|device| release(device) == 0));
    }
}
