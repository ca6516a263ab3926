//! NVIDIA GPUs: finding the libraries ([`probe`]) and device memory on one stream ([`Cuda`]). Needs the feature `cuda`.
//!
//! This module holds all the unsafe code of the crate. It is a [`Backend`](crate::Backend) without an [`Engine`](crate::Engine) as yet:
//! memory without solvers. Nothing of it has run on a GPU.

mod library;
mod memory;

pub use library::{Found, probe};
pub use memory::{Cuda, DeviceBuffer, DeviceView, DeviceViewMut};
