//! A GPU, or the emulator of one: every command on it, and every way in which it may be missing.

use crate::files::{Place, f8};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

/// Where there is a GPU, or the emulator of one: every command on it, with every solver.
#[test]
fn cuda_where_it_can_be_had() {
    let place = Place::new();
    if !place.run("devices").ok().contains("cuda:0 ") {
        assert!(std::env::var("EIGENGRAD_REQUIRE_CUDA").map_or(true, |required| required != "1"), "no CUDA device");
        return;
    }
    place.put("a.npy", f8(&[2, 2, 2], &[2.0, 1.0, 1.0, 2.0, 5.0, 0.0, 0.0, 0.0]));
    for solver in ["auto", "jacobi", "syev"] {
        let said = place.run(&format!("eigh a.npy --out {solver} --device cuda --solver {solver}")).ok();
        assert!(said.contains("cuda:0 "), "{said}");
        assert_eq!(place.bytes(&format!("{solver}/kept.npy"))[128..], [1, 1, 0, 1]);
    }
    place.run("eigh a.npy --out cpu --device cpu").ok();
    place.put("l.npy", f8(&[2, 2], &[1.0, 2.0, 3.0, 4.0]));
    for device in ["cpu", "cuda"] {
        place.run(&format!("backward a.npy --values-bar l.npy --out {device}.npy --device {device}")).ok();
    }
    let numbers = |name: &str| -> Vec<_> {
        place.bytes(name)[128..].chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect()
    };
    let same = |a: &str, b: &str| {
        for (x, y) in numbers(a).into_iter().zip(numbers(b)) {
            assert!((x - y).abs() < 1e-14, "{a}, {b}: {x} and {y}");
        }
    };
    same("cpu.npy", "cuda.npy");
    for (command, files) in [
        ("jvp a.npy --tangent a.npy", &["values_dot", "vectors_dot"][..]),
        ("double-backward a.npy --values-bar l.npy --cotangent a.npy", &["a_bar", "values_bar_bar", "vectors_bar_bar"]),
        ("spectral a.npy --function sqrt --bar a.npy", &["value", "a_bar"]),
        ("projector a.npy --bar a.npy", &["value", "a_bar"]),
    ] {
        for device in ["cpu", "cuda"] {
            place.run(&format!("{command} --out on_{device} --device {device} --force")).ok();
        }
        files.iter().for_each(|file| same(&format!("on_cpu/{file}.npy"), &format!("on_cuda/{file}.npy")));
    }
    let bench = "bench --n 2 --dtype float32 --batch 3 --reps 1 --rounds 1";
    let said = place.run(&format!("{bench} --device cuda --json b.json --svg b.svg")).ok();
    assert!(said.contains("cuda:0 ") && said.lines().count() == 4, "{said}");
    for solver in ["on-chip", "ql", "jacobi", "syev"] {
        assert!(said.contains(&format!("{solver}/ours")), "{said}");
    }
    assert!(String::from_utf8(place.bytes("b.json")).unwrap().lines().skip(1).all(|line| line.contains(r#""device":"cuda""#)));
    let svg = String::from_utf8(place.bytes("b.svg")).unwrap();
    assert!(svg.contains(&format!("eigengrad {}, cuda", env!("CARGO_PKG_VERSION"))), "{svg}");
    // All that are found, each under its name.
    let found = place.run("devices").ok().lines().filter(|line| line.contains("cuda:")).count();
    let said = place.run(&format!("{bench} --json b.json --force")).ok();
    assert_eq!(said.lines().filter(|line| line.contains("a copy moves ")).count(), 1 + found, "{said}");
    let json = String::from_utf8(place.bytes("b.json")).unwrap();
    assert_eq!((json.lines().count(), json.contains(r#""device":"cuda:1""#)), (1 + 2 + 6 * found, found > 1), "{json}");
    let large = place.run("bench --n 65 --dtype float64 --batch 1 --reps 1 --rounds 2 --device cuda").warned();
    assert_eq!(large.lines().count(), 1, "{large}");
    assert!(large.contains("ql, float64, n = 65: ") && large.contains("do not fit in registers"), "{large}");
    let solvers = [("EIGENGRAD_SOLVERS", "solvers")];
    let said = place.run_with(&solvers, &format!("{bench} --device cuda --tune")).ok();
    assert!(said.contains("solvers  9.0 float32 1-2 "), "{said}");
    assert!(place.run_with(&solvers, "devices").ok().contains("solvers  9.0 float32 1-2 "));
    assert!(place.run(&format!("{bench} --device cpu --tune")).table().lines().count() > 2);
    place.run("warm --capability 9").misused();
    place.run("warm --capability 5.0").refused();
}

const LIBRARIES: [&str; 4] = ["libcuda.so.1", "libcusolver.so.12", "libcublas.so.13", "libnvrtc.so.13"];

/// The emulator's folder, if that is what is used: it can be had without some of its libraries.
fn emulator() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("EIGENGRAD_CUDA_LIB_DIR")?);
    folder.join("libeigengrad_emulator.so").exists().then_some(folder)
}

/// The emulator without one library; what the system has of it may be found instead.
fn without(missing: &str) -> Option<(Place, String)> {
    let (emulator, place) = (emulator()?, Place::new());
    place.put("a.npy", f8(&[2, 2], &[2.0, 1.0, 1.0, 2.0]));
    let folder = place.path("libraries");
    fs::create_dir(&folder).unwrap();
    symlink(emulator.join("libeigengrad_emulator.so"), folder.join("libeigengrad_emulator.so")).unwrap();
    for library in LIBRARIES.into_iter().filter(|&library| library != missing) {
        fs::copy(emulator.join(library), folder.join(library)).unwrap();
    }
    let folder = folder.display().to_string();
    Some((place, folder))
}

const DECOMPOSE: &str = "eigh a.npy --out out --device cuda --force";

#[test]
fn cuda_without_a_library() {
    for library in &LIBRARIES {
        let Some((place, folder)) = without(library) else { return };
        let environment = [("EIGENGRAD_CUDA_LIB_DIR", &*folder), ("EIGENGRAD_CACHE", "off")];
        let name = library.split('.').next().unwrap();
        let said = place.run_with(&environment, DECOMPOSE).refused();
        assert!(said.contains(&format!("{name} not found: sought {library}")) && said.contains(&folder), "{said}");
        assert!(said.contains("install"), "{said}");
        let devices = place.run_with(&environment, "devices").ok();
        assert!(devices.contains(&format!("{name} not found")), "{devices}");
        place.run_with(&environment, "eigh a.npy --out auto --device auto").ok();
    }
}

#[test]
fn cuda_without_a_function() {
    for library in &LIBRARIES {
        let Some((place, folder)) = without(library) else { return };
        let empty = format!("{folder}/{library}");
        let made = Command::new("cc").args(["-shared", "-x", "c", "/dev/null", "-o", &*empty]).status().unwrap();
        assert!(made.success());
        let environment = [("EIGENGRAD_CUDA_LIB_DIR", &*folder), ("EIGENGRAD_CACHE", "off")];
        let said = place.run_with(&environment, DECOMPOSE).refused();
        assert!(said.contains(&format!("{empty} has no ")), "{said}");
    }
}

#[test]
fn cuda_without_a_device() {
    let Some((place, folder)) = without("none") else { return };
    let environment = [("EIGENGRAD_CUDA_LIB_DIR", &*folder), ("EIGENGRAD_EMULATOR_DEVICES", "0")];
    let said = place.run_with(&environment, DECOMPOSE).refused();
    assert!(said.contains("--device cuda:0: "), "{said}");
    place.run_with(&environment, "eigh a.npy --out auto --device auto").ok();
    assert!(place.run_with(&environment, "devices").ok().contains("libcuda version 13.0"));
}

/// A cache that was filled where there is a compiler serves where there is none.
#[test]
fn cuda_without_a_compiler_but_with_a_cache() {
    let Some((place, folder)) = without("libnvrtc.so.13") else { return };
    let cache = place.path("cache").display().to_string();
    let written = place.run_with(&[("EIGENGRAD_CACHE", &*cache)], "warm --n 2 1000").ok();
    assert_eq!(written.lines().count(), 88, "five files for each type, and six for n = 2\n{written}");
    let environment = [("EIGENGRAD_CUDA_LIB_DIR", &*folder), ("EIGENGRAD_CACHE", &*cache)];
    place.run_with(&environment, DECOMPOSE).ok();
    place.put("l.npy", f8(&[2], &[1.0, 2.0]));
    place.run_with(&environment, "backward a.npy --values-bar l.npy --out a_bar.npy --device cuda").ok();
    for file in fs::read_dir(&cache).unwrap() {
        fs::write(file.unwrap().path(), "damaged").unwrap();
    }
    assert!(place.run_with(&environment, DECOMPOSE).refused().contains("libnvrtc not found"));
}
