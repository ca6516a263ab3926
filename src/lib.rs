//! placeholder
#![cfg_attr(not(feature = "cuda"), forbid(unsafe_code))]

mod backend;
mod batch;
mod cotangents;
mod cpu;
mod cut;
mod dispatch;
mod eigenpairs;
mod eigh;
mod engine;
mod error;
mod gradient;
mod options;
mod plan;
mod scalar;
mod status;

pub use backend::Backend;
pub use batch::{HermitianBatch, HermitianRef, Triangle};
pub use cotangents::{Cotangents, CotangentsRef};
pub use cpu::Cpu;
pub use dispatch::{Device, Job, dispatch};
pub use eigenpairs::{Eigenpairs, EigenpairsMut, EigenpairsRef, Spectrum, SpectrumMut};
pub use eigh::{eigh, eigh_as, eigvalsh};
pub use engine::Engine;
pub use error::{Error, Result};
pub use gradient::{Gradient, GradientMut, Report};
pub use options::{Cut, Dropped, GradientForm, Options, Problem, TieRule};
pub use plan::Plan;
pub use scalar::{Dtype, Element, Pod, Precision, Real, Scalar, Stored};
pub use status::Status;
