//! From a file to a batch of Hermitian matrices.

use crate::args::{Bars, Common};
use crate::failure::{Failure, Result};
use crate::files::{hermitian, npy};
use crate::report;
use eigengrad::{Backend, Cotangents, Dtype, Eigenpairs, Element, Error, HermitianBatch, Real, Scalar, Triangle};
use ndarray::{Array, Array2, Array3, ArrayD, ArrayView, ArrayViewD, Axis, Dimension, IntoDimension};
use std::path::Path;

/// The matrices of a file as they are used, `[batch, n, n]` or `[n, n]`, and as a batch of which
/// one triangle is read: of both, compared, or of one, or of their mean, as the arguments have it.
///
/// # Errors
/// If the file cannot be read or does not hold Hermitian matrices.
pub fn matrices<T: Element, B: Backend>(path: &Path, common: &Common, backend: &B) -> Result<(ArrayD<T>, HermitianBatch<T, B>)> {
    let mut stored = npy::read::<T>(path)?;
    let batch = if common.symmetrise {
        stored = hermitian::mean(stored).map_err(|reason| Failure::at(path, reason))?;
        HermitianBatch::from_triangle_on(backend, stored.view(), Triangle::Lower)
    } else if let Some(triangle) = common.triangle() {
        HermitianBatch::from_triangle_on(backend, stored.view(), triangle)
    } else {
        HermitianBatch::computed_in_on(backend, stored.view(), common.precision().unwrap_or(T::PRECISION))
    };
    let batch = batch.map_err(|error| match error {
        Error::NotHermitian { .. } => {
            let ways = "--symmetrise takes ½(A + Aᴴ), --uplo one triangle; --computed-in allows for coarser round-off";
            Failure::at(path, format!("{error}; {ways}"))
        }
        error => Failure::at(path, error),
    });
    let batch = batch?;
    if common.precision().is_none() && is_float32_in_float64(&stored) {
        let what =
            "warning: all entries are float32 numbers; if they were computed as such, --computed-in float32 cuts at their noise";
        report::complain(&Failure::at(path, what));
    }
    Ok((stored, batch))
}

/// Whether all entries of a float64 file are float32 numbers, some of more than 16 significant
/// bits: integers have fewer.
fn is_float32_in_float64<T: Element>(stored: &ArrayD<T>) -> bool {
    const MANTISSA: u64 = (1 << 52) - 1;
    let parts = || stored.iter().flat_map(|x| [x.widen().re().to_f64(), x.widen().im().to_f64()]);
    let significant = |x: f64| x != 0.0 && x.is_finite() && 53 - ((x.to_bits() & MANTISSA) | (1 << 52)).trailing_zeros() > 16;
    matches!(T::DTYPE, Dtype::F64 | Dtype::Complex128)
        && parts().all(|x| f64::from(x as f32) == x || !x.is_finite())
        && parts().any(significant)
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

/// Results `[batch, …]` of an input of this shape: without the batch where the input came without
/// one.
pub fn shape_like<'a, T, D: Dimension>(input: &[usize], results: ArrayView<'a, T, D>) -> ArrayViewD<'a, T> {
    let results = results.into_dyn();
    if input.len() == 2 { results.index_axis_move(Axis(0), 0) } else { results }
}
