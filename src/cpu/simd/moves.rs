//! Moves between storage, one matrix after the other, and lanes, a component of as many matrices at
//! a time: by square tiles.
//!
//! Loops over vectors are written as `for`: what an iterator calls is a function of its own,
//! compiled without the instruction set.

use crate::cpu::simd::transpose::MAX_WIDTH;
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

/// Where the numbers of a matrix are: `count` runs of `length` components, one after the other in
/// storage; in lanes runs lie `pitch` vectors apart, and numbers within a run `step`.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Runs {
    count: usize,
    length: usize,
    pitch: usize,
    step: usize,
}

impl Runs {
    /// One component after the other.
    #[inline(always)]
    pub(in crate::cpu) fn row(length: usize) -> Self {
        Self { count: 1, length, pitch: length, step: 1 }
    }

    /// n×n numbers of `parts` components, run k in row k of lanes; rows lie `stride` numbers apart.
    #[inline(always)]
    pub(in crate::cpu) fn rows(n: usize, parts: usize, stride: usize) -> Self {
        let (count, length) = if n == stride { (1, n * n * parts) } else { (n, n * parts) };
        Self { count, length, pitch: stride * parts, step: parts }
    }

    /// As [`Runs::rows`], run k in column k.
    #[inline(always)]
    pub(in crate::cpu) fn columns(n: usize, parts: usize, stride: usize) -> Self {
        Self { count: n, length: n * parts, pitch: parts, step: stride * parts }
    }

    /// The number of components.
    #[inline(always)]
    fn size(self) -> usize {
        self.count * self.length
    }

    /// Where the tile at `first` begins: the last one of a run reaches back rather than beyond the
    /// end.
    #[inline(always)]
    fn tile(self, first: usize, width: usize) -> usize {
        first.min(self.length.saturating_sub(width))
    }
}

/// Brings matrices of numbers of C parts into lanes; lanes that `from` has none for are 0.
#[inline(always)]
pub(in crate::cpu) fn into_lanes<S: Simd, R: Vector, const C: usize>(s: S, from: &[R], runs: Runs, to: &mut [R::V<S>]) {
    let (width, size) = (R::width(s), runs.size());
    for run in 0..runs.count {
        let to = &mut to[run * runs.pitch..];
        for tile in 0..runs.length.div_ceil(width) {
            let first = runs.tile(tile * width, width);
            let mut tile = [R::splat(s, R::zero()); MAX_WIDTH];
            let tile = &mut tile[..width];
            // It may end in the next lane's components, which are then not used.
            for (lane, vector) in tile.iter_mut().enumerate() {
                *vector = load(s, from, lane * size + run * runs.length + first);
            }
            R::transpose::<_, 1>(s, tile);
            if runs.step == C && runs.length >= width {
                to[first..first + width].copy_from_slice(tile);
                continue;
            }
            for (q, &vector) in (first..runs.length).zip(&*tile) {
                to[q / C * runs.step + q % C] = vector;
            }
        }
    }
}

/// The components from `at` on; those beyond the end are 0.
#[inline(always)]
pub(in crate::cpu) fn load<S: Simd, R: Vector>(s: S, from: &[R], at: usize) -> R::V<S> {
    if let Some(whole) = from.get(at..at + R::width(s)) {
        return R::vectors(s, whole)[0];
    }
    let mut vector = [R::splat(s, R::zero())];
    for (to, &from) in cast_slice_mut::<_, R>(&mut vector).iter_mut().zip(from.iter().skip(at)) {
        *to = from;
    }
    vector[0]
}

/// Writes the matrices of numbers of C parts that `to` has memory for.
#[inline(always)]
pub(in crate::cpu) fn out_of_lanes<S: Simd, R: Vector, const C: usize>(s: S, from: &[R::V<S>], runs: Runs, to: &mut [R]) {
    let (width, size) = (R::width(s), runs.size());
    for run in 0..runs.count {
        let from = &from[run * runs.pitch..];
        for tile in 0..runs.length.div_ceil(width) {
            let first = runs.tile(tile * width, width);
            let mut tile = [R::splat(s, R::zero()); MAX_WIDTH];
            let tile = &mut tile[..width];
            if runs.step == C && runs.length >= width {
                tile.copy_from_slice(&from[first..first + width]);
            } else {
                for (q, vector) in (first..runs.length).zip(&mut *tile) {
                    *vector = from[q / C * runs.step + q % C];
                }
            }
            R::transpose::<_, 1>(s, tile);
            let at = run * runs.length + first;
            for (vector, to) in tile.iter().zip(to.chunks_exact_mut(size)) {
                if runs.length >= width {
                    R::vectors_mut(s, &mut to[at..at + width])[0] = *vector;
                } else {
                    for (to, &from) in to[at..at + runs.length].iter_mut().zip(cast_slice::<_, R>(&[*vector])) {
                        *to = from;
                    }
                }
            }
        }
    }
}
