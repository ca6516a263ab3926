//! What the commands say: tables on stdout, warnings on stderr.

pub mod chart;
pub mod residual;
pub mod spectra;

use crate::device;
use crate::failure::{Failure, Result};
use eigengrad::{Cpu, Device, Dtype, Eigenpairs, Element, Real, Status};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Names and values in two columns.
#[derive(Debug, Default)]
pub struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a row.
    pub fn row(&mut self, name: impl Into<String>, value: impl ToString) {
        self.0.push((name.into(), value.to_string()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name:width$}  {value}"))
    }
}

/// Writes to stdout; that nobody reads on is no failure.
///
/// # Errors
/// If stdout cannot be written.
pub fn say(text: &impl fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::new(format!("stdout: {e}"))),
        _ => Ok(()),
    }
}

/// Writes a line to stderr, if that can be written.
pub fn complain(text: &impl fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "eigengrad: {text}");
}

/// Warns about what was found of the matrices of a file.
pub fn warn(path: &Path, findings: &impl fmt::Display) {
    complain(&Failure::at(path, format!("warning: {findings}")));
}

/// A table that begins with what was computed on what, and how long that took.
pub fn heading(dtype: Dtype, shape: &[usize], device: &Device, time: Duration) -> Table {
    let mut table = Table::default();
    table.row("dtype", dtype);
    table.row("shape", format!("{shape:?}"));
    table.row("backend", device::describe(device));
    table.row("time", format!("{:.3} ms, the first call", time.as_secs_f64() * 1e3));
    table
}

/// Rows on the ranks, how clear the cut was, and the smallest gaps of a batch.
pub fn spectrum<T: Element>(table: &mut Table, pairs: &Eigenpairs<T, Cpu>) {
    let spectrum = &pairs.spectrum;
    table.row("rank", histogram(spectrum.rank().iter().copied()));
    let margins: Vec<_> = pairs.cut_margins().collect();
    table.row("smallest kept |λ|/τ", smallest(margins.iter().map(|margins| &margins[0])));
    let dropped = margins.iter().map(|margins| Some(Real::to_f64(margins[1])));
    table.row("largest dropped |λ|/τ", largest(dropped, "no matrix"));
    table.row("smallest gap, kept–kept", smallest(spectrum.gap_kept()));
    table.row("smallest gap, kept–dropped", smallest(spectrum.gap_dropped()));
}

/// The files that were written.
pub fn paths(written: &[PathBuf]) -> String {
    written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// How many matrices there are of each status: "ok in 9 matrices, not finite in 1 matrix".
pub fn findings<'a>(statuses: impl IntoIterator<Item = &'a Status>) -> String {
    histogram(statuses.into_iter().map(Status::to_string))
}

/// How many matrices there are of each kind, the largest first, at most eight: "5 in 30 matrices, 4
/// in 1 matrix".
fn histogram<K: Ord + fmt::Display>(kinds: impl IntoIterator<Item = K>) -> String {
    let mut counts = BTreeMap::<K, usize>::new();
    kinds.into_iter().for_each(|kind| *counts.entry(kind).or_default() += 1);
    let plural = |count: usize| if count == 1 { "matrix" } else { "matrices" };
    let shown = counts.iter().rev().take(8).map(|(kind, &count)| format!("{kind} in {count} {}", plural(count)));
    let mut parts: Vec<_> = shown.collect();
    if counts.len() > parts.len() {
        parts.push(format!("and {} more", counts.len() - parts.len()));
    }
    if parts.is_empty() { "no matrix".into() } else { parts.join(", ") }
}

/// The smallest gap and its matrix; a gap is infinite where there is no pair.
fn smallest<'a, R: Real>(gaps: impl IntoIterator<Item = &'a R>) -> String {
    let gaps = gaps.into_iter().map(|&gap| Real::to_f64(gap)).enumerate().filter(|(_, gap)| gap.is_finite());
    let least = gaps.min_by(|a, b| a.1.total_cmp(&b.1));
    least.map_or("none".into(), |(matrix, gap)| format!("{gap:.3e} (matrix {matrix})"))
}

/// The largest number and its matrix, or `none` without one; NaN is larger than any.
pub fn largest(of: impl IntoIterator<Item = Option<f64>>, none: &str) -> String {
    let numbers = of.into_iter().enumerate().filter_map(|(matrix, x)| x.map(|x| (matrix, x)));
    let most = numbers.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    most.map_or(none.into(), |(matrix, x)| format!("{x:.3e} (matrix {matrix})"))
}
