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
    let said = place.run("eigh a.npy --out out").refused();
    assert_eq!(said, "eigengrad: out/kept.npy: exists; --force replaces it\n");
    let said = place.run("backward a.npy --values-bar l.npy --out bar.npy").refused();
    assert_eq!(said, "eigengrad: bar.npy: exists; --force replaces it\n");
    assert_eq!((place.bytes("out/kept.npy"), place.bytes("bar.npy")), (b"mine".to_vec(), b"mine".to_vec()));
    assert_eq!(place.names("out"), ["kept.npy"]);
    place.run("eigh a.npy --out out --force").ok();
    place.run("backward a.npy --values-bar l.npy --out bar.npy --force").ok();
    assert_eq!(place.names("out"), ["kept.npy", "values.npy", "vectors.npy"]);
    assert_eq!(place.array::<f64>("bar.npy"), ndarray::arr2(&[[1.0]]).into_dyn());
}

#[test]
fn an_input_is_no_output() {
    let place = Place::new();
    place.put("values.npy", f8(&[1, 1], &[1.0]));
    let said = place.run("eigh values.npy --out . --force").refused();
    assert_eq!(said, "eigengrad: ./values.npy: is an input; name another --out\n");
    place.put("l.npy", f8(&[1], &[1.0]));
    let said = place.run("backward values.npy --values-bar l.npy --out ./l.npy --force").refused();
    assert_eq!(said, "eigengrad: ./l.npy: is an input; name another --out\n");
}

#[test]
fn folders_and_files_are_told_apart() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    let said = place.run("eigh a.npy --out a.npy").refused();
    assert_eq!(said, "eigengrad: a.npy: is a file; --out names a folder for values.npy, vectors.npy, kept.npy\n");
    place.put("l.npy", f8(&[1], &[1.0]));
    let said = place.run("backward a.npy --values-bar l.npy --out .").refused();
    assert_eq!(said, "eigengrad: .: is a folder; --out names a file\n");
}

#[test]
fn directories_are_created_for_eigh_and_named_where_they_cannot_be() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    place.run("eigh a.npy --out deep/er/out").ok();
    assert_eq!(place.names("deep/er/out").len(), 3);
    let said = place.run("eigh a.npy --out a.npy/out").refused();
    assert!(said.starts_with("eigengrad: a.npy/out: "), "{said}");
    let said = place.run("eigh a.npy --out a.npy").refused();
    assert!(said.starts_with("eigengrad: a.npy: "), "{said}");
    let said = place.run("backward a.npy --values-bar deep/er/out/values.npy --out nowhere/bar.npy").refused();
    assert_eq!(said, "eigengrad: nowhere/bar.npy: there is no directory nowhere\n");
    fs::create_dir_all(place.path("busy/values.npy")).unwrap();
    let said = place.run("eigh a.npy --out busy --force").refused();
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
        place.run("eigh a.npy --out out").ok();
        let mode = |name: &str| place.path(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode("out/values.npy"), mode("a.npy"));
    }

    #[test]
    fn a_directory_that_refuses_files_is_named() {
        let place = Place::new();
        place.put("a.npy", f8(&[1, 1], &[1.0]));
        let said = place.run("eigh a.npy --out /proc/eigengrad").refused();
        assert!(said.starts_with("eigengrad: /proc/eigengrad: "), "{said}");
        let said = place.run("eigh a.npy --out /proc/self").refused();
        assert!(said.starts_with("eigengrad: /proc/self/values.npy: "), "{said}");
    }

    /// Interrupted whenever it has temporary files, it leaves none.
    #[test]
    fn an_interrupt_leaves_nothing_behind() {
        let place = Place::new();
        place.put("a.npy", c16(&Numbers(1).hermitian(400, 32, 4)));
        let temporary = || place.names("out").into_iter().any(|name| name.starts_with(".eigengrad-"));
        fs::create_dir(place.path("out")).unwrap();
        for _ in 0..10 {
            let mut program = Command::new(env!("CARGO_BIN_EXE_eigengrad"));
            let program = program.args(["eigh", "a.npy", "--out", "out", "--force"]).current_dir(place.path("."));
            let mut child = program.stdout(std::process::Stdio::null()).spawn().unwrap();
            while child.try_wait().unwrap().is_none() && !temporary() {}
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            child.wait().unwrap();
            assert!(!temporary());
        }
    }

    /// Interrupted while it trains, `fit` leaves no folder; one that was there stays.
    #[test]
    fn an_interrupted_fit_leaves_no_folder() {
        let place = Place::new();
        place.put("a.npy", c16(&Numbers(1).hermitian(4, 6, 2)));
        fs::create_dir(place.path("there")).unwrap();
        for (out, made) in [("new/of/it", "new"), ("there", "there")] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_eigengrad"));
            let program = program.args(["fit", "a.npy", "--steps", "1000000000", "--out", out]).current_dir(place.path("."));
            let mut child = program.spawn().unwrap();
            while child.try_wait().unwrap().is_none() && !place.path(out).exists() {}
            std::thread::sleep(std::time::Duration::from_millis(100));
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            assert_eq!(child.wait().unwrap().code(), Some(130));
            assert_eq!(place.path(made).exists(), made == "there");
        }
        assert!(place.names("there").is_empty());
    }

    /// Two commands that write into one folder leave the files of one of them.
    #[test]
    fn two_commands_in_one_folder_do_not_mix() {
        let place = Place::new();
        let sizes = [3, 4];
        for n in sizes {
            place.put(&format!("{n}.npy"), c16(&Numbers(1).hermitian(300, n, n)));
        }
        for _ in 0..10 {
            let children = sizes.map(|n| {
                let arguments = ["eigh", &format!("{n}.npy"), "--out", "out", "--force"];
                let mut program = Command::new(env!("CARGO_BIN_EXE_eigengrad"));
                program.args(arguments).current_dir(place.path(".")).stdout(std::process::Stdio::null()).spawn().unwrap()
            });
            children.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
            let orders = ["values.npy", "kept.npy", "vectors.npy"].map(|name| {
                let bytes = place.bytes(&format!("out/{name}"));
                sizes.map(|n| String::from_utf8_lossy(&bytes[..128]).contains(&format!("(300, {n}")))
            });
            assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
        }
    }

    /// A limit on the size of files stands in for a full disk: writing fails half-way.
    #[test]
    fn a_full_disk_leaves_nothing_behind() {
        let place = Place::new();
        place.put("a.npy", c16(&Numbers(1).hermitian(40, 8, 8)));
        let program = env!("CARGO_BIN_EXE_eigengrad");
        let script = format!("trap '' XFSZ; ulimit -f 16; exec {program} eigh a.npy --out out");
        let out = Command::new("bash").args(["-c", &script]).current_dir(place.path(".")).output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert_eq!(said, "eigengrad: out/vectors.npy: File too large\n");
        assert!(!place.path("out").exists());
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
