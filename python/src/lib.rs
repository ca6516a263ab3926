//! The extension module `eigengrad._core`: what the Python package is made on.

#![allow(missing_docs, reason = "the package documents what it is made of")]

mod error;
mod numpy;
mod request;
mod torch;
mod xla;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::error::{describe, findings};
    #[pymodule_export]
    use super::numpy::{eigh, eigh_factor, fidelity, spectral, trace};
    #[pymodule_export]
    use super::torch::register_torch;
    #[pymodule_export]
    use super::xla::xla_handlers;
}
