//! This program once more, in a process of its own, to do what one ignored test says.

use std::env;
use std::path::Path;
use std::process::{Command, Output};

/// An ignored test of this program. It takes the settings that it is given and those of this
/// process; what it leaves is fatal.
pub fn command(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--test-threads=1"]).env("EIGENGRAD_EMULATOR_LEAKS", "error");
    command
}

/// It has to pass, as one test.
pub fn passes(command: &mut Command) {
    passed(&command.output().unwrap());
}

pub fn passed(output: &Output) {
    let [said, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
}

/// The emulator without something.
pub fn without(hidden: &[&str]) -> std::path::PathBuf {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/emulator"));
    let output = script.args(hidden.iter().flat_map(|name| ["--hide", name])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().into()
}
