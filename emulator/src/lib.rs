//! Stands for libcuda, libcusolver, libcublas and libnvrtc on a machine without a GPU.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::missing_safety_doc, reason = "the exported functions are documented by NVIDIA")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "an interface of raw pointers, which is never published")]
#![allow(clippy::print_stderr, reason = "what an emulator finds must reach whoever runs the program")]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "C's interface: every caller is unsafe code already")]
#![allow(non_snake_case, reason = "NVIDIA's names")]

mod answer;
mod block;
mod census;
mod compile;
mod context;
mod copy;
mod cublas;
mod cusolver;
mod device;
mod event;
mod fault;
mod fiber;
mod graph;
mod handle;
mod host;
mod kernel;
mod launch;
mod memory;
mod module;
mod nvrtc;
mod options;
mod order;
mod queue;
mod race;
mod region;
mod scheduler;
mod stream;
mod unsupported;
mod wait;
