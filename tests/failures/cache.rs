//! The cache of compiled kernels, with whole files and damaged ones, with room and without, with
//! one process and with several.

use crate::child::{command, passed, passes, without};
use crate::emulator::{Emulator, folder};
use crate::gpu::device;
use crate::sample::{bytes, matrices, run};
use crate::trial::Trial;
use eigengrad::Backend;
use eigengrad::Options;
use eigengrad::cuda::{Cuda, warm};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A folder with a cache that a child fills, and what children compute.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    fn child(&self, test: &str) -> Command {
        let mut command = command(&format!("cache::{test}"));
        command.env("EIGENGRAD_CACHE", self.cache()).env("OUT", self.0.path().join("out"));
        command
    }

    /// What the last child computed.
    fn result(&self) -> Vec<u8> {
        let out = self.0.path().join("out");
        let result = fs::read(&out).unwrap();
        fs::remove_file(out).unwrap();
        result
    }

    /// The files of the cache with their content, sorted.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut paths: Vec<_> = fs::read_dir(self.cache()).unwrap().map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// Where the emulator keeps what g++ compiled.
fn compiled() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").unwrap().join(".cache"));
    set("EIGENGRAD_EMULATOR_CACHE").unwrap_or_else(|| user().join("eigengrad-emulator"))
}

fn compute() -> Vec<u8> {
    let (pairs, gradient) = run::<f32, f32>(&device().unwrap(), &matrices(2, 2, 1), &Options::default());
    [bytes(pairs.values()), bytes(pairs.vectors()), bytes(gradient.a_bar())].concat()
}

#[test]
#[ignore = "started by others"]
fn computes() {
    fs::write(std::env::var_os("OUT").unwrap(), compute()).unwrap();
}

/// Every kind of damage is noticed, does not matter, and is mended.
#[test]
fn files_that_are_damaged() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    passes(&mut place.child("computes"));
    let (expected, whole) = (place.result(), place.files());
    assert_eq!(whole.len(), 2, "one for the type, one for n = 2");
    let (path, content) = &whole[0];
    let middle = content.len() / 2;
    let kind = || {
        let metadata = path.symlink_metadata().unwrap();
        (metadata.is_file(), metadata.mode(), metadata.uid())
    };
    let sound = kind();
    let put = |content: &[u8]| fs::write(path, content).unwrap();
    let flipped = || {
        let mut flipped = content.clone();
        flipped[middle] ^= 4;
        flipped
    };
    let damages: [(&str, &dyn Fn()); 8] = [
        ("emptied", &|| put(&[])),
        ("cut", &|| put(&content[..middle])),
        ("a bit flipped", &|| put(&flipped())),
        ("the hash of another", &|| put(&[&content[..30], &whole[1].1[30..90], &content[90..]].concat())),
        ("another's content", &|| put(&whole[1].1)),
        ("written by others", &|| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap()),
        ("a link", &|| {
            fs::rename(path, place.0.path().join("moved")).and_then(|()| symlink(place.0.path().join("moved"), path)).unwrap()
        }),
        // for root only, else it stays as it is
        ("of another user", &|| drop(chown(path, Some(12345), None))),
    ];
    for (damage, apply) in damages {
        apply();
        passes(&mut place.child("computes"));
        assert_eq!(place.result(), expected, "{damage}");
        assert!(place.files() == whole, "{damage} is mended");
        assert_eq!(kind(), sound, "{damage}");
    }
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap(); // cannot be replaced by a file
    passes(&mut place.child("computes"));
    assert_eq!(place.result(), expected);
    assert_eq!(fs::read_dir(place.cache()).unwrap().count(), 2, "nothing is left behind");
}

/// A cache that the user named and that cannot be used is an error; one that nobody named is done
/// without.
#[test]
fn folders_that_cannot_be_used() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    fs::write(place.cache(), "a file").unwrap();
    passes(&mut place.child("is_refused"));
    let elsewhere = |place: &Place| {
        let mut child = place.child("computes");
        child.env_remove("EIGENGRAD_CACHE").env("XDG_CACHE_HOME", place.cache());
        child.env("EIGENGRAD_EMULATOR_CACHE", compiled());
        passes(&mut child);
    };
    elsewhere(&place);
    let expected = place.result();
    fs::remove_file(place.cache()).unwrap();
    elsewhere(&place);
    assert_eq!(place.result(), expected);
    assert_eq!(fs::read_dir(place.cache().join("eigengrad")).unwrap().count(), 2);
    fs::set_permissions(place.cache(), Permissions::from_mode(0o777)).unwrap();
    passes(&mut place.child("is_refused"));
    fs::set_permissions(place.cache(), Permissions::from_mode(0o700)).unwrap();
    if chown(place.cache(), Some(12345), None).is_ok() {
        passes(&mut place.child("is_refused")); // root only gets here
    }
}

#[test]
#[ignore = "started by folders_that_cannot_be_used"]
fn is_refused() {
    let cuda = device().unwrap();
    let buffer = cuda.zeros::<f32>(1).unwrap();
    let error = cuda.contiguous(Cuda::view(&buffer).strided([1, 1, 1], [1, 1, 1]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("EIGENGRAD_CACHE="), "{error}");
    assert!(warm((9, 0), &[]).unwrap_err().to_string().contains("EIGENGRAD_CACHE="));
}

/// No room for a whole file: the kernels are there for this process, and no part of a file is left.
#[test]
fn a_disk_that_is_full() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    passes(&mut place.child("computes"));
    let (expected, whole) = (place.result(), place.files());
    // for all images, but not for what is around the largest
    let room = whole.iter().map(|(_, content)| content.len()).max().unwrap() - 1;
    fs::remove_dir_all(place.cache()).unwrap();
    let child = place.child("computes");
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec prlimit --fsize=\"$@\"", "sh", &room.to_string()]).arg(child.get_program());
    limited.args(child.get_args()).envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    passes(&mut limited);
    assert_eq!(place.result(), expected);
    assert!(place.files().len() < 2, "{:?}", fs::read_dir(place.cache()).unwrap().collect::<Vec<_>>());
    passes(&mut place.child("computes"));
    assert!(place.files() == whole, "with room again");
}

/// What the compiler says is part of the error, and what is no device of today is refused before.
#[test]
fn a_compiler_that_fails() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    let mut child = place.child("is_told");
    passes(child.env("EIGENGRAD_EMULATOR_CXX", "/nowhere/g++").env("EIGENGRAD_EMULATOR_CACHE", place.0.path().join("emulator")));
}

#[test]
#[ignore = "started by a_compiler_that_fails"]
fn is_told() {
    let said = |capability| warm(capability, &[]).unwrap_err().to_string();
    let error = said((9, 0));
    assert!(error.contains("nvrtcCompileProgram: NVRTC_ERROR_COMPILATION, NVRTC 13.0 for compute capability 9.0: "), "{error}");
    assert!(error.contains("/nowhere/g++"), "{error}");
    // to PTX of the newest that the compiler knows
    assert!(said((200, 0)).contains("for compute capability 200.0: "));
    assert!(said((7, 0)).contains("compute capability 7.0 is below 7.5"));
}

/// Each call fails in turn with a cold cache, with a warm one, and while one is filled.
#[test]
fn each_call_with_a_cache() {
    if folder().is_some() {
        passes(&mut Place::new().child("each_call"));
    }
}

#[test]
#[ignore = "started by each_call_with_a_cache"]
fn each_call() {
    let emulator = Emulator::take().unwrap();
    let cache = PathBuf::from(std::env::var_os("EIGENGRAD_CACHE").unwrap());
    let trial = Trial { emulator: &emulator, backend: None };
    let job = |()| {
        let cuda = Cuda::new(0)?;
        let buffer = cuda.upload(vec![1.0_f32, 2.0, 3.0, 4.0])?;
        let copy = cuda.contiguous(Cuda::view(&buffer).strided([1, 2, 2], [4, 1, 2])?)?;
        cuda.download(Cuda::view(&copy))
    };
    let emptied = || drop(fs::remove_dir_all(&cache));
    let failed = trial.each_call("a cold cache", emptied, job, |numbers| numbers);
    for call in ["nvrtcVersion", "nvrtcCreateProgram", "nvrtcGetLoweredName", "nvrtcGetCUBINSize", "nvrtcDestroyProgram"] {
        assert!(failed.contains(call), "{call} of {failed:?}");
    }
    let failed = trial.each_call("a warm cache", || (), job, |numbers| numbers);
    assert!(!failed.contains("nvrtcCompileProgram") && failed.contains("cuModuleLoadData"), "{failed:?}");

    let first = warm((9, 0), &[]).unwrap();
    let one_is_gone = || fs::remove_file(&first[3]).unwrap();
    let failed = trial.each_call("warm", || drop(warm((9, 0), &[]).map(|_| one_is_gone())), |()| warm((9, 0), &[]), whole_files);
    assert!(failed.contains("nvrtcCompileProgram") && failed.contains("nvrtcGetCUBIN"), "{failed:?}");
}

fn whole_files(paths: Vec<PathBuf>) -> Vec<(PathBuf, usize)> {
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap().len())).collect()
}

/// Processes that start with no cache at the same moment have the same bits, and leave whole files
/// and nothing else.
#[test]
fn processes_that_race() {
    if folder().is_none() {
        return;
    }
    let mut all = Vec::new();
    for round in 0..3 {
        let place = Place::new();
        let start = |number: usize| {
            let mut child = place.child("starts_with_others");
            child.env("GO", place.0.path().join("go")).env("OUT", place.0.path().join(format!("out{number}")));
            child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let racing: Vec<_> = (0..3).map(start).collect();
        std::thread::sleep(Duration::from_millis(200));
        fs::write(place.0.path().join("go"), "").unwrap();
        racing.into_iter().for_each(|child| passed(&child.wait_with_output().unwrap()));
        all.extend((0..3).map(|number| fs::read(place.0.path().join(format!("out{number}"))).unwrap()));
        let names: Vec<_> = place.files().into_iter().map(|(path, _)| path.file_name().unwrap().to_owned()).collect();
        assert!(names.len() == 2 && names.iter().all(|name| name.to_string_lossy().ends_with(".cubin")), "{names:?}");
        if round == 0 {
            // They serve where there is no compiler: both are whole.
            passes(place.child("computes").env("EIGENGRAD_CUDA_LIB_DIR", without(&["libnvrtc"])));
            all.push(place.result());
        }
    }
    assert!(all.iter().all(|bits| *bits == all[0]));
}

#[test]
#[ignore = "started by processes_that_race"]
fn starts_with_others() {
    let go = std::env::var_os("GO").unwrap();
    while !Path::new(&go).exists() {
        std::thread::yield_now();
    }
    computes();
}
