//! Everything that can go wrong, with what was expected, what came, and which matrices are meant: [`Error`].

use crate::Status;
use std::fmt;

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is neither one matrix nor a batch of them.
    #[error("expected [n, n] or [batch, n, n], got an array of {ndim} dimensions")]
    Dimensions {
        /// The number of dimensions that came.
        ndim: usize,
    },
    /// The matrices are not square.
    #[error("expected square matrices, got {rows}×{columns}")]
    NotSquare {
        /// Rows of each matrix.
        rows: usize,
        /// Columns of each matrix.
        columns: usize,
    },
    /// The two triangles of a matrix disagree.
    #[error(
        "matrix {matrix} is not Hermitian: |A[{row}, {column}] - conj A[{column}, {row}]| = {difference:.3e} exceeds {tolerance:.3e}"
    )]
    NotHermitian {
        /// The first matrix that is not Hermitian.
        matrix: usize,
        /// The row of its first entry that differs.
        row: usize,
        /// The column of that entry.
        column: usize,
        /// |A_ij − conj A_ji|.
        difference: f64,
        /// 8·n·ε·max|A|.
        tolerance: f64,
    },
    /// An array that is used where it lies is not row-major and contiguous; [`HermitianBatch::new`](crate::HermitianBatch::new)
    /// copies one of any strides.
    #[error("the array is not row-major and contiguous: HermitianBatch::new copies such a one")]
    NotContiguous,
    /// An array has another shape than the operation needs.
    #[error("{what}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// batch·n·n elements cannot be addressed.
    #[error("a batch of {batch} matrices of {n}×{n} is too large to address")]
    TooLarge {
        /// The number of matrices.
        batch: usize,
        /// Their order.
        n: usize,
    },
    /// Factors have more columns than rows.
    #[error("factors of {n}×{r} have more columns than rows; form B Bᴴ and use eigh")]
    Wide {
        /// Rows of each factor.
        n: usize,
        /// Columns of each factor.
        r: usize,
    },
    /// The workspace was made by a plan of another size.
    #[error("the workspace was made for another problem, or by another backend, than {batch} matrices of {n}×{n}")]
    Workspace {
        /// The number of matrices of this plan.
        batch: usize,
        /// Their order.
        n: usize,
    },
    /// A tolerance is negative or NaN.
    #[error("{what} must be a number that is not negative, got {got}")]
    Tolerance {
        /// The option.
        what: &'static str,
        /// Its value.
        got: f64,
    },
    /// Matrices with findings, from `check()` or from a gradient under [`TieRule::Error`](crate::TieRule::Error).
    #[error("{}", Findings(.0))]
    Matrices(
        /// The matrices and what was found of each.
        Vec<(usize, Status)>,
    ),
    /// A backend could not do its work: out of memory, no threads, a driver's refusal.
    #[error("{backend}: {reason}")]
    Backend {
        /// The backend.
        backend: &'static str,
        /// What it says.
        reason: String,
    },
    /// A library that a backend needs cannot be loaded.
    #[error("{library} not found: {reason}; {remedy}")]
    Library {
        /// The library.
        library: &'static str,
        /// Where it was sought and what the loader says.
        reason: String,
        /// How to get it.
        remedy: &'static str,
    },
}

impl Error {
    /// `Ok` if every status is clear, otherwise [`Error::Matrices`] with those that are not.
    pub(crate) fn unless_clear(status: &[Status], of_interest: impl Fn(Status) -> bool) -> Result<()> {
        let found: Vec<_> = status.iter().copied().enumerate().filter(|&(_, s)| of_interest(s)).collect();
        if found.is_empty() { Ok(()) } else { Err(Self::Matrices(found)) }
    }
}

/// Prints at most eight matrices and how many more there are.
struct Findings<'a>(&'a [(usize, Status)]);

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().take(8).map(|(matrix, status)| format!("matrix {matrix}: {status}")).collect();
        f.write_str(&shown.join("; "))?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
