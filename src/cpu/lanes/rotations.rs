//! Z ↦ Z R₁ R₂ ⋯: the rotations of QL, applied to a few rows at a time, which stay in the first
//! cache.
//!
//! Z is kept by blocks of rows, `[block, column, row of the block]`. A block's columns pass through
//! registers from high to low.

use crate::cpu::lanes::ql::{Rotation, Sweep};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;

/// The heights of the blocks of n rows, in order: eights, of which four chains of shears keep two
/// FMA units busy, and for the last rows 4 or 12, whichever leaves the fewest idle.
pub(in crate::cpu) fn blocks(n: usize) -> impl Iterator<Item = usize> {
    let mut left = n;
    std::iter::from_fn(move || {
        let height = match left {
            0 => return None,
            1..=4 => 4,
            9..=12 => 12,
            _ => 8,
        };
        left = left.saturating_sub(height);
        Some(height)
    })
}

/// Z = I, by blocks.
#[inline(always)]
pub(in crate::cpu) fn identity<S: Simd, R: Vector>(s: S, n: usize, z: &mut [R::V<S>]) {
    z.fill(R::splat(s, R::zero()));
    let (mut first, mut at) = (0, 0);
    for height in blocks(n) {
        for row in first..n.min(first + height) {
            z[at + row * height + row - first] = R::splat(s, R::one());
        }
        first += height;
        at += n * height;
    }
}

/// Applies the sweeps of vector `g` of the notes.
#[inline(always)]
pub(in crate::cpu) fn rotate<S: Simd, R: Vector, const G: usize>(
    s: S,
    n: usize,
    mut z: &mut [R::V<S>],
    g: usize,
    sweeps: &[Sweep],
    rotations: &[[Rotation<R::V<S>>; G]],
) {
    for height in blocks(n) {
        let (block, others) = z.split_at_mut(n * height);
        match height {
            4 => rotate_block::<S, R, G, 4>(s, block, g, sweeps, rotations),
            12 => rotate_block::<S, R, G, 12>(s, block, g, sweeps, rotations),
            _ => rotate_block::<S, R, G, 8>(s, block, g, sweeps, rotations),
        }
        z = others;
    }
}

#[inline(always)]
fn rotate_block<S: Simd, R: Vector, const G: usize, const HEIGHT: usize>(
    s: S,
    z: &mut [R::V<S>],
    g: usize,
    sweeps: &[Sweep],
    rotations: &[[Rotation<R::V<S>>; G]],
) {
    let z = z.as_chunks_mut::<HEIGHT>().0;
    for &Sweep { low, high, at } in sweeps {
        let [columns @ .., last] = &mut z[low..=high] else { return };
        let mut carried = *last;
        let mut above = last;
        for (column, rotation) in columns.iter_mut().zip(&rotations[at..][..high - low]).rev() {
            let [t, sine] = rotation[g];
            for r in 0..HEIGHT {
                let sheared = R::mul_adds(s, t, carried[r], column[r]);
                above[r] = R::mul_adds(s, sine, sheared, carried[r]);
                carried[r] = R::mul_adds(s, t, above[r], sheared);
            }
            above = column;
        }
        *above = carried;
    }
}
