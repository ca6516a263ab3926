//! A = V Λ Vᴴ of one matrix after the other, by faer: scaled by a power of two before, cut after.

use super::Kernels;
use super::parallel::Chunk;
use crate::cut;
use crate::options::Problem;
use crate::scalar::sealed::Ldexp;
use crate::{Cpu, Element, Error, Real, Result, SpectrumMut, Status, Stored, Triangle};
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::{Mat, MatMut, MatRef, Par};
use num_complex::Complex;
use num_traits::Float;
use std::fmt;

/// What is read and written of a run of matrices; `vectors` is absent where only values are asked for.
pub(super) struct Forward<'a, I: Element, O: Element, R: Element = <O as Element>::Real> {
    pub n: usize,
    pub a: &'a [I],
    pub spectrum: SpectrumMut<'a, R, Cpu>,
    pub vectors: Option<&'a mut [O]>,
}

impl<I: Element, O: Element, R: Element> Chunk for Forward<'_, I, O, R> {
    fn batch(&self) -> usize {
        self.spectrum.status.len()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let (n, x) = (self.n, self.spectrum);
        let (a, a2) = self.a.split_at(b * n * n);
        let (values, values2) = x.values.split_at_mut(b * n);
        let (kept, kept2) = x.kept.split_at_mut(b * n);
        let (rank, rank2) = x.rank.split_at_mut(b);
        let (gap_kept, gap_kept2) = x.gap_kept.split_at_mut(b);
        let (gap_dropped, gap_dropped2) = x.gap_dropped.split_at_mut(b);
        let (status, status2) = x.status.split_at_mut(b);
        let (vectors, vectors2) = self.vectors.map(|v| v.split_at_mut(b * n * n)).unzip();
        let left = SpectrumMut { values, kept, rank, gap_kept, gap_dropped, status };
        let right = SpectrumMut {
            values: values2,
            kept: kept2,
            rank: rank2,
            gap_kept: gap_kept2,
            gap_dropped: gap_dropped2,
            status: status2,
        };
        (Self { n, a, spectrum: left, vectors }, Self { n, a: a2, spectrum: right, vectors: vectors2 })
    }
}

/// Scratch memory for one n×n matrix: a copy that faer reads, and what it returns.
pub(super) struct Solver<T: Kernels> {
    a: Mat<T>,
    lambda: Vec<T>,
    values: Vec<T::Real>,
    vectors: Mat<T>,
    memory: MemBuffer,
}

impl<T: Kernels> fmt::Debug for Solver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Solver(n = {})", self.values.len())
    }
}

impl<T: Kernels> Solver<T> {
    pub(super) fn new(n: usize) -> Result<Self> {
        let zeros = || Mat::from_fn(n, n, |_, _| T::zero());
        let memory = MemBuffer::try_new(T::evd_memory(n))
            .map_err(|e| Error::Backend { backend: "cpu", reason: format!("no memory for n = {n}: {e:?}") })?;
        Ok(Self { a: zeros(), lambda: vec![T::zero(); n], values: vec![T::Real::of(0.0); n], vectors: zeros(), memory })
    }

    /// Decomposes and cuts every matrix of the chunk.
    pub(super) fn decompose<I, O, R>(&mut self, problem: &Problem, triangle: Triangle, chunk: Forward<'_, I, O, R>)
    where
        I: Element<Scalar = T>,
        O: Stored<T>,
        R: Element<Scalar = T::Real>,
    {
        let n = problem.n;
        let Forward { a, spectrum, mut vectors, .. } = chunk;
        for b in 0..spectrum.status.len() {
            let mut status = self.solve(n, &a[b * n * n..][..n * n], triangle, vectors.is_some());
            let overflow = self.values.iter().any(|&value| !R::narrow(value).widen().is_finite());
            status |= Status::VALUES_OVERFLOW.when(overflow && !status.failed());
            if status.failed() {
                self.fail();
            }
            let kept = &mut spectrum.kept[b * n..][..n];
            let cut = if status.failed() {
                kept.fill(false);
                cut::Selection { rank: 0, gap_kept: Float::infinity(), gap_dropped: Float::infinity(), status }
            } else {
                cut::select(problem, &self.values, kept)
            };
            spectrum.rank[b] = cut.rank as u32;
            spectrum.gap_kept[b] = cut.gap_kept;
            spectrum.gap_dropped[b] = cut.gap_dropped;
            spectrum.status[b] = cut.status;
            for (to, &from) in spectrum.values[b * n..].iter_mut().zip(&self.values) {
                *to = R::narrow(from);
            }
            if let Some(vectors) = &mut vectors {
                for (to, k) in vectors[b * n * n..].chunks_exact_mut(n.max(1)).zip(0..n) {
                    to.iter_mut().zip(self.vectors.col_as_slice(k)).for_each(|(to, &from)| *to = O::narrow(from));
                }
            }
        }
    }

    /// Leaves λ in `values` and V in `vectors`.
    fn solve<I: Element<Scalar = T>>(&mut self, n: usize, a: &[I], triangle: Triangle, with_vectors: bool) -> Status {
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

    fn fail(&mut self) {
        let nan = T::Real::of(f64::NAN);
        self.values.fill(nan);
        (0..self.values.len()).for_each(|k| self.vectors.col_as_slice_mut(k).fill(T::from_parts(nan, nan)));
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
                evd::self_adjoint_evd_scratch::<$t>(n, ComputeEigenvectors::Yes, Par::Seq, Default::default())
            }
            fn evd(a: MatRef<'_, $t>, lambda: &mut [$t], vectors: Option<MatMut<'_, $t>>, memory: &mut MemStack) -> bool {
                let lambda = faer::diag::DiagMut::from_slice_mut(lambda);
                evd::self_adjoint_evd(a, lambda, vectors, Par::Seq, memory, Default::default()).is_ok()
            }
        }
    )* }
}
evd!(f32, f64, Complex<f32>, Complex<f64>);
