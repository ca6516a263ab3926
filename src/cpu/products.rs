//! Ā of one matrix by matrix products: docs/derivation.md, equations (8) and (10).

use super::Kernels;
use super::assemble::{Assemble, Column, Found};
use super::backward::{Backward, Spread};
use crate::options::Problem;
use crate::{Cpu, Dropped, EigenpairsRef, Element, Real, Status, Stored, cut};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use num_complex::Complex;
use num_traits::Float;

/// Scratch memory for one matrix: its columns that matter, and the products of them.
#[derive(Debug)]
pub(super) struct Products<T: Kernels> {
    columns: Vec<Column<T::Real>>,
    lambda: Vec<T::Real>,
    labels: Vec<T::Real>,
    v: Mat<T>,
    v_bar: Mat<T>,
    x: Mat<T>,
    m: Mat<T>,
    a_bar: Mat<T>,
    /// ‖V̄_k‖.
    norms: Vec<T::Real>,
    gauge_defect: Vec<T::Real>,
    tie_defect: T::Real,
    dropped: Dropped,
    with_vectors_bar: bool,
}

impl<T: Kernels> Products<T> {
    pub(super) fn new(n: usize) -> Self {
        let zeros = || Mat::from_fn(n, n, |_, _| T::zero());
        let reals = || vec![T::Real::of(0.0); n];
        Self {
            columns: Vec::with_capacity(n),
            lambda: reals(),
            labels: reals(),
            v: zeros(),
            v_bar: zeros(),
            x: zeros(),
            m: zeros(),
            a_bar: zeros(),
            norms: reals(),
            gauge_defect: reals(),
            tie_defect: T::Real::of(0.0),
            dropped: Dropped::AsComputed,
            with_vectors_bar: false,
        }
    }

    /// X = Vᴴ V̄ ↦ G = diag λ̄ + F ∘ skew(X), or under λ_D = 0 the G' = ½(G − X Λ⁻¹) of equation (10), in place.
    fn weigh(&mut self) {
        let (half, zero) = (T::Real::of(0.5), T::Real::of(0.0));
        for (j, cj) in self.columns.iter().enumerate() {
            for (i, ci) in self.columns[..j].iter().enumerate() {
                let (x, y) = (self.x[(i, j)], self.x[(j, i)]);
                let skew = (x - y.conj()).scale(half);
                let g = if ci.label == cj.label { T::zero() } else { skew.scale(T::Real::of(1.0) / (cj.lambda - ci.lambda)) };
                let norm = Float::max(self.norms[ci.k], self.norms[cj.k]);
                if ci.label == cj.label && norm > zero {
                    let defect = T::from_parts(skew.re() / norm, skew.im() / norm);
                    self.tie_defect = Float::max(self.tie_defect, Float::sqrt(defect.norm_sqr()));
                }
                self.x[(i, j)] = g;
                self.x[(j, i)] = g.conj();
                if self.dropped == Dropped::Zero {
                    self.x[(i, j)] = (g - x.scale(T::Real::of(1.0) / cj.lambda)).scale(half);
                    self.x[(j, i)] = (g.conj() - y.scale(T::Real::of(1.0) / ci.lambda)).scale(half);
                }
            }
            let g = T::from_parts(cj.lambda_bar, zero);
            self.x[(j, j)] = match self.dropped {
                Dropped::AsComputed => g,
                Dropped::Zero => (g - self.x[(j, j)].scale(T::Real::of(1.0) / cj.lambda)).scale(half),
            };
        }
    }

    /// ‖V̄_k‖ and ρ_k = |Im X_kk| / ‖V̄_k‖, scaled so that no square over- or underflows.
    fn gauge(&mut self, c: usize, k: usize) {
        let size = |x: &T| Float::max(Float::abs(x.re()), Float::abs(x.im()));
        let (v, v_bar) = (self.v.col_as_slice(c), self.v_bar.col_as_slice(c));
        let largest = v_bar.iter().map(size).fold(Float::min_positive_value(), Float::max);
        let scale = T::Real::of(1.0) / largest;
        let (mut square, mut x) = (T::Real::of(0.0), T::zero());
        for (&v, &v_bar) in v.iter().zip(v_bar) {
            let v_bar = v_bar.scale(scale);
            square += v_bar.norm_sqr();
            x += v.conj() * v_bar;
        }
        if square != T::Real::of(0.0) {
            self.norms[k] = largest * Float::sqrt(square);
            self.gauge_defect[k] = Float::abs(x.im()) / Float::sqrt(square);
        }
    }
}

impl<T: Kernels> Assemble<T> for Products<T> {
    fn assemble<O: Stored<T>, G: Stored<T>>(&mut self, problem: &Problem, matrix: Backward<'_, O, G>) {
        let Backward { pairs, cotangents, out, .. } = matrix;
        self.with_vectors_bar = cotangents.vectors.is_some();
        self.dropped = problem.dropped;
        self.norms.fill(T::Real::of(0.0));
        self.gauge_defect.fill(T::Real::of(0.0));
        self.tie_defect = T::Real::of(0.0);
        self.columns(problem, pairs, cotangents.values, out.status, out.tie_defect);
        self.load(pairs.vectors, cotangents.vectors);
        self.multiply();
        out.gauge_defect.copy_from_slice(&self.gauge_defect);
        self.store(out.a_bar);
    }

    fn found(&self, _: usize) -> Found<T::Real> {
        let largest = |largest, &defect| Float::max(largest, defect);
        let gauge_defect = self.gauge_defect.iter().fold(T::Real::of(0.0), largest);
        Found { tie_defect: self.tie_defect, gauge_defect, finite: None }
    }
}

impl<T: Kernels> Products<T> {
    /// What of the columns takes part, and what λ̄ says of ties.
    fn columns<O: Stored<T>>(
        &mut self,
        problem: &Problem,
        pairs: EigenpairsRef<'_, O, Cpu>,
        values_bar: Option<&[O::Real]>,
        status: &mut [Status],
        tie_defect: &mut [T::Real],
    ) {
        self.columns.clear();
        self.lambda.iter_mut().zip(pairs.values).for_each(|(to, from)| *to = from.widen());
        let tied = cut::label(problem.ties, problem.tie_rtol::<O::Real>(), &self.lambda, pairs.kept, &mut self.labels);
        status[0] |= Status::TIED.when(tied);
        let mut spread = Spread::default();
        for (k, &kept) in pairs.kept.iter().enumerate() {
            let (lambda, label) = (self.lambda[k], self.labels[k]);
            let lambda_bar = values_bar.filter(|_| kept).map_or(T::Real::of(0.0), |x| x[k].widen());
            spread.see(label, lambda_bar);
            // Otherwise D takes no part.
            if kept || (problem.dropped == Dropped::AsComputed && self.with_vectors_bar) {
                self.columns.push(Column { k, lambda, label, lambda_bar });
            }
        }
        tie_defect[0] = spread.largest();
    }

    fn load<O: Element<Scalar = T>>(&mut self, v: &[O], v_bar: Option<&[O]>) {
        let n = self.v.nrows();
        if self.columns.len() == n {
            self.dropped = Dropped::AsComputed; // there is no D, and (8) does not divide by λ
        }
        for c in 0..self.columns.len() {
            let Column { k, label, .. } = self.columns[c];
            let copy = |to: &mut [T], from: &[O]| to.iter_mut().zip(&from[k * n..]).for_each(|(to, x)| *to = x.widen());
            copy(self.v.col_as_slice_mut(c), v);
            match v_bar.filter(|_| label > T::Real::of(0.0)) {
                Some(v_bar) => copy(self.v_bar.col_as_slice_mut(c), v_bar),
                None => self.v_bar.col_as_slice_mut(c).fill(T::zero()),
            }
            self.gauge(c, k);
        }
    }

    /// Ā's lower triangle.
    fn multiply(&mut self) {
        let r = self.columns.len();
        if self.with_vectors_bar {
            let (v, v_bar) = (self.v.as_ref().subcols(0, r), self.v_bar.as_ref().subcols(0, r));
            T::adjoint_times(self.x.as_mut().submatrix_mut(0, 0, r, r), v, v_bar);
            self.weigh();
            let v = self.v.as_ref().subcols(0, r);
            T::times(self.m.as_mut().subcols_mut(0, r), v, self.x.as_ref().submatrix(0, 0, r, r));
        }
        for (c, column) in self.columns.iter().enumerate() {
            let m = self.m.col_as_slice_mut(c);
            if !self.with_vectors_bar {
                m.iter_mut().zip(self.v.col_as_slice(c)).for_each(|(m, v)| *m = v.scale(column.lambda_bar));
            } else if self.dropped == Dropped::Zero {
                let weight = T::Real::of(0.5) / column.lambda;
                m.iter_mut().zip(self.v_bar.col_as_slice(c)).for_each(|(m, v_bar)| *m += v_bar.scale(weight));
            }
        }
        let (v, m) = (self.v.as_ref().subcols(0, r), self.m.as_ref().subcols(0, r));
        T::times_adjoint(self.a_bar.as_mut(), Accum::Replace, m, v);
        if self.with_vectors_bar && self.dropped == Dropped::Zero {
            T::times_adjoint(self.a_bar.as_mut(), Accum::Add, v, m);
        }
    }

    fn store<G: Element<Scalar = T>>(&self, a_bar: &mut [G]) {
        let n = self.a_bar.nrows();
        for j in 0..n {
            for (i, &x) in self.a_bar.col_as_slice(j).iter().enumerate().skip(j) {
                let x = if i == j { T::from_parts(x.re(), T::Real::of(0.0)) } else { x };
                a_bar[j * n + i] = G::narrow(x.conj());
                a_bar[i * n + j] = G::narrow(x);
            }
        }
    }
}

/// faer's matrix products, compiled once for each type.
pub trait Multiply: Sized {
    /// C = Aᴴ B.
    fn adjoint_times(c: MatMut<'_, Self>, a: MatRef<'_, Self>, b: MatRef<'_, Self>);
    /// C = A B.
    fn times(c: MatMut<'_, Self>, a: MatRef<'_, Self>, b: MatRef<'_, Self>);
    /// The lower triangle of C = A Bᴴ, or of C + A Bᴴ.
    fn times_adjoint(c: MatMut<'_, Self>, accumulate: Accum, a: MatRef<'_, Self>, b: MatRef<'_, Self>);
}

macro_rules! multiply {
    ($($t:ty = $one:expr),*) => { $(
        impl Multiply for $t {
            fn adjoint_times(c: MatMut<'_, $t>, a: MatRef<'_, $t>, b: MatRef<'_, $t>) {
                matmul(c, Accum::Replace, a.adjoint(), b, $one, Par::Seq);
            }
            fn times(c: MatMut<'_, $t>, a: MatRef<'_, $t>, b: MatRef<'_, $t>) {
                matmul(c, Accum::Replace, a, b, $one, Par::Seq);
            }
            fn times_adjoint(c: MatMut<'_, $t>, accumulate: Accum, a: MatRef<'_, $t>, b: MatRef<'_, $t>) {
                use BlockStructure::{Rectangular, TriangularLower};
                triangular::matmul(c, TriangularLower, accumulate, a, Rectangular, b.adjoint(), Rectangular, $one, Par::Seq);
            }
        }
    )* }
}
multiply!(f32 = 1.0, f64 = 1.0, Complex<f32> = Complex::new(1.0, 0.0), Complex<f64> = Complex::new(1.0, 0.0));
