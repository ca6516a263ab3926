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
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::mat::AsMatMut;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Accum, MatMut};
use num_traits::Float;
use std::cmp::Ordering;
use std::fmt;

/// The order up to which the lanes' QL is tried: its memory is that of as many matrices as there
/// are lanes.
const LANES_UP_TO: usize = 1024;

/// Scratch memory for one n×n matrix: a copy that faer works in, and what it returns.
pub(in crate::cpu) struct Single<T: Scalar> {
    a: Matrix<T>,
    lambda: Vec<T>,
    /// λ, ascending.
    pub values: Vec<T::Real>,
    /// Where each eigenvector is, before they are sorted.
    order: Vec<usize>,
    /// The solver's, and then that of the products that polish.
    memory: MemBuffer,
}

/// Leaves λ in `values` and writes V; whether it converged.
type Solve<T> = fn(&mut Single<T>, Option<&mut [T]>) -> bool;

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
            order: filled(0, n)?,
            memory,
        })
    }

    /// Leaves λ in `values` and writes V, vector after vector.
    pub(in crate::cpu) fn solve<I: Element<Scalar = T>>(
        &mut self,
        a: &[I],
        triangle: Option<Triangle>,
        mut vectors: Option<&mut [T]>,
    ) -> Status {
        let n = self.values.len();
        if n == 0 {
            return Status::OK;
        }
        let solvers: [Solve<T>; 3] = [Self::by_faer, Self::without_tiny, Self::by_lanes];
        let (mut converged, mut exponent) = (false, 0);
        for solve in solvers {
            // Each loses its copy of A.
            let Some(e) = self.load(a, triangle) else { return Status::NOT_FINITE };
            exponent = e;
            converged = solve(self, vectors.as_deref_mut());
            if converged {
                break;
            }
        }
        if let Some(vectors) = vectors.filter(|_| converged) {
            self.load(a, triangle);
            self.polish(vectors);
        }
        self.values.iter_mut().for_each(|value| *value = value.ldexp(exponent));
        Status::NOT_CONVERGED.when(!converged)
    }

    /// Leaves λ of the scaled matrix in `values`; whether it converged.
    fn by_faer(&mut self, vectors: Option<&mut [T]>) -> bool {
        let n = self.values.len();
        let vectors = vectors.map(|v| MatMut::from_column_major_slice_mut(v, n, n));
        let converged = T::evd(self.a.as_mut(), &mut self.lambda, vectors, MemStack::new(&mut self.memory));
        self.values.iter_mut().zip(&self.lambda).for_each(|(value, lambda)| *value = lambda.re());
        converged
    }

    /// By faer without the entries off the diagonal that are nothing beside the largest, whose
    /// squares leave the range.
    fn without_tiny(&mut self, vectors: Option<&mut [T]>) -> bool {
        let tiny = T::Real::of(if T::Real::PRECISION == Precision::F32 { 1e-20 } else { 1e-40 });
        for j in 0..self.a.columns() {
            for x in &mut self.a.column_mut(j)[j + 1..] {
                if Float::max(Float::abs(x.re()), Float::abs(x.im())) < tiny {
                    *x = T::zero();
                }
            }
        }
        self.by_faer(vectors)
    }

    /// By the lanes' QL, in one lane of a group that is made for it.
    fn by_lanes(&mut self, vectors: Option<&mut [T]>) -> bool {
        let n = self.values.len();
        if n > LANES_UP_TO {
            return false;
        }
        let (Ok(mut group), Ok(mut a)) = (T::group(n), filled(T::zero(), n * n)) else { return false };
        for (i, row) in a.chunks_exact_mut(n).enumerate() {
            row[..=i].iter_mut().enumerate().for_each(|(j, x)| *x = self.a[(i, j)]);
        }
        T::eigh_lanes(&mut group, Triangle::Lower, &a, vectors);
        self.values.copy_from_slice(&group.lambda[..n]);
        group.status[0] == Status::OK
    }

    /// V ↦ V + ½V(I − VᴴV), and λ ↦ Rayleigh quotients, ascending.
    fn polish(&mut self, vectors: &mut [T]) {
        let n = self.values.len();
        let memory = MemStack::new(&mut self.memory);
        let (mut product, memory) = T::product(n, memory);
        let (mut before, _) = T::product(n, memory);
        let (mut product, mut before) = (product.as_mat_mut(), before.as_mat_mut());
        for (k, v) in vectors.chunks_exact(n).enumerate() {
            v.iter().enumerate().for_each(|(i, &x)| before[(i, k)] = x);
        }
        let mut v = MatMut::from_column_major_slice_mut(&mut *vectors, n, n);
        T::adjoint_times(product.rb_mut(), before.rb(), before.rb());
        let half = T::Real::of(0.5);
        for k in 0..n {
            for i in 0..n {
                product[(i, k)] = -product[(i, k)].scale(half);
            }
            let diagonal = &mut product[(k, k)];
            *diagonal = T::from_parts(half + diagonal.re(), T::Real::of(0.0));
            for i in 0..k {
                self.a[(i, k)] = self.a[(k, i)].conj();
            }
        }
        T::times(v.rb_mut(), Accum::Add, before.rb(), product.rb());
        T::times(product.rb_mut(), Accum::Replace, self.a.as_ref(), v.rb());
        for (k, v) in vectors.chunks_exact(n).enumerate() {
            let av = product.rb().col(k).try_as_col_major().map_or(&[][..], |column| column.as_slice());
            self.values[k] = dot(v, av) / dot(v, v);
        }
        let (values, order) = (&self.values, &mut self.order);
        order.iter_mut().enumerate().for_each(|(k, at)| *at = k);
        order.sort_by(|&i, &j| values[i].partial_cmp(&values[j]).unwrap_or(Ordering::Equal));
        self.values.sort_by(|x, y| x.partial_cmp(y).unwrap_or(Ordering::Equal));
        permute(vectors, n, order);
    }

    /// Copies the lower triangle of 2⁻ᵉ·A, or of 2⁻ᵉ times the mean of both, with 1 ≤ max|A|·2⁻ᵉ <
    /// 2, so that no square over- or underflows, and returns e; nothing if an entry is not finite.
    /// Scaling by a power of two is exact.
    fn load<I: Element<Scalar = T>>(&mut self, a: &[I], triangle: Option<Triangle>) -> Option<i32> {
        let (n, mut largest) = (self.values.len(), T::Real::of(0.0));
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

/// Moves row `order[k]` of n numbers to k, for every k, in place.
fn permute<T>(rows: &mut [T], n: usize, order: &[usize]) {
    for k in 0..order.len() {
        let mut from = order[k];
        // Where an exchange has put it.
        while from < k {
            from = order[from];
        }
        if from > k {
            let (before, behind) = rows.split_at_mut(from * n);
            before[k * n..][..n].swap_with_slice(&mut behind[..n]);
        }
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

#[cfg(test)]
mod tests {
    use super::permute;

    /// Rows that change places are tied to round-off, which no ratio tells apart.
    #[test]
    fn rows_are_where_the_order_says() {
        for order in [vec![], vec![0], vec![1, 0], vec![2, 0, 1], vec![1, 2, 0], vec![3, 4, 0, 2, 1, 5], vec![5, 4, 3, 2, 1, 0]] {
            let mut rows: Vec<_> = (0..2 * order.len()).collect();
            permute(&mut rows, 2, &order);
            assert_eq!(rows, order.iter().flat_map(|&from| [2 * from, 2 * from + 1]).collect::<Vec<_>>(), "{order:?}");
        }
    }
}
