//! A = V Λ Vᴴ of one large matrix, by faer: scaled by a power of two before.

use super::Kernels;
use super::parallel::par;
use crate::scalar::sealed::Ldexp;
use crate::{Element, Error, Real, Result, Status, Triangle};
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::{Mat, MatMut, MatRef};
use num_complex::Complex;
use num_traits::Float;
use std::fmt;

/// Scratch memory for one n×n matrix: a copy that faer reads, and what it returns.
pub(super) struct Single<T: Kernels> {
    a: Mat<T>,
    lambda: Vec<T>,
    /// λ, ascending.
    pub values: Vec<T::Real>,
    vectors: Mat<T>,
    memory: MemBuffer,
}

impl<T: Kernels> fmt::Debug for Single<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Single(n = {})", self.values.len())
    }
}

impl<T: Kernels> Single<T> {
    pub(super) fn new(n: usize) -> Result<Self> {
        let zeros = || Mat::from_fn(n, n, |_, _| T::zero());
        let memory = MemBuffer::try_new(T::evd_memory(n))
            .map_err(|e| Error::Backend { backend: "cpu", reason: format!("no memory for n = {n}: {e:?}") })?;
        Ok(Self { a: zeros(), lambda: vec![T::zero(); n], values: vec![T::Real::of(0.0); n], vectors: zeros(), memory })
    }

    /// Leaves λ in `values` and V in `vectors`.
    pub(super) fn solve<I: Element<Scalar = T>>(&mut self, n: usize, a: &[I], triangle: Triangle, with_vectors: bool) -> Status {
        match self.load(n, a, triangle) {
            None => Status::NOT_FINITE,
            Some(exponent) => {
                let vectors = with_vectors.then(|| self.vectors.as_mut());
                let converged = T::evd(self.a.as_ref(), &mut self.lambda, vectors, MemStack::new(&mut self.memory));
                for (value, lambda) in self.values.iter_mut().zip(&self.lambda) {
                    *value = lambda.re().ldexp(exponent);
                }
                Status::NOT_CONVERGED.when(!converged)
            }
        }
    }

    /// Eigenvector k.
    pub(super) fn vector(&self, k: usize) -> &[T] {
        self.vectors.col_as_slice(k)
    }

    /// Copies the lower triangle of 2⁻ᵉ·A with 1 ≤ max|A|·2⁻ᵉ < 2, so that no square over- or underflows, and returns e;
    /// nothing if an entry is not finite. Scaling by a power of two is exact.
    fn load<I: Element<Scalar = T>>(&mut self, n: usize, a: &[I], triangle: Triangle) -> Option<i32> {
        let mut largest = T::Real::of(0.0);
        for j in 0..n {
            for (i, to) in self.a.col_as_slice_mut(j).iter_mut().enumerate().skip(j) {
                let x = match triangle {
                    Triangle::Lower => a[i * n + j].widen(),
                    Triangle::Upper => a[j * n + i].widen().conj(),
                };
                let x = if i == j { T::from_parts(x.re(), T::Real::of(0.0)) } else { x };
                if !x.finite() {
                    return None;
                }
                largest = Float::max(largest, Float::max(Float::abs(x.re()), Float::abs(x.im())));
                *to = x;
            }
        }
        if largest == T::Real::of(0.0) {
            return Some(0);
        }
        let exponent = largest.binary_exponent();
        for j in 0..n {
            for x in &mut self.a.col_as_slice_mut(j)[j..] {
                *x = T::from_parts(x.re().ldexp(-exponent), x.im().ldexp(-exponent));
            }
        }
        Some(exponent)
    }
}

/// faer's eigensolver, compiled once for each type.
pub trait Evd: Sized {
    fn evd_memory(n: usize) -> StackReq;
    /// λ ascending and V, from the lower triangle of A; whether it converged.
    fn evd(a: MatRef<'_, Self>, lambda: &mut [Self], vectors: Option<MatMut<'_, Self>>, memory: &mut MemStack) -> bool;
}

macro_rules! evd {
    ($($t:ty),*) => { $(
        impl Evd for $t {
            fn evd_memory(n: usize) -> StackReq {
                evd::self_adjoint_evd_scratch::<$t>(n, ComputeEigenvectors::Yes, par(n), Default::default())
            }
            fn evd(a: MatRef<'_, $t>, lambda: &mut [$t], vectors: Option<MatMut<'_, $t>>, memory: &mut MemStack) -> bool {
                let lambda = faer::diag::DiagMut::from_slice_mut(lambda);
                evd::self_adjoint_evd(a, lambda, vectors, par(a.nrows()), memory, Default::default()).is_ok()
            }
        }
    )* }
}
evd!(f32, f64, Complex<f32>, Complex<f64>);
