//! A = V Λ Vᴴ of one large matrix, by faer: scaled by a power of two before, and polished behind.
//!
//! faer's V is orthonormal to some 80 ε and its λ right to some 90 ε‖A‖₂ from n = 129 on, growing
//! with n. One Newton–Schulz step, V ↦ V + ½V(I − VᴴV), and Rayleigh quotients vᴴAv/vᴴv bring both
//! to a few ε. Where faer does not converge, which happens where entries span more than the range
//! of squares, entries that are nothing beside the largest are dropped; and then the lanes' QL is
//! tried.

use crate::cpu::dense::matrix::Matrix;
use crate::cpu::memory::filled;
use crate::cpu::transposed;
use crate::element::sealed::Ldexp;
use crate::{Element, Error, Precision, Real, Result, Scalar, Status, Triangle};
use faer::Accum;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::mat::AsMatMut;
use faer::reborrow::{Reborrow, ReborrowMut};
use num_traits::Float;
use std::cmp::Ordering;
use std::fmt;

/// The order up to which the lanes' QL is tried: its memory is that of as many matrices as there
/// are lanes.
const LANES_UP_TO: usize = 1024;

/// Scratch memory for one n×n matrix: a copy that faer reads, and what it returns.
pub(in crate::cpu) struct Single<T: Scalar> {
    a: Matrix<T>,
    lambda: Vec<T>,
    /// λ, ascending.
    pub values: Vec<T::Real>,
    vectors: Matrix<T>,
    /// The column of each eigenvector.
    order: Vec<usize>,
    /// The solver's, and then that of the products that polish.
    memory: MemBuffer,
}

impl<T: Scalar> fmt::Debug for Single<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Single(n = {})", self.values.len())
    }
}

impl<T: Scalar> Single<T> {
    pub(in crate::cpu) fn new(n: usize) -> Result<Self> {
        let products = T::product_memory(n);
        // Of order 0 faer's own request overflows.
        let memory = MemBuffer::try_new(T::evd_memory(n.max(1)).or(products.and(products)))
            .map_err(|e| Error::Backend { backend: "cpu", reason: format!("no memory for n = {n}: {e:?}") })?;
        Ok(Self {
            a: Matrix::zeros(n, n)?,
            lambda: filled(T::zero(), n)?,
            values: filled(T::Real::of(0.0), n)?,
            vectors: Matrix::zeros(n, n)?,
            order: (0..n).collect(),
            memory,
        })
    }

    /// Leaves λ in `values` and V in `vectors`.
    pub(in crate::cpu) fn solve<I: Element<Scalar = T>>(
        &mut self,
        n: usize,
        a: &[I],
        triangle: Option<Triangle>,
        with_vectors: bool,
    ) -> Status {
        match self.load(n, a, triangle) {
            _ if n == 0 => Status::OK,
            None => Status::NOT_FINITE,
            Some(exponent) => {
                let converged = self.by_faer(with_vectors) || self.without_tiny(with_vectors) || self.by_lanes();
                if converged && with_vectors {
                    self.polish();
                }
                self.values.iter_mut().for_each(|value| *value = value.ldexp(exponent));
                Status::NOT_CONVERGED.when(!converged)
            }
        }
    }

    /// Eigenvector k.
    pub(in crate::cpu) fn vector(&self, k: usize) -> &[T] {
        self.vectors.column(self.order[k])
    }

    /// Leaves λ of the scaled matrix in `values`; whether it converged.
    fn by_faer(&mut self, with_vectors: bool) -> bool {
        let vectors = with_vectors.then(|| self.vectors.as_mut());
        let converged = T::evd(self.a.as_ref(), &mut self.lambda, vectors, MemStack::new(&mut self.memory));
        self.values.iter_mut().zip(&self.lambda).for_each(|(value, lambda)| *value = lambda.re());
        self.order.iter_mut().enumerate().for_each(|(k, at)| *at = k);
        converged
    }

    /// By faer without the entries off the diagonal that are nothing beside the largest, whose
    /// squares leave the range.
    fn without_tiny(&mut self, with_vectors: bool) -> bool {
        let tiny = T::Real::of(if T::Real::PRECISION == Precision::F32 { 1e-20 } else { 1e-40 });
        for j in 0..self.a.columns() {
            for x in &mut self.a.column_mut(j)[j + 1..] {
                if Float::max(Float::abs(x.re()), Float::abs(x.im())) < tiny {
                    *x = T::zero();
                }
            }
        }
        self.by_faer(with_vectors)
    }

    /// By the lanes' QL, in one lane of a group that is made for it.
    fn by_lanes(&mut self) -> bool {
        let n = self.values.len();
        if n > LANES_UP_TO {
            return false;
        }
        let Ok(mut group) = T::group(n) else { return false };
        let lower = |i: usize, j: usize| if j <= i { self.a[(i, j)] } else { T::zero() };
        let a: Vec<T> = (0..n * n).map(|at| lower(at / n, at % n)).collect();
        let mut vectors = vec![T::zero(); n * n];
        T::eigh_lanes(&mut group, Triangle::Lower, &a, Some(&mut vectors));
        self.values.copy_from_slice(&group.lambda[..n]);
        for (k, from) in vectors.chunks_exact(n).enumerate() {
            self.vectors.column_mut(k).copy_from_slice(from);
        }
        group.status[0] == Status::OK
    }

    /// V ↦ V + ½V(I − VᴴV), and λ ↦ Rayleigh quotients, ascending.
    fn polish(&mut self) {
        let n = self.values.len();
        let memory = MemStack::new(&mut self.memory);
        let (mut product, memory) = T::product(n, memory);
        let (mut before, _) = T::product(n, memory);
        let (mut product, mut before) = (product.as_mat_mut(), before.as_mat_mut());
        T::adjoint_times(product.rb_mut(), self.vectors.as_ref(), self.vectors.as_ref());
        let half = T::Real::of(0.5);
        for k in 0..n {
            for (i, &x) in self.vectors.column(k).iter().enumerate() {
                before[(i, k)] = x;
                product[(i, k)] = -product[(i, k)].scale(half);
            }
            let diagonal = &mut product[(k, k)];
            *diagonal = T::from_parts(half + diagonal.re(), T::Real::of(0.0));
            for i in 0..k {
                self.a[(i, k)] = self.a[(k, i)].conj();
            }
        }
        T::times(self.vectors.as_mut(), Accum::Add, before.rb(), product.rb());
        T::times(product.rb_mut(), Accum::Replace, self.a.as_ref(), self.vectors.as_ref());
        for k in 0..n {
            let v = self.vectors.column(k);
            let av = product.rb().col(k).try_as_col_major().map_or(&[][..], |column| column.as_slice());
            self.values[k] = dot(v, av) / dot(v, v);
        }
        let values = &self.values;
        self.order.sort_by(|&i, &j| values[i].partial_cmp(&values[j]).unwrap_or(Ordering::Equal));
        self.values.sort_by(|x, y| x.partial_cmp(y).unwrap_or(Ordering::Equal));
    }

    /// Copies the lower triangle of 2⁻ᵉ·A, or of 2⁻ᵉ times the mean of both, with 1 ≤ max|A|·2⁻ᵉ <
    /// 2, so that no square over- or underflows, and returns e; nothing if an entry is not finite.
    /// Scaling by a power of two is exact.
    fn load<I: Element<Scalar = T>>(&mut self, n: usize, a: &[I], triangle: Option<Triangle>) -> Option<i32> {
        let mut largest = T::Real::of(0.0);
        for j in 0..n {
            for (i, to) in self.a.column_mut(j).iter_mut().enumerate().skip(j) {
                let x = match triangle {
                    Some(Triangle::Lower) => a[i * n + j].widen(),
                    Some(Triangle::Upper) => a[j * n + i].widen().conj(),
                    None => transposed::mean(a[i * n + j].widen(), a[j * n + i].widen()),
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
            for x in &mut self.a.column_mut(j)[j..] {
                *x = T::from_parts(x.re().ldexp(-exponent), x.im().ldexp(-exponent));
            }
        }
        Some(exponent)
    }
}

/// Re xᴴy in eight sums, which a processor adds at once, and which round less than one.
fn dot<T: Scalar>(x: &[T], y: &[T]) -> T::Real {
    let of = |x: &T, y: &T| x.re() * y.re() + x.im() * y.im();
    let ((eights, rest), (others, behind)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut sums = [T::Real::of(0.0); 8];
    for (x, y) in eights.iter().zip(others) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += of(x, y));
    }
    let last = rest.iter().zip(behind).fold(T::Real::of(0.0), |sum, (x, y)| sum + of(x, y));
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h)) + last
}
