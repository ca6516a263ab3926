//! The CUDA libraries, sought where they usually are and loaded before cudarc, which would panic
//! without them, asks for them.

use crate::cuda::driver::symbols;
use crate::{Error, Result};
use cudarc::cusolver::sys::{cublasFillMode_t, cusolverDnHandle_t, cusolverDnParams_t, cusolverEigMode_t, cusolverStatus_t};
use std::env;
use std::error::Error as _;
use std::ffi::{OsStr, c_int, c_void};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// A library with the names that it may go by, newest first.
struct Library {
    name: &'static str,
    sonames: &'static [&'static str],
    /// How the names begin of libraries in its folder that it loads itself, by name and only from
    /// where the loader looks.
    companion: Option<&'static str>,
    /// The functions that must be there: cudarc would panic without them.
    symbols: &'static [&'static str],
    version: Version,
    remedy: &'static str,
}

/// How a library tells its version.
#[derive(Clone, Copy)]
enum Version {
    /// A function that stores 1000·major + 10·minor.
    Driver(&'static str),
    /// A function that stores a part of the version: 0 major, 1 minor, 2 patch level.
    Property(&'static str),
    /// A function that stores major and minor.
    Pair(&'static str),
}

const WHEELS: &str = "install the CUDA toolkit, or `pip install cuda-toolkit[cusolver,cublas,nvrtc]` in an active environment, or set \
                      EIGENGRAD_CUDA_LIB_DIR to its folder";

const LIBRARIES: [Library; 4] = [
    Library {
        name: "libcuda",
        sonames: &["libcuda.so.1"],
        companion: None,
        symbols: &symbols::DRIVER,
        version: Version::Driver("cuDriverGetVersion"),
        remedy: "install the NVIDIA driver, or set EIGENGRAD_CUDA_LIB_DIR to its folder",
    },
    Library {
        name: "libcusolver",
        sonames: &["libcusolver.so.12", "libcusolver.so.11"],
        companion: None,
        symbols: &symbols::SOLVER,
        version: Version::Property("cusolverGetProperty"),
        remedy: WHEELS,
    },
    Library {
        name: "libcublas",
        sonames: &["libcublas.so.13", "libcublas.so.12"],
        companion: None,
        symbols: &symbols::BLAS,
        version: Version::Property("cublasGetProperty"),
        remedy: WHEELS,
    },
    Library {
        name: "libnvrtc",
        sonames: &["libnvrtc.so.13", "libnvrtc.so.12"],
        companion: Some("libnvrtc-builtins.so."),
        symbols: &symbols::COMPILER,
        version: Version::Pair("nvrtcVersion"),
        remedy: "install the CUDA toolkit, or `pip install cuda-toolkit[nvrtc]` in an active environment, or set EIGENGRAD_CUDA_LIB_DIR \
                 to its folder, or copy a cache that `eigengrad warm --n` made for these orders",
    },
];

/// A library that was loaded.
#[derive(Clone, Debug)]
pub struct Found {
    /// The library, as `libcusolver`.
    pub name: &'static str,
    /// Its path, or its bare name where the system's loader found it.
    pub path: PathBuf,
    /// Its version as the library gives it: major, minor and where there is one patch level.
    pub version: Option<Vec<i32>>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        if let Some(version) = &self.version {
            write!(f, "version {} ", dotted(version))?;
        }
        write!(f, "at {}", self.path.display())
    }
}

/// Loads the libraries that the CUDA backend needs and tells of each where it was found, or what is
/// missing and how to mend it.
///
/// They are sought in `EIGENGRAD_CUDA_LIB_DIR`, by the system's loader, below `CUDA_PATH` and
/// `CUDA_HOME`, in `/usr/local/cuda*/lib64` and in the wheels of an active Python environment.
pub fn probe() -> Vec<Result<Found>> {
    LIBRARIES.iter().map(find).collect()
}

/// Loads those that no machine can do without: all but the compiler, for which a cache can stand
/// in.
///
/// # Errors
/// [`Error::Library`] for the first that is missing or lacks a function.
pub(in crate::cuda) fn require() -> Result<()> {
    static FOUND: AtomicBool = AtomicBool::new(false);
    if !FOUND.load(Ordering::Relaxed) {
        LIBRARIES.iter().filter(|library| library.name != "libnvrtc").try_for_each(|library| find(library).map(drop))?;
        FOUND.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// The library that a call is of and its version, for messages, as `cusolver 12.0.4: `; nothing for
/// what is no call of one that was found.
pub(in crate::cuda) fn of_call(call: &str) -> String {
    let name = match call {
        _ if call.starts_with("nvrtc") => "libnvrtc",
        _ if call.starts_with("cublas") => "libcublas",
        _ if call.starts_with("cusolver") => "libcusolver",
        _ if matches!(call.as_bytes(), [b'c', b'u', b'A'..=b'Z', b'a'..=b'z', ..]) => "libcuda",
        _ => return String::new(),
    };
    let found = LIBRARIES.iter().zip(&VERSIONS).find(|(library, _)| library.name == name).and_then(|(_, version)| version.get());
    let shown = if name == "libcuda" { "driver" } else { &name["lib".len()..] };
    found.map(|version| format!("{shown} {}: ", dotted(version))).unwrap_or_default()
}

/// The versions of the libraries that were found, where these tell them, in the order of the table.
static VERSIONS: [OnceLock<Vec<i32>>; 4] = [const { OnceLock::new() }; 4];

fn dotted(version: &[i32]) -> String {
    version.iter().map(i32::to_string).collect::<Vec<_>>().join(".")
}

/// Loads a library that nothing depends on, sought where the others are, for as long as the process
/// lives.
#[cfg(feature = "nvtx")]
pub(in crate::cuda) fn optional(sonames: &[&str]) -> Option<&'static libloading::Library> {
    let paths = folders().into_iter().flat_map(|folder| sonames.iter().map(move |soname| folder.join(soname)));
    let there = |path: &PathBuf| !path.is_absolute() || path.exists();
    paths.filter(there).find_map(|path| open(&path).ok()).map(|library| &*Box::leak(Box::new(library)))
}

/// Loads one of them.
///
/// # Errors
/// [`Error::Library`].
pub(in crate::cuda) fn probe_one(name: &str) -> Result<Found> {
    let unknown = Error::Library { library: "library", reason: name.to_owned(), remedy: WHEELS };
    LIBRARIES.iter().find(|library| library.name == name).map_or(Err(unknown), find)
}

/// `XsyevBatched`, which cudarc's bindings of older versions of CUDA lack.
#[derive(Debug)]
pub(in crate::cuda) struct Syev {
    pub size: SyevSize,
    pub run: SyevRun,
    pub set_options: unsafe extern "C" fn(cusolverDnParams_t, c_int, c_int) -> cusolverStatus_t,
    /// Before 11.7.4 complex64 needs zeroed scratch, or returns vectors that are not orthonormal
    /// (pytorch #192483, CUDA.jl #2577).
    pub wants_zeros: bool,
}

type SyevSize = unsafe extern "C" fn(
    cusolverDnHandle_t,
    cusolverDnParams_t,
    cusolverEigMode_t,
    cublasFillMode_t,
    i64,
    c_int,
    *const c_void,
    i64,
    c_int,
    *const c_void,
    c_int,
    *mut usize,
    *mut usize,
    i64,
) -> cusolverStatus_t;

type SyevRun = unsafe extern "C" fn(
    cusolverDnHandle_t,
    cusolverDnParams_t,
    cusolverEigMode_t,
    cublasFillMode_t,
    i64,
    c_int,
    *mut c_void,
    i64,
    c_int,
    *mut c_void,
    c_int,
    *mut c_void,
    usize,
    *mut c_void,
    usize,
    *mut c_int,
    i64,
) -> cusolverStatus_t;

/// `XsyevBatched` and what belongs to it.
///
/// # Errors
/// [`Error::Library`] if the library is missing or older than CUDA 12.6 update 2.
pub(in crate::cuda) fn syev() -> Result<&'static Syev> {
    static SYEV: OnceLock<Syev> = OnceLock::new();
    if let Some(syev) = SYEV.get() {
        return Ok(syev);
    }
    let found = probe_one("libcusolver")?;
    let missing = |e: &dyn fmt::Display| Error::Library {
        library: "XsyevBatched",
        reason: format!("{found} lacks it, {e}"),
        remedy: "install CUDA 12.6 update 2 or later, or choose the Jacobi solver",
    };
    let library = open(&found.path).map_err(|e| missing(&e))?;
    // SAFETY: NVIDIA's headers declare these types for these names.
    let size = *unsafe { library.get::<SyevSize>(b"cusolverDnXsyevBatched_bufferSize\0") }.map_err(|e| missing(&e))?;
    // SAFETY: as above.
    let run = *unsafe { library.get::<SyevRun>(b"cusolverDnXsyevBatched\0") }.map_err(|e| missing(&e))?;
    // SAFETY: as above.
    let set_options = *unsafe { library.get(b"cusolverDnSetAdvOptions\0") }.map_err(|e| missing(&e))?;
    let wants_zeros = found.version.as_deref().is_none_or(|version| version < &[11, 7, 4][..]);
    std::mem::forget(library);
    Ok(SYEV.get_or_init(|| Syev { size, run, set_options, wants_zeros }))
}

/// The variable by which a user names a folder of libraries.
const NAMED: &str = "EIGENGRAD_CUDA_LIB_DIR";

fn find(library: &Library) -> Result<Found> {
    let folders = folders();
    let mut refused = Vec::new();
    let named = env::var_os(NAMED).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let failed = |reason| Error::Library { library: library.name, reason, remedy: "mend or unset EIGENGRAD_CUDA_LIB_DIR" };
    if let Some(folder) = named.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(failed(format!("{NAMED}={} is no folder", folder.display())));
    }
    for folder in &folders {
        for soname in library.sonames {
            let path = folder.join(soname);
            let by_loader = folder.as_os_str().is_empty();
            if by_loader || path.exists() {
                match load(&path, library) {
                    Ok(version) => {
                        let place = LIBRARIES.iter().position(|known| known.name == library.name);
                        if let (Some(known), Some(version)) = (place.and_then(|place| VERSIONS.get(place)), &version) {
                            // the one that was loaded first is the one that is called
                            let _ = known.set(version.clone());
                        }
                        return Ok(Found { name: library.name, path, version });
                    }
                    Err(Unusable::Absent(_)) if by_loader => {}
                    // What the user named is not passed over.
                    Err(unusable) if named.as_ref() == Some(folder) => {
                        return Err(failed(format!("{} {unusable}", path.display())));
                    }
                    Err(unusable) => refused.push(format!("{} {unusable}", path.display())),
                }
            }
        }
    }
    let place = |folder: &PathBuf| match folder.as_os_str().is_empty() {
        true => "the system's folders".to_owned(),
        false => folder.display().to_string(),
    };
    let places: Vec<_> = folders.iter().map(place).collect();
    let sought = format!("sought {} in {}", library.sonames.join(" or "), places.join(", "));
    let reason = refused.into_iter().chain([sought]).collect::<Vec<_>>().join("; ");
    Err(Error::Library { library: library.name, reason, remedy: library.remedy })
}

/// The folders to seek in, in order; the empty one stands for the system's loader.
fn folders() -> Vec<PathBuf> {
    let named = |variable: &str| env::var_os(variable).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let from = |variable: &str| named(variable).filter(|path| path.is_absolute());
    let mut folders: Vec<_> = named(NAMED).into_iter().chain([PathBuf::new()]).collect();
    for root in ["CUDA_PATH", "CUDA_HOME"].into_iter().filter_map(from).chain(toolkits()) {
        folders.extend(["lib64", "lib"].map(|lib| root.join(lib)));
    }
    for environment in ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(from) {
        for python in entries(&environment.join("lib")) {
            folders.extend(entries(&python.join("site-packages/nvidia")).into_iter().map(|package| package.join("lib")));
        }
    }
    folders
}

fn toolkits() -> Vec<PathBuf> {
    let is_cuda = |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("cuda"));
    entries(Path::new("/usr/local")).into_iter().filter(is_cuda).collect()
}

/// What a folder holds, sorted; nothing if it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// Why a file is not the library that is sought.
enum Unusable {
    Absent(libloading::Error),
    Lacks(&'static str),
    Shadowed(String),
    Uncallable,
    Mixed(String, String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(e) => write!(f, "cannot be loaded, {}", e.source().unwrap_or(e)),
            Self::Lacks(symbol) => write!(f, "has no {symbol}"),
            Self::Uncallable => {
                f.write_str("would not be called: cudarc, built beside another CUDA, opens it by none of its names")
            }
            Self::Mixed(blas, lt) => write!(f, "is of version {blas}, and the cublasLt that it calls of version {lt}"),
            Self::Shadowed(name) => write!(f, "would not be called, but another {name}, which the system's loader finds first"),
        }
    }
}

/// Loads a library for the rest of the process, so that cudarc finds it by its name, and asks its
/// version.
fn load(path: &Path, sought: &Library) -> Result<Option<Vec<i32>>, Unusable> {
    let library = open(path).map_err(Unusable::Absent)?;
    for symbol in sought.symbols {
        // SAFETY: the address of the function is looked up, and not used.
        if unsafe { library.get::<*const c_void>(symbol.as_bytes()) }.is_err() {
            return Err(Unusable::Lacks(symbol));
        }
    }
    let begins = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        sought.companion.is_some_and(|companion| name.starts_with(companion))
    };
    let folder = path.parent().filter(|folder| folder.is_absolute());
    for companion in folder.map(entries).unwrap_or_default().iter().filter(|path| begins(path)) {
        std::mem::forget(open(companion)); // if it cannot be loaded the library will say so
    }
    shadowed(&library, sought)?;
    let version = version_of(&library, sought.version);
    // Found through cuBLAS in what it depends on: the cublasLt that it calls, whatever lies beside
    // it.
    let of_lt = version_of(&library, Version::Property("cublasLtGetProperty")).filter(|_| sought.name == "libcublas");
    if let (Some(blas), Some(lt)) = (&version, &of_lt)
        && blas != lt
    {
        return Err(Unusable::Mixed(dotted(blas), dotted(lt)));
    }
    std::mem::forget(library);
    Ok(version)
}

/// Whether cudarc, which opens libraries by names of its own, would find another library than this,
/// or none.
///
/// Calls of both would meet in what they share: cuBLAS crashes with the cublasLt of another
/// version. Where it finds none cudarc panics.
fn shadowed(library: &libloading::Library, sought: &Library) -> Result<(), Unusable> {
    let opened = sonames(sought.name).find_map(|name| open(Path::new(&name)).ok().map(|library| (name, library)));
    let (name, called) = opened.ok_or(Unusable::Uncallable)?;
    let symbol = sought.symbols.first().map_or(&b""[..], |symbol| symbol.as_bytes());
    // SAFETY: the addresses of the function are compared, and not used.
    let [here, there] = [library, &called].map(|library| unsafe { library.get::<*const c_void>(symbol) }.map(|at| *at));
    let same = here.is_ok_and(|here| there.is_ok_and(|there| here == there));
    if same { Ok(()) } else { Err(Unusable::Shadowed(name)) }
}

/// The names by which cudarc opens a library, in its order. A program that is linked with CUDA's
/// libraries, as candle is, has them by one of these, too.
fn sonames(name: &str) -> impl Iterator<Item = String> {
    let built_for = cudarc::driver::sys::CUDA_VERSION / 1000;
    let versions = [built_for, 12, 11, 10, 9, 1].map(|major| format!(".{major}"));
    std::iter::once(String::new()).chain(versions).map(move |version| format!("{name}.so{version}"))
}

fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: the initialisers of NVIDIA's libraries, or of what the user named instead of them,
    // may run at any time in any thread.
    unsafe { libloading::Library::new(path) }
}

fn version_of(library: &libloading::Library, version: Version) -> Option<Vec<i32>> {
    let (mut a, mut b) = (0, 0);
    match version {
        Version::Driver(name) => {
            // SAFETY: the one name in the table has this type.
            let get = unsafe { library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(name.as_bytes()) }.ok()?;
            // SAFETY: it writes one int through a pointer to one, needs no initialisation and
            // returns 0 on success.
            let status = unsafe { get(&raw mut a) };
            (status == 0).then(|| vec![a / 1000, a % 1000 / 10])
        }
        Version::Property(name) => {
            // SAFETY: the names in the table, and cublasLt's, have this type.
            let get = unsafe { library.get::<unsafe extern "C" fn(c_int, *mut c_int) -> c_int>(name.as_bytes()) }.ok()?;
            let part = |which| {
                let mut part = 0;
                // SAFETY: as above, for 0, 1 and 2.
                let status = unsafe { get(which, &raw mut part) };
                (status == 0).then_some(part)
            };
            (0..3).map(part).collect()
        }
        Version::Pair(name) => {
            // SAFETY: the one name in the table has this type.
            let get = unsafe { library.get::<unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int>(name.as_bytes()) }.ok()?;
            // SAFETY: it writes two ints through pointers to them.
            let status = unsafe { get(&raw mut a, &raw mut b) };
            (status == 0).then(|| vec![a, b])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_with_the_version_of_its_library() {
        for found in probe().into_iter().flatten() {
            let (calls, name): (&[_], _) = match found.name {
                "libcuda" => (&["cuMemAllocAsync of 8 bytes", "cuLaunchKernel"], "driver"),
                "libcusolver" => (&["cusolverDnCreate", "cusolverDnXsyevBatched_bufferSize, 3 matrices of 2×2"], "cusolver"),
                "libcublas" => (&["cublasCreate", "cublasDgemmStridedBatched"], "cublas"),
                _ => (&["nvrtcCompileProgram"], "nvrtc"),
            };
            let version = dotted(&found.version.unwrap());
            for call in calls {
                assert_eq!(of_call(call), format!("{name} {version}: "));
            }
        }
        for other in ["workspace", "cuSOLVER", "cache", "device 3"] {
            assert_eq!(of_call(other), "");
        }
    }
}
