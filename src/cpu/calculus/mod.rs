//! Derivatives beyond the first and functions of the spectrum, on the CPU. One code of formulas serves small matrices, one in each
//! SIMD lane, and a large one alone, whose products are faer's.

mod faer;
mod first;
mod formulas;
mod functions;
mod group;
mod kernel;
mod multiply;
mod operations;
mod scaling;
mod second;
mod weights;
mod work;

pub use faer::MultiplyAlone;
pub(super) use functions::trace;
pub use kernel::Calculate;
pub use work::Scratch;
