//! The arguments of the command line.

use crate::bench::Bench;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use eigengrad::{Cut, Function, Options, Precision, TieRule, Triangle};
use std::path::PathBuf;
use std::str::FromStr;

/// Eigenpairs of batches of Hermitian matrices, and exact gradients through them, null spaces
/// included
#[derive(Debug, Parser)]
#[command(name = "eigengrad", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the eigenvalues, the eigenvectors and which of them are kept
    #[command(alias = "decompose")]
    Eigh(Eigh),
    /// Write the gradient by the matrices from the gradients by eigenvalues and eigenvectors
    #[command(alias = "vjp")]
    Backward(Backward),
    /// Write the tangents of the kept eigenpairs along directions
    ///
    /// Eigenvectors are those that `eigh` writes and move by parallel transport: none turns a
    /// phase. Tangents of dropped pairs are 0.
    Jvp(Jvp),
    /// Write the gradients by matrices and cotangents from one by the gradient that `backward`
    /// writes: the backward of the backward pass
    ///
    /// A cotangent H of A_BAR comes to cotangents of the matrices, of L and of V, with L and V held
    /// fixed: what a loss of its own adds is added by whoever has that loss.
    DoubleBackward(DoubleBackward),
    /// `double-backward`, by the name that it had
    #[command(hide = true)]
    Hvp(DoubleBackward),
    /// Write a function of the matrices through their kept eigenvalues, and its gradient; dropped
    /// eigenvalues count as mapped to 0
    Spectral(Spectral),
    /// Write the projectors on the kept eigenvectors, and their gradient
    Projector(Projector),
    /// Learn factors B such that the kept eigenpairs of B Bᴴ are those of the target
    ///
    /// For every matrix a factor B [n, r] is trained with Adam from B*∘(1 + σN), where B* Bᴴ* is
    /// the target, r its kept rank and N Gaussian. The loss is the mean over the kept pairs of ((λ
    /// − λ*)/λ*)² and of a distance of v and v* that does not depend on their phases; the null
    /// block of both is never looked at.
    ///
    /// Pairs are matched by index, in the order of eigenvalues. Where two eigenvalues of B Bᴴ
    /// cross, two eigenvectors change places, and so the loss jumps; close to it the gradient grows
    /// as 1/gap. That ends no training: Adam's steps have bounded length, a matrix's gradient acts
    /// on that matrix only, and a pair in the wrong order is a maximum of the loss along the
    /// rotation that exchanges the two, so that they usually turn back. Where eigenvalues of the
    /// target itself tie, its eigenvectors mean nothing, and the loss need not go to 0.
    Fit(Fit),
    /// List the backends: what was found, and what is missing and why
    Devices,
    /// Compile the CUDA kernels into the cache, for machines that have no compiler (NVRTC)
    ///
    /// The files are written to EIGENGRAD_CACHE, or to eigengrad below XDG_CACHE_HOME or ~/.cache,
    /// and may be copied elsewhere.
    Warm(Warm),
    /// Time the forward and the backward pass, beside torch, CuPy and JAX if asked, on every device
    /// that is found
    ///
    /// Inputs are A = X Xᴴ / n with Gaussian X, cotangents λ̄ Gaussian and V̄ = 2 W∘V, W uniform. On
    /// the CPU the forward is timed from the user's array to the outputs, the Hermitian check
    /// included; on a GPU both passes are timed from memory that is there to memory that is there,
    /// as the peers are everywhere.
    ///
    /// GB/s counts what must move, once: forward A in, λ and V out; backward V, V̄, λ and λ̄ in, Ā
    /// out. Next to it is what part that is of the bandwidth of a copy, measured on the same device
    /// in the same run. A batch that fits in the caches can exceed it.
    Bench(Bench),
}

/// Arguments of `warm`.
#[derive(Debug, Args)]
pub struct Warm {
    /// Compute capabilities to compile for [default: those of the GPUs that are here]
    #[arg(long, num_args = 1.., value_name = "X.Y", value_parser = capability)]
    pub capability: Vec<(i32, i32)>,
    /// Orders of matrices whose kernels are compiled, too; the other orders need the compiler when
    /// they first come up
    #[arg(long, num_args = 1.., value_name = "N")]
    pub n: Vec<usize>,
}

/// Arguments of `eigh`.
#[derive(Debug, Args)]
pub struct Eigh {
    /// Hermitian matrices, [batch, n, n] or [n, n]: f2, f4, f8, c8 or c16
    #[arg(value_name = "IN.npy")]
    pub input: PathBuf,
    /// Directory for values.npy, vectors.npy and kept.npy
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// File for a picture of the spectra, by which a cut is chosen
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// What all commands on matrices share.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `backward`.
#[derive(Debug, Args)]
pub struct Backward {
    /// Hermitian matrices, [batch, n, n] or [n, n]: f2, f4, f8, c8 or c16
    #[arg(value_name = "IN.npy")]
    pub input: PathBuf,
    /// What the loss sends back.
    #[command(flatten)]
    pub bars: Bars,
    /// File for the gradient by the matrices, of IN's type and shape
    #[arg(long, value_name = "A_BAR.npy")]
    pub out: PathBuf,
    /// What all commands on matrices share.
    #[command(flatten)]
    pub common: Common,
}

/// What a loss sends back to eigenpairs.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("cotangents").args(["values_bar", "vectors_bar"]).required(true).multiple(true))]
pub struct Bars {
    /// The loss's gradient by the eigenvalues, of IN's real type (f4 for c8), [batch, n] or [n]
    #[arg(long, value_name = "L.npy")]
    pub values_bar: Option<PathBuf>,
    /// The loss's gradient by the eigenvectors that `eigh` writes, of IN's type and shape
    #[arg(long, value_name = "V.npy")]
    pub vectors_bar: Option<PathBuf>,
}

impl Bars {
    /// The files that are given.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.values_bar.iter().chain(&self.vectors_bar)
    }
}

/// Arguments of `jvp`.
#[derive(Debug, Args)]
pub struct Jvp {
    /// Hermitian matrices, [batch, n, n] or [n, n]: f2, f4, f8, c8 or c16
    #[arg(value_name = "IN.npy")]
    pub input: PathBuf,
    /// A direction for each matrix, of IN's type and shape, or several: [directions, batch, n, n],
    /// or [directions, n, n] where IN is one matrix. What is not Hermitian is projected
    #[arg(long, value_name = "T.npy")]
    pub tangent: PathBuf,
    /// Directory for values_dot.npy and vectors_dot.npy, with T's leading axis
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What all commands on matrices share.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `double-backward`.
#[derive(Debug, Args)]
pub struct DoubleBackward {
    /// Hermitian matrices, [batch, n, n] or [n, n]: f2, f4, f8, c8 or c16
    #[arg(value_name = "IN.npy")]
    pub input: PathBuf,
    /// What the loss sends back.
    #[command(flatten)]
    pub bars: Bars,
    /// A cotangent for each gradient by a matrix, of IN's type and shape. What is not Hermitian is
    /// projected
    #[arg(long, value_name = "H.npy")]
    pub cotangent: PathBuf,
    /// Directory for a_bar.npy, values_bar_bar.npy and vectors_bar_bar.npy
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What all commands on matrices share.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `spectral`.
#[derive(Debug, Args)]
pub struct Spectral {
    /// sqrt, rsqrt (1/√x), pinv (1/x), log, exp, xlogx (x·log x) or pow:P
    #[arg(long, value_parser = function)]
    pub function: Function,
    /// What is read and written.
    #[command(flatten)]
    pub files: OfMatrix,
}

/// Arguments of `projector`.
#[derive(Debug, Args)]
pub struct Projector {
    /// What is read and written.
    #[command(flatten)]
    pub files: OfMatrix,
}

/// What a function of a matrix reads and writes.
#[derive(Debug, Args)]
pub struct OfMatrix {
    /// Hermitian matrices, [batch, n, n] or [n, n]: f2, f4, f8, c8 or c16
    #[arg(value_name = "IN.npy")]
    pub input: PathBuf,
    /// The loss's gradient by the result, of IN's type and shape. What is not Hermitian is
    /// projected
    #[arg(long, value_name = "B.npy")]
    pub bar: Option<PathBuf>,
    /// Directory for value.npy and, with --bar, a_bar.npy
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What all commands on matrices share.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `fit`.
#[derive(Debug, Args)]
pub struct Fit {
    /// Hermitian matrices, [batch, n, n] or [n, n]: f2, f4, f8, c8 or c16
    #[arg(value_name = "TARGET.npy")]
    pub target: PathBuf,
    /// What of the eigenvectors is matched
    #[arg(long, value_enum, default_value_t = Loss::Overlap)]
    pub loss: Loss,
    /// Relative size of the perturbation that the start has against the solution
    #[arg(long, value_name = "SIGMA", default_value_t = 0.1)]
    pub noise: f64,
    /// The number of steps; 0 writes the start
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub steps: usize,
    /// Seed of the perturbation
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Directory for fitted.npy and loss.svg; one is named if this is absent
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What all commands on matrices share.
    #[command(flatten)]
    pub common: Common,
}

/// A loss that does not depend on the phases of eigenvectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Loss {
    /// 1 − |vᴴv*|²
    Overlap,
    /// (|v|² − |v*|²)², component by component
    Intensity,
}

/// Where to compute.
#[derive(Debug, Args)]
pub struct Hardware {
    /// auto, cpu, cuda or cuda:K; cuda is an error where it cannot be had, auto then takes the CPU
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,
    /// The eigensolver of a GPU: ours, heevjBatched, XsyevBatched, or the one that suits [default:
    /// auto]
    #[arg(long, value_enum)]
    pub solver: Option<SolverName>,
    /// Threads of the CPU [default: one a core]
    #[arg(long, value_parser = at_most(1024))]
    pub threads: Option<usize>,
}

/// An eigensolver on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SolverName {
    /// By type and order.
    Auto,
    /// Our own Jacobi rotations, for matrices that fit in shared memory.
    OnChip,
    /// Our own, by Householder's reflections and implicit QL.
    Ql,
    /// cuSOLVER's Jacobi rotations.
    Jacobi,
    /// cuSOLVER's `XsyevBatched`.
    Syev,
}

/// What all commands on matrices share.
#[derive(Debug, Args)]
pub struct Common {
    /// Where to compute.
    #[command(flatten)]
    pub hardware: Hardware,
    /// Keep every eigenpair, null ones too [default: those with |λ| > max(atol, rtol·max|λ|)]
    #[arg(long, value_enum)]
    cut: Option<NoCut>,
    /// Keep at most the R largest |λ| among those above the cut
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub rank: Option<usize>,
    /// The absolute tolerance of the cut, in the units of A; alone it sets the relative one to 0
    /// [default: 0]
    #[arg(long, allow_negative_numbers = true, conflicts_with = "cut")]
    atol: Option<f64>,
    /// The relative tolerance of the cut [default: max(n, 10)·ε; for f2 √n·ε]
    #[arg(long, allow_negative_numbers = true, conflicts_with = "cut")]
    rtol: Option<f64>,
    /// The precision in which the data were computed, if it is coarser than that of the file: it
    /// sets the default cut, the tolerance of the Hermitian check and what counts as a tie
    #[arg(long, value_enum, value_name = "PRECISION")]
    computed_in: Option<ComputedIn>,
    /// What to do where kept eigenvalues tie
    #[arg(long, value_enum, default_value_t = Ties::Zero)]
    ties: Ties,
    /// Eigenvalues tie when each is within this fraction of max|λ| of the next [default: 12·ε; for
    /// f2 √n·ε]
    #[arg(long, allow_negative_numbers = true)]
    tie_rtol: Option<f64>,
    /// Read one triangle only [default: both, compared]
    #[arg(long, value_enum)]
    uplo: Option<Uplo>,
    /// Take ½(A + Aᴴ) of the matrices [default: both triangles, compared]
    #[arg(long, conflicts_with = "uplo")]
    pub symmetrise: bool,
    /// Replace output files that exist
    #[arg(long)]
    pub force: bool,
    /// Print one line of JSON instead of the table
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// The options of the decomposition.
    pub fn options(&self) -> Options {
        let cut = if self.cut.is_some() { Cut::none() } else { Cut::default() };
        let cut = self.atol.map_or(cut, |atol| cut.with_atol(atol));
        let cut = self.rtol.map_or(cut, |rtol| cut.with_rtol(rtol));
        let cut = self.rank.map_or(cut, |rank| cut.with_at_most(rank));
        let cut = self.precision().map_or(cut, |precision| cut.with_computed_in(precision));
        let ties = match self.ties {
            Ties::Zero => TieRule::ZeroAndReport,
            Ties::Exact => TieRule::Exact,
            Ties::Error => TieRule::Error,
        };
        Options::default().with_cut(cut).with_ties(ties).with_tie_rtol(self.tie_rtol)
    }

    /// The cut as it is asked for.
    pub fn cut(&self) -> Cut {
        self.options().cut
    }

    /// The precision in which the data were computed, if it was given.
    pub fn precision(&self) -> Option<Precision> {
        self.computed_in.map(|precision| match precision {
            ComputedIn::Float16 => Precision::F16,
            ComputedIn::Bfloat16 => Precision::Bf16,
            ComputedIn::Float32 => Precision::F32,
            ComputedIn::Float64 => Precision::F64,
        })
    }

    /// The triangle to read; none is both.
    pub fn triangle(&self) -> Option<Triangle> {
        self.uplo.map(|uplo| match uplo {
            Uplo::Lower => Triangle::Lower,
            Uplo::Upper => Triangle::Upper,
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NoCut {
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ComputedIn {
    Float16,
    Bfloat16,
    Float32,
    Float64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ties {
    /// F = 0 inside a tied group, and a report
    Zero,
    /// Divide all the same
    Exact,
    /// NaN for the matrix
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Uplo {
    Lower,
    Upper,
}

/// A backend as the user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// The best that was found.
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU of this number.
    Cuda(usize),
}

impl FromStr for DeviceName {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(0)),
            _ => {}
        }
        let ordinal = name.strip_prefix("cuda:").and_then(|ordinal| ordinal.parse().ok());
        ordinal.map(Self::Cuda).ok_or_else(|| "expected auto, cpu, cuda or cuda:K".into())
    }
}

/// A number from 1 to `largest`.
pub fn at_most(largest: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=largest)
}

fn capability(name: &str) -> Result<(i32, i32), String> {
    let parts = name.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parts.ok_or_else(|| "expected a compute capability as 9.0".into())
}

fn function(name: &str) -> Result<Function, String> {
    let power = |p: &str| p.parse().ok().filter(|p: &f64| p.is_finite()).map(Function::Pow);
    let known = match name {
        "sqrt" => Some(Function::Sqrt),
        "rsqrt" => Some(Function::Rsqrt),
        "pinv" => Some(Function::Pinv),
        "log" => Some(Function::Log),
        "exp" => Some(Function::Exp),
        "xlogx" => Some(Function::XLogX),
        _ => name.strip_prefix("pow:").and_then(power),
    };
    known.ok_or_else(|| "expected sqrt, rsqrt, pinv, log, exp, xlogx or pow:P with a finite P".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
