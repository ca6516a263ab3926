//! Matrices of a group, one in each lane: how they lie, and the micro-kernel of their products.

use crate::cpu::simd::numbers::{Number, Numbers};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use std::ops::Range;
use std::slice::ChunksExact;

/// Rows or columns of the largest block of the micro-kernel, which matrices are padded to. Blocks
/// are 4 or 2 rows, of real and of complex numbers, by 2 columns in 16 registers, eight
/// accumulators, which keep two FMA units of latency 4 busy; and by 4 columns in 32.
pub(in crate::cpu) const BLOCK: usize = 4;

/// n rounded up to whole blocks.
pub(in crate::cpu) const fn padded(n: usize) -> usize {
    n.next_multiple_of(BLOCK)
}

/// The distance of rows, off powers of two, which would crowd into a few cache sets; never 0.
pub(in crate::cpu) const fn stride(n: usize) -> usize {
    if n == 0 || n > BLOCK { padded(n) + 1 } else { padded(n) }
}

/// The numbers of a matrix, with one more row for what is read beyond the last.
pub(in crate::cpu) const fn size(n: usize) -> usize {
    (padded(n) + 1) * stride(n)
}

/// ROWS by COLUMNS entries of a product, in registers.
pub(in crate::cpu) type Block<S, R, const C: usize, const ROWS: usize, const COLUMNS: usize> = [[Number<S, R, C>; COLUMNS]; ROWS];

/// n×n matrices by rows: number (i, k) is at `i·stride + k`, its component `part` in lane `l` at
/// `(number·C + part)·width + l`.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct LaneMatrices<S, R, const C: usize> {
    pub x: Numbers<S, R, C>,
    pub n: usize,
    pub stride: usize,
}

impl<S: Simd, R: Vector, const C: usize> LaneMatrices<S, R, C> {
    #[inline(always)]
    pub fn new(s: S, n: usize) -> Self {
        Self { x: Numbers::new(s), n, stride: stride(n) }
    }

    /// The place of number (i, k).
    #[inline(always)]
    pub fn at(&self, i: usize, k: usize) -> usize {
        i * self.stride + k
    }

    /// The rows of a matrix from column `first` on, each with as much of the next row as makes it
    /// whole.
    #[inline(always)]
    pub fn rows<'a>(&self, x: &'a [Number<S, R, C>], first: usize) -> ChunksExact<'a, Number<S, R, C>> {
        self.some_rows(x, first, 0..self.n)
    }

    /// As [`LaneMatrices::rows`], of some rows.
    #[inline(always)]
    pub fn some_rows<'a>(&self, x: &'a [Number<S, R, C>], first: usize, rows: Range<usize>) -> ChunksExact<'a, Number<S, R, C>> {
        x[self.at(rows.start, first)..][..rows.len() * self.stride].chunks_exact(self.stride)
    }

    /// Xᵀ.
    #[inline(always)]
    pub fn transpose(&self, x: &[Number<S, R, C>], to: &mut [Number<S, R, C>]) {
        for (i, row) in self.rows(x, 0).enumerate() {
            for (k, &number) in row[..self.n].iter().enumerate() {
                to[self.at(k, i)] = number;
            }
        }
    }

    #[inline(always)]
    pub fn zeros<const ROWS: usize, const COLUMNS: usize>(&self) -> Block<S, R, C, ROWS, COLUMNS> {
        [[[self.x.zero(); C]; COLUMNS]; ROWS]
    }

    /// The micro-kernel: a block of X + Aᴴ B, or of X − Aᴴ B, from as many rows of A and of B, the
    /// block's columns of each first.
    #[inline(always)]
    pub fn accumulate<'a, const ROWS: usize, const COLUMNS: usize, const ADD: bool>(
        &self,
        mut x: Block<S, R, C, ROWS, COLUMNS>,
        a: ChunksExact<'a, Number<S, R, C>>,
        b: ChunksExact<'a, Number<S, R, C>>,
    ) -> Block<S, R, C, ROWS, COLUMNS> {
        for (a, b) in a.zip(b) {
            let (Some(a), Some(b)) = (a.first_chunk::<ROWS>(), b.first_chunk::<COLUMNS>()) else { break };
            for r in 0..ROWS {
                for c in 0..COLUMNS {
                    x[r][c] = match ADD {
                        true => self.x.conj_mul_add(x[r][c], a[r], b[c]),
                        false => self.x.neg_conj_mul_add(x[r][c], a[r], b[c]),
                    };
                }
            }
        }
        x
    }
}
