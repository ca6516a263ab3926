//! The library's errors as Python's exceptions.

use eigengrad::{Error, Status};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// What is wrong with the input is a `ValueError`, what the machine refuses a `RuntimeError`.
pub fn raised(error: Error) -> PyErr {
    match error {
        Error::Backend { .. } | Error::Library { .. } => PyRuntimeError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// The text of an error that names the matrices whose statuses are failures; None if there are
/// none.
#[pyfunction]
pub fn describe(statuses: Vec<u32>) -> Option<String> {
    let statuses = statuses.into_iter().map(|bits| Status::from_bits(bits).unwrap_or(Status::OK));
    let failures: Vec<_> = statuses.enumerate().filter(|(_, status)| !status.passes()).collect();
    (!failures.is_empty()).then(|| Error::Matrices(failures).to_string())
}

/// Declares the findings by the names of their constants.
macro_rules! names {
    ($($name:ident)*) => {
        /// The findings by name, with their bits.
        #[pyfunction]
        pub fn findings() -> Vec<(&'static str, u32)> {
            vec![$((stringify!($name), Status::$name.bits())),*]
        }
    };
}
names! {
    NOT_FINITE NOT_CONVERGED TIE_ACROSS_CUT TIED PHASE_DEPENDENT GRADIENT_NOT_FINITE VALUES_OVERFLOW NOT_ORTHONORMAL
    OUTSIDE_DOMAIN RESULT_NOT_FINITE AMBIGUOUS_RANK TIE_DEFECT TIES_REFUSED VALUES_UNDERFLOW LARGE_RESIDUAL
}
