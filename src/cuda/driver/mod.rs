//! The driver and NVIDIA's libraries: where they are found, contexts, streams, handles, graphs.

pub(in crate::cuda) mod context;
pub(in crate::cuda) mod event;
pub(in crate::cuda) mod gemm;
pub(in crate::cuda) mod graph;
pub(in crate::cuda) mod handles;
pub(in crate::cuda) mod info;
pub(in crate::cuda) mod library;
pub(in crate::cuda) mod nvtx;
mod symbols;
