//! Threads: matrices are split over them, and each large matrix is shared by them, too, through
//! [`par`], which is faer's own parallelism.

use crate::Result;
use faer::Par;
use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// The order from which threads share a matrix: below, handing the work over takes longer than it
/// saves.
const SHARED_FROM: usize = 256;

/// In as many parts whatever the number of threads, since sums, and with them bits, depend on it.
const PARTS: usize = 8;

thread_local! {
    /// Whether this thread works alone.
    static INLINE: Cell<bool> = const { Cell::new(false) };
}

/// Does the work on this thread alone.
pub(super) fn inline(work: Task<'_>) {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            INLINE.set(self.0);
        }
    }
    let _before = Before(INLINE.replace(true));
    work();
}

/// The threads that share the work.
fn threads() -> usize {
    if INLINE.get() { 1 } else { rayon::current_num_threads() }
}

/// How work on a matrix is split whose largest dimension is `n`, no larger than what the thread's
/// scratch was made for.
pub(super) fn par(n: usize) -> Par {
    if n < SHARED_FROM || INLINE.get() { Par::Seq } else { Par::rayon(PARTS) }
}

/// A run of consecutive matrices with all that is read and written of them.
pub(super) trait Chunk: Send + Sized {
    /// The number of matrices.
    fn batch(&self) -> usize;
    /// The first `b` matrices and the others.
    fn split_at(self, b: usize) -> (Self, Self);
}

/// Pieces for each thread: a slow core should not hold up the others, and each piece costs a
/// hand-over (8 were slower at n = 16).
const PIECES: usize = 4;

/// Numbers of the matrices of a piece, at least: some 3 to 7 µs of work, about what a hand-over
/// takes.
const LEAST: usize = 2048;

/// Calls `work`, which needs no scratch, on pieces of the chunk.
pub(super) fn each<C: Chunk>(chunk: C, work: &(dyn Fn(C) + Sync)) {
    split(chunk, PIECES * threads(), 1, work);
}

/// Calls `work` on at most so many pieces, whose sizes are multiples of `grain`, except for the
/// last.
fn split<C: Chunk>(chunk: C, pieces: usize, grain: usize, work: &(dyn Fn(C) + Sync)) {
    let size = chunk.batch().div_ceil(pieces).max(1).next_multiple_of(grain);
    halve(&mut Some(chunk), size, work);
}

/// Halves what is there until it is a piece.
fn halve<C: Chunk>(chunk: &mut Option<C>, size: usize, work: &(dyn Fn(C) + Sync)) {
    let Some(chunk) = chunk.take() else { return };
    let pieces = chunk.batch().div_ceil(size);
    if pieces <= 1 || threads() == 1 {
        return work(chunk);
    }
    let (left, right) = chunk.split_at(pieces / 2 * size);
    let (mut left, mut right) = (Some(left), Some(right));
    join(&mut || halve(&mut left, size, work), &mut || halve(&mut right, size, work));
}

/// Work of whatever type, so that rayon's code is compiled once and not for each.
pub(super) type Task<'a> = &'a mut (dyn FnMut() + Send);

fn join(left: Task<'_>, right: Task<'_>) {
    rayon::join(left, right);
}

/// In the pool, whatever thread calls.
fn in_pool(work: Task<'_>) {
    rayon::scope(|_| work());
}

/// Scratch for each thread of a pool, for matrices of order `n`: made when a thread first needs it.
#[derive(Debug)]
pub(super) struct PerThread<S> {
    n: usize,
    make: Make<S>,
    scratch: Box<[Mutex<Option<S>>]>,
}

/// Makes scratch for n×n matrices, or n×r factors.
type Make<S> = fn(n: usize, r: usize) -> Result<S>;

impl<S> PerThread<S> {
    /// For at most `threads` threads and square matrices.
    pub(super) fn new(threads: usize, n: usize, make: Make<S>) -> Self {
        Self { n, make, scratch: (0..threads.max(1)).map(|_| Mutex::default()).collect() }
    }

    /// Calls `work` on pieces whose sizes are multiples of what `grain` says of scratch, except for
    /// the last, with the scratch of a thread.
    ///
    /// While a thread waits for its share of a matrix it may take up another piece, which needs
    /// scratch of its own. So there are no more pieces of large matrices than scratch, and no piece
    /// waits for one that its own thread has put aside.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) without memory for scratch.
    pub(super) fn each<C: Chunk>(
        &self,
        r: usize,
        chunk: C,
        grain: fn(&S) -> usize,
        work: &(dyn Fn(&mut S, C) -> Result<()> + Sync),
    ) -> Result<()>
    where
        S: Send,
    {
        if chunk.batch() == 0 {
            return Ok(());
        }
        let (threads, failed) = (threads(), Mutex::new(None));
        let mut multiple = 1;
        self.with(r, &mut |scratch| {
            multiple = grain(scratch);
            Ok(())
        })?;
        let piece = |chunk| {
            let mut chunk = Some(chunk);
            if let Err(error) = self.with(r, &mut |scratch| chunk.take().map_or(Ok(()), |chunk| work(scratch, chunk))) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        };
        match par(self.n) {
            Par::Seq => {
                let pieces = (chunk.batch() * self.n * self.n / LEAST).clamp(1, PIECES * threads);
                split(chunk, pieces, multiple, &piece);
            }
            // A thread of the pool alone shares a matrix.
            Par::Rayon(_) => {
                let (mut chunk, pieces) = (Some(chunk), threads.min(self.scratch.len()));
                in_pool(&mut || chunk.take().into_iter().for_each(|chunk| split(chunk, pieces, multiple, &piece)));
            }
        }
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Lends the calling thread its scratch or, if that is lent, any that is free; a thread of
    /// another pool shares one with a thread of this.
    fn with(&self, r: usize, f: &mut dyn FnMut(&mut S) -> Result<()>) -> Result<()> {
        let own = rayon::current_thread_index().unwrap_or(0) % self.scratch.len();
        let (before, from) = self.scratch.split_at(own);
        let mut free = from.iter().chain(before).find_map(free);
        let lent = free.get_or_insert_with(|| self.scratch[own].lock().unwrap_or_else(PoisonError::into_inner));
        let scratch = match &mut **lent {
            Some(scratch) => scratch,
            none => none.insert((self.make)(self.n, r)?),
        };
        f(scratch)
    }
}

fn free<S>(scratch: &Mutex<S>) -> Option<MutexGuard<'_, S>> {
    match scratch.try_lock() {
        Ok(scratch) => Some(scratch),
        Err(TryLockError::Poisoned(scratch)) => Some(scratch.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
