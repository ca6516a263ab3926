//! A figure: the time that one pass took on one batch. As JSON it has the keys of
//! benches/peers/eigh_peers.py.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One of the two directions of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pass {
    /// λ and V of A.
    Forward,
    /// Ā of λ̄ and V̄.
    Backward,
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        })
    }
}

/// Nanoseconds that a program needs for each matrix of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The program.
    pub peer: String,
    /// Its version.
    pub version: String,
    /// The device on which it ran.
    pub device: String,
    /// The type of the elements.
    pub dtype: String,
    /// The order of the matrices.
    pub n: usize,
    /// Their number.
    pub batch: usize,
    /// What was timed.
    pub what: Pass,
    /// Nanoseconds a matrix in the median run.
    pub median_ns: f64,
    /// Nanoseconds a matrix in the fastest run.
    pub min_ns: f64,
}

impl Figure {
    /// The median run over the fastest.
    pub fn spread(&self) -> f64 {
        self.median_ns / self.min_ns
    }
}

/// A figure from several rounds, beside what the device could do.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    /// The median over rounds of the median run, and the fastest run of all.
    #[serde(flatten)]
    pub figure: Figure,
    /// How many rounds gave a figure.
    pub rounds: usize,
    /// What must move a second at this speed.
    pub bytes_per_second: f64,
    /// What a copy moves a second.
    pub copy_bytes_per_second: f64,
}

impl Settled {
    /// The figures of one case, in the order in which they first came; `bytes` must move for a
    /// matrix.
    pub fn of(figures: &[Figure], bytes: impl Fn(Pass) -> usize, copy: f64) -> Vec<Self> {
        let same = |a: &Figure, b: &Figure| a.peer == b.peer && a.what == b.what;
        let first = |&(i, figure): &(usize, &Figure)| !figures[..i].iter().any(|before| same(before, figure));
        let settle = |(_, first): (usize, &Figure)| {
            let rounds: Vec<_> = figures.iter().filter(|figure| same(figure, first)).collect();
            let median_ns = median(rounds.iter().map(|figure| figure.median_ns).collect());
            let min_ns = rounds.iter().map(|figure| figure.min_ns).fold(f64::INFINITY, f64::min);
            let bytes_per_second = bytes(first.what) as f64 * 1e9 / median_ns;
            let figure = Figure { median_ns, min_ns, ..first.clone() };
            Self { figure, rounds: rounds.len(), bytes_per_second, copy_bytes_per_second: copy }
        };
        figures.iter().enumerate().filter(first).map(settle).collect()
    }

    /// Whether two figures are of one pass on one batch of one device.
    pub fn comparable(&self, other: &Self) -> bool {
        let key = |settled: &Self| {
            let Figure { device, dtype, n, batch, what, .. } = settled.figure.clone();
            (device, dtype, n, batch, what)
        };
        key(self) == key(other)
    }
}

/// The middle number, or the mean of the middle two.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len().is_multiple_of(2) { numbers[middle - 1].midpoint(numbers[middle]) } else { numbers[middle] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(peer: &str, what: Pass, median_ns: f64) -> Figure {
        let (device, dtype) = ("cpu".into(), "float32".into());
        Figure { peer: peer.into(), version: "1".into(), device, dtype, n: 2, batch: 3, what, median_ns, min_ns: median_ns / 2.0 }
    }

    #[test]
    fn figures_are_medians_over_rounds_and_minima_over_runs() {
        let (ours, theirs) = (|ns| figure("eigengrad", Pass::Forward, ns), |ns| figure("torch", Pass::Forward, ns));
        let rounds = [ours(3.0), figure("eigengrad", Pass::Backward, 7.0), theirs(90.0), ours(8.0), theirs(50.0), ours(1.0)];
        let settled = Settled::of(&rounds, |pass| if pass == Pass::Forward { 30 } else { 70 }, 5e9);
        let short = |s: &Settled| (s.figure.peer.clone(), s.figure.median_ns, s.figure.min_ns, s.rounds, s.bytes_per_second);
        assert_eq!(
            settled.iter().map(short).collect::<Vec<_>>(),
            [
                ("eigengrad".into(), 3.0, 0.5, 3, 1e10),
                ("eigengrad".into(), 7.0, 3.5, 1, 1e10),
                ("torch".into(), 70.0, 25.0, 2, 30e9 / 70.0),
            ]
        );
        assert!(settled[0].comparable(&settled[2]) && !settled[0].comparable(&settled[1]));
    }
}
