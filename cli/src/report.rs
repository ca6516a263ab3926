//! What the commands say: tables on stdout, warnings on stderr.

pub mod chart;
pub mod residual;
pub mod spectra;
pub mod style;

use crate::device;
use crate::failure::{Failure, Result};
use eigengrad::{Cpu, Device, Dtype, Eigenpairs, Element, Real, Status};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a command found: names and values in two columns, or one object of JSON.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Row {
    /// The member of the object; none is for readers alone.
    key: Option<&'static str>,
    name: String,
    shown: String,
    value: Value,
}

impl Table {
    /// Adds a value by its key in JSON and its name in the table.
    pub fn row(&mut self, key: &'static str, name: &str, value: &(impl fmt::Display + Serialize)) {
        let json = serde_json::to_value(value).unwrap_or_default();
        self.rows.push(Row { key: Some(key), name: name.into(), shown: value.to_string(), value: json });
    }

    /// Adds a line for readers.
    pub fn line(&mut self, name: &str, value: impl fmt::Display) {
        self.rows.push(Row { key: None, name: name.into(), shown: value.to_string(), value: Value::Null });
    }

    /// Adds a warning about the matrices of a file, and writes it to stderr.
    pub fn warn(&mut self, path: &Path, findings: &impl fmt::Display) {
        warn(path, findings);
        self.warnings.push(findings.to_string());
    }

    /// Writes the table to stdout, or one line of JSON with the warnings.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn say(&self, json: bool) -> Result<()> {
        if !json {
            return say(self);
        }
        let members = self.rows.iter().filter_map(|row| Some((row.key?.to_owned(), row.value.clone())));
        let object: serde_json::Map<_, _> = members.chain([("warnings".to_owned(), json!(self.warnings))]).collect();
        say(&format_args!("{}\n", Value::Object(object)))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        self.rows.iter().try_for_each(|Row { name, shown, .. }| writeln!(f, "{name:width$}  {shown}"))
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
    let mut table = subject(dtype, shape, device);
    table.row("seconds", "time", &Seconds(time.as_secs_f64()));
    table
}

/// A table that begins with what is computed on what.
pub fn subject(dtype: Dtype, shape: &[usize], device: &Device) -> Table {
    let mut table = Table::default();
    table.row("dtype", "dtype", &dtype.to_string());
    table.row("shape", "shape", &Shape(shape));
    table.row("backend", "backend", &device::describe(device));
    table
}

/// Rows on the ranks, how clear the cut was, and the smallest gaps of a batch.
pub fn spectrum<T: Element>(table: &mut Table, pairs: &Eigenpairs<T, Cpu>) {
    let spectrum = &pairs.spectrum;
    table.row("rank", "rank", &Histogram::of(spectrum.rank().iter().copied()));
    let margins: Vec<_> = pairs.cut_margins().collect();
    table.row("smallest_kept_over_cutoff", "smallest kept |λ|/τ", &smallest(margins.iter().map(|margins| &margins[0])));
    let dropped = margins.iter().map(|margins| Some(Real::to_f64(margins[1])));
    table.row("largest_dropped_over_cutoff", "largest dropped |λ|/τ", &largest(dropped, "no matrix"));
    table.row("smallest_gap_kept", "smallest gap, kept–kept", &smallest(spectrum.gap_kept()));
    table.row("smallest_gap_dropped", "smallest gap, kept–dropped", &smallest(spectrum.gap_dropped()));
}

/// A row of how many matrices there are of each status.
pub fn status<'a>(table: &mut Table, key: &'static str, name: &str, statuses: impl IntoIterator<Item = &'a Status>) {
    table.row(key, name, &Histogram::of(statuses.into_iter().map(Status::to_string)));
}

/// A row of the files that were written.
pub fn written(table: &mut Table, paths: &[PathBuf]) {
    table.row("written", "written", &Paths(paths.iter().map(|path| path.display().to_string()).collect()));
}

#[derive(Serialize)]
struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms, the first call", self.0 * 1e3)
    }
}

#[derive(Serialize)]
struct Shape<'a>(&'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[derive(Serialize)]
struct Paths(Vec<String>);

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// A number that is read by its power of ten.
#[derive(Debug, Serialize)]
pub struct Scientific(pub f64);

impl fmt::Display for Scientific {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3e}", self.0)
    }
}

/// How many matrices there are of each kind.
struct Histogram<K>(BTreeMap<K, usize>);

impl<K: Ord> Histogram<K> {
    fn of(kinds: impl IntoIterator<Item = K>) -> Self {
        let mut counts = BTreeMap::<K, usize>::new();
        kinds.into_iter().for_each(|kind| *counts.entry(kind).or_default() += 1);
        Self(counts)
    }
}

/// The largest kinds first, at most eight: "5 in 30 matrices, 4 in 1 matrix".
impl<K: fmt::Display> fmt::Display for Histogram<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "matrix" } else { "matrices" };
        let shown = self.0.iter().rev().take(8).map(|(kind, &count)| format!("{kind} in {count} {}", plural(count)));
        let mut parts: Vec<_> = shown.collect();
        if self.0.len() > parts.len() {
            parts.push(format!("and {} more", self.0.len() - parts.len()));
        }
        f.write_str(&if parts.is_empty() { "no matrix".into() } else { parts.join(", ") })
    }
}

/// Kinds are the members of the object, by their text.
impl<K: fmt::Display> Serialize for Histogram<K> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(kind, count)| (kind.to_string(), count)))
    }
}

/// The worst number of a batch and its matrix.
#[derive(Debug)]
pub struct Worst {
    found: Option<(usize, f64)>,
    none: &'static str,
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            Some((matrix, x)) => write!(f, "{x:.3e} (matrix {matrix})"),
            None => f.write_str(self.none),
        }
    }
}

/// Null where there is none; a number that is not finite is null, too.
impl Serialize for Worst {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.found.map(|(matrix, value)| json!({ "value": value, "matrix": matrix })).serialize(to)
    }
}

/// The smallest gap and its matrix; a gap is infinite where there is no pair.
fn smallest<'a, R: Real>(gaps: impl IntoIterator<Item = &'a R>) -> Worst {
    let gaps = gaps.into_iter().map(|&gap| Real::to_f64(gap)).enumerate().filter(|(_, gap)| gap.is_finite());
    Worst { found: gaps.min_by(|a, b| a.1.total_cmp(&b.1)), none: "none" }
}

/// The largest number and its matrix, or `none` without one; NaN is larger than any.
pub fn largest(of: impl IntoIterator<Item = Option<f64>>, none: &'static str) -> Worst {
    let numbers = of.into_iter().enumerate().filter_map(|(matrix, x)| x.map(|x| (matrix, x)));
    Worst { found: numbers.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())), none }
}
