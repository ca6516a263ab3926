//! From a file to a batch of Hermitian matrices.

use crate::args::Bars;
use crate::failure::{Failure, Result};
use crate::npy;
use eigengrad::{Backend, Cotangents, Eigenpairs, Element, HermitianBatch, Triangle};
use ndarray::{Array, Array2, Array3, ArrayD, ArrayView, ArrayViewD, Axis, Dimension, IntoDimension};
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

/// What a loss sends back, from files.
#[derive(Debug)]
pub struct Cotangent<T: Element> {
    values: Option<Array2<T::Real>>,
    vectors: Option<Array3<T>>,
}

impl<T: Element> Cotangent<T> {
    /// The cotangents of these pairs.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn of<B: Backend>(&self, pairs: &Eigenpairs<T, B>) -> Result<Cotangents<T, B>> {
        Ok(Cotangents::new(pairs, self.values.as_ref().map(|x| x.view()), self.vectors.as_ref().map(|x| x.view()))?)
    }
}

/// λ̄ and V̄ of a batch that came from an input of this shape.
///
/// # Errors
/// If a file cannot be read or has another type or shape.
pub fn bars<T: Element>(bars: &Bars, input: &[usize], batch: &HermitianBatch<T, impl Backend>) -> Result<Cotangent<T>> {
    let (b, n) = (batch.batch(), batch.n());
    let values = cotangent(bars.values_bar.as_deref(), input, (b, n))?;
    let vectors = cotangent(bars.vectors_bar.as_deref(), input, (b, n, n))?;
    Ok(Cotangent { values, vectors })
}

/// A cotangent of `[batch, …]`, of which the file lacks the batch where the input does.
fn cotangent<T: Element, D: Dimension>(
    path: Option<&Path>,
    input: &[usize],
    shape: impl IntoDimension<Dim = D>,
) -> Result<Option<Array<T, D>>> {
    let shape = shape.into_dimension();
    let Some(path) = path else { return Ok(None) };
    let in_file = &shape.slice()[usize::from(input.len() == 2)..];
    let array = npy::read_shaped::<T>(path, in_file)?;
    let array = if input.len() == 2 { array.insert_axis(Axis(0)) } else { array };
    array.into_dimensionality().map(Some).map_err(|e| Failure::at(path, e))
}

/// Results `[batch, …]` of an input of this shape: without the batch where the input came without one.
pub fn shape_like<'a, T, D: Dimension>(input: &[usize], results: ArrayView<'a, T, D>) -> ArrayViewD<'a, T> {
    let results = results.into_dyn();
    if input.len() == 2 { results.index_axis_move(Axis(0), 0) } else { results }
}
