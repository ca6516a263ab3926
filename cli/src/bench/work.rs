//! One case of ours: both passes on the work of benches/peers/eigh_peers.py, timed as it times its
//! peers.

use super::arguments::Case;
use super::clock::clock;
use super::figure::{Figure, Pass, median};
use crate::device;
use crate::failure::Result;
use eigengrad::{
    Backend, Cotangents, Cpu, Device, Element, Engine, HermitianBatch, Operation, Options, Plan, Real, Scalar, dispatch,
};
use ndarray::{Array2, Array3, Axis};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// Elements of the matrices that differ; a larger batch repeats them, for drawing them takes longer
/// than what is timed on a GPU.
const DIFFERENT: usize = 1 << 20;

/// What our program is called in figures.
pub const OURS: &str = "eigengrad";

/// The figures of both passes.
///
/// # Errors
/// Whatever prevents them, as a lack of memory.
pub fn measure(device: &Device, case: &Case, reps: usize) -> Result<Vec<Figure>> {
    figures(OURS, device, case, reps, true)
}

/// The figure of the forward pass by the solver that the device has, under its name.
///
/// # Errors
/// If the solver does not take such matrices, too.
pub fn measure_solver(name: &str, device: &Device, case: &Case, reps: usize) -> Result<Vec<Figure>> {
    figures(name, device, case, reps, false)
}

fn figures(name: &str, device: &Device, case: &Case, reps: usize, with_backward: bool) -> Result<Vec<Figure>> {
    let times = dispatch(case.dtype, device, Work { case, reps, with_backward })?;
    let figure = |(what, runs): (Pass, Vec<f64>)| {
        let per_matrix = |ns: f64| (ns / case.batch as f64 * 1e3).round() / 1e3; // as the peers
        let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
        let (peer, version) = (name.to_owned(), env!("CARGO_PKG_VERSION").into());
        let (device, dtype, n, batch) = (device::name(device), case.dtype.to_string(), case.n, case.batch);
        Figure { peer, version, device, dtype, n, batch, what, median_ns: per_matrix(median(runs)), min_ns: per_matrix(least) }
    };
    Ok(times.into_iter().map(figure).collect())
}

/// The bytes that a pass must move for a matrix: forward A in, λ and V out; backward V, V̄, λ and λ̄
/// in, Ā out.
pub fn bytes(device: &Device, case: &Case, pass: Pass) -> usize {
    dispatch(case.dtype, device, Bytes { n: case.n, pass })
}

struct Bytes {
    n: usize,
    pass: Pass,
}

impl Operation for Bytes {
    type Output = usize;

    fn run<T: Element, B: Engine<T::Scalar>>(self, _: &B) -> usize {
        let (matrix, values) = (self.n * self.n * size_of::<T>(), self.n * size_of::<T::Real>());
        match self.pass {
            Pass::Forward => 2 * matrix + values,
            Pass::Backward => 3 * matrix + 2 * values,
        }
    }
}

struct Work<'a> {
    case: &'a Case,
    reps: usize,
    with_backward: bool,
}

impl Operation for Work<'_> {
    /// Nanoseconds of each run.
    type Output = Result<Vec<(Pass, Vec<f64>)>>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Self::Output {
        let Self { case: &Case { n, batch, .. }, reps, with_backward } = self;
        let plan = Plan::<T, B>::new(backend, batch, n, &Options::default())?;
        let (workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<T>()?, plan.gradient::<T>()?);
        let mut random = StdRng::seed_from_u64(0);
        let a = positive::<T>(batch, n, &mut random);
        let resident = HermitianBatch::on(backend, a.view())?;
        let forward = clock(reps, || {
            // On the CPU from the user's array, compared where it lies; on a device from memory
            // that is there, as the peers are timed.
            if B::NAME == Cpu::NAME {
                HermitianBatch::borrowed_on(&backend.host(), a.view())?;
            }
            plan.eigh_into(resident.view(), pairs.view_mut(), &workspace)?;
            backend.synchronize()
        })?;
        if !with_backward {
            return Ok(vec![(Pass::Forward, forward)]);
        }
        let values_bar = Array2::from_shape_simple_fn((batch, n), || real::<T::Real>(random.sample(StandardNormal)));
        let vectors = pairs.to_host()?;
        let vectors_bar = vectors.vectors().mapv(|v| T::narrow(v.widen().scale(Real::of(2.0 * random.random::<f64>()))));
        let cotangents = Cotangents::new(&pairs, Some(values_bar.view()), Some(vectors_bar.view()))?;
        let backward = clock(reps, || {
            plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace)?;
            backend.synchronize()
        })?;
        Ok(vec![(Pass::Forward, forward), (Pass::Backward, backward)])
    }
}

/// A = X Xᴴ / n `[batch, n, n]`, X Gaussian with E|X_ij|² = 1.
fn positive<T: Element>(batch: usize, n: usize, random: &mut StdRng) -> Array3<T> {
    let different = batch.min((DIFFERENT / (n * n)).max(8));
    let mut a = Array3::from_elem((batch, n, n), T::default());
    let (mut drawn, mut repeated) = a.view_mut().split_at(Axis(0), different);
    for mut a in drawn.axis_iter_mut(Axis(0)) {
        let x = Array2::from_shape_simple_fn((n, n), || gaussian::<T::Scalar>(random));
        let product = x.dot(&x.t().mapv(Scalar::conj));
        let scale = Real::of(1.0 / n as f64);
        a.zip_mut_with(&product, |a, &x| *a = T::narrow(x.scale(scale)));
    }
    repeated.outer_iter_mut().zip(drawn.outer_iter().cycle()).for_each(|(mut a, drawn)| a.assign(&drawn));
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
