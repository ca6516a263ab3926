//! Time on the host around work on the device, and the bandwidth of a copy.

use crate::run::{Field, Result, Run};
use eigengrad::Backend;
use eigengrad::cuda::Cuda;
use std::time::{Duration, Instant};

/// A case gets no further run after this long.
const ENOUGH: Duration = Duration::from_millis(1200);
/// What a run on the whole batch may be expected to take; a batch for which it would take longer is
/// made smaller.
const RUN: Duration = Duration::from_millis(1500);
/// The batch by which that is judged is smaller by this factor.
const SAMPLE: usize = 64;

/// Nanoseconds of each run, sorted, and of its calls alone, before anything waits for the device.
#[derive(Clone, Debug)]
pub struct Times {
    runs: Vec<f64>,
    calls: Vec<f64>,
}

impl Times {
    /// Runs once or twice to warm up and then up to `reps` times, waiting for the device after
    /// each.
    pub fn of(cuda: &Cuda, reps: usize, mut run: impl FnMut() -> Result<()>) -> Result<Self> {
        let start = Instant::now();
        run()?;
        cuda.synchronize()?;
        if start.elapsed() < ENOUGH / 2 {
            run()?;
            cuda.synchronize()?;
        }
        let mut times = Self { runs: vec![], calls: vec![] };
        let timed = Instant::now();
        while times.runs.len() < reps && (times.runs.is_empty() || timed.elapsed() < ENOUGH) {
            let start = Instant::now();
            run()?;
            times.calls.push(start.elapsed().as_secs_f64() * 1e9);
            cuda.synchronize()?;
            times.runs.push(start.elapsed().as_secs_f64() * 1e9);
        }
        times.runs.sort_by(f64::total_cmp);
        times.calls.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// Nanoseconds of the median run.
    pub fn median(&self) -> f64 {
        median(&self.runs)
    }

    /// Nanoseconds for each of `batch` matrices, and microseconds of a call alone.
    pub fn fields(&self, batch: usize) -> Vec<Field> {
        vec![
            ("batch", batch.into()),
            ("median_ns", (self.median() / batch as f64).into()),
            ("min_ns", (self.runs[0] / batch as f64).into()),
            ("reps", self.runs.len().into()),
            ("call_us", (median(&self.calls) / 1e3).into()),
        ]
    }
}

fn median(sorted: &[f64]) -> f64 {
    (sorted[sorted.len() / 2] + sorted[(sorted.len() - 1) / 2]) / 2.0
}

/// Of `batch` matrices as many as one run is expected to be done with in time, judged by what
/// `once` takes on fewer.
pub fn affordable(batch: usize, mut once: impl FnMut(usize) -> Result<Duration>) -> Result<usize> {
    let sample = (batch / SAMPLE).max(16);
    if sample >= batch {
        return Ok(batch);
    }
    let of_each = once(sample)?.as_secs_f64() / sample as f64;
    Ok(((RUN.as_secs_f64() / of_each) as usize).clamp(sample, batch))
}

/// Bytes read and written per second by copies from device memory to device memory.
pub fn copy(run: &mut Run, cuda: &Cuda) {
    let (bytes, reps) = (run.elements * 16, run.reps);
    run.case("copy", vec![("bytes", bytes.into())], || {
        let stream = cuda.stream();
        let numbers: Vec<u64> = (0..1 << 16).map(|x: u64| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let random = stream.clone_htod(&numbers)?;
        let (mut from, mut to) = (stream.alloc_zeros::<u64>(bytes / 8)?, stream.alloc_zeros::<u64>(bytes / 8)?);
        let len = from.len();
        for first in (0..len).step_by(random.len()) {
            let part = random.len().min(len - first);
            stream.memcpy_dtod(&random.slice(..part), &mut from.slice_mut(first..first + part))?;
        }
        let copies = 10;
        let times = Times::of(cuda, reps, || {
            for _ in 0..copies {
                stream.memcpy_dtod(&from, &mut to)?;
            }
            Ok(())
        })?;
        let moved = (2 * copies * bytes) as f64;
        Ok(vec![("bytes_per_second", (moved / (times.median() * 1e-9)).into())])
    });
}
