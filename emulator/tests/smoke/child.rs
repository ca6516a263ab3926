//! A test in a process of its own.

use std::env;
use std::process::Command;

/// How an ignored test of this program, which there has to be, ended and what it wrote to the
/// standard error stream.
pub fn run(test: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env::current_exe().expect("a path"));
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]).env_remove("EIGENGRAD_EMULATOR_LEAKS");
    command.env("EIGENGRAD_CUDA_LIB_DIR", crate::driver::folder()).envs(variables.iter().copied());
    let output = command.output().expect("this program can be run");
    assert!(String::from_utf8_lossy(&output.stdout).contains("running 1 test\n"), "no test is called {test}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
