//! Time of runs, and what a copy reaches on a device: the bound on everything that moves its bytes
//! once.

use super::figure::median;
use crate::failure::{Failure, Result};
use crate::gpu;
use eigengrad::Device;
use rayon::prelude::*;
use std::time::Instant;

/// Bytes of the array that is copied, more than caches hold.
const BYTES: usize = 1 << 28;
/// Copies in a run on a GPU, so that calls and waiting do not count.
const COPIES: usize = 4;
/// Runs.
const REPS: usize = 3;

/// Nanoseconds of each of `reps` runs after two that are not counted.
///
/// # Errors
/// If a run fails.
pub fn clock<E: Into<Failure>>(reps: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>> {
    let mut timed = || {
        let start = Instant::now();
        run().map(|()| start.elapsed().as_secs_f64() * 1e9).map_err(Into::into)
    };
    timed()?;
    timed()?;
    (0..reps).map(|_| timed()).collect()
}

/// Bytes read and written a second by a copy within a device's memory, on the CPU by all threads of
/// the backend.
///
/// # Errors
/// If there is no memory for it.
pub fn copy_bandwidth(device: &Device) -> Result<f64> {
    // Not zeros: pages that were never written are one page, and a GPU may compress what repeats.
    let numbers: Vec<u64> = (0..BYTES as u64 / 8).map(|x| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let (copies, times) = match gpu::copier(device, &numbers, COPIES)? {
        Some(copy) => (COPIES, clock(REPS, copy)?),
        None => (1, on_cpu(&numbers)?),
    };
    Ok((2 * copies * BYTES) as f64 * 1e9 / median(times))
}

fn on_cpu(from: &[u64]) -> Result<Vec<f64>> {
    let mut to = vec![0; from.len()];
    let part = from.len().div_ceil(rayon::current_num_threads());
    clock::<Failure>(REPS, || {
        to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
        Ok(())
    })
}
