//! `vjp`: the gradient by the matrices, through the very eigenvectors that `decompose` writes.

use crate::args::Vjp;
use crate::failure::{Failure, Result};
use crate::load::{self, shape_like};
use crate::output::Outputs;
use crate::report::{self, Table};
use crate::{device, npy};
use eigengrad::{Cotangents, Cpu, Device, Eigenpairs, Element, Engine, Gradient, Job, Real, Status, dispatch, eigh_as};
use ndarray::{Array, Dimension};
use std::path::Path;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Vjp) -> Result<()> {
    let (dtype, _) = npy::peek(&arguments.input)?;
    let device = device::open(&arguments.common.hardware)?;
    dispatch(dtype, &device, Work { arguments, device: &device })
}

struct Work<'a> {
    arguments: &'a Vjp,
    device: &'a Device,
}

impl Job for Work<'_> {
    type Output = Result<()>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Result<()> {
        let Vjp { input, values_bar, vectors_bar, out, common } = self.arguments;
        let (stored, batch) = load::matrices::<T, B>(input, common.triangle(), backend)?;
        let (b, n) = (batch.batch(), batch.n());
        let values_bar = cotangent::<T::Real, _>(values_bar.as_deref(), stored.shape(), (b, n))?;
        let vectors_bar = cotangent::<T, _>(vectors_bar.as_deref(), stored.shape(), (b, n, n))?;
        let mut outputs = Outputs::one(out, common.force)?;
        let start = Instant::now();
        let pairs = eigh_as::<T, T, B>(&batch, &common.options())?; // deterministic: bit for bit what `decompose` writes
        let cotangents = Cotangents::new(&pairs, values_bar.as_ref().map(|x| x.view()), vectors_bar.as_ref().map(|x| x.view()))?;
        let gradient = pairs.backward_as::<T>(&cotangents)?.to_host()?;
        let time = start.elapsed();
        outputs.stage(out, |file| npy::write(file, shape_like(stored.shape(), gradient.a_bar())))?;
        let written = outputs.commit()?;
        if let Err(findings) = gradient.check() {
            report::warn(input, &findings);
        }
        let mut table = Table::default();
        table.row("dtype", T::DTYPE);
        table.row("shape", format!("{:?}", stored.shape()));
        table.row("backend", device::describe(self.device));
        table.row("time", report::rate(time, b));
        trust(&mut table, &pairs.to_host()?, &gradient)?;
        table.row("written", report::paths(&written));
        report::say(&table)
    }
}

/// A cotangent of `[batch, …]`, of which the file lacks the batch where the input does.
fn cotangent<T: Element, D: Dimension>(
    path: Option<&Path>,
    input: &[usize],
    shape: impl ndarray::IntoDimension<Dim = D>,
) -> Result<Option<Array<T, D>>> {
    let shape = shape.into_dimension();
    let Some(path) = path else { return Ok(None) };
    let in_file = &shape.slice()[usize::from(input.len() == 2)..];
    let array = npy::read_shaped::<T>(path, in_file)?;
    let array = if input.len() == 2 { array.insert_axis(ndarray::Axis(0)) } else { array };
    array.into_dimensionality().map(Some).map_err(|e| Failure::at(path, e))
}

/// Rows on how far the gradient can be trusted.
fn trust<T: Element>(table: &mut Table, pairs: &Eigenpairs<T, Cpu>, gradient: &Gradient<T, Cpu>) -> Result<()> {
    report::spectrum(table, pairs.spectrum());
    let round_off = T::PRECISION.gauge_round_off(pairs.n());
    let defects = gradient.report(pairs)?.map(|matrix| {
        let defects = matrix.gauge_defect.iter().map(|&defect| Real::to_f64(defect));
        (!matrix.status.failed()).then(|| defects.max_by(f64::total_cmp)).flatten()
    });
    table.row("worst gauge defect", format!("{}, round-off up to {round_off:.3e}", report::largest(defects, "no matrix")));
    let ties = gradient.report(pairs)?.map(|m| m.status.intersects(Status::TIED).then(|| Real::to_f64(m.tie_defect)));
    table.row("worst tie defect", report::largest(ties, "no ties"));
    table.row("status", report::findings(gradient.status()));
    Ok(())
}
