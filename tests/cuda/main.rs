//! What only the CUDA backend has: device memory of several owners and strides, parts of a batch,
//! solvers, graphs, several devices.

#[path = "../suite/gpu.rs"]
mod gpu;

mod calculus;
mod conversions;
mod factors;
mod graphs;
mod memory;
mod naive;
mod operations;
mod orders;
mod parts;
mod races;
#[cfg(feature = "nvtx")]
mod ranges;
mod sample;
mod several;
mod solvers;
