//! What the command line asks for: [`Arguments`].

use eigengrad::Dtype;
use eigengrad::cuda::{Algorithm, Solver};
use std::fmt;
use std::time::Duration;

pub const USAGE: &str = "usage: gpu copy|cold|forward|backward|calculus|accuracy|capture|times [--seconds N] [--elements N] [--reps N] \
                         [--dtype NAME …] [--n N …] [--solver NAME …]\n";

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub enum Section {
    /// Nothing, as under `cargo bench`.
    None,
    /// The bandwidth of a copy from device memory to device memory.
    Copy,
    /// The time until a new process has its first results.
    Cold,
    /// The forward pass with each solver.
    Forward,
    /// The backward pass in each form.
    Backward,
    /// Derivatives beyond the gradient and functions of the spectrum, beside the backward pass.
    Calculus,
    /// Residuals, orthogonality and null noise of each solver.
    Accuracy,
    /// Whether the passes can be captured into a graph.
    Capture,
    /// Both passes as benches/peers/eigh_peers.py times its peers.
    Times,
}

/// A way to decompose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Auto,
    OnChip,
    Ql,
    Jacobi,
    /// Jacobi with this tolerance, in ε.
    JacobiTo(f64),
    SyevFastest,
    SyevConsistent,
}

impl Way {
    pub const ALL: [Self; 6] = [Self::Auto, Self::OnChip, Self::Ql, Self::Jacobi, Self::SyevFastest, Self::SyevConsistent];

    /// The solver in a type of this ε.
    pub fn solver(self, epsilon: f64) -> Solver {
        match self {
            Self::Auto => Solver::Auto,
            Self::OnChip => Solver::OnChip,
            Self::Ql => Solver::Ql,
            Self::Jacobi => Solver::JACOBI,
            Self::JacobiTo(tolerance) => Solver::Jacobi { tolerance: Some(tolerance * epsilon), sweeps: 100 },
            Self::SyevFastest => Solver::Syev(Algorithm::Fastest),
            Self::SyevConsistent => Solver::Syev(Algorithm::Consistent),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::OnChip => f.write_str("on chip"),
            Self::Ql => f.write_str("ql"),
            Self::Jacobi => f.write_str("jacobi"),
            Self::JacobiTo(tolerance) => write!(f, "jacobi to {tolerance} ε"),
            Self::SyevFastest => f.write_str("syev fastest"),
            Self::SyevConsistent => f.write_str("syev consistent"),
        }
    }
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub section: Section,
    /// After this long no further case is begun.
    pub time: Duration,
    /// batch·n² of a case.
    pub elements: usize,
    /// The most timed runs of a case.
    pub reps: usize,
    pub dtypes: Vec<Dtype>,
    /// The most important first; empty is what the section takes.
    pub orders: Vec<usize>,
    pub ways: Vec<Way>,
}

impl Arguments {
    /// # Errors
    /// What is wrong with an argument.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            section: Section::None,
            time: Duration::from_secs(480),
            elements: 1 << 26,
            reps: 7,
            dtypes: vec![],
            orders: vec![],
            ways: vec![],
        };
        let mut option = String::new();
        for argument in arguments {
            if argument.starts_with("--") {
                option = argument;
                continue;
            }
            let number = || argument.parse().map_err(|e| format!("{option} {argument}: {e}"));
            match option.as_str() {
                "" | "--bench" => parsed.section = section(&argument)?,
                "--seconds" => parsed.time = Duration::from_secs(number()? as u64),
                "--elements" => parsed.elements = number()?,
                "--reps" => parsed.reps = number()?.max(1),
                "--n" => parsed.orders.push(number()?),
                "--dtype" => parsed.dtypes.push(dtype(&argument)?),
                "--solver" => parsed.ways.push(way(&argument)?),
                unknown => return Err(format!("{unknown}: unknown\n{USAGE}")),
            }
        }
        if parsed.dtypes.is_empty() {
            parsed.dtypes = DTYPES.to_vec();
        }
        if parsed.ways.is_empty() {
            parsed.ways = Way::ALL.to_vec();
        }
        Ok(parsed)
    }
}

const DTYPES: [Dtype; 4] = [Dtype::Complex64, Dtype::Complex128, Dtype::F32, Dtype::F64];

fn section(name: &str) -> Result<Section, String> {
    Ok(match name {
        "copy" => Section::Copy,
        "cold" => Section::Cold,
        "forward" => Section::Forward,
        "backward" => Section::Backward,
        "calculus" => Section::Calculus,
        "accuracy" => Section::Accuracy,
        "capture" => Section::Capture,
        "times" => Section::Times,
        unknown => return Err(format!("{unknown}: no section\n{USAGE}")),
    })
}

fn dtype(name: &str) -> Result<Dtype, String> {
    DTYPES.into_iter().find(|dtype| dtype.to_string() == name).ok_or_else(|| format!("{name}: none of {DTYPES:?}"))
}

fn way(name: &str) -> Result<Way, String> {
    Way::ALL.into_iter().find(|way| way.to_string() == name).ok_or_else(|| format!("{name}: none of {:?}", Way::ALL))
}
