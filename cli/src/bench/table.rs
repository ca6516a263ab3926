//! Settled figures for people: a row for each pass, and tables by n and type in Markdown.

use super::figure::{Pass, Settled};
use super::machine::load;
use super::work::OURS;
use std::fmt;

/// The names of columns; behind the fixed ones there is one for each of these peers.
#[derive(Debug)]
pub struct Heading<'a>(pub &'a [String]);

impl fmt::Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}{:>6}{:>9}  {:<9}", "dtype", "n", "batch", "pass")?;
        write!(f, "{:>14}{:>14}{:>9}{:>9}{:>8}", "ns/matrix", "matrices/s", "GB/s", "of copy", "spread")?;
        self.0.iter().try_for_each(|peer| write!(f, "{:>12}", format!("{peer}/ours")))
    }
}

/// A figure of ours, and how many times ours the time of each peer is.
#[derive(Debug)]
pub struct Row<'a> {
    /// Ours.
    pub ours: &'a Settled,
    /// All that was found.
    pub found: &'a [Settled],
    /// The peers, as in the heading.
    pub peers: &'a [String],
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settled { figure, bytes_per_second, copy_bytes_per_second, .. } = self.ours;
        write!(f, "{:<12}{:>6}{:>9}  {:<9}", figure.dtype, figure.n, figure.batch, figure.what)?;
        write!(f, "{:>14.1}{:>14.4e}", figure.median_ns, 1e9 / figure.median_ns)?;
        let of_copy = format!("{:.1} %", 100.0 * bytes_per_second / copy_bytes_per_second);
        write!(f, "{:>9.3}{of_copy:>9}{:>8.2}", bytes_per_second / 1e9, figure.spread())?;
        self.peers.iter().try_for_each(|peer| write!(f, "{:>12}", ratio(self.ours, self.found, peer)))
    }
}

/// The median run over the fastest, from which on a figure says little.
const UNSTEADY: f64 = 1.3;

fn theirs<'a>(ours: &Settled, found: &'a [Settled], peer: &str) -> Option<&'a Settled> {
    found.iter().find(|theirs| theirs.figure.peer == peer && ours.comparable(theirs))
}

/// A peer's time over ours by the fastest run of each, if it has one and both are steady.
fn ratio(ours: &Settled, found: &[Settled], peer: &str) -> String {
    match theirs(ours, found, peer) {
        None => "–".into(),
        Some(theirs) if ours.figure.spread().max(theirs.figure.spread()) > UNSTEADY => "unsteady".into(),
        Some(theirs) => format!("{:.1}×", theirs.figure.min_ns / ours.figure.min_ns),
    }
}

/// Whether any ratio is left out for noise.
pub fn unsteady(found: &[Settled], peers: &[String]) -> bool {
    let ours = found.iter().filter(|settled| settled.figure.peer == OURS);
    ours.flat_map(|ours| peers.iter().map(move |peer| ratio(ours, found, peer))).any(|ratio| ratio == "unsteady")
}

/// What to do about noise.
#[derive(Debug)]
pub struct Noise;

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unsteady: the median run took more than {UNSTEADY} times the fastest")?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if let Some(load) = load() {
            write!(f, "; the load is {load} on {cores} cores")?;
        }
        writeln!(f, "; close other programs, or run this under nice -n -10")
    }
}

/// A table for each device and pass: microseconds a matrix by n and type, and in brackets the
/// peers' times over ours.
pub fn markdown(found: &[Settled], peers: &[String]) -> String {
    let ours: Vec<_> = found.iter().filter(|settled| settled.figure.peer == OURS).collect();
    let mut text = String::new();
    for device in distinct(&ours, |ours| ours.figure.device.clone()) {
        for pass in [Pass::Forward, Pass::Backward] {
            let here: Vec<_> =
                ours.iter().copied().filter(|ours| ours.figure.device == device && ours.figure.what == pass).collect();
            text += &one_table(&format!("{pass}, {device}"), &here, found, peers);
        }
    }
    text
}

fn one_table(title: &str, ours: &[&Settled], found: &[Settled], peers: &[String]) -> String {
    let against = if peers.is_empty() { String::new() } else { format!(" (times the speed of {})", peers.join(", ")) };
    let dtypes = distinct(ours, |ours| ours.figure.dtype.clone());
    let mut text =
        format!("{title}, µs per matrix{against}\n\n| n | {} |\n|{}\n", dtypes.join(" | "), "---|".repeat(dtypes.len() + 1));
    for n in distinct(ours, |ours| ours.figure.n) {
        let cells = dtypes.iter().map(|dtype| {
            let cell = ours.iter().find(|ours| ours.figure.n == n && ours.figure.dtype == *dtype);
            cell.map_or(String::new(), |ours| self::cell(ours, found, peers))
        });
        text += &format!("| {n} | {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    text + "\n"
}

fn cell(ours: &Settled, found: &[Settled], peers: &[String]) -> String {
    let time = three_digits(ours.figure.median_ns / 1e3);
    let ratios: Vec<_> = peers.iter().map(|peer| ratio(ours, found, peer)).collect();
    if ratios.is_empty() { time } else { format!("{time} ({})", ratios.join(", ")) }
}

/// A number with three significant digits, none of them behind the point beyond the fourth.
fn three_digits(x: f64) -> String {
    let decimals = (2.0 - x.log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{x:.decimals$}")
}

/// The different keys, in the order in which they first come.
pub fn distinct<T, K: PartialEq>(of: &[T], key: impl Fn(&T) -> K) -> Vec<K> {
    let mut keys = Vec::new();
    for key in of.iter().map(key) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}
