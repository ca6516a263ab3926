//! The GPU that tests run on, if there is one, and whether it is one.

use eigengrad::cuda::Cuda;
use std::io::Write;
use std::path::Path;

/// The first GPU, on a stream of its own. Without one says so, and fails if
/// `EIGENGRAD_REQUIRE_CUDA` is 1.
pub fn device() -> Option<Cuda> {
    match Cuda::new(0) {
        Ok(cuda) => Some(cuda),
        Err(reason) if std::env::var("EIGENGRAD_REQUIRE_CUDA").is_ok_and(|required| required == "1") => panic!("{reason}"),
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "not run, no CUDA device: {reason}");
            None
        }
    }
}

/// Whether CUDA is the emulator, whose sums have one order. NVIDIA's products and solvers choose
/// theirs by the size of the batch.
pub fn is_emulated() -> bool {
    std::env::var_os("EIGENGRAD_CUDA_LIB_DIR").is_some_and(|folder| Path::new(&folder).join("libeigengrad_emulator.so").exists())
}
