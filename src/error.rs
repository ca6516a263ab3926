//! Everything that can go wrong, with what was expected, what came, and which matrices are meant:
//! [`Error`].

use crate::{Precision, Status};
use std::collections::BTreeMap;
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
    #[error("matrix {matrix} {}", Difference { at: [*row, *column], difference: *difference, tolerance: *tolerance })]
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
    /// An array that is used where it lies is not row-major and contiguous;
    /// [`HermitianBatch::new`](crate::HermitianBatch::new) copies one of any strides.
    #[error("the array is not row-major and contiguous: HermitianBatch::new copies such a one")]
    NotContiguous,
    /// Cotangents that are used where they lie have gaps, or an order that is neither that of rows
    /// nor of columns; [`Cotangents::new`](crate::Cotangents::new) copies those of any strides.
    #[error("{what} lies neither row by row nor column by column without gaps: Cotangents::new copies such an array")]
    NotByColumns {
        /// The argument.
        what: &'static str,
    },
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
    /// The default cut of a half precision would drop everything.
    #[error(
        "the default rtol of {precision:?} at n = {n} is {rtol}, which drops everything: set rtol or atol, or keep all of it"
    )]
    NoDefaultCut {
        /// The precision in which the data were computed.
        precision: Precision,
        /// The order of the matrices.
        n: usize,
        /// √n·ε.
        rtol: f64,
    },
    /// Matrices with findings, from `check()` or from a gradient under
    /// [`TieRule::Error`](crate::TieRule::Error).
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

/// Prints an entry that differs from its mirror; of the diagonal, which can but be imaginary, as
/// such.
struct Difference {
    at: [usize; 2],
    difference: f64,
    tolerance: f64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at: [row, column], difference, tolerance } = self;
        if row == column {
            return write!(f, "has an imaginary diagonal: |2 Im A[{row}, {row}]| = {difference:.3e} exceeds {tolerance:.3e}");
        }
        write!(f, "is not Hermitian: |A[{row}, {column}] - conj A[{column}, {row}]| = {difference:.3e} exceeds {tolerance:.3e}")
    }
}

/// Prints the matrices of each status together, at most eight of them by number, and what to do.
struct Findings<'a>(&'a [(usize, Status)]);

/// The largest number of matrices, and of kinds, that are named.
const NAMED: usize = 8;

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = BTreeMap::<_, (Status, Vec<usize>)>::new();
        for &(matrix, status) in self.0 {
            kinds.entry(status.to_string()).or_insert((status, Vec::new())).1.push(matrix);
        }
        let mut kinds: Vec<_> = kinds.into_values().collect();
        kinds.sort_by_key(|(_, matrices)| matrices[0]);
        for (at, (status, matrices)) in kinds.iter().take(NAMED).enumerate() {
            let numbers: Vec<_> = matrices.iter().take(NAMED).map(usize::to_string).collect();
            let numbers = numbers.join(", ");
            let before = if at == 0 { "" } else { "; " };
            match matrices.len() {
                1 => write!(f, "{before}matrix {numbers}: {status}")?,
                count if count <= NAMED => write!(f, "{before}{count} matrices ({numbers}): {status}")?,
                count => write!(f, "{before}{count} matrices ({numbers}, …): {status}")?,
            }
            let remedies = status.remedies();
            if !remedies.is_empty() {
                write!(f, " ({remedies})")?;
            }
        }
        if kinds.len() > NAMED {
            write!(f, "; and {} more kinds", kinds.len() - NAMED)?;
        }
        Ok(())
    }
}
