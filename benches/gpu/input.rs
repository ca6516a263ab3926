//! Batches to measure on: drawn on the host, repeated on the device until they fill it.

use crate::run::Result;
use eigengrad::cuda::{Cuda, DeviceBuffer};
use eigengrad::{Array, Backend, HermitianBatch, Pod, Real, Scalar, Triangle};
use ndarray::{Array2, Array3, Axis};
use num_complex::Complex;
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// Elements of the matrices that differ; a larger batch repeats them.
const DIFFERENT: usize = 1 << 20;

/// The number of matrices of a batch that differ.
pub fn different(batch: usize, n: usize) -> usize {
    batch.min((DIFFERENT / (n * n)).max(16))
}

/// A = X Xᴴ / n `[batch, n, n]`, X Gaussian `[batch, n, rank]` with E|X_ij|² = 1, as
/// benches/peers/eigh_peers.py draws it.
pub fn positive<T: Scalar>(batch: usize, n: usize, rank: usize) -> Array3<T> {
    let mut random = fastrand::Rng::with_seed(0);
    let mut a = Array3::from_elem((batch, n, n), T::default());
    for mut a in a.axis_iter_mut(Axis(0)) {
        let x = Array2::from_shape_simple_fn((n, rank), || gaussian::<T>(&mut random));
        a.assign(&x.dot(&x.t().mapv(T::conj)).mapv(|x| x.scale(T::Real::of(1.0 / n as f64))));
    }
    a
}

/// A Gaussian number with E|x|² = 1.
pub fn gaussian<T: Scalar>(random: &mut fastrand::Rng) -> T {
    let (radius, angle) = ((-2.0 * (1.0 - random.f64()).ln()).sqrt(), TAU * random.f64());
    let scale = if T::COMPLEX { FRAC_1_SQRT_2 } else { 1.0 };
    T::from_parts(T::Real::of(radius * angle.cos() * scale), T::Real::of(radius * angle.sin() * scale))
}

/// Q Λ Qᴴ with random orthonormal Q, real if the type is.
pub fn with_spectrum<T: Scalar>(lambda: &[f64], random: &mut fastrand::Rng) -> Array2<T> {
    let n = lambda.len();
    let mut q = Array2::from_shape_simple_fn((n, n), || {
        let x = gaussian::<T>(random);
        Complex::new(x.re().to_f64(), x.im().to_f64())
    });
    for k in 0..n {
        for _twice in 0..2 {
            for j in 0..k {
                let overlap: Complex<f64> = q.column(j).iter().zip(q.column(k)).map(|(x, y)| x.conj() * y).sum();
                let along = q.column(j).mapv(|x| x * overlap);
                q.column_mut(k).zip_mut_with(&along, |x, y| *x -= y);
            }
        }
        let norm = q.column(k).iter().map(Complex::norm_sqr).sum::<f64>().sqrt();
        q.column_mut(k).mapv_inplace(|x| x / norm);
    }
    let scaled = Array2::from_shape_fn((n, n), |(i, k)| q[[i, k]] * lambda[k]);
    let a = scaled.dot(&q.t().mapv(|x| x.conj()));
    Array2::from_shape_fn((n, n), |(i, j)| {
        let x = (a[[i, j]] + a[[j, i]].conj()) * 0.5;
        T::from_parts(T::Real::of(x.re), T::Real::of(x.im))
    })
}

/// A batch of `batch` matrices on the device that repeats `a`.
pub fn on_device<T: Scalar>(cuda: &Cuda, a: &Array3<T>, batch: usize) -> Result<HermitianBatch<T, Cuda>> {
    let n = a.dim().1;
    let data = Array::from_buffer(cuda, repeated(cuda, a.iter().copied().collect(), batch * n * n)?, [batch, n, n])?;
    Ok(HermitianBatch::of(data, Triangle::Lower)?)
}

/// `len` numbers on the device that repeat those given.
pub fn repeated<T: Pod>(cuda: &Cuda, numbers: Vec<T>, len: usize) -> Result<DeviceBuffer<T>> {
    if numbers.len() >= len {
        return Ok(cuda.upload(numbers.into_iter().take(len).collect())?);
    }
    let once = cuda.upload(numbers)?.into_slice::<u8>()?;
    let mut all = cuda.stream().alloc_zeros::<u8>(len * size_of::<T>())?;
    let bytes = all.len();
    for first in (0..bytes).step_by(once.len()) {
        let part = once.len().min(bytes - first);
        cuda.stream().memcpy_dtod(&once.slice(..part), &mut all.slice_mut(first..first + part))?;
    }
    Ok(cuda.adopt(all)?)
}
