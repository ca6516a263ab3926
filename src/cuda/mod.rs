//! NVIDIA GPUs: our own kernels, cuSOLVER's batched eigensolvers and cuBLAS behind [`Cuda`]. Needs the feature `cuda`.
//!
//! The crate builds without a CUDA toolkit. At run time it looks for the libraries ([`probe`]) and compiles its kernels for the device
//! at hand. This module holds all the unsafe code of the crate.

mod allocation;
mod backward;
mod cache;
mod calculus;
mod certificate;
mod compile;
mod context;
mod device;
mod diagonalise;
mod engine;
mod event;
mod factor;
mod forward;
mod fused;
mod gemm;
mod graph;
mod handles;
mod info;
mod kernels;
mod lending;
mod library;
mod memory;
mod range;
mod solver;
mod strided;
mod symbols;
mod workspace;

pub use calculus::Scratch;
pub use device::{Algorithm, Cuda, Solver};
pub use factor::FactorWorkspace;
pub use graph::Graph;
pub use info::{DeviceInfo, devices};
pub use kernels::Instantiation;
pub use lending::{Reading, Writing};
pub use library::{Found, probe};
pub use memory::{Bits, DeviceBuffer, DeviceView, DeviceViewMut};
pub use strided::{Strided, StridedMut};
pub use workspace::Workspace;

use crate::Error;
use std::fmt::Display;
use std::path::PathBuf;

/// The error of a call that was refused, with the version of the library that did.
fn refused(call: &str, reason: &dyn Display) -> Error {
    Error::Backend { backend: "cuda", reason: format!("{}{call}: {reason}", library::of_call(call)) }
}

/// Compiles the kernels for a compute capability into the cache, and returns the files.
///
/// Small matrices have a kernel for each order: those of `orders`, with gradients stored as their eigenpairs are, are compiled, too.
///
/// # Errors
/// [`Error::Library`] without NVRTC; [`Error::Backend`] if it does not know the architecture or there is nowhere to write.
pub fn warm(capability: (i32, i32), orders: &[usize]) -> crate::Result<Vec<PathBuf>> {
    kernels::warm(capability, orders)
}

/// The kernels, in CUDA C++ for NVRTC: one source for all.
pub fn source() -> &'static str {
    compile::SOURCE
}

/// What [`warm`] compiles of [`source`]: for reports, profilers and other compilers.
pub fn instantiations(orders: &[usize]) -> Vec<Instantiation> {
    kernels::modules(orders).into_iter().flatten().collect()
}
