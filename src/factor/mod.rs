//! A = B Bᴴ from a thin factor B, without forming A: [`FactorBatch`] → [`FactorPairs`] → [`FactorGradient`], on a [`FactorPlan`].

mod batch;
mod gradient;
mod pairs;
mod plan;

pub use batch::FactorBatch;
pub use gradient::{FactorGradient, FactorGradientMut};
pub use pairs::{FactorPairs, FactorPairsMut, FactorPairsRef};
pub use plan::{FactorPlan, FactorProblem, eigh_factor, eigh_factor_as};
