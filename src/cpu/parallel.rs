//! Splitting a batch over threads: [`each`] halves it until the pieces are small, [`PerThread`] lends each thread its scratch.

use crate::Result;
use std::sync::{Mutex, PoisonError};

/// A run of consecutive matrices with all that is read and written of them.
pub(super) trait Chunk: Send + Sized {
    /// The number of matrices.
    fn batch(&self) -> usize;
    /// The first `b` matrices and the others.
    fn split_at(self, b: usize) -> (Self, Self);
}

/// Pieces for each thread: a slow core should not hold up the others, and each piece costs a hand-over (8 were slower at n = 16).
const PIECES: usize = 4;

/// Calls `work` on pieces whose sizes are multiples of `grain`, except for the last.
pub(super) fn each<C: Chunk>(chunk: C, grain: usize, work: &(impl Fn(C) + Sync)) {
    let pieces = PIECES * rayon::current_num_threads();
    let size = chunk.batch().div_ceil(pieces).max(1).next_multiple_of(grain);
    halve(chunk, size, work);
}

fn halve<C: Chunk>(chunk: C, size: usize, work: &(impl Fn(C) + Sync)) {
    let pieces = chunk.batch().div_ceil(size);
    if pieces <= 1 || rayon::current_num_threads() == 1 {
        return work(chunk);
    }
    let (left, right) = chunk.split_at(pieces / 2 * size);
    rayon::join(|| halve(left, size, work), || halve(right, size, work));
}

/// A value for each thread of a pool.
#[derive(Debug)]
pub(super) struct PerThread<S>(Box<[Mutex<S>]>);

impl<S> PerThread<S> {
    pub(super) fn new(threads: usize, make: impl Fn() -> Result<S>) -> Result<Self> {
        (0..threads.max(1)).map(|_| make().map(Mutex::new)).collect::<Result<_>>().map(Self)
    }

    /// Lends the calling thread its value; a thread of another pool shares one with a thread of this.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        let own = &self.0[rayon::current_thread_index().unwrap_or(0) % self.0.len()];
        f(&mut own.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
