//! The program as a user runs it: files in, files and messages out.

mod backward;
mod bad_input;
#[cfg(unix)]
mod bench;
mod calculus;
mod cuda;
mod eigh;
mod files;
mod fit;
mod flags;
mod formats;
mod json;
mod outputs;
