//! Derivatives beyond the gradient and functions of the spectrum on the device: small matrices in one kernel, others part by part, by
//! matrix products around elementwise kernels.

mod double;
mod function;
mod jvp;
mod kernels;
mod on_chip;
mod part;
mod scratch;
mod spectral;
mod tangent;

pub(super) use kernels::{Kernels, module};
pub(super) use on_chip::on_chip;
pub use scratch::Scratch;
