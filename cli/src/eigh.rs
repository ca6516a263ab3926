//! `eigh`: eigenvalues, eigenvectors and the kept mask of a file of matrices.

use crate::args::Eigh;
use crate::device;
use crate::failure::{Failure, Result};
use crate::files::load::{self, shape_like};
use crate::files::npy;
use crate::files::output::Outputs;
use crate::report::residual::{self, Ratios};
use crate::report::spectra;
use crate::report::{self, Table};
use eigengrad::{Cpu, Device, Eigenpairs, Element, Engine, Operation, Triangle, dispatch, eigh_as};
use ndarray::ArrayD;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Eigh) -> Result<()> {
    let (dtype, _) = npy::peek(&arguments.input)?;
    let device = device::open(&arguments.common.hardware)?;
    dispatch(dtype, &device, Work { arguments, device: &device })
}

struct Work<'a> {
    arguments: &'a Eigh,
    device: &'a Device,
}

impl Operation for Work<'_> {
    type Output = Result<()>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Result<()> {
        let Eigh { input, out, svg, common } = self.arguments;
        let (stored, batch) = load::matrices::<T, B>(input, common, backend)?;
        let picture = svg.as_ref().map(|path| Outputs::one(path, common.force)?.beside(&[input])).transpose()?;
        let outputs = Outputs::in_directory(out, &["values.npy", "vectors.npy", "kept.npy"], common.force)?.beside(&[input])?;
        let start = Instant::now();
        let pairs = eigh_as::<T, T, B>(&batch, &common.options())?.to_host()?;
        let time = start.elapsed();
        let mut written = write(outputs, stored.shape(), &pairs)?;
        if let (Some(mut picture), Some(path)) = (picture, svg) {
            let text = spectra::svg(&pairs)?;
            picture.stage(path, &mut |file| file.write_all(text.as_bytes()))?;
            written.extend(picture.commit()?);
        }
        let mut table = report::heading(T::DTYPE, stored.shape(), self.device, time);
        report::spectrum(&mut table, &pairs);
        quality(&mut table, &stored, common.triangle().unwrap_or(Triangle::Lower), &pairs)?;
        report::written(&mut table, &written);
        if let Err(findings) = pairs.check() {
            table.warn(input, &findings);
        }
        table.say(common.json)
    }
}

/// Writes λ, V and K with the number of axes that the input has.
fn write<T: Element>(mut outputs: Outputs, input: &[usize], pairs: &Eigenpairs<T, Cpu>) -> Result<Vec<PathBuf>> {
    let (values, vectors, kept) = (pairs.values(), pairs.vectors(), pairs.kept());
    outputs.stage(Path::new("values.npy"), &mut |file| npy::write(file, shape_like(input, values)))?;
    outputs.stage(Path::new("vectors.npy"), &mut |file| npy::write(file, shape_like(input, vectors)))?;
    outputs.stage(Path::new("kept.npy"), &mut |file| npy::write_mask(file, shape_like(input, kept)))?;
    outputs.commit()
}

/// Rows on the worst of LAPACK's ratios.
fn quality<T: Element>(table: &mut Table, stored: &ArrayD<T>, triangle: Triangle, pairs: &Eigenpairs<T, Cpu>) -> Result<()> {
    let shape = (pairs.batch(), pairs.n(), pairs.n());
    let stored = stored.to_shape(shape).map_err(Failure::new)?;
    let ratios = residual::ratios(stored.view(), triangle, pairs);
    let worst = |of: fn(Ratios) -> f64| report::largest(ratios.iter().map(|ratios| ratios.map(of)), "no matrix");
    table.row("residual_ratio", "‖AV − VΛ‖₁/(‖A‖₁ n ε)", &worst(|ratios| ratios.residual));
    table.row("orthogonality_ratio", "‖VᴴV − I‖₁/(n ε)", &worst(|ratios| ratios.orthogonality));
    Ok(())
}
