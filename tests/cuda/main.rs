//! What only the CUDA backend has: device memory of several owners and strides, parts of a batch, solvers, graphs, several devices.

#[path = "../suite/gpu.rs"]
mod gpu;

mod conversions;
mod graphs;
mod memory;
mod orders;
mod parts;
mod sample;
mod several;
mod solvers;
