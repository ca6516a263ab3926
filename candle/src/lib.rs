#![doc = include_str!("../README.md")]

mod batch;
mod complex;
mod derivatives;
mod eigh;
mod factor;
mod fidelity;
mod memory;
mod report;
mod spectral;

pub use complex::{Complex, Matrices};
pub use derivatives::{Cotangents, Tangents};
pub use eigengrad::{self, Cut, Dropped, Function, Options, Status, TieRule};
pub use eigh::{Eigenvalues, Eigh, eigh, eigvalsh};
pub use factor::{FactorPairs, eigh_factor};
pub use fidelity::fidelity;
pub use report::{BackwardReport, Report, Statuses};
pub use spectral::{Value, projector, spectral, trace_of};
