//! The GPU that tests run on, if there is one.

use eigengrad::cuda::Cuda;
use std::io::Write;

/// The first GPU, on a stream of its own. Without one says so, and fails if `EIGENGRAD_REQUIRE_CUDA` is 1.
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
