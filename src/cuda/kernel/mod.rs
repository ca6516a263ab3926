//! Our own kernels: compiled, cached, loaded, launched.

pub(in crate::cuda) mod cache;
pub(in crate::cuda) mod compile;
pub(in crate::cuda) mod derivatives;
pub(in crate::cuda) mod factor;
pub(in crate::cuda) mod function;
pub(in crate::cuda) mod layouts;
pub(in crate::cuda) mod module;
pub(in crate::cuda) mod on_chip;
