//! V = H₀ H₁ ⋯ Hₙ₋₂ Z, a few columns at a time, and each to its place among the eigenvectors of its
//! matrix.

use crate::cpu::lanes::rotations::blocks;
use crate::cpu::lanes::tridiagonal::column;
use crate::cpu::simd::numbers::{Number, Numbers};
use crate::cpu::simd::transpose::MAX_WIDTH;
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use pulp::bytemuck::cast_slice;

/// Reads COLUMNS columns of Z from its blocks, from `first` on; beyond the last they are 0.
#[inline(always)]
pub(in crate::cpu) fn read<S: Simd, R: Vector, const C: usize, const COLUMNS: usize>(
    x: Numbers<S, R, C>,
    n: usize,
    mut z: &[R::V<S>],
    first: usize,
    v: &mut [[Number<S, R, C>; COLUMNS]],
) {
    let mut rows = v;
    for height in blocks(n) {
        let (block, others) = z.split_at(n * height);
        let (here, below) = rows.split_at_mut(height.min(rows.len()));
        for (c, column) in block.chunks_exact(height).skip(first).take(COLUMNS).enumerate() {
            for (row, &z) in here.iter_mut().zip(column) {
                row[c] = x.real(z);
            }
        }
        (z, rows) = (others, below);
    }
}

/// V ↦ H₀ H₁ ⋯ Hₙ₋₂ V. The update by one reflector also makes the products with the next, so that V
/// passes once for each.
#[inline(always)]
pub(in crate::cpu) fn reflect<S: Simd, R: Vector, const C: usize, const COLUMNS: usize>(
    x: Numbers<S, R, C>,
    a: &[Number<S, R, C>],
    tau: &[Number<S, R, C>],
    v: &mut [[Number<S, R, C>; COLUMNS]],
) {
    let n = v.len();
    let zero = [[x.zero(); C]; COLUMNS];
    // τ (xᴴ v) of the reflector before, which is none at first.
    let mut weights = zero;
    for k in (0..n.saturating_sub(1)).rev() {
        let reflector = &a[column(n, k) + k + 1..][..n - k - 1];
        let (first, rows) = v[k + 1..].split_first_mut().unwrap_or_else(|| unreachable!("k + 1 < n"));
        let mut dots = *first; // the reflector begins with 1
        let last = if rows.is_empty() { &[][..] } else { &a[column(n, k + 1) + k + 2..][..rows.len()] };
        for ((row, &last), &this) in rows.iter_mut().zip(last).zip(&reflector[1..]) {
            for c in 0..COLUMNS {
                row[c] = x.neg_mul_add(row[c], last, weights[c]);
                dots[c] = x.conj_mul_add(dots[c], this, row[c]);
            }
        }
        for c in 0..COLUMNS {
            weights[c] = x.mul(tau[k], dots[c]);
        }
    }
    if n > 1 {
        for (row, &last) in v[1..].iter_mut().zip(&a[column(n, 0) + 1..]) {
            for c in 0..COLUMNS {
                row[c] = x.neg_mul_add(row[c], last, weights[c]);
            }
        }
    }
}

/// Writes columns of V: column c of lane l to row `rank[c·width + l]` of the lane's `[n, n]`
/// numbers in `to`.
#[inline(always)]
pub(in crate::cpu) fn write<S: Simd, R: Vector, const C: usize, const COLUMNS: usize>(
    x: Numbers<S, R, C>,
    v: &[[Number<S, R, C>; COLUMNS]],
    ranks: &[u32],
    to: &mut [R],
) {
    let (n, width) = (v.len(), R::width(x.s));
    let (size, lanes) = (n * C, to.len() / (n * n * C));
    for (c, ranks) in ranks.chunks_exact(width).take(COLUMNS).enumerate() {
        let mut rows = [0; MAX_WIDTH];
        for (lane, (row, &rank)) in rows.iter_mut().zip(ranks).enumerate() {
            *row = (lane * n + rank as usize) * size;
        }
        for first in (0..size).step_by(width) {
            let mut tile = [x.zero(); MAX_WIDTH];
            let tile = &mut tile[..width];
            let count = width.min(size - first);
            for (q, to) in tile.iter_mut().enumerate().take(count) {
                // What other lanes do to a zero may change its sign.
                *to = R::adds(x.s, v[(first + q) / C][c][(first + q) % C], x.zero());
            }
            R::transpose::<_, 1>(x.s, tile);
            for (from, &row) in tile.iter().zip(&rows).take(lanes) {
                let (from, to) = (cast_slice::<_, R>(std::slice::from_ref(from)), &mut to[row + first..]);
                // Whole tiles are one store.
                if count == width { to[..width].copy_from_slice(from) } else { to[..count].copy_from_slice(&from[..count]) }
            }
        }
    }
}
