//! Where arbitrary choices come from: a fuzzer's bytes as long as there are any, then a generator.

use fastrand::Rng;

/// Choices one after the other.
#[derive(Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
    random: Rng,
}

#[allow(dead_code, reason = "the test takes seeds, the targets in fuzz/ bytes")]
impl<'a> Source<'a> {
    /// Those of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { bytes: &[], random: Rng::with_seed(seed) }
    }

    /// Those that a fuzzer chose.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { bytes, random: Rng::with_seed(0) }
    }

    pub fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((&byte, rest)) => {
                self.bytes = rest;
                byte
            }
            None => self.random.u8(..),
        }
    }

    pub fn bits(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number less than `end`, which is at most 256; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (usize::from(self.byte()) * end) >> 8
    }

    /// Yes, once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// At least 0, less than 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * f64::EPSILON / 2.0
    }

    pub fn of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.below(N)]
    }
}
