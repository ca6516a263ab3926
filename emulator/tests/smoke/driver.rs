//! The functions of the emulator's libraries, and programs compiled and launched with them.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;
use std::sync::OnceLock;

pub const OUT_OF_MEMORY: c_int = 2;
pub const INVALID_VALUE: c_int = 1;
pub const INVALID_IMAGE: c_int = 200;
pub const NO_BINARY_FOR_GPU: c_int = 209;
pub const ILLEGAL_ADDRESS: c_int = 700;
pub const LAUNCH_FAILED: c_int = 719;

/// The folder of the libraries.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("EIGENGRAD_CUDA_LIB_DIR") {
            return folder.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/emulator");
        let output = Command::new(script).output().expect("scripts/emulator can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a path").lines().last().expect("a line").into()
    })
}

/// A function of a library, found as cudarc finds it.
fn symbol(library: &str, name: &str) -> *mut c_void {
    let path = CString::new(folder().join(library).to_str().expect("a path")).expect("a path");
    let name = CString::new(name).expect("a name");
    // SAFETY: loads the emulator, whose initialisers do nothing.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    // SAFETY: looks a name up in it, or if there is none everywhere, in vain.
    let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
    assert!(!found.is_null(), "{library} has no {}", name.to_string_lossy());
    found
}

macro_rules! functions {
    ($($library:literal: $($name:ident($($parameter:ty),*) -> $result:ty;)*)*) => {$($(
        #[allow(non_snake_case, reason = "NVIDIA's names")]
        pub fn $name() -> unsafe extern "C" fn($($parameter),*) -> $result {
            static FOUND: OnceLock<unsafe extern "C" fn($($parameter),*) -> $result> = OnceLock::new();
            // SAFETY: cuda.h, nvrtc.h or the emulator declares the function so.
            *FOUND.get_or_init(|| unsafe { std::mem::transmute::<*mut c_void, _>(symbol($library, stringify!($name))) })
        }
    )*)*};
}
functions! {
    "libcuda.so.1":
    cuInit(c_uint) -> c_int;
    cuDeviceGetCount(*mut c_int) -> c_int;
    cuDevicePrimaryCtxRetain(*mut *mut c_void, c_int) -> c_int;
    cuDevicePrimaryCtxRelease_v2(c_int) -> c_int;
    cuCtxSetCurrent(*mut c_void) -> c_int;
    cuCtxSynchronize() -> c_int;
    cuStreamCreate(*mut *mut c_void, c_uint) -> c_int;
    cuStreamDestroy_v2(*mut c_void) -> c_int;
    cuStreamSynchronize(*mut c_void) -> c_int;
    cuStreamWaitEvent(*mut c_void, *mut c_void, c_uint) -> c_int;
    cuStreamBeginCapture_v2(*mut c_void, c_int) -> c_int;
    cuStreamEndCapture(*mut c_void, *mut *mut c_void) -> c_int;
    cuGraphInstantiateWithFlags(*mut *mut c_void, *mut c_void, u64) -> c_int;
    cuGraphLaunch(*mut c_void, *mut c_void) -> c_int;
    cuGraphDestroy(*mut c_void) -> c_int;
    cuGraphExecDestroy(*mut c_void) -> c_int;
    cuEventCreate(*mut *mut c_void, c_uint) -> c_int;
    cuEventDestroy_v2(*mut c_void) -> c_int;
    cuEventRecord(*mut c_void, *mut c_void) -> c_int;
    cuMemAlloc_v2(*mut usize, usize) -> c_int;
    cuMemAllocAsync(*mut usize, usize, *mut c_void) -> c_int;
    cuMemFree_v2(usize) -> c_int;
    cuMemFreeAsync(usize, *mut c_void) -> c_int;
    cuMemGetInfo_v2(*mut usize, *mut usize) -> c_int;
    cuMemsetD8Async(usize, u8, usize, *mut c_void) -> c_int;
    cuMemcpyHtoDAsync_v2(usize, *const c_void, usize, *mut c_void) -> c_int;
    cuMemcpyDtoHAsync_v2(*mut c_void, usize, usize, *mut c_void) -> c_int;
    cuMemHostAlloc(*mut *mut c_void, usize, c_uint) -> c_int;
    cuMemFreeHost(*mut c_void) -> c_int;
    cuModuleLoadData(*mut *mut c_void, *const c_void) -> c_int;
    cuModuleUnload(*mut c_void) -> c_int;
    cuModuleGetFunction(*mut *mut c_void, *mut c_void, *const c_char) -> c_int;
    cuLaunchKernel(
        *mut c_void, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, *mut c_void, *mut *mut c_void, *mut *mut c_void
    ) -> c_int;
    eigengrad_emulator_fail(u64) -> ();
    eigengrad_emulator_calls() -> u64;
    eigengrad_emulator_live(u32) -> u64;
    "libnvrtc.so.13":
    nvrtcCreateProgram(*mut *mut c_void, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
    nvrtcDestroyProgram(*mut *mut c_void) -> c_int;
    nvrtcAddNameExpression(*mut c_void, *const c_char) -> c_int;
    nvrtcCompileProgram(*mut c_void, c_int, *const *const c_char) -> c_int;
    nvrtcGetLoweredName(*mut c_void, *const c_char, *mut *const c_char) -> c_int;
    nvrtcGetCUBINSize(*mut c_void, *mut usize) -> c_int;
    nvrtcGetCUBIN(*mut c_void, *mut u8) -> c_int;
    nvrtcGetProgramLogSize(*mut c_void, *mut usize) -> c_int;
    nvrtcGetProgramLog(*mut c_void, *mut u8) -> c_int;
}

/// Calls a function that is to succeed, or returns what another one says.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: the arguments are what the function documents, as the test sees to.
        let code = unsafe { $crate::driver::$name()($($argument),*) };
        assert_eq!(code, 0, stringify!($name));
    }};
    (code $name:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: as above.
        unsafe { $crate::driver::$name()($($argument),*) }
    };
}
pub(crate) use call;

/// Makes the primary context of a device current; it is released at the end.
pub struct Context(pub c_int);

impl Context {
    pub fn new(device: c_int) -> Self {
        let context = Self(device);
        call!(cuInit(0));
        let mut raw = null_mut();
        call!(cuDevicePrimaryCtxRetain(&raw mut raw, device));
        call!(cuCtxSetCurrent(raw));
        context
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        call!(cuDevicePrimaryCtxRelease_v2(self.0));
    }
}

pub fn stream() -> *mut c_void {
    let mut stream = null_mut();
    call!(cuStreamCreate(&raw mut stream, 1));
    stream
}

pub fn allocate(bytes: usize) -> usize {
    let mut address = 0;
    call!(cuMemAlloc_v2(&raw mut address, bytes));
    address
}

/// What lies at a device address now, without waiting for anything: it is memory of this process.
pub fn peek<T: Copy>(address: usize, len: usize) -> Vec<T> {
    // SAFETY: the test asks for memory that it has allocated.
    unsafe { std::slice::from_raw_parts(address as *const T, len) }.to_vec()
}

/// An image of the kernels of a source, with their lowered names, or the log.
pub fn compile(source: &str, expressions: &[&str]) -> Result<(Vec<u8>, Vec<CString>), String> {
    let (mut program, source) = (null_mut(), CString::new(source).expect("a source"));
    call!(nvrtcCreateProgram(&raw mut program, source.as_ptr(), c"smoke.cu".as_ptr(), 0, std::ptr::null(), std::ptr::null()));
    let expressions: Vec<_> = expressions.iter().map(|expression| CString::new(*expression).expect("a name")).collect();
    expressions.iter().for_each(|expression| call!(nvrtcAddNameExpression(program, expression.as_ptr())));
    let options = [c"--gpu-architecture=sm_90".as_ptr(), c"-std=c++17".as_ptr()];
    let mut size = 0;
    let compiled = call!(code nvrtcCompileProgram(program, 2, options.as_ptr()));
    let outcome = if compiled == 0 {
        call!(nvrtcGetCUBINSize(program, &raw mut size));
        let mut image = vec![0; size];
        call!(nvrtcGetCUBIN(program, image.as_mut_ptr()));
        let lowered = |expression: &CString| {
            let mut name = std::ptr::null();
            call!(nvrtcGetLoweredName(program, expression.as_ptr(), &raw mut name));
            // SAFETY: the name ends in a zero and lives as long as the program.
            unsafe { CStr::from_ptr(name) }.to_owned()
        };
        Ok((image, expressions.iter().map(lowered).collect()))
    } else {
        call!(nvrtcGetProgramLogSize(program, &raw mut size));
        let mut log = vec![0; size];
        call!(nvrtcGetProgramLog(program, log.as_mut_ptr()));
        Err(String::from_utf8_lossy(&log).into_owned())
    };
    call!(nvrtcDestroyProgram(&raw mut program));
    outcome
}

/// A module with one kernel.
pub struct Kernel {
    module: *mut c_void,
    function: *mut c_void,
}

impl Kernel {
    pub fn new(source: &str, expression: &str) -> Self {
        let (image, names) = compile(source, &[expression]).expect("the source is compiled");
        let (mut module, mut function) = (null_mut(), null_mut());
        call!(cuModuleLoadData(&raw mut module, image.as_ptr().cast()));
        call!(cuModuleGetFunction(&raw mut function, module, names[0].as_ptr()));
        Self { module, function }
    }

    /// Enqueues it with parameters that are all pointers or all 64-bit integers.
    pub fn launch(&self, blocks: c_uint, threads: c_uint, stream: *mut c_void, parameters: &[usize]) -> c_int {
        let mut parameters: Vec<_> = parameters.iter().map(|x| std::ptr::from_ref(x).cast_mut().cast()).collect();
        call!(code cuLaunchKernel(self.function, blocks, 1, 1, threads, 1, 1, 0, stream, parameters.as_mut_ptr(), null_mut()))
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        call!(cuModuleUnload(self.module));
    }
}
