//! The CUDA libraries, sought where they usually are and loaded before cudarc, which would panic without them, asks for them.

use crate::{Error, Result};
use std::env;
use std::error::Error as _;
use std::ffi::{OsStr, c_int};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A library with the names that it may go by, newest first.
struct Library {
    name: &'static str,
    sonames: &'static [&'static str],
    /// A function that stores the version, as 1000·major + 10·minor or 1000·major + 100·minor + patch, through its one argument.
    version: Option<&'static [u8]>,
    remedy: &'static str,
}

const WHEELS: &str = "install the CUDA toolkit, or `pip install cuda-toolkit[cusolver,cublas,nvrtc]` in an active environment, or set \
                      EIGENGRAD_CUDA_LIB_DIR to its folder";

const LIBRARIES: [Library; 4] = [
    Library {
        name: "libcuda",
        sonames: &["libcuda.so.1"],
        version: Some(b"cuDriverGetVersion\0"),
        remedy: "install the NVIDIA driver, or set EIGENGRAD_CUDA_LIB_DIR to its folder",
    },
    Library {
        name: "libcusolver",
        sonames: &["libcusolver.so.12", "libcusolver.so.11"],
        version: Some(b"cusolverGetVersion\0"),
        remedy: WHEELS,
    },
    Library { name: "libcublas", sonames: &["libcublas.so.13", "libcublas.so.12"], version: None, remedy: WHEELS },
    Library { name: "libnvrtc", sonames: &["libnvrtc.so.13", "libnvrtc.so.12"], version: None, remedy: WHEELS },
];

/// A library that was loaded.
#[derive(Clone, Debug)]
pub struct Found {
    /// The library, as `libcusolver`.
    pub name: &'static str,
    /// Its path, or its bare name where the system's loader found it.
    pub path: PathBuf,
    /// Its version as the library gives it, where it has a function for that.
    pub version: Option<i32>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        if let Some(version) = self.version {
            write!(f, "version {version} ")?;
        }
        write!(f, "at {}", self.path.display())
    }
}

/// Loads the libraries that the CUDA backend needs and tells of each where it was found, or what is missing and how to mend it.
///
/// They are sought in `EIGENGRAD_CUDA_LIB_DIR`, by the system's loader, below `CUDA_PATH` and `CUDA_HOME`, in `/usr/local/cuda*/lib64`
/// and in the wheels of an active Python environment.
pub fn probe() -> Vec<Result<Found>> {
    LIBRARIES.iter().map(find).collect()
}

/// Loads them all.
///
/// # Errors
/// [`Error::Library`] for the first that is missing.
pub(super) fn require() -> Result<()> {
    LIBRARIES.iter().try_for_each(|library| find(library).map(drop))
}

fn find(library: &Library) -> Result<Found> {
    let folders = folders();
    let mut refused = Vec::new();
    for folder in &folders {
        for soname in library.sonames {
            let path = folder.join(soname);
            let by_loader = folder.as_os_str().is_empty();
            if by_loader || path.exists() {
                match load(&path, library.version) {
                    Ok(version) => return Ok(Found { name: library.name, path, version }),
                    Err(_) if by_loader => {}
                    Err(e) => refused.push(format!("{} cannot be loaded, {}", path.display(), e.source().unwrap_or(&e))),
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
    let mut folders: Vec<_> = named("EIGENGRAD_CUDA_LIB_DIR").into_iter().chain([PathBuf::new()]).collect();
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

/// Loads a library for the rest of the process, so that cudarc finds it by its name, and asks its version.
fn load(path: &Path, version: Option<&[u8]>) -> Result<Option<i32>, libloading::Error> {
    // SAFETY: the initialisers of NVIDIA's libraries, or of what the user named instead of them, may run at any time in any thread.
    let library = unsafe { libloading::Library::new(path) }?;
    let version = version.and_then(|symbol| version_of(&library, symbol));
    std::mem::forget(library);
    Ok(version)
}

fn version_of(library: &libloading::Library, symbol: &[u8]) -> Option<i32> {
    // SAFETY: `cuDriverGetVersion` and `cusolverGetVersion`, the only names in the table, have this type.
    let function = unsafe { library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(symbol) }.ok()?;
    let mut version = 0;
    // SAFETY: it writes one int through a pointer to one, needs no initialisation and returns 0 on success.
    (unsafe { function(&raw mut version) } == 0).then_some(version)
}
