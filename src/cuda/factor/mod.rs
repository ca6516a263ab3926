//! A = B Bᴴ from thin factors B on the device: docs/derivation.md §12, by reflections, cuSOLVER on r×r matrices and matrix products.

mod backward;
mod forward;
mod kernels;
mod workspace;

pub(super) use kernels::{Kernels, module};
pub use workspace::FactorWorkspace;
