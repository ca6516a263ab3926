//! `jvp`: the tangents of the kept eigenpairs along directions of the matrices.

use crate::args::Jvp;
use crate::failure::{Failure, Result};
use crate::files::output::Outputs;
use crate::files::{hermitian, load, npy};
use crate::{device, report};
use eigengrad::{Device, Element, Engine, Operation, dispatch, eigh_as};
use std::path::Path;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Jvp) -> Result<()> {
    let (dtype, _) = npy::peek(&arguments.input)?;
    let device = device::open(&arguments.common.hardware)?;
    dispatch(dtype, &device, Work { arguments, device: &device })
}

struct Work<'a> {
    arguments: &'a Jvp,
    device: &'a Device,
}

impl Operation for Work<'_> {
    type Output = Result<()>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Result<()> {
        let Jvp { input, tangent, out, common } = self.arguments;
        let (stored, batch) = load::matrices::<T, B>(input, common, backend)?;
        let shape = shape_of(tangent, stored.shape())?;
        let a_dot = hermitian::projected::<T, B>(tangent, &shape, backend)?;
        let mut outputs =
            Outputs::in_directory(out, &["values_dot.npy", "vectors_dot.npy"], common.force)?.beside(&[input, tangent])?;
        let start = Instant::now();
        // deterministic: bit for bit what `eigh` writes
        let pairs = eigh_as::<T, T, B>(&batch, &common.options())?;
        let tangents = pairs.jvp(&a_dot)?.to_host()?;
        let time = start.elapsed();
        let (values, vectors) = (tangents.values(), tangents.vectors());
        let values = values.to_shape(&shape[..shape.len() - 1]).map_err(Failure::new)?;
        let vectors = vectors.to_shape(&*shape).map_err(Failure::new)?;
        outputs.stage(Path::new("values_dot.npy"), &mut |file| npy::write(file, values.view()))?;
        outputs.stage(Path::new("vectors_dot.npy"), &mut |file| npy::write(file, vectors.view()))?;
        let written = outputs.commit()?;
        let mut table = report::heading(T::DTYPE, stored.shape(), self.device, time);
        if let Err(findings) = tangents.check() {
            table.warn(input, &findings);
        }
        report::spectrum(&mut table, &pairs.to_host()?);
        table.row("directions", "directions", &a_dot.batch().checked_div(batch.batch()).unwrap_or(0));
        report::status(&mut table, "status", "status", tangents.status());
        report::written(&mut table, &written);
        table.say(common.json)
    }
}

/// The shape that the tangent has to have: the input's, after an axis of directions if the file has
/// one.
fn shape_of(tangent: &Path, input: &[usize]) -> Result<Vec<usize>> {
    let (_, found) = npy::peek(tangent)?;
    let directions = (found.len() == input.len() + 1).then_some(found[0]);
    Ok(directions.into_iter().chain(input.iter().copied()).collect())
}
