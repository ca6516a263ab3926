//! `backward`: the gradient by the matrices, through the very eigenvectors that `eigh` writes.

use crate::args::Backward;
use crate::device;
use crate::failure::Result;
use crate::files::load::{self, shape_like};
use crate::files::npy;
use crate::files::output::Outputs;
use crate::report::{self, Table, Worst};
use eigengrad::{Cpu, Device, Eigenpairs, Element, Engine, Gradient, Operation, Real, Status, dispatch, eigh_as};
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Backward) -> Result<()> {
    let (dtype, _) = npy::peek(&arguments.input)?;
    let device = device::open(&arguments.common.hardware)?;
    dispatch(dtype, &device, Work { arguments, device: &device })
}

struct Work<'a> {
    arguments: &'a Backward,
    device: &'a Device,
}

impl Operation for Work<'_> {
    type Output = Result<()>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Result<()> {
        let Backward { input, bars, out, common } = self.arguments;
        let (stored, batch) = load::matrices::<T, B>(input, common, backend)?;
        let inputs: Vec<_> = std::iter::once(input).chain(bars.files()).collect();
        let bars = load::bars::<T>(bars, stored.shape(), &batch)?;
        let mut outputs = Outputs::one(out, common.force)?.beside(&inputs)?;
        let start = Instant::now();
        // deterministic: bit for bit what `eigh` writes
        let pairs = eigh_as::<T, T, B>(&batch, &common.options())?;
        let cotangents = bars.of(&pairs)?;
        let gradient = pairs.backward_as::<T>(&cotangents)?.to_host()?;
        let time = start.elapsed();
        outputs.stage(out, &mut |file| npy::write(file, shape_like(stored.shape(), gradient.a_bar())))?;
        let written = outputs.commit()?;
        let mut table = report::heading(T::DTYPE, stored.shape(), self.device, time);
        if let Err(findings) = gradient.check() {
            table.warn(input, &findings);
        }
        trust(&mut table, &pairs.to_host()?, &gradient)?;
        report::written(&mut table, &written);
        table.say(common.json)
    }
}

/// Rows on how far the gradient can be trusted.
fn trust<T: Element>(table: &mut Table, pairs: &Eigenpairs<T, Cpu>, gradient: &Gradient<T, Cpu>) -> Result<()> {
    report::spectrum(table, pairs);
    let round_off = gradient.report(pairs)?.next().map_or(0.0, |matrix| matrix.round_off);
    let defects = gradient.report(pairs)?.map(|matrix| {
        let defects = matrix.gauge_defect.iter().map(|&defect| Real::to_f64(defect));
        (!matrix.status.failed()).then(|| defects.max_by(f64::total_cmp)).flatten()
    });
    let defect = |worst| Defect { worst, round_off };
    table.row("gauge_defect", "worst gauge defect", &defect(report::largest(defects, "no matrix")));
    let ties = gradient.report(pairs)?.map(|m| m.status.intersects(Status::TIED).then(|| Real::to_f64(m.tie_defect)));
    table.row("tie_defect", "worst tie defect", &defect(report::largest(ties, "no ties")));
    report::status(table, "status", "status", gradient.status());
    Ok(())
}

/// The worst defect of a batch, and what round-off alone can give.
#[derive(Serialize)]
struct Defect {
    worst: Worst,
    round_off: f64,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, round-off up to {:.3e}", self.worst, self.round_off)
    }
}
