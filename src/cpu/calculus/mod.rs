//! Derivatives beyond the first and functions of the spectrum, on the CPU. One code of formulas
//! serves small matrices, one in each SIMD lane, and a large one alone, whose products are faer's.

mod first;
mod formulas;
pub(super) mod functions;
mod group;
mod kernel;
mod multiply;
mod scaling;
mod second;
mod weights;
pub(super) mod work;

pub use kernel::{Calculate, Step, StorageOrder};
pub use work::Scratch;
