//! eigengrad for candle: gradients against finite differences and against the library bit for bit,
//! layouts, types, findings, errors, training.

#![allow(missing_docs, reason = "tests")]

mod against_library;
mod differences;
mod findings;
mod layouts;
mod training;

use candle_core::{D, DType, Device, Result, Tensor};
use eigengrad_candle::{Complex, Matrices};

/// Numbers between -1 and 1 that look like nothing, the same each time.
fn numbers(len: usize, seed: f64) -> Vec<f64> {
    (0..len).map(|i| ((1.0 + seed + i as f64) * 12.9898).sin() * 43758.5453).map(|x| 2.0 * (x - x.floor()) - 1.0).collect()
}

fn random(shape: &[usize], seed: f64) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
}

/// Matrices of either kind, of numbers that look like nothing.
trait Kind: Matrices {
    /// Of such numbers, of this shape.
    fn random(shape: &[usize], seed: f64) -> Self {
        Self::of_numbers(&random(&Self::shape(shape), seed))
    }
    /// The shape of the numbers of matrices of a shape.
    fn shape(shape: &[usize]) -> Vec<usize>;
    fn of_numbers(numbers: &Tensor) -> Self;
    fn product(&self) -> Self;
    fn squares(&self) -> Tensor;
}

impl Kind for Tensor {
    fn shape(shape: &[usize]) -> Vec<usize> {
        shape.to_vec()
    }

    fn of_numbers(numbers: &Tensor) -> Self {
        numbers.clone()
    }

    fn product(&self) -> Self {
        self.matmul(&self.transpose(D::Minus1, D::Minus2).unwrap().contiguous().unwrap()).unwrap()
    }

    fn squares(&self) -> Tensor {
        self.sqr().unwrap()
    }
}

impl Kind for Complex {
    fn shape(shape: &[usize]) -> Vec<usize> {
        [shape, &[2]].concat()
    }

    fn of_numbers(numbers: &Tensor) -> Self {
        Self::from_interleaved(numbers.clone()).unwrap()
    }

    fn product(&self) -> Self {
        self.matmul(&self.adjoint().unwrap()).unwrap()
    }

    fn squares(&self) -> Tensor {
        self.abs_sqr().unwrap()
    }
}

fn scalar(x: &Tensor) -> f64 {
    x.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap()
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
}

/// A loss of the kept eigenpairs that depends on no phase and on no basis of what is dropped: ½ Σ w
/// λ² + Σ w |v|⁴.
fn loss<M: Kind>(pairs: &eigengrad_candle::Eigh<M>) -> Result<Tensor> {
    let kept = pairs.kept.to_dtype(pairs.eigenvalues.dtype())?;
    let weights = |of: &Tensor, seed| random(of.dims(), seed).to_dtype(of.dtype());
    let values = (pairs.eigenvalues.sqr()?.mul(&weights(&pairs.eigenvalues, 3.0)?)?.mul(&kept)?.sum_all()? * 0.5)?;
    let squares = pairs.eigenvectors.squares().sqr()?;
    let vectors = squares.mul(&weights(&squares, 4.0)?)?.broadcast_mul(&kept.unsqueeze(D::Minus2)?)?.sum_all()?;
    values + vectors
}
