//! Batched eigendecomposition of Hermitian matrices that you can train through, on CPUs and NVIDIA
//! GPUs. The gradient is exact where matrices have null spaces, and each matrix says how far its
//! gradient can be trusted.
//!
//! ```
//! use eigengrad::{Cotangents, HermitianBatch, Options, eigh};
//! use ndarray::array;
//!
//! # fn main() -> eigengrad::Result<()> {
//! // Of rank 1: two null eigenvalues tie, and are dropped.
//! let a = array![[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]];
//! let pairs = eigh(&HermitianBatch::new(a.view())?, &Options::default())?;
//! assert_eq!(pairs.kept(), array![[false, false, true]]);
//!
//! // The loss is Σ |v_i|⁴ over the kept eigenvectors.
//! let v_bar = pairs.vectors().mapv(|v: f64| 4.0 * v.powi(3));
//! let gradient = pairs.backward(&Cotangents::vectors(&pairs, v_bar.view())?)?;
//! gradient.check()?;
//! assert!((gradient.a_bar()[[0, 0, 0]] - 0.0768).abs() < 1e-14);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to begin
//!
//! | page | for |
//! |---|---|
//! | [From `torch.linalg.eigh`](guide::from_torch_linalg_eigh) | matrices of full rank, and what differs |
//! | [Which operation do I want](guide::which_operation) | gradients, tangents, Hessians, functions, factors; what is exact where |
//! | [Choosing the cut](guide::choosing_the_cut) | what is dropped, and how to see whether that was right |
//! | [Statuses](guide::statuses) | what each finding means, and what to do about it |
//! | [Training loops](guide::training_loops_without_allocation) | `Plan`, workspaces, memory of yours |
//! | [CUDA and graphs](guide::cuda_and_graphs) | devices, streams, solvers, libraries |
//! | [Your framework](guide::your_framework) | PyTorch, JAX, candle, or one of your own |
//!
//! # Items by task
//!
//! - *Matrices in*: [`HermitianBatch`], [`FactorBatch`], [`Read`], [`Triangle`].
//! - *Options*: [`Options`], [`Cut`], [`TieRule`], [`Dropped`], [`GradientForm`].
//! - *Eigenpairs*: [`eigh()`], [`eigvalsh`], [`eigh_factor`], [`Eigenpairs`], [`Spectrum`],
//!   [`FactorPairs`].
//! - *Derivatives*: [`Cotangents`], [`Gradient`], [`Report`], [`Tangents`], [`DoubleGradient`],
//!   [`FactorGradient`].
//! - *Losses*: [`PairLoss`], [`Targets`], [`PairLosses`].
//! - *Functions*: [`Spectral`], [`Function`], [`HermitianResult`], [`Trace`], [`fidelity()`],
//!   [`Fidelity`].
//! - *Findings*: [`Status`], [`Error`].
//! - *Loops*: [`Plan`], [`FactorPlan`], [`Workspace`], [`Scratch`], [`FactorWorkspace`].
//! - *Backends and memory*: [`Cpu`], `cuda::Cuda`, [`Backend`], [`Engine`], [`Device`], [`Array`],
//!   [`View`], [`ViewMut`], [`dispatch()`].
//! - *Number types*: [`Element`], [`ElementOf`], [`Scalar`], [`Real`], [`Dtype`], [`Precision`].
//!
//! # The contract
//!
//! - **A = V Λ Vᴴ** with λ ascending, `[batch, n]`. Column k of V is eigenvector k, and VᴴV = I.
//! - **Kept** are K = {k : |λ_k| > τ}. [Choosing the cut](guide::choosing_the_cut) says what τ is.
//! - **The gradient** is Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ, with F_ij = 1/(λ_j − λ_i) and dL = Re
//!   tr(Āᴴ dA). It is Hermitian, as PyTorch's. By one triangle it is an option.
//! - **The null block.** F_ij is 0 where i and j are both dropped, which is exactly right: the loss
//!   never saw them. Where one of the two is dropped F_ij stays.
//! - **Fixed rank.** All derivatives are those at fixed rank. Along a direction that lifts an
//!   eigenvalue over the cut there is none.
//! - **Ties** among kept eigenvalues, and losses that depend on a phase, are told by a [`Status`].
//! - **Failures stay alone.** A matrix that is not finite has NaN results and keeps nothing. The
//!   others have the bits that they would have without it.
//! - **Range.** Results are right wherever they are numbers of the type: gaps, weights and products
//!   are scaled by powers of two where they would leave it.
//! - **Determinism.** Bits are the same for any number of threads, batch size and place in the
//!   batch, on one instruction set.
//!
//! # Number types
//!
//! | stored as | computed in | results stored as | ε of the default cut |
//! |---|---|---|---|
//! | `f32`, `f64` | itself | itself | 2⁻²³, 2⁻⁵² |
//! | `Complex<f32>`, `Complex<f64>` | itself | itself | 2⁻²³, 2⁻⁵² |
//! | `f16`, `Complex<f16>` | 32 bits | either | 2⁻¹⁰ |
//! | `bf16`, `Complex<bf16>` | 32 bits | either | 2⁻⁷ |
//!
//! Every n and batch size is taken, 0 and 1 included; on CUDA n < 65,536.
//!
//! # Features
//!
//! - `avx512`, by default: lanes for AVX-512, beside AVX2 and what every processor has.
//! - `cuda`: NVIDIA GPUs, on Linux; builds without a CUDA toolkit.
//! - `nvtx`: names on the timeline of NVIDIA's profilers.
//! - `foreign`: memory of other owners by its address.
//!
//! Derivations are in docs/derivation.md of the repository. Rust 1.89 is the oldest; raising it is a
//! minor version.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "foreign"), forbid(unsafe_code))]
#![cfg_attr(feature = "foreign", deny(unsafe_code))]

#[cfg(all(feature = "cuda", not(target_os = "linux")))]
compile_error!("the feature `cuda` is for Linux: where else NVIDIA's libraries are is not known to it; leave it out");

/// The README's example runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(any(doc, doctest))]
pub mod guide;

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

mod loss;

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
pub use loss::{PairLoss, PairLosses, Targets};
pub use options::{Cut, Dropped, GradientForm, Options, TieRule};
pub use plan::Plan;
pub use spectral::{Fidelity, Function, HermitianResult, Spectral, Trace, fidelity};
pub use status::Status;
