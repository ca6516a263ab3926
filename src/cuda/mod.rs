//! NVIDIA GPUs: our own kernels, cuSOLVER's batched eigensolvers and cuBLAS behind [`Cuda`]. Needs
//! the feature `cuda`.
//!
//! The crate builds without a CUDA toolkit. At run time it looks for the libraries ([`probe`]) and
//! compiles its kernels for the device at hand. The unsafe code of the crate is here, but for what
//! hands on the address of memory of another owner.

mod backward;
mod backward_factor;
mod backward_jvp;
mod device;
mod double_backward;
mod driver;
mod eigh;
mod eigh_factor;
mod jvp;
mod kernel;
mod loss;
mod memory;
mod part;
mod solver;
mod spectral;

pub use device::{Algorithm, Cuda, Solver};
pub use driver::graph::Graph;
pub use driver::info::{DeviceInfo, devices};
pub use driver::library::{Found, probe};
pub use kernel::table::Instantiation;
pub use memory::buffer::{Bits, DeviceBuffer, DeviceView, DeviceViewMut};
pub use memory::factor::FactorWorkspace;
pub use memory::lending::{Reading, Writing};
pub use memory::scratch::Scratch;
pub use memory::strided::{Strided, StridedMut};
pub use memory::workspace::Workspace;
pub use solver::choice::{SolverRule, SolverTable};

use crate::Error;
use std::fmt::Display;
use std::path::PathBuf;

/// What NVIDIA's libraries do in a type that is computed in.
pub trait Libraries: driver::gemm::Gemm + solver::library::Solve {}
impl<T: driver::gemm::Gemm + solver::library::Solve> Libraries for T {}

/// The error of a call that was refused, with the version of the library that did.
fn refused(call: &str, reason: &dyn Display) -> Error {
    Error::Backend { backend: "cuda", reason: format!("{}{call}: {reason}", driver::library::of_call(call)) }
}

/// Compiles the kernels for a compute capability into the cache, and returns the files.
///
/// Small matrices have a kernel for each order: those of `orders`, with gradients stored as their
/// eigenpairs are, are compiled, too.
///
/// # Errors
/// [`Error::Library`] without NVRTC; [`Error::Backend`] if it does not know the architecture or
/// there is nowhere to write.
pub fn warm(capability: (i32, i32), orders: &[usize]) -> crate::Result<Vec<PathBuf>> {
    kernel::warm(capability, orders)
}

/// The kernels, in CUDA C++ for NVRTC: one source for all.
pub fn source() -> &'static str {
    kernel::compile::SOURCE
}

/// What [`warm`] compiles of [`source`]: for reports, profilers and other compilers.
pub fn instantiations(orders: &[usize]) -> Vec<Instantiation> {
    kernel::modules(orders).into_iter().flatten().collect()
}
