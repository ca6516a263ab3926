//! The door of eigengrad for front ends: its operations on memory of another owner, by address.
//!
//! There is a struct for each operation, for every type that is computed in and both backends, and
//! all of them are compiled into this crate, once, whoever calls.
//!
//! Whoever fills one in and calls [`Call::run`] promises: at each address there is memory of the
//! shape and type said beside it, of the backend; nobody writes it during the call, and nobody else
//! reads what is written. An address that is 0 stands for what is absent.
//!
//! Views of that memory are made by nothing else, and live no longer than the call.

#![allow(missing_docs, reason = "the text of a struct names its fields")]

mod cache;
mod call;
mod factor;
mod operation;
mod pairs;
mod spectral;

pub use call::{Address, Call, Dtype, Memory, Place};
pub use eigengrad;
pub use factor::{BackwardFactor, EighFactor};
pub use operation::Operation;
pub use pairs::{Backward, BackwardJvp, CotangentsAt, DoubleBackward, Eigh, Jvp, PairsAt, ResultAt, SpectrumAt};
pub use spectral::{FidelityOf, FunctionAt, SpectralDerivative, SpectralOf, TraceOf};
