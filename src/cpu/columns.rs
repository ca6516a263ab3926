//! The columns of one matrix that take part in its gradient: V, V̄, X = Vᴴ V̄, and G of docs/derivation.md, equation (7), made of it.

use super::Kernels;
use super::assemble::Column;
use crate::{Dropped, Element, Real};
use faer::{Mat, MatMut, MatRef};
use num_traits::Float;

/// Scratch memory for up to r columns of n components.
#[derive(Debug)]
pub(super) struct Columns<T: Kernels> {
    /// Those that take part, in order of k.
    pub of: Vec<Column<T::Real>>,
    pub v: Mat<T>,
    pub v_bar: Mat<T>,
    x: Mat<T>,
    /// ‖V̄_k‖.
    norms: Vec<T::Real>,
    pub gauge_defect: Vec<T::Real>,
    pub tie_defect: T::Real,
    pub dropped: Dropped,
    pub with_vectors_bar: bool,
}

impl<T: Kernels> Columns<T> {
    pub(super) fn new(n: usize, r: usize) -> Self {
        let zeros = |rows| Mat::from_fn(rows, r, |_, _| T::zero());
        let reals = || vec![T::Real::of(0.0); r];
        Self {
            of: Vec::with_capacity(r),
            v: zeros(n),
            v_bar: zeros(n),
            x: zeros(r),
            norms: reals(),
            gauge_defect: reals(),
            tie_defect: T::Real::of(0.0),
            dropped: Dropped::AsComputed,
            with_vectors_bar: false,
        }
    }

    /// Begins a matrix.
    pub(super) fn start(&mut self, dropped: Dropped, with_vectors_bar: bool) {
        self.of.clear();
        self.norms.fill(T::Real::of(0.0));
        self.gauge_defect.fill(T::Real::of(0.0));
        self.tie_defect = T::Real::of(0.0);
        (self.dropped, self.with_vectors_bar) = (dropped, with_vectors_bar);
    }

    /// Adds a column if it takes part.
    pub(super) fn column(&mut self, column: Column<T::Real>) {
        let kept = column.label > T::Real::of(0.0);
        if kept || (self.dropped == Dropped::AsComputed && self.with_vectors_bar) {
            self.of.push(column); // otherwise D takes no part
        }
    }

    /// Copies what belongs to the columns out of V and V̄, and measures ρ.
    pub(super) fn load<O: Element<Scalar = T>>(&mut self, v: &[O], v_bar: Option<&[O]>) {
        let n = self.v.nrows();
        for c in 0..self.of.len() {
            let Column { k, label, .. } = self.of[c];
            let copy = |to: &mut [T], from: &[O]| to.iter_mut().zip(&from[k * n..]).for_each(|(to, x)| *to = x.widen());
            copy(self.v.col_as_slice_mut(c), v);
            match v_bar.filter(|_| label > T::Real::of(0.0)) {
                Some(v_bar) => copy(self.v_bar.col_as_slice_mut(c), v_bar),
                None => self.v_bar.col_as_slice_mut(c).fill(T::zero()),
            }
            self.gauge(c, k);
        }
    }

    pub(super) fn v(&self) -> MatRef<'_, T> {
        self.v.as_ref().subcols(0, self.of.len())
    }

    pub(super) fn v_bar(&self) -> MatRef<'_, T> {
        self.v_bar.as_ref().subcols(0, self.of.len())
    }

    /// X, or G once it has been made.
    pub(super) fn x(&self) -> MatRef<'_, T> {
        self.x.as_ref().submatrix(0, 0, self.of.len(), self.of.len())
    }

    pub(super) fn x_mut(&mut self) -> MatMut<'_, T> {
        self.x.as_mut().submatrix_mut(0, 0, self.of.len(), self.of.len())
    }

    /// X = Vᴴ V̄.
    pub(super) fn project(&mut self) {
        let r = self.of.len();
        let (v, v_bar) = (self.v.as_ref().subcols(0, r), self.v_bar.as_ref().subcols(0, r));
        T::adjoint_times(self.x.as_mut().submatrix_mut(0, 0, r, r), v, v_bar);
    }

    /// X = Vᴴ V̄ ↦ G = diag λ̄ + F ∘ skew(X), or under λ_D = 0 the G' = ½(G − X Λ⁻¹) of equation (10), in place.
    pub(super) fn weigh(&mut self) {
        let (half, zero) = (T::Real::of(0.5), T::Real::of(0.0));
        for (j, cj) in self.of.iter().enumerate() {
            for (i, ci) in self.of[..j].iter().enumerate() {
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

    pub(super) fn largest_gauge_defect(&self) -> T::Real {
        self.gauge_defect.iter().fold(T::Real::of(0.0), |largest, &defect| Float::max(largest, defect))
    }
}
