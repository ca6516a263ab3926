//! Files appear whole or not at all, and replace nothing unasked.

use crate::files::{Numbers, Place, c16, f8};
use std::fs;

#[test]
fn nothing_existing_is_overwritten_without_force() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    place.put("l.npy", f8(&[1], &[1.0]));
    fs::create_dir(place.path("out")).unwrap();
    place.put("out/kept.npy", "mine");
    place.put("bar.npy", "mine");
    let said = place.run("decompose a.npy --out out").refused();
    assert_eq!(said, "eigengrad: out/kept.npy: exists; --force replaces it\n");
    let said = place.run("vjp a.npy --values-bar l.npy --out bar.npy").refused();
    assert_eq!(said, "eigengrad: bar.npy: exists; --force replaces it\n");
    assert_eq!((place.bytes("out/kept.npy"), place.bytes("bar.npy")), (b"mine".to_vec(), b"mine".to_vec()));
    assert_eq!(place.names("out"), ["kept.npy"]);
    place.run("decompose a.npy --out out --force").ok();
    place.run("vjp a.npy --values-bar l.npy --out bar.npy --force").ok();
    assert_eq!(place.names("out"), ["kept.npy", "values.npy", "vectors.npy"]);
    assert_eq!(place.array::<f64>("bar.npy"), ndarray::arr2(&[[1.0]]).into_dyn());
}

#[test]
fn an_input_may_be_replaced_by_force() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2], &[1.0, 0.0, 0.0, 2.0]));
    place.put("l.npy", f8(&[2], &[5.0, 6.0]));
    place.run("vjp a.npy --values-bar l.npy --out a.npy --force").ok();
    assert_eq!(place.array::<f64>("a.npy"), ndarray::arr2(&[[5.0, 0.0], [0.0, 6.0]]).into_dyn());
}

#[test]
fn directories_are_created_for_decompose_and_named_where_they_cannot_be() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    place.run("decompose a.npy --out deep/er/out").ok();
    assert_eq!(place.names("deep/er/out").len(), 3);
    let said = place.run("decompose a.npy --out a.npy/out").refused();
    assert!(said.starts_with("eigengrad: a.npy/out: "), "{said}");
    let said = place.run("decompose a.npy --out a.npy").refused();
    assert!(said.starts_with("eigengrad: a.npy: "), "{said}");
    let said = place.run("vjp a.npy --values-bar deep/er/out/values.npy --out nowhere/bar.npy").refused();
    assert_eq!(said, "eigengrad: nowhere/bar.npy: there is no directory nowhere\n");
    fs::create_dir_all(place.path("busy/values.npy")).unwrap();
    let said = place.run("decompose a.npy --out busy --force").refused();
    assert!(said.contains("busy/values.npy: exists and is not a regular file"), "{said}");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    #[test]
    fn permissions_follow_the_umask() {
        let place = Place::new();
        place.put("a.npy", f8(&[1, 1], &[1.0]));
        place.run("decompose a.npy --out out").ok();
        let mode = |name: &str| place.path(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode("out/values.npy"), mode("a.npy"));
    }

    #[test]
    fn a_directory_that_refuses_files_is_named() {
        let place = Place::new();
        place.put("a.npy", f8(&[1, 1], &[1.0]));
        let said = place.run("decompose a.npy --out /proc/eigengrad").refused();
        assert!(said.starts_with("eigengrad: /proc/eigengrad: "), "{said}");
        let said = place.run("decompose a.npy --out /proc/self").refused();
        assert!(said.starts_with("eigengrad: /proc/self/values.npy: "), "{said}");
    }

    /// A limit on the size of files stands in for a full disk: writing fails half-way.
    #[test]
    fn a_full_disk_leaves_nothing_behind() {
        let place = Place::new();
        place.put("a.npy", c16(&Numbers(1).hermitian(40, 8, 8)));
        let program = env!("CARGO_BIN_EXE_eigengrad");
        let script = format!("trap '' XFSZ; ulimit -f 16; exec {program} decompose a.npy --out out");
        let out = Command::new("bash").args(["-c", &script]).current_dir(place.path(".")).output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert_eq!(said, "eigengrad: out/vectors.npy: File too large (os error 27)\n");
        assert_eq!(place.names("out"), [""; 0]);
    }

    #[test]
    fn a_full_or_closed_stdout_is_no_panic() {
        let place = Place::new();
        let program = env!("CARGO_BIN_EXE_eigengrad");
        let run = |script: &str| Command::new("bash").args(["-c", script]).current_dir(place.path(".")).output().unwrap();
        let full = run(&format!("{program} devices > /dev/full"));
        assert_eq!(full.status.code(), Some(2));
        assert!(String::from_utf8(full.stderr).unwrap().starts_with("eigengrad: stdout: No space left"));
        let closed = run(&format!("set -o pipefail; {program} devices | true; {program} devices >&-"));
        assert_eq!((closed.status.code(), closed.stderr), (Some(0), Vec::new()));
    }
}
