//! The kernels, compiled by NVRTC for the device at hand, or taken from the cache.

use crate::cuda::driver::library;
use crate::cuda::kernel::cache::{Cache, Compiled, Entry};
use crate::cuda::refused;
use crate::{Error, Result};
use cudarc::nvrtc::result::NvrtcError;
use cudarc::nvrtc::sys::{self, nvrtcProgram};
use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::mem::ManuallyDrop;
use std::path::PathBuf;

/// All kernels in one source, and its hash: made by build.rs.
pub(in crate::cuda) const SOURCE: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.cu"));
const SOURCE_HASH: &str = env!("EIGENGRAD_KERNELS_HASH");

/// What NVRTC is told beside the architecture.
const OPTIONS: [&str; 1] = ["--std=c++17"];

/// Instantiations for a compute capability, from the cache or the compiler.
///
/// # Errors
/// [`Error::Library`] without NVRTC and without an entry; [`Error::Backend`] if the compiler
/// refuses.
pub(in crate::cuda) fn compile(expressions: &[String], capability: (i32, i32)) -> Result<Compiled> {
    let cache = Cache::open()?;
    let compiler = version();
    let entry =
        Entry { source: SOURCE_HASH, options: &OPTIONS, expressions, capability, compiler: compiler.as_ref().ok().copied() };
    if let Some(found) = cache.as_ref().and_then(|cache| cache.find(&entry)) {
        return Ok(found);
    }
    let compiler = compiler?;
    let compiled = Program::new(expressions)?.compile(expressions, capability, compiler)?;
    if let Some(cache) = &cache {
        // a cache that cannot be written to costs time, not results
        let _ = cache.store(&entry, &compiled);
    }
    Ok(compiled)
}

/// Compiles modules into the cache and returns their files.
///
/// # Errors
/// [`Error::Library`] without NVRTC; [`Error::Backend`] if the compiler refuses or there is nowhere
/// to write.
pub(in crate::cuda) fn warm(modules: &[Vec<String>], capability: (i32, i32)) -> Result<Vec<PathBuf>> {
    let cache = Cache::open()?.ok_or_else(|| refused("cache", &"there is none: set EIGENGRAD_CACHE to a folder"))?;
    let compiler = version()?;
    let store = |expressions: &Vec<String>| {
        let entry = Entry { source: SOURCE_HASH, options: &OPTIONS, expressions, capability, compiler: Some(compiler) };
        let compiled = match cache.find(&entry) {
            Some(found) => found,
            None => Program::new(expressions)?.compile(expressions, capability, compiler)?,
        };
        cache.store(&entry, &compiled).map_err(|e| refused("cache", &e))
    };
    modules.iter().map(store).collect()
}

/// Loads the compiler and asks its version.
fn version() -> Result<(i32, i32)> {
    library::probe_one("libnvrtc")?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is loaded; two ints are written.
    let asked = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    asked.result().map_err(|e| failed("nvrtcVersion", e)).map(|()| (major, minor))
}

fn failed(call: &str, error: NvrtcError) -> Error {
    refused(call, &format!("{:?}", error.0))
}

type SizeOf = unsafe fn(nvrtcProgram, *mut usize) -> sys::nvrtcResult;
type Get = unsafe fn(nvrtcProgram, *mut c_char) -> sys::nvrtcResult;

/// What is compiled to: machine code for the device, or where the compiler is older than the device
/// PTX for the newest that it knows.
#[derive(Clone, Copy, Debug)]
enum Target {
    Cubin(i32),
    Ptx(i32),
}

impl Target {
    fn of((major, minor): (i32, i32)) -> Result<Self> {
        let wanted = major * 10 + minor;
        let mut count = 0;
        // SAFETY: one int is written.
        let counted = unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) };
        counted.result().map_err(|e| failed("nvrtcGetNumSupportedArchs", e))?;
        let mut known = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: as many ints are written as the compiler said.
        unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) }.result().map_err(|e| failed("nvrtcGetSupportedArchs", e))?;
        match known.into_iter().filter(|&arch| arch <= wanted).max() {
            Some(arch) if arch == wanted => Ok(Self::Cubin(arch)),
            Some(arch) => Ok(Self::Ptx(arch)),
            None => {
                Err(refused("nvrtcGetSupportedArchs", &format!("this NVRTC knows none up to compute capability {major}.{minor}")))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cubin(arch) => write!(f, "sm_{arch}"),
            Self::Ptx(arch) => write!(f, "compute_{arch}"),
        }
    }
}

/// A program of the compiler.
struct Program(nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.destroyed(); // whatever came before is told
    }
}

impl Program {
    /// The source with the instantiations that are wanted of it; the library has been loaded.
    fn new(expressions: &[String]) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        let (source, name) = (c_string(SOURCE)?, c"eigengrad.cu");
        let none = std::ptr::null();
        // SAFETY: both strings end in zero and are copied; there are no headers.
        let made = unsafe { sys::nvrtcCreateProgram(&raw mut raw, source.as_ptr(), name.as_ptr(), 0, none, none) };
        made.result().map_err(|e| failed("nvrtcCreateProgram", e))?;
        let program = Self(raw);
        for expression in expressions {
            let c_expression = c_string(expression)?;
            // SAFETY: the program is live, the string ends in zero and is copied.
            let added = unsafe { sys::nvrtcAddNameExpression(program.0, c_expression.as_ptr()) };
            added.result().map_err(|e| failed("nvrtcAddNameExpression", e))?;
        }
        Ok(program)
    }

    /// The end of it, which is called once.
    fn destroyed(&mut self) -> Result<()> {
        // SAFETY: the only owner destroys it, once.
        let destroyed = unsafe { sys::nvrtcDestroyProgram(&raw mut self.0) };
        destroyed.result().map_err(|e| failed("nvrtcDestroyProgram", e))
    }

    fn compile(self, expressions: &[String], capability: (i32, i32), compiler: (i32, i32)) -> Result<Compiled> {
        let compiled = self.compiled(expressions, capability, compiler)?;
        ManuallyDrop::new(self).destroyed().map(|()| compiled)
    }

    fn compiled(&self, expressions: &[String], (major, minor): (i32, i32), compiler: (i32, i32)) -> Result<Compiled> {
        if (major, minor) < (7, 5) {
            return Err(refused("nvrtcCompileProgram", &format!("compute capability {major}.{minor} is below 7.5")));
        }
        let target = Target::of((major, minor))?;
        let architecture = format!("--gpu-architecture={target}");
        let options = [&*architecture].into_iter().chain(OPTIONS);
        let c_options = options.map(c_string).collect::<Result<Vec<_>>>()?;
        let pointers: Vec<_> = c_options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program is live; the options are as many as is said and end in zero.
        let compiled = unsafe { sys::nvrtcCompileProgram(self.0, pointers.len() as i32, pointers.as_ptr()) };
        compiled.result().map_err(|error| {
            let log = self.log();
            let by = format!("NVRTC {}.{} for compute capability {major}.{minor}", compiler.0, compiler.1);
            refused("nvrtcCompileProgram", &format!("{:?}, {by}: {log}", error.0))
        })?;
        let names = expressions.iter().map(|expression| self.lowered_name(expression)).collect::<Result<_>>()?;
        Ok(Compiled { image: self.image(target)?, names })
    }

    fn image(&self, target: Target) -> Result<Vec<u8>> {
        let ([sizing, getting], size_of, get): (_, SizeOf, Get) = match target {
            Target::Cubin(_) => (["nvrtcGetCUBINSize", "nvrtcGetCUBIN"], sys::nvrtcGetCUBINSize, sys::nvrtcGetCUBIN),
            Target::Ptx(_) => (["nvrtcGetPTXSize", "nvrtcGetPTX"], sys::nvrtcGetPTXSize, sys::nvrtcGetPTX),
        };
        let mut size = 0;
        // SAFETY: the program is live and compiled; one size is written.
        unsafe { size_of(self.0, &raw mut size) }.result().map_err(|e| failed(sizing, e))?;
        let mut image = vec![0_u8; size];
        // SAFETY: as many bytes are written as the compiler said.
        unsafe { get(self.0, image.as_mut_ptr().cast()) }.result().map_err(|e| failed(getting, e)).map(|()| image)
    }

    fn lowered_name(&self, expression: &str) -> Result<String> {
        let (c_expression, mut name) = (c_string(expression)?, std::ptr::null());
        // SAFETY: the program is live and compiled; one pointer is written.
        let got = unsafe { sys::nvrtcGetLoweredName(self.0, c_expression.as_ptr(), &raw mut name) };
        got.result().map_err(|e| failed("nvrtcGetLoweredName", e))?;
        // SAFETY: the name ends in zero and lives as long as the program.
        Ok(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    }

    /// What the compiler says, as far as it can be had.
    fn log(&self) -> String {
        let mut size = 0;
        // SAFETY: the program is live; one size is written.
        if unsafe { sys::nvrtcGetProgramLogSize(self.0, &raw mut size) }.result().is_err() {
            return String::new();
        }
        let mut log = vec![0_u8; size];
        // SAFETY: as many bytes are written as the compiler said.
        let _ = unsafe { sys::nvrtcGetProgramLog(self.0, log.as_mut_ptr().cast::<c_char>()) };
        String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned()
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|e| refused("NVRTC", &e))
}
