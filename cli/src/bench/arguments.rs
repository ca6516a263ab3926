//! The arguments of `bench`, and the cases that they stand for.

use crate::args::{Hardware, at_most};
use clap::{Args, ValueEnum};
use eigengrad::{Device, Dtype};
use std::fmt;
use std::path::PathBuf;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Element types
    #[arg(long, num_args = 1.., value_parser = element_type, default_values = ["complex64", "complex128", "float32", "float64"])]
    pub dtype: Vec<Dtype>,
    /// Orders of the matrices
    #[arg(long, num_args = 1.., value_parser = at_most(1 << 14), default_values = ["4", "8", "16", "32", "64", "128"])]
    pub n: Vec<usize>,
    /// The batch is the larger of 8 and this many elements over n² [default: 262144 on the CPU, and
    /// up to n = 128 at least 64 matrices a thread; 16777216 on a GPU]
    #[arg(long, value_parser = at_most(1 << 40))]
    elements: Option<usize>,
    /// The number of matrices, whatever their order
    #[arg(long, value_parser = at_most(1 << 40), conflicts_with = "elements")]
    batch: Option<usize>,
    /// Timed runs in a round, after two that are not
    #[arg(long, value_parser = at_most(1 << 20), default_value = "7")]
    pub reps: usize,
    /// Rounds, in each of which we and the peers take turns; figures are medians over rounds
    #[arg(long, value_parser = at_most(1 << 20), default_value = "3")]
    pub rounds: usize,
    /// Time these Python packages too, on the same work and devices; the table has their time over
    /// ours, by the fastest run of each
    #[arg(long, num_args = 1.., value_enum, value_name = "PEER")]
    pub against: Vec<PeerName>,
    /// The Python that has them
    #[arg(long, value_name = "PROGRAM", env = "EIGENGRAD_PYTHON", default_value = "python3")]
    pub python: PathBuf,
    /// File for the results, a JSON object a line
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// File for a picture of time per matrix against n
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// File for tables of time per matrix by n and type, in Markdown
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write the fastest solver of each order into the user's table of solvers, which `auto`
    /// follows: EIGENGRAD_SOLVERS, or eigengrad/solvers below XDG_CONFIG_HOME or ~/.config. GPUs
    /// alone
    #[arg(long, conflicts_with = "solver")]
    pub tune: bool,
    /// What the picture says below its title, as the machine and the commit [default: the devices]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Replace FILE if it exists
    #[arg(long)]
    pub force: bool,
    /// Where to compute; `auto` is every device that is found.
    #[command(flatten)]
    pub hardware: Hardware,
}

/// A Python package that decomposes batches, by the name of its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PeerName {
    /// Forward and backward.
    Torch,
    /// Forward, on a GPU.
    Cupy,
    /// Forward.
    Jax,
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Torch => "torch",
            Self::Cupy => "cupy",
            Self::Jax => "jax",
        })
    }
}

/// A batch to be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The type of its elements.
    pub dtype: Dtype,
    /// The order of its matrices.
    pub n: usize,
    /// Their number.
    pub batch: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, n = {}", self.dtype, self.n)
    }
}

impl Bench {
    /// What is timed on a device.
    pub fn cases(&self, device: &Device) -> Vec<Case> {
        // A GPU is far from full, and within its caches, on a batch that keeps a CPU busy.
        let (elements, lanes) = match device {
            // Four groups of 16 lanes a thread: of fewer, one may wait for the other.
            Device::Cpu(cpu) => (1 << 18, 64 * cpu.threads()),
            _ => (1 << 24, 8),
        };
        let least = |n: usize| if n <= 128 && self.elements.is_none() { lanes } else { 8 };
        let elements = self.elements.unwrap_or(elements);
        let batch = |n: usize| self.batch.unwrap_or_else(|| (elements / (n * n)).max(least(n)));
        let orders = |dtype| self.n.iter().map(move |&n| Case { dtype, n, batch: batch(n) });
        self.dtype.iter().flat_map(|&dtype| orders(dtype)).collect()
    }
}

fn element_type(name: &str) -> Result<Dtype, String> {
    let known = [Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64, Dtype::Complex64, Dtype::Complex128];
    let found = known.into_iter().find(|dtype| dtype.to_string() == name);
    found.ok_or_else(|| format!("expected one of {}", known.map(|dtype| dtype.to_string()).join(", ")))
}
