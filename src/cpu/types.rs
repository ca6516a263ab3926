//! What the lanes and the products are told of each type that is computed in: one table.

/// The order up to which lanes win over one matrix after the other in eigendecompositions, in every
/// type (benches/results/NOTES.md).
pub(in crate::cpu) const EIGH_LANES_UP_TO: usize = 128;

/// The order up to which lanes win over products of one matrix after the other in gradients, and in
/// derivatives beyond them.
pub(in crate::cpu) const DERIVATIVE_LANES_UP_TO: usize = 64;

/// Calls a macro with the table: a type, its component, the number of components, and how many
/// numbers are worked on abreast. These are the rows of a block of the micro-kernel, and the
/// columns in a pass of the tridiagonalisation and of the way back.
macro_rules! for_each_type {
    ($call:ident) => {
        $call! {
            f32: f32, 1, 4;
            f64: f64, 1, 4;
            num_complex::Complex<f32>: f32, 2, 2;
            num_complex::Complex<f64>: f64, 2, 2
        }
    };
}
pub(in crate::cpu) use for_each_type;
