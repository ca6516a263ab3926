//! `spectral`: a function of the matrices through their kept eigenvalues, and its gradient.

use crate::args::{OfMatrix, Spectral};
use crate::failure::Result;
use crate::files::load::{self, shape_like};
use crate::files::output::Outputs;
use crate::files::{hermitian, npy};
use crate::{device, report};
use eigengrad::{Cpu, Device, Eigenpairs, Element, Engine, Function, Operation, Real, dispatch, eigh_as};
use std::path::Path;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Spectral) -> Result<()> {
    of_matrix(arguments.function, &arguments.files)
}

/// Writes f of the matrices, and the gradient if there is one of f.
///
/// # Errors
/// Whatever prevents it.
pub fn of_matrix(function: Function, files: &OfMatrix) -> Result<()> {
    let (dtype, _) = npy::peek(&files.input)?;
    let device = device::open(&files.common.hardware)?;
    dispatch(dtype, &device, Work { function, files, device: &device })
}

struct Work<'a> {
    function: Function,
    files: &'a OfMatrix,
    device: &'a Device,
}

/// The first matrix with a kept eigenvalue outside the domain, and that eigenvalue.
fn outside<T: Element>(function: Function, pairs: &Eigenpairs<T, Cpu>) -> Option<(usize, f64)> {
    let kept = pairs.values().into_iter().zip(pairs.kept()).enumerate().filter(|(_, (_, kept))| **kept);
    let mut lambda = kept.map(|(at, (value, _))| (at / pairs.n().max(1), value.widen()));
    lambda.find(|(_, lambda)| !function.defined_at(*lambda)).map(|(matrix, lambda)| (matrix, Real::to_f64(lambda)))
}

impl Operation for Work<'_> {
    type Output = Result<()>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Result<()> {
        let OfMatrix { input, bar, out, common } = self.files;
        let (stored, batch) = load::matrices::<T, B>(input, common, backend)?;
        let shape = stored.shape();
        let inputs: Vec<_> = std::iter::once(input).chain(bar).collect();
        let bar = bar.as_ref().map(|path| hermitian::projected::<T, B>(path, shape, backend)).transpose()?;
        let names = &["value.npy", "a_bar.npy"][..1 + usize::from(bar.is_some())];
        let mut outputs = Outputs::in_directory(out, names, common.force)?.beside(&inputs)?;
        let (function, start) = (self.function.into(), Instant::now());
        let pairs = eigh_as::<T, T, B>(&batch, &common.options())?;
        let value = pairs.spectral(&function)?.to_host()?;
        let a_bar = bar.map(|bar| pairs.spectral_derivative(&function, &bar)?.to_host()).transpose()?;
        let time = start.elapsed();
        outputs.stage(Path::new("value.npy"), &mut |file| npy::write(file, shape_like(shape, value.data())))?;
        if let Some(a_bar) = &a_bar {
            outputs.stage(Path::new("a_bar.npy"), &mut |file| npy::write(file, shape_like(shape, a_bar.data())))?;
        }
        let written = outputs.commit()?;
        let pairs = pairs.to_host()?;
        let mut table = report::heading(T::DTYPE, shape, self.device, time);
        report::spectrum(&mut table, &pairs);
        if let Err(findings) = a_bar.as_ref().unwrap_or(&value).check().and(value.check()) {
            table.warn(input, &findings);
        }
        if let Some((matrix, lambda)) = outside(self.function, &pairs) {
            let what = format!(
                "matrix {matrix}: the function is not defined at its eigenvalue {lambda:.3e}; --atol or --rtol above it drops it"
            );
            table.warn(input, &what);
        }
        report::status(&mut table, "status", "status", value.status());
        if let Some(a_bar) = &a_bar {
            report::status(&mut table, "gradient_status", "status of the gradient", a_bar.status());
        }
        report::written(&mut table, &written);
        table.say(common.json)
    }
}
