//! One small matrix in each SIMD lane: scalar code over vectors of lanes.

mod back_transform;
pub(in crate::cpu) mod backward;
pub(in crate::cpu) mod columns;
pub(in crate::cpu) mod cut;
pub(in crate::cpu) mod eigh;
mod gauge;
pub(in crate::cpu) mod group;
pub(in crate::cpu) mod kernel;
pub(in crate::cpu) mod matrices;
mod pack;
mod products;
mod ql;
mod rayleigh;
mod rotations;
mod tridiagonal;
