#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "cuda"), forbid(unsafe_code))]
#![cfg_attr(feature = "cuda", deny(unsafe_code))]

#[cfg(all(feature = "cuda", not(target_os = "linux")))]
compile_error!("the feature `cuda` is for Linux: where else NVIDIA's libraries are is not known to it; leave it out");

mod scalar;

mod status;

mod error;

mod backend;

mod batch;

mod hermitian;

mod options;

mod cut;

mod eigenpairs;

mod cotangents;

mod gradient;

mod tangents;

mod double_gradient;

mod matrices;

mod function;

mod compute;

mod engine;

mod plan;

mod eigh;

mod derivatives;

mod spectral;

mod fidelity;

mod factor;

mod cpu;

#[cfg(feature = "cuda")]
#[allow(unsafe_code, reason = "calls into CUDA")]
pub mod cuda;

mod dispatch;

#[cfg(feature = "cuda")]
pub use cudarc;
pub use {half, ndarray, num_complex};

pub use backend::Backend;
pub use batch::{HermitianBatch, HermitianRef, Triangle};
pub use cotangents::{Cotangents, CotangentsRef};
pub use cpu::Cpu;
pub use dispatch::{Device, Job, dispatch};
pub use double_gradient::{DoubleGradient, DoubleGradientMut};
pub use eigenpairs::{Eigenpairs, EigenpairsMut, EigenpairsRef, Spectrum, SpectrumBuffers, SpectrumMut};
pub use eigh::{eigh, eigh_as, eigvalsh, eigvalsh_as};
pub use engine::{Engine, FactorWorkspace, Of, Scratch, Weights, Workspace};
pub use error::{Error, Result};
use factor::FactorProblem;
pub use factor::{
    FactorBatch, FactorGradient, FactorGradientMut, FactorPairs, FactorPairsMut, FactorPairsRef, FactorPlan, eigh_factor,
    eigh_factor_as,
};
pub use fidelity::{Fidelity, fidelity};
pub use function::{Function, FunctionRef, Spectral};
pub use gradient::{Gradient, GradientBuffers, GradientMut, Report};
pub use matrices::{Matrices, MatricesMut};
pub use options::{Cut, Dropped, GradientForm, Options, TieRule};
pub use plan::Plan;
pub use scalar::{Dtype, Element, Pod, Precision, Real, Scalar, Stored};
pub use spectral::Trace;
pub use status::Status;
pub use tangents::{Tangents, TangentsMut};
