//! Which eigensolver a batch gets: the one that was named, or what [`SolverTable`] says.

use crate::cuda::device::{Algorithm, Cuda, Solver};
use crate::cuda::driver::library::{self, Syev};
use crate::cuda::refused;
use crate::cuda::solver::jacobi::OnChip;
use crate::cuda::solver::ql::Ql;
use crate::{Dtype, Result, Scalar};
use std::ffi::c_int;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::{env, fmt, fs, io};

/// What [`Solver::Auto`] and the installed library come to.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) enum Choice {
    OnChip(OnChip),
    Ql(Ql),
    Jacobi { tolerance: Option<f64>, sweeps: i32 },
    Syev { algorithm: Algorithm, functions: &'static Syev },
}

/// The order up to which [`Solver::OnChip`] is faster than cuSOLVER's fastest, in every type:
/// benches/results/NOTES.md.
const ON_CHIP_UP_TO: usize = 48;

impl Choice {
    /// The one for matrices of order n. What is named and cannot be had is refused.
    pub fn new<T: Scalar>(cuda: &Cuda, n: usize) -> Result<Self> {
        let named = match cuda.solver {
            Solver::Auto => SolverTable::of_user()?.solver(cuda.capability(), T::DTYPE, n),
            named => Some(named),
        };
        Ok(match named {
            Some(Solver::OnChip) => {
                let beyond = || refused("the solver on chip", &format!("matrices of {n}×{n} do not fit in shared memory"));
                Self::OnChip(OnChip::new::<T>(n, cuda.most_shared()).ok_or_else(beyond)?)
            }
            Some(Solver::Ql) => {
                let beyond = || refused("the solver by QL", &format!("matrices of {n}×{n} do not fit in registers"));
                Self::Ql(Ql::new::<T>(n, cuda.most_shared()).ok_or_else(beyond)?)
            }
            Some(Solver::Jacobi { tolerance, sweeps }) => Self::Jacobi { tolerance, sweeps },
            Some(Solver::Syev(algorithm)) => Self::Syev { algorithm, functions: library::syev()? },
            Some(Solver::Auto) | None => Self::measured::<T>(cuda, n),
        })
    }

    /// What measurements on an H200 say.
    fn measured<T: Scalar>(cuda: &Cuda, n: usize) -> Self {
        let on_chip = OnChip::new::<T>(n, cuda.most_shared()).filter(|_| n <= ON_CHIP_UP_TO);
        match (on_chip, library::syev()) {
            (Some(layout), _) => Self::OnChip(layout),
            (None, Ok(functions)) => Self::Syev { algorithm: Algorithm::Fastest, functions },
            (None, Err(_)) => Self::Jacobi { tolerance: None, sweeps: 100 },
        }
    }

    /// The largest batch that it takes. The Jacobi routines count scratch in an `int`, about 1024 +
    /// (n + 1)² elements a matrix; `XsyevBatched` documents n²·batch < 2³¹, and has been seen to
    /// fail between 16,384 and 32,768 matrices (docs/design.md).
    pub fn ceiling(&self, n: usize) -> usize {
        const INT: usize = c_int::MAX as usize;
        match self {
            Self::OnChip(_) | Self::Ql(_) => usize::MAX,
            Self::Jacobi { .. } => INT / (1024 + (n + 1) * (n + 1)),
            Self::Syev { .. } => (INT / (n * n)).min(16_384),
        }
        .max(1)
    }
}

/// The names of solvers in a [`SolverTable`], as on the command line.
const NAMES: [(&str, Solver); 4] =
    [("on-chip", Solver::OnChip), ("ql", Solver::Ql), ("jacobi", Solver::JACOBI), ("syev", Solver::SYEV)];

/// The types that are computed in.
const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::F64, Dtype::Complex64, Dtype::Complex128];

/// A line of a [`SolverTable`]: on devices of a compute capability this solver is the fastest for
/// matrices of a type, from one order to another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "as the line has them")]
pub struct SolverRule {
    pub capability: (i32, i32),
    pub dtype: Dtype,
    pub first: usize,
    pub last: usize,
    pub solver: Solver,
}

/// What [`Solver::Auto`] takes on this user's devices, as `eigengrad bench --tune` measured it.
/// Where no line holds, `Auto` is as its documentation says.
///
/// The file is `EIGENGRAD_SOLVERS`, or `eigengrad/solvers` below `XDG_CONFIG_HOME` or `~/.config`.
/// A line has compute capability, type, orders and solver; what follows `#` is not read:
///
/// ```text
/// 9.0 complex64 1-64 ql
/// ```
///
/// A process reads it once, when it first needs a solver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SolverTable {
    /// The first one that holds counts.
    pub rules: Vec<SolverRule>,
}

impl SolverTable {
    /// The user's file, whether it is there or not; none without a home.
    pub fn path() -> Option<PathBuf> {
        let named = env::var_os("EIGENGRAD_SOLVERS").filter(|named| !named.is_empty()).map(PathBuf::from);
        let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".config"));
        named.or_else(|| Some(absolute("XDG_CONFIG_HOME").or_else(home)?.join("eigengrad").join("solvers")))
    }

    /// Reads the user's file; an empty table if it is not there.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if it cannot be read or has a line of another
    /// form.
    pub fn read() -> Result<Self> {
        let Some(path) = Self::path() else { return Ok(Self::default()) };
        let failed = |e: &dyn fmt::Display| refused(&path.display().to_string(), e);
        match fs::read_to_string(&path) {
            Ok(text) => text.parse().map_err(|e: String| failed(&e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(failed(&e)),
        }
    }

    fn of_user() -> Result<&'static Self> {
        static TABLE: OnceLock<Result<SolverTable, String>> = OnceLock::new();
        let read = || Self::read().map_err(|e| e.to_string());
        TABLE.get_or_init(read).as_ref().map_err(|e| refused("Solver::Auto", e))
    }

    /// The solver for matrices of an order that are computed in a type.
    pub fn solver(&self, capability: (i32, i32), computed: Dtype, n: usize) -> Option<Solver> {
        let holds =
            |rule: &&SolverRule| rule.capability == capability && rule.dtype == computed && (rule.first..=rule.last).contains(&n);
        self.rules.iter().find(holds).map(|rule| rule.solver)
    }
}

impl fmt::Display for SolverRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability: (major, minor), dtype, first, last, solver } = self;
        let name = NAMES.iter().find(|(_, named)| named == solver).map_or("auto", |(name, _)| name);
        write!(f, "{major}.{minor} {dtype} {first}-{last} {name}")
    }
}

impl fmt::Display for SolverTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

impl FromStr for SolverTable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let written = |line: &str| line.split('#').next().unwrap_or("").trim().to_owned();
        let lines = text.lines().map(written).enumerate().filter(|(_, line)| !line.is_empty());
        let rule = |(at, line): (usize, String)| {
            rule(&line).ok_or_else(|| format!("line {}: expected as \"9.0 complex64 1-64 ql\", got {line:?}", at + 1))
        };
        Ok(Self { rules: lines.map(rule).collect::<Result<_, _>>()? })
    }
}

fn rule(line: &str) -> Option<SolverRule> {
    let [capability, dtype, orders, solver] = *line.split_whitespace().collect::<Vec<_>>() else { return None };
    let ((major, minor), (first, last)) = (capability.split_once('.')?, orders.split_once('-')?);
    Some(SolverRule {
        capability: (major.parse().ok()?, minor.parse().ok()?),
        dtype: DTYPES.into_iter().find(|known| known.to_string() == dtype)?,
        first: first.parse().ok()?,
        last: last.parse().ok()?,
        solver: NAMES.iter().find(|(name, _)| *name == solver)?.1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_what_its_text_says() {
        let text = "9.0 complex64 1-64 ql\n9.0 complex64 1-128 syev\n12.0 float32 3-3 on-chip\n";
        let table: SolverTable = text.parse().unwrap();
        assert_eq!(table.to_string(), text);
        let solver = |capability, dtype, n| table.solver(capability, dtype, n);
        assert_eq!(solver((9, 0), Dtype::Complex64, 64), Some(Solver::Ql));
        assert_eq!(solver((9, 0), Dtype::Complex64, 65), Some(Solver::SYEV));
        assert_eq!(solver((9, 0), Dtype::F32, 3), None);
        assert_eq!(solver((12, 0), Dtype::F32, 3), Some(Solver::OnChip));
        assert_eq!("# measured\n\n 9.0 float64 1-2 jacobi # today\n".parse::<SolverTable>().unwrap().rules.len(), 1);
        for wrong in ["9.0 complex64 1-64", "9 complex64 1-64 ql", "9.0 int8 1-64 ql", "9.0 float32 64 ql", "9.0 float32 1-2 qr"]
        {
            let said = format!("\n{wrong}").parse::<SolverTable>().unwrap_err();
            assert!(said.starts_with("line 2: ") && said.contains(wrong), "{said}");
        }
    }
}
