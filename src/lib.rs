#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "cuda"), forbid(unsafe_code))]
#![cfg_attr(feature = "cuda", deny(unsafe_code))]

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

pub use backend::Backend;
pub use batch::{HermitianBatch, HermitianRef, Triangle};
pub use cotangents::{Cotangents, CotangentsRef};
pub use cpu::Cpu;
pub use dispatch::{Device, Job, dispatch};
pub use double_gradient::{DoubleGradient, DoubleGradientMut};
pub use eigenpairs::{Eigenpairs, EigenpairsMut, EigenpairsRef, Spectrum, SpectrumBuffers, SpectrumMut};
pub use eigh::{eigh, eigh_as, eigvalsh, eigvalsh_as};
pub use engine::{Engine, Of, Weights};
pub use error::{Error, Result};
pub use factor::{
    FactorBatch, FactorGradient, FactorGradientMut, FactorPairs, FactorPairsMut, FactorPairsRef, FactorPlan, FactorProblem,
    eigh_factor, eigh_factor_as,
};
pub use fidelity::{Fidelity, fidelity};
pub use function::{Function, FunctionRef, Spectral};
pub use gradient::{Gradient, GradientBuffers, GradientMut, Report};
pub use matrices::{Matrices, MatricesMut};
pub use options::{Cut, Dropped, GradientForm, Options, Problem, TieRule};
pub use plan::Plan;
pub use scalar::{Dtype, Element, Pod, Precision, Real, Scalar, Stored};
pub use spectral::Trace;
pub use status::Status;
pub use tangents::{Tangents, TangentsMut};
