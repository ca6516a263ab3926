//! Runs the library on the oracles' numbers, on any backend, and brings the results back.

use crate::numbers::{Matrix, rows, stack};
use eigengrad::{Cotangents, Cpu, Eigenpairs, Element, Engine, Gradient, HermitianBatch, Options, Scalar};

/// The eigenpairs of some matrices of order n, where they are and on the host.
pub fn eigh<T: Element, B: Engine<T::Scalar>>(
    backend: &B,
    n: usize,
    matrices: &[Matrix],
    options: &Options,
) -> (Eigenpairs<T::Scalar, B>, Eigenpairs<T::Scalar, Cpu>) {
    let batch = HermitianBatch::<T, B>::on(backend, stack::<T>(n, matrices).view()).unwrap();
    let pairs = eigengrad::eigh(&batch, options).unwrap();
    let host = pairs.to_host().unwrap();
    (pairs, host)
}

/// The cotangents of those pairs.
pub fn cotangents<T: Scalar, B: Engine<T>>(
    pairs: &Eigenpairs<T, B>,
    lambda_bar: Option<&[Vec<f64>]>,
    v_bar: Option<&[Matrix]>,
) -> Cotangents<T, B> {
    let lambda_bar = lambda_bar.map(|x| rows::<T::Real>(pairs.n(), x));
    let v_bar = v_bar.map(|x| stack::<T>(pairs.n(), x));
    let (lambda_bar, v_bar) = (lambda_bar.as_ref().map(|x| x.view()), v_bar.as_ref().map(|x| x.view()));
    Cotangents::new(pairs, lambda_bar, v_bar).unwrap()
}

/// The gradient on the host.
pub fn backward<T: Scalar, B: Engine<T>>(
    pairs: &Eigenpairs<T, B>,
    lambda_bar: Option<&[Vec<f64>]>,
    v_bar: Option<&[Matrix]>,
) -> Gradient<T, Cpu> {
    pairs.backward(&cotangents(pairs, lambda_bar, v_bar)).unwrap().to_host().unwrap()
}

/// Hermitian matrices beside the pairs, such as directions and cotangents of matrices.
pub fn hermitian<T: Element, B: Engine<T::Scalar>>(backend: &B, n: usize, matrices: &[Matrix]) -> HermitianBatch<T, B> {
    HermitianBatch::on(backend, stack::<T>(n, matrices).view()).unwrap()
}

/// Whether the backend is the CPU.
pub fn on_the_cpu<B: 'static>() -> bool {
    std::any::TypeId::of::<B>() == std::any::TypeId::of::<Cpu>()
}

/// Whether a matrix of order `n` gets the same bits in a batch of any size: not from NVIDIA's
/// libraries, which CUDA takes beyond n = 48.
pub fn has_bits_of_its_own<B: 'static>(n: usize) -> bool {
    #[cfg(feature = "cuda")]
    let by_libraries = !crate::gpu::is_emulated();
    #[cfg(not(feature = "cuda"))]
    let by_libraries = false;
    n <= 48 || !by_libraries || on_the_cpu::<B>()
}
