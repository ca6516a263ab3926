//! From a file to a batch of Hermitian matrices.

use crate::failure::{Failure, Result};
use crate::npy;
use eigengrad::{Backend, Element, HermitianBatch, Triangle};
use ndarray::{ArrayD, ArrayView, ArrayViewD, Axis, Dimension};
use std::path::Path;

/// The matrices of a file as they are stored, `[batch, n, n]` or `[n, n]`, and as a batch of which one triangle is read; without
/// `triangle` both are compared.
///
/// # Errors
/// If the file cannot be read or does not hold Hermitian matrices.
pub fn matrices<T: Element, B: Backend>(
    path: &Path,
    triangle: Option<Triangle>,
    backend: &B,
) -> Result<(ArrayD<T>, HermitianBatch<T, B>)> {
    let stored = npy::read::<T>(path)?;
    let batch = match triangle {
        None => HermitianBatch::on(backend, stored.view()),
        Some(triangle) => HermitianBatch::from_triangle_on(backend, stored.view(), triangle),
    };
    Ok((stored, batch.map_err(|e| Failure::at(path, e))?))
}

/// Results `[batch, …]` of an input of this shape: without the batch where the input came without one.
pub fn shape_like<'a, T, D: Dimension>(input: &[usize], results: ArrayView<'a, T, D>) -> ArrayViewD<'a, T> {
    let results = results.into_dyn();
    if input.len() == 2 { results.index_axis_move(Axis(0), 0) } else { results }
}
