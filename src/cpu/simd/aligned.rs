//! [`Aligned`]: memory that starts at a cache line, so that no vector straddles two.

use crate::Result;
use crate::cpu::memory::filled;
use std::ops::{Deref, DerefMut};

const CACHE_LINE: usize = 64;

/// Memory for a fixed number of components.
#[derive(Debug)]
pub(in crate::cpu) struct Aligned<R> {
    memory: Box<[R]>,
    start: usize,
    len: usize,
}

impl<R: Copy> Aligned<R> {
    /// So many copies of a value.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is no memory for them.
    pub(in crate::cpu) fn new(value: R, len: usize) -> Result<Self> {
        let memory = filled(value, len.saturating_add(CACHE_LINE / size_of::<R>()))?.into_boxed_slice();
        let start = memory.as_ptr().align_offset(CACHE_LINE).min(memory.len() - len);
        Ok(Self { memory, start, len })
    }
}

impl<R> Deref for Aligned<R> {
    type Target = [R];
    fn deref(&self) -> &[R] {
        &self.memory[self.start..][..self.len]
    }
}

impl<R> DerefMut for Aligned<R> {
    fn deref_mut(&mut self) -> &mut [R] {
        &mut self.memory[self.start..][..self.len]
    }
}
