//! One large matrix at a time: products and eigendecompositions by faer.

pub(in crate::cpu) mod columns;
pub(in crate::cpu) mod evd;
pub(in crate::cpu) mod faer;
pub(in crate::cpu) mod householder;
pub(in crate::cpu) mod matrix;
pub(in crate::cpu) mod products;
