//! `bench`: the forward and the backward pass on the work of benches/peers/eigh_peers.py, timed as it times its peers.

use crate::args::Bench;
use crate::failure::Result;
use crate::output::Outputs;
use crate::{device, report};
use eigengrad::{Backend, Cotangents, Cpu, Dtype, Element, Engine, HermitianBatch, Job, Options, Plan, Real, Scalar, dispatch};
use ndarray::{Array2, Array3, Axis};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use std::fmt;
use std::io::Write;
use std::time::Instant;

/// Runs the command: a row for each type, order and pass as soon as it is measured.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Bench) -> Result<()> {
    let devices = device::all(&arguments.hardware)?;
    let outputs = arguments.json.as_ref().map(|path| Outputs::one(path, arguments.force)).transpose()?;
    let mut lines = String::new();
    for device in &devices {
        report::say(&format_args!("{}\n{Heading}\n", device::describe(device)))?;
        for (&dtype, &n) in arguments.dtype.iter().flat_map(|dtype| arguments.n.iter().map(move |n| (dtype, n))) {
            let batch = arguments.batch.unwrap_or_else(|| (arguments.elements / (n * n)).max(8));
            let [forward, backward] = dispatch(dtype, device, Work { n, batch, reps: arguments.reps })?;
            for (what, times) in [("forward", forward), ("backward", backward)] {
                let result = Measured { device: device::name(device), dtype, n, batch, what, times };
                report::say(&format_args!("{result}\n"))?;
                lines += &result.json();
            }
        }
    }
    if let (Some(mut outputs), Some(path)) = (outputs, &arguments.json) {
        outputs.stage(path, |file| file.write_all(lines.as_bytes()))?;
        outputs.commit()?;
    }
    Ok(())
}

/// One type and order.
struct Work {
    n: usize,
    batch: usize,
    reps: usize,
}

impl Job for Work {
    /// Sorted nanoseconds of the runs of the forward and of the backward pass.
    type Output = Result<[Vec<u128>; 2]>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Self::Output {
        let Self { n, batch, reps } = self;
        let plan = Plan::<T, B>::new(backend, batch, n, &Options::default())?;
        let (mut workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<T>()?, plan.gradient::<T>()?);
        let mut random = StdRng::seed_from_u64(0);
        let a = positive::<T>(batch, n, &mut random);
        // On the CPU from the user's array; on a device from memory that is there, as the peers are timed.
        let resident = HermitianBatch::on(backend, a.view())?;
        let forward = clock(reps, || {
            let copy = if B::NAME == Cpu::NAME { Some(HermitianBatch::on(backend, a.view())?) } else { None };
            plan.eigh_into(copy.as_ref().unwrap_or(&resident).as_ref(), pairs.as_mut(), &mut workspace)?;
            backend.synchronize()
        })?;
        let values_bar = Array2::from_shape_simple_fn((batch, n), || real::<T::Real>(random.sample(StandardNormal)));
        let vectors = pairs.to_host()?;
        let vectors_bar = vectors.vectors().mapv(|v| T::narrow(v.widen().scale(Real::of(2.0 * random.random::<f64>()))));
        let cotangents = Cotangents::new(&pairs, Some(values_bar.view()), Some(vectors_bar.view()))?;
        let backward = clock(reps, || {
            plan.backward_into(pairs.as_ref(), cotangents.as_ref(), gradient.as_mut(), &mut workspace)?;
            backend.synchronize()
        })?;
        Ok([forward, backward])
    }
}

/// A = X Xᴴ / n `[batch, n, n]`, X Gaussian with E|X_ij|² = 1.
fn positive<T: Element>(batch: usize, n: usize, random: &mut StdRng) -> Array3<T> {
    let mut a = Array3::from_elem((batch, n, n), T::default());
    for mut a in a.axis_iter_mut(Axis(0)) {
        let x = Array2::from_shape_simple_fn((n, n), || gaussian::<T::Scalar>(random));
        let product = x.dot(&x.t().mapv(Scalar::conj));
        let scale = Real::of(1.0 / n as f64);
        a.zip_mut_with(&product, |a, &x| *a = T::narrow(x.scale(scale)));
    }
    a
}

fn gaussian<T: Scalar>(random: &mut StdRng) -> T {
    let (re, im): (f64, f64) = (random.sample(StandardNormal), random.sample(StandardNormal));
    let scale = if T::COMPLEX { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
    T::from_parts(Real::of(re * scale), Real::of(im * scale))
}

fn real<T: Element<Scalar: Real>>(x: f64) -> T {
    T::narrow(Real::of(x))
}

/// Sorted nanoseconds of each of `reps` runs after two that are not counted.
fn clock(reps: usize, mut run: impl FnMut() -> eigengrad::Result<()>) -> Result<Vec<u128>> {
    run()?;
    run()?;
    let mut times = Vec::new();
    for _ in 0..reps {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_nanos());
    }
    times.sort_unstable();
    Ok(times)
}

struct Heading;

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}{:>6}{:>9}  {:<9}{:>16}{:>16}{:>14}", "dtype", "n", "batch", "pass", "median ns", "min ns", "matrices/s")
    }
}

/// A row of the table, times for each matrix.
struct Measured {
    device: &'static str,
    dtype: Dtype,
    n: usize,
    batch: usize,
    what: &'static str,
    times: Vec<u128>,
}

impl Measured {
    fn median(&self) -> f64 {
        let middle = self.times.len() / 2;
        let sum = self.times[middle] + self.times[(self.times.len() - 1) / 2];
        sum as f64 / 2.0 / self.batch as f64
    }

    fn min(&self) -> f64 {
        self.times[0] as f64 / self.batch as f64
    }

    /// A line with the keys of eigh_peers.py.
    fn json(&self) -> String {
        let Self { device, dtype, n, batch, what, .. } = self;
        let (version, median, min) = (env!("CARGO_PKG_VERSION"), self.median(), self.min());
        format!(
            "{{\"peer\": \"eigengrad\", \"version\": \"{version}\", \"device\": \"{device}\", \"dtype\": \"{dtype}\", \"n\": {n}, \
             \"batch\": {batch}, \"what\": \"{what}\", \"median_ns\": {median:.3}, \"min_ns\": {min:.3}}}\n"
        )
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, n, batch, what, .. } = self;
        let (median, min) = (self.median(), self.min());
        write!(f, "{dtype:<12}{n:>6}{batch:>9}  {what:<9}{median:>16.1}{min:>16.1}{:>14.4e}", 1e9 / median)
    }
}
