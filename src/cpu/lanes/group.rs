//! [`EighGroup`]: the memory in which groups of matrices are decomposed, one matrix in each SIMD
//! lane.

use crate::cpu::lanes::ql::Sweep;
use crate::cpu::lanes::rotations::blocks;
use crate::cpu::memory::filled;
use crate::cpu::simd::aligned::Aligned;
use crate::{Real, Result, Status};

/// The order up to which the QL of two groups takes turns, hiding the latency of its divisions and
/// roots; beyond, their matrices would crowd the cache.
const PAIRS_UP_TO: usize = 32;

/// Scratch memory for one or two groups of as many matrices as there are lanes, and what was found.
#[derive(Debug)]
pub struct EighGroup<R> {
    pub(in crate::cpu) n: usize,
    /// The number of matrices that fill the lanes of one group.
    pub(in crate::cpu) width: usize,
    /// The number of groups, 1 or 2.
    pub(in crate::cpu) groups: usize,
    /// Packed lower triangles, then the reflectors, of both groups one after the other.
    pub(in crate::cpu) a: Aligned<R>,
    pub(in crate::cpu) tau: Aligned<R>,
    pub(in crate::cpu) rows: Aligned<R>,
    /// T of one group after the other, and with both groups side by side.
    pub(in crate::cpu) tridiagonal: Aligned<R>,
    pub(in crate::cpu) t: Aligned<R>,
    /// The factors of 2ᵉ, and whether a matrix is finite.
    pub(in crate::cpu) scale: Aligned<R>,
    pub(in crate::cpu) z: Aligned<R>,
    pub(in crate::cpu) v: Aligned<R>,
    /// The place of each eigenvalue among those of its matrix, `[n, lane]`.
    pub(in crate::cpu) ranks: Vec<u32>,
    pub(in crate::cpu) rotations: Aligned<R>,
    pub(in crate::cpu) sweeps: Vec<Sweep>,
    /// λ of one matrix after the other, ascending.
    pub(in crate::cpu) lambda: Vec<R>,
    pub(in crate::cpu) status: Vec<Status>,
    /// λ of one group in lanes.
    pub(in crate::cpu) columns: Aligned<R>,
}

/// Where a group's part of memory for both begins and ends.
pub(in crate::cpu) fn part<R>(memory: &[R], groups: usize, g: usize) -> std::ops::Range<usize> {
    let size = memory.len() / groups;
    g * size..(g + 1) * size
}

impl<R: Real> EighGroup<R> {
    pub(in crate::cpu) fn new(n: usize, parts: usize, columns: usize, width: usize) -> Result<Self> {
        let groups = if n <= PAIRS_UP_TO { 2 } else { 1 };
        let reals = |count: usize| Aligned::new(R::zero(), count * width);
        let numbers = |count: usize| reals(count * parts);
        let padded: usize = blocks(n).sum();
        Ok(Self {
            n,
            width,
            groups,
            a: numbers(groups * n * (n + 1) / 2)?,
            tau: numbers(groups * n)?,
            rows: numbers(4 * n)?,
            tridiagonal: reals(2 * groups * n)?,
            t: reals(2 * groups * n)?,
            scale: reals(3 * groups)?,
            z: reals(groups * n * padded)?,
            v: numbers(n * columns)?,
            ranks: filled(0, n * width)?,
            rotations: reals(2 * groups * rotations(n))?,
            sweeps: Vec::with_capacity(4 * n + 1),
            lambda: filled(R::zero(), groups * width * n)?,
            status: filled(Status::OK, groups * width)?,
            columns: reals(n)?,
        })
    }

    /// The number of matrices that are decomposed at a time.
    pub(in crate::cpu) fn capacity(&self) -> usize {
        self.groups * self.width
    }
}

/// The number of rotations that are noted before they are applied: about all where that leaves room
/// in the second cache.
fn rotations(n: usize) -> usize {
    (2 * n * n).clamp(n, 4096.max(n))
}
