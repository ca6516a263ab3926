//! [`Group`]: the memory in which groups of matrices are decomposed, one matrix in each SIMD lane.

use super::aligned::Aligned;
use super::ql::Sweep;
use super::rotations::blocks;
use crate::{Real, Status};

/// The order up to which the QL of two groups takes turns, hiding the latency of its divisions and roots; beyond, their matrices
/// would crowd the cache.
const PAIRS_UP_TO: usize = 32;

/// Scratch memory for one or two groups of as many matrices as there are lanes, and what was found.
#[derive(Debug)]
pub struct Group<R> {
    pub(super) n: usize,
    /// The number of matrices that fill the lanes of one group.
    pub(super) width: usize,
    /// The number of groups, 1 or 2.
    pub(super) groups: usize,
    /// Packed lower triangles, then the reflectors, of both groups one after the other.
    pub(super) a: Aligned<R>,
    pub(super) tau: Aligned<R>,
    pub(super) rows: Aligned<R>,
    /// T of one group after the other, and with both groups side by side.
    pub(super) tridiagonal: Aligned<R>,
    pub(super) t: Aligned<R>,
    /// The factors of 2ᵉ, and whether a matrix is finite.
    pub(super) scale: Aligned<R>,
    pub(super) z: Aligned<R>,
    pub(super) v: Aligned<R>,
    /// The place of each eigenvalue among those of its matrix, `[n, lane]`.
    pub(super) ranks: Vec<u32>,
    pub(super) rotations: Aligned<R>,
    pub(super) sweeps: Vec<Sweep>,
    /// λ of one matrix after the other, ascending.
    pub(super) lambda: Vec<R>,
    pub(super) status: Vec<Status>,
    /// λ of one group in lanes.
    pub(super) columns: Aligned<R>,
}

/// Where a group's part of memory for both begins and ends.
pub(super) fn part<R>(memory: &[R], groups: usize, g: usize) -> std::ops::Range<usize> {
    let size = memory.len() / groups;
    g * size..(g + 1) * size
}

impl<R: Real> Group<R> {
    pub(super) fn new(n: usize, parts: usize, columns: usize, width: usize) -> Self {
        let groups = if n <= PAIRS_UP_TO { 2 } else { 1 };
        let reals = |count: usize| Aligned::new(R::zero(), count * width);
        let numbers = |count: usize| reals(count * parts);
        let padded: usize = blocks(n).sum();
        Self {
            n,
            width,
            groups,
            a: numbers(groups * n * (n + 1) / 2),
            tau: numbers(groups * n),
            rows: numbers(4 * n),
            tridiagonal: reals(2 * groups * n),
            t: reals(2 * groups * n),
            scale: reals(3 * groups),
            z: reals(groups * n * padded),
            v: numbers(n * columns),
            ranks: vec![0; n * width],
            rotations: reals(2 * groups * rotations(n)),
            sweeps: Vec::with_capacity(4 * n + 1),
            lambda: vec![R::zero(); groups * width * n],
            status: vec![Status::OK; groups * width],
            columns: reals(n),
        }
    }

    /// The number of matrices that are decomposed at a time.
    pub(super) fn capacity(&self) -> usize {
        self.groups * self.width
    }
}

/// The number of rotations that are noted before they are applied: about all where that leaves room in the second cache.
fn rotations(n: usize) -> usize {
    (2 * n * n).clamp(n, 4096.max(n))
}
