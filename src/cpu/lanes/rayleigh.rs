//! λ_k = zᵀTz / zᵀz: eigenvalues of tridiagonal matrices in lanes, from the eigenvectors that QL
//! found.
//!
//! QL's own λ carry the round-off of every sweep, 12 to 17 ε‖A‖ at n = 64 to 128. A Rayleigh
//! quotient squares the error of z and keeps only the round-off of one sum, 3 to 5 ε‖A‖ at every n.

use crate::cpu::lanes::ql::Entry;
use crate::cpu::lanes::rotations::blocks;
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use std::array::from_fn;

/// Columns of Z at a time: their sums are independent, and share what is read of T.
const COLUMNS: usize = 4;

/// Replaces d of vector `g` by the quotients of the columns of Z. `tridiagonal` is T as it was
/// before QL, rows [d, e].
#[inline(always)]
pub(in crate::cpu) fn rayleigh<S: Simd, R: Vector, const G: usize>(
    s: S,
    tridiagonal: &[[R::V<S>; 2]],
    z: &[R::V<S>],
    g: usize,
    lambda: &mut [Entry<R::V<S>, G>],
) {
    let (n, zero) = (tridiagonal.len(), R::splat(s, R::zero()));
    for first in (0..n).step_by(COLUMNS) {
        let (mut product, mut square) = ([zero; COLUMNS], [zero; COLUMNS]);
        // The entries above, and twice the element of T between them and the next ones.
        let (mut above, mut coupling) = ([zero; COLUMNS], zero);
        let (mut z, mut rows) = (z, tridiagonal);
        for height in blocks(n) {
            let (block, others) = z.split_at(n * height);
            let (here, below) = rows.split_at(height.min(rows.len()));
            let columns: [&[R::V<S>]; COLUMNS] = from_fn(|c| &block[(first + c).min(n - 1) * height..][..here.len()]);
            for (row, &[d, e]) in here.iter().enumerate() {
                for c in 0..COLUMNS {
                    let x = columns[c][row];
                    // Tz but for what lies below: z_i e_i z_{i+1} counts twice there.
                    let image = R::mul_adds(s, d, x, R::muls(s, coupling, above[c]));
                    product[c] = R::mul_adds(s, x, image, product[c]);
                    square[c] = R::mul_adds(s, x, x, square[c]);
                    above[c] = x;
                }
                coupling = R::adds(s, e, e);
            }
            (z, rows) = (others, below);
        }
        for (c, entry) in lambda[first..].iter_mut().enumerate().take(COLUMNS) {
            entry[0][g] = R::divs(s, product[c], square[c]);
        }
    }
}
