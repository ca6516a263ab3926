//! B Bᴴ = V Λ Vᴴ of one factor after the other: B = Q R, R Rᴴ = U Λ Uᴴ, V = Q U, S = Uᴴ R.
//! docs/derivation.md §12.

use crate::compute::EighFactor;
use crate::cpu::backward_factor::FactorProducts;
use crate::cpu::dense::evd::Single;
use crate::cpu::dense::householder;
use crate::cpu::memory::filled;
use crate::cpu::parallel::{Chunk, PerThread};
use crate::element::sealed::Ldexp;
use crate::{
    Cpu, Element, ElementOf, FactorBatch, FactorPairs, FactorProblem, Real, Result, Scalar, Spectrum, Status, Triangle, View,
    ViewMut, cut,
};
use num_traits::Float;

/// Scratch memory of the CPU backend for factors, for each thread.
#[derive(Debug)]
pub struct Workspace<T: Scalar> {
    shape: (usize, usize),
    pub(in crate::cpu) solvers: PerThread<FactorSolver<T>>,
    pub(in crate::cpu) products: PerThread<FactorProducts<T>>,
}

impl<T: Scalar> Workspace<T> {
    pub(in crate::cpu) fn new(threads: usize, problem: &FactorProblem) -> Self {
        let (n, r) = if problem.matrices.batch == 0 { (0, 0) } else { (problem.matrices.n, problem.r) };
        Self {
            shape: (n, r),
            solvers: PerThread::new(threads, n, FactorSolver::new),
            products: PerThread::new(threads, n, FactorProducts::new),
        }
    }

    pub(in crate::cpu) fn serves(&self, problem: &FactorProblem) -> bool {
        problem.matrices.batch == 0 || self.shape == (problem.matrices.n, problem.r)
    }
}

/// What is read and written of a run of factors.
pub(in crate::cpu) struct FactorForward<'a, I: Element, O: Element> {
    /// n and r.
    pub shape: (usize, usize),
    pub b: FactorBatch<I, Cpu, View<'a>>,
    pub out: FactorPairs<O, Cpu, ViewMut<'a>>,
}

impl<I: Element, O: Element> Chunk for FactorForward<'_, I, O> {
    fn batch(&self) -> usize {
        self.out.spectrum.status.len()
    }

    fn split_at(self, count: usize) -> (Self, Self) {
        let Self { shape, b, out } = self;
        let (b, b2) = b.data.split_at(count);
        let (out, out2) = out.split_at(count);
        (Self { shape, b: FactorBatch { data: b }, out }, Self { shape, b: FactorBatch { data: b2 }, out: out2 })
    }
}

impl<T: Scalar> EighFactor<T> for Cpu {
    fn eigh_factor<'a, I: Element<Scalar = T>, O: ElementOf<T>>(
        &self,
        problem: &FactorProblem,
        b: FactorBatch<I, Self, View<'a>>,
        out: FactorPairs<O, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let (shape, solvers) = ((problem.matrices.n, problem.r), &workspace.solvers);
        let work = |solver: &mut FactorSolver<T>, chunk| {
            solver.eigh_factor(problem, chunk);
            Ok(())
        };
        self.run(|| solvers.each(problem.r, FactorForward { shape, b, out }, |_| 1, &work))
    }
}

/// Scratch memory for one factor.
#[derive(Debug)]
pub(in crate::cpu) struct FactorSolver<T: Scalar> {
    /// R and the reflections, column after column.
    b: Vec<T>,
    tau: Vec<T::Real>,
    /// R Rᴴ, lower triangle, row after row.
    m: Vec<T>,
    solver: Single<T>,
    /// Eigenvectors of R Rᴴ, vector after vector.
    u: Vec<T>,
    /// V, vector after vector.
    v: Vec<T>,
    /// S, column after column.
    s: Vec<T>,
    lambda: Vec<T::Real>,
}

impl<T: Scalar> FactorSolver<T> {
    fn new(n: usize, r: usize) -> Result<Self> {
        let zeros = |rows: usize| filled(T::zero(), rows.saturating_mul(r));
        let (tau, lambda) = (filled(T::Real::of(0.0), r)?, filled(T::Real::of(0.0), r)?);
        Ok(Self { b: zeros(n)?, tau, m: zeros(r)?, solver: Single::new(r)?, u: zeros(r)?, v: zeros(n)?, s: zeros(r)?, lambda })
    }

    /// Decomposes and cuts every factor of the chunk.
    pub(in crate::cpu) fn eigh_factor<I, O>(&mut self, problem: &FactorProblem, chunk: FactorForward<'_, I, O>)
    where
        I: Element<Scalar = T>,
        O: ElementOf<T>,
    {
        let (FactorForward { shape: (n, r), b, out }, nulls) = (chunk, problem.matrices.n - problem.r);
        let FactorPairs { spectrum, mut vectors, mut projection, .. } = out;
        let Spectrum { mut values, mut kept, mut rank, mut gap_kept, mut gap_dropped, mut status } = spectrum;
        for at in 0..status.len() {
            let mut found = self.solve(n, r, &b.data[at * n * r..][..n * r]);
            let overflow = self.lambda.iter().any(|&value| !O::Real::narrow(value).widen().is_finite());
            found |= Status::VALUES_OVERFLOW.when(overflow && !found.failed());
            let is_zero = |lambda: &[T::Real]| lambda.iter().all(|x| O::Real::narrow(*x).widen() == T::Real::of(0.0));
            let underflow = !found.failed() && is_zero(&self.lambda) && !is_zero(&self.solver.values);
            let kept = &mut kept[at * r..][..r];
            let cut = if found.failed() {
                self.fail();
                kept.fill(false);
                cut::Selection { rank: 0, gap_kept: Float::infinity(), gap_dropped: Float::infinity(), status: found }
            } else {
                cut::select_beside(nulls, &problem.matrices, &self.lambda, kept)
            };
            (rank[at], gap_kept[at], gap_dropped[at], status[at]) =
                (cut.rank as u32, cut.gap_kept, cut.gap_dropped, cut.status | Status::VALUES_UNDERFLOW.when(underflow));
            values[at * r..].iter_mut().zip(&self.lambda).for_each(|(to, &from)| *to = Element::narrow(from));
            vectors[at * n * r..].iter_mut().zip(&self.v).for_each(|(to, &from)| *to = O::narrow(from));
            projection[at * r * r..][..r * r].copy_from_slice(&self.s);
        }
    }

    /// Leaves λ, V and S.
    fn solve<I: Element<Scalar = T>>(&mut self, n: usize, r: usize, b: &[I]) -> Status {
        let Some(exponent) = self.load(b) else { return Status::NOT_FINITE };
        if r == 0 {
            return Status::OK;
        }
        householder::factorise(n, &mut self.b, &mut self.tau);
        self.square(n, r);
        let status = self.solver.solve(&self.m, Some(Triangle::Lower), Some(&mut self.u));
        if status.failed() {
            return status;
        }
        for k in 0..r {
            let (u, v) = (&self.u[k * r..][..r], &mut self.v[k * n..][..n]);
            v[..r].copy_from_slice(u);
            v[r..].fill(T::zero());
            for c in 0..r {
                let s = u.iter().zip(&self.b[c * n..][..=c]).fold(T::zero(), |sum, (u, &x)| sum + u.conj() * x);
                self.s[c * r + k] = T::from_parts(s.re().ldexp(exponent), s.im().ldexp(exponent));
            }
        }
        householder::multiply(n, &self.b, &self.tau, &mut self.v);
        self.lambda.iter_mut().zip(&self.solver.values).for_each(|(to, from)| *to = from.ldexp(2 * exponent));
        status
    }

    /// Copies 2⁻ᵉ·B with 1 ≤ max|B|·2⁻ᵉ < 2 and returns e; nothing if an entry is not finite.
    fn load<I: Element<Scalar = T>>(&mut self, b: &[I]) -> Option<i32> {
        let mut largest = T::Real::of(0.0);
        for (to, from) in self.b.iter_mut().zip(b) {
            *to = from.widen();
            if !to.finite() {
                return None;
            }
            largest = Float::max(largest, Float::max(Float::abs(to.re()), Float::abs(to.im())));
        }
        if largest == T::Real::of(0.0) {
            return Some(0);
        }
        let exponent = largest.binary_exponent();
        self.b.iter_mut().for_each(|x| *x = T::from_parts(x.re().ldexp(-exponent), x.im().ldexp(-exponent)));
        Some(exponent)
    }

    /// The lower triangle of M = R Rᴴ.
    fn square(&mut self, n: usize, r: usize) {
        self.m.fill(T::zero());
        for column in self.b.chunks_exact(n).enumerate().map(|(c, column)| &column[..=c]) {
            for (i, &x) in column.iter().enumerate() {
                self.m[i * r..].iter_mut().zip(&column[..=i]).for_each(|(m, y)| *m += x * y.conj());
            }
        }
    }

    fn fail(&mut self) {
        let nan = T::Real::of(f64::NAN);
        self.lambda.fill(nan);
        for x in [&mut self.v, &mut self.s] {
            x.fill(T::from_parts(nan, nan));
        }
    }
}
