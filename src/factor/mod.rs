//! A = B Bᴴ from a thin factor B, without forming A: [`FactorBatch`] → [`FactorPairs`] →
//! [`FactorGradient`], on a [`FactorPlan`].

mod batch;
mod gradient;
mod pairs;
mod plan;

pub use batch::FactorBatch;
pub use gradient::FactorGradient;
pub use pairs::FactorPairs;
pub use plan::{FactorPlan, FactorProblem, eigh_factor, eigh_factor_as};
