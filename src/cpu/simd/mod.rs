//! Vectors of the instruction set at hand: arithmetic, and moves between storage and lanes.

pub(in crate::cpu) mod aligned;
pub(in crate::cpu) mod moves;
pub(in crate::cpu) mod numbers;
#[cfg(test)]
mod portable;
pub(in crate::cpu) mod transpose;
pub(in crate::cpu) mod triangles;
pub(in crate::cpu) mod vector;
