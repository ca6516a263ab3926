//! `fit`: a factor B for every matrix of a target such that the kept eigenpairs of B Bᴴ are the
//! target's.
//!
//! This is the training loop that the crate is for. The null block of target and fit is never
//! compared.

mod adam;
mod comparison;
mod factor;
mod loss;
mod train;

use crate::args::Fit;
use crate::device;
use crate::failure::{Failure, Result};
use crate::files::load::{self, shape_like};
use crate::files::npy;
use crate::files::output::Outputs;
use crate::report::chart::{self, Curve};
use crate::report::{self, Scientific, Table};
use comparison::Distance;
use eigengrad::{Cpu, Device, Eigenpairs, Element, ElementOf, Engine, Operation, Real, Scalar, dispatch, eigh};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::Array3;
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use train::{Outcome, Settings};

/// Runs the command.
///
/// # Errors
/// Whatever prevents it.
pub fn run(arguments: &Fit) -> Result<()> {
    if !(arguments.noise >= 0.0 && arguments.noise.is_finite()) {
        return Err(Failure::new(format!("--noise must be a finite number that is not negative, got {}", arguments.noise)));
    }
    let (dtype, _) = npy::peek(&arguments.target)?;
    let device = device::open(&arguments.common.hardware)?;
    dispatch(dtype, &device, Work { arguments, device: &device })
}

struct Work<'a> {
    arguments: &'a Fit,
    device: &'a Device,
}

impl Operation for Work<'_> {
    type Output = Result<()>;

    fn run<T: Element, B: Engine<T::Scalar>>(self, backend: &B) -> Result<()> {
        let Fit { target: path, out, common, .. } = self.arguments;
        let (stored, batch) = load::matrices::<T, B>(path, common, backend)?;
        let directory = out.clone().unwrap_or_else(|| named_after(path));
        let outputs = Outputs::in_directory(&directory, &["fitted.npy", "loss.svg"], common.force)?.beside(&[path])?;
        let target = eigh(&batch, &common.options())?.to_host()?;
        positive(path, &target)?;
        let start = Instant::now();
        let outcome = self.train(backend, &target)?;
        let time = start.elapsed();
        let mut table = report::subject(T::DTYPE, stored.shape(), self.device);
        let training = Training { seconds: time.as_secs_f64(), steps: outcome.history.len().saturating_sub(1) };
        table.row("training", "time", &training);
        report::spectrum(&mut table, &target);
        quality(&mut table, &target, &outcome);
        let unconverged = comparison::unconverged(&target, &outcome.pairs, &outcome.losses);
        let converged = Converged { matrices: target.batch() - unconverged.len(), of: target.batch() };
        table.row("converged", "converged", &converged);
        let fitted = storable::<T>(&target, outcome.fitted);
        let ending = format!("all {} steps were taken; converged: {converged}", training.steps);
        let written = write(outputs, path, &ending, &outcome.history, shape_like(stored.shape(), fitted.view()))?;
        report::written(&mut table, &written);
        if let Err(findings) = target.check() {
            table.warn(path, &findings);
        }
        // the start is no fit
        let unconverged = if self.arguments.steps == 0 { Vec::new() } else { unconverged };
        unconverged.iter().take(8).for_each(|far| table.warn(path, far));
        if unconverged.len() > 8 {
            table.warn(path, &format!("{} more matrices did not converge", unconverged.len() - 8));
        }
        table.say(common.json)
    }
}

/// How long the training took.
#[derive(Serialize)]
struct Training {
    seconds: f64,
    steps: usize,
}

impl fmt::Display for Training {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s, {} steps", self.seconds, self.steps)
    }
}

/// How many matrices have their target.
#[derive(Serialize)]
struct Converged {
    matrices: usize,
    of: usize,
}

impl fmt::Display for Converged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} matrices", self.matrices, self.of)
    }
}

impl Work<'_> {
    /// Trains behind a progress bar, which shows on a terminal only.
    fn train<S: Scalar + ElementOf<S>, B: Engine<S>>(&self, backend: &B, target: &Eigenpairs<S, Cpu>) -> Result<Outcome<S>> {
        let &Fit { loss, noise, steps, seed, .. } = self.arguments;
        let cut = self.arguments.common.cut();
        let bar = ProgressBar::new(steps as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {msg}, {eta} left") {
            bar.set_style(style);
        }
        let watch = |loss: loss::Parts| {
            if !bar.is_hidden() {
                bar.set_message(format!("loss {:.3e}", loss.total()));
            }
            bar.inc(1);
        };
        let outcome = train::train(backend, target, &Settings { loss, sigma: noise, steps, seed, cut }, watch);
        bar.finish_and_clear();
        Ok(outcome?)
    }
}

/// TARGET-fit in the working directory, or TARGET-fit-2 and so on if that exists.
fn named_after(target: &Path) -> PathBuf {
    let name = |suffix: &str| {
        let mut name = target.file_stem().unwrap_or_default().to_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let numbered = (2..).map(|count| name(&format!("-fit-{count}")));
    std::iter::once(name("-fit")).chain(numbered).find(|folder| !folder.exists()).unwrap_or_default()
}

/// Makes sure that the kept eigenvalues are positive, as those of B Bᴴ are.
fn positive<S: Scalar>(path: &Path, target: &Eigenpairs<S, Cpu>) -> Result<()> {
    let kept = target.kept();
    let values = target.values();
    let wrong = values.indexed_iter().find(|&(at, value)| kept[at] && value.to_f64() <= 0.0);
    wrong.map_or(Ok(()), |((matrix, _), value)| {
        let reason = format!("matrix {matrix} has the kept eigenvalue {:.3e}; those of B Bᴴ are positive", value.to_f64());
        Err(Failure::at(path, reason))
    })
}

/// Rows on how near the fit came.
fn quality<S: Scalar>(table: &mut Table, target: &Eigenpairs<S, Cpu>, outcome: &Outcome<S>) {
    let loss = outcome.history.last().copied().unwrap_or_default();
    let distances = comparison::distances(target, &outcome.pairs);
    let worst = |of: fn(Distance) -> f64| report::largest(distances.iter().map(|far| far.map(of)), "no eigenpairs");
    table.row("loss", "loss", &Scientific(loss.total()));
    table.row("values_error", "max|Δλ|/max|λ|", &worst(|far| far.values));
    table.row("projector_error", "projector error ‖Π − Π*‖", &worst(|far| far.projector));
    table.row("gradients_not_finite", "gradients that were not finite", &outcome.not_finite);
}

/// B Bᴴ in the type of the target, both triangles the same to the bit; NaN where the target has no
/// eigenpairs.
fn storable<T: Element>(target: &Eigenpairs<T::Scalar, Cpu>, fitted: Array3<T::Scalar>) -> Array3<T> {
    let nan = T::Scalar::from_parts(Real::of(f64::NAN), Real::of(f64::NAN));
    Array3::from_shape_fn(fitted.dim(), |(b, i, j)| {
        T::narrow(match (target.status()[b].failed(), i.cmp(&j)) {
            (true, _) => nan,
            (_, std::cmp::Ordering::Less) => fitted[[b, j, i]].conj(),
            (_, std::cmp::Ordering::Equal) => T::Scalar::from_parts(fitted[[b, i, j]].re(), Real::of(0.0)),
            (_, std::cmp::Ordering::Greater) => fitted[[b, i, j]],
        })
    })
}

fn write<T: Element>(
    mut outputs: Outputs,
    target: &Path,
    ending: &str,
    history: &[loss::Parts],
    fitted: ndarray::ArrayViewD<'_, T>,
) -> Result<Vec<PathBuf>> {
    let curves = [
        Curve { name: "eigenvalues", y: history.iter().map(|loss| loss.values).collect() },
        Curve { name: "eigenvectors", y: history.iter().map(|loss| loss.vectors).collect() },
    ];
    let title = format!("fit of {}", target.file_name().unwrap_or_default().display());
    let svg = chart::svg(&title, ending, &curves)?;
    outputs.stage(Path::new("fitted.npy"), &mut |file| npy::write(file, fitted.view()))?;
    outputs.stage(Path::new("loss.svg"), &mut |file| file.write_all(svg.as_bytes()))?;
    outputs.commit()
}
