//! Every failure survived, on the emulator: calls that fail on purpose, work that breaks, memory
//! that runs out, libraries that are missing, caches that are damaged; and the order of streams,
//! devices, threads and processes.

#[path = "../suite/gpu.rs"]
mod gpu;
#[path = "../cuda/sample.rs"]
mod sample;

mod broken;
mod cache;
mod caller;
mod calls;
mod child;
mod emulator;
mod little;
mod order;
mod passes;
mod settings;
mod trial;
