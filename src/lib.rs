#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "foreign"), forbid(unsafe_code))]
#![cfg_attr(feature = "foreign", deny(unsafe_code))]

#[cfg(all(feature = "cuda", not(target_os = "linux")))]
compile_error!("the feature `cuda` is for Linux: where else NVIDIA's libraries are is not known to it; leave it out");

mod element;

mod status;

mod error;

mod backend;

mod array;

mod hermitian;

mod options;

mod cut;

mod compute;

mod engine;

mod plan;

mod eigh;

mod backward;

mod jvp;

mod double_backward;

mod spectral;

mod factor;

mod cpu;

#[cfg(feature = "cuda")]
#[allow(unsafe_code, reason = "calls into CUDA")]
pub mod cuda;

mod dispatch;

#[cfg(feature = "cuda")]
pub use cudarc;
pub use {half, ndarray, num_complex};

pub use array::{Array, Owned, Storage, StorageMut, View, ViewMut};
pub use backend::Backend;
pub use backward::{Cotangents, Gradient, Report};
pub use cpu::Cpu;
pub use dispatch::{Device, Operation, dispatch};
pub use double_backward::DoubleGradient;
pub use eigh::{Eigenpairs, Spectrum, eigh, eigh_as, eigvalsh, eigvalsh_as};
pub use element::{Dtype, Element, ElementOf, Pod, Precision, Real, Scalar};
pub use engine::{Derivative, Engine, FactorWorkspace, SchurMultiplier, Scratch, Workspace};
pub use error::{Error, Result};
use factor::FactorProblem;
pub use factor::{FactorBatch, FactorGradient, FactorPairs, FactorPlan, eigh_factor, eigh_factor_as};
pub use hermitian::{HermitianBatch, Read, Triangle};
pub use jvp::Tangents;
pub use options::{Cut, Dropped, GradientForm, Options, TieRule};
pub use plan::Plan;
pub use spectral::{Fidelity, Function, HermitianResult, Spectral, Trace, fidelity};
pub use status::Status;
