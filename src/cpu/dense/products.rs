//! Ā of one matrix by matrix products: docs/derivation.md, equations (8) and (10).

use crate::cpu::backward::run::{Column, Found, GroupBackward};
use crate::cpu::backward::run::{Run, Spread};
use crate::cpu::dense::columns::{Columns, TILE};
use crate::cpu::dense::matrix::Matrix;
use crate::cpu::memory::filled;
use crate::cpu::parallel::par;
use crate::options::Problem;
use crate::{Cotangents, Cpu, Dropped, Eigenpairs, Element, ElementOf, Real, Result, Scalar, Status, View, cut};
use faer::Accum;
use faer::linalg::matmul::triangular::BlockStructure;

/// Scratch memory for one matrix: its columns that matter, and the products of them.
#[derive(Debug)]
pub(in crate::cpu) struct Products<T: Scalar> {
    columns: Columns<T>,
    lambda: Vec<T::Real>,
    labels: Vec<T::Real>,
    m: Matrix<T>,
    a_bar: Matrix<T>,
    finite: bool,
}

impl<T: Scalar> Products<T> {
    pub(in crate::cpu) fn new(n: usize) -> Result<Self> {
        let (lambda, labels) = (filled(T::Real::of(0.0), n)?, filled(T::Real::of(0.0), n)?);
        let (m, a_bar) = (Matrix::zeros(n, n)?, Matrix::zeros(n, n)?);
        Ok(Self { columns: Columns::new(n, n)?, lambda, labels, m, a_bar, finite: true })
    }
}

impl<T: Scalar> GroupBackward<T> for Products<T> {
    fn backward<O: ElementOf<T>, G: ElementOf<T>>(&mut self, problem: &Problem, matrix: Run<'_, '_, O, G>) {
        let Run { n, pairs, cotangents, mut out } = matrix;
        self.take(problem, pairs, cotangents, &mut out.status, &mut out.tie_defect);
        if self.columns.of.len() == n {
            // there is no D, and (8) does not divide by λ
            self.columns.dropped = Dropped::AsComputed;
        }
        self.columns.load(&pairs.vectors, cotangents.vectors.as_deref(), cotangents.rows);
        self.multiply();
        out.gauge_defect.copy_from_slice(&self.columns.gauge_defect);
        self.finite = self.store(&mut out.a_bar);
    }

    fn found(&self, _: usize) -> Found<T::Real> {
        Found { tie_defect: self.columns.tie_defect, gauge_defect: self.columns.largest_gauge_defect(), finite: self.finite }
    }
}

impl<T: Scalar> Products<T> {
    /// What of the columns takes part, and what λ̄ says of ties.
    fn take<O: ElementOf<T>>(
        &mut self,
        problem: &Problem,
        pairs: Eigenpairs<O, Cpu, View<'_>>,
        cotangents: Cotangents<O, Cpu, View<'_>>,
        status: &mut [Status],
        tie_defect: &mut [T::Real],
    ) {
        self.lambda.iter_mut().zip(pairs.spectrum.values.iter()).for_each(|(to, from)| *to = from.widen());
        let tied = cut::label(problem.ties, problem.tie_rtol::<O::Real>(), &self.lambda, &pairs.spectrum.kept, &mut self.labels);
        status[0] |= Status::of_ties(problem.ties, tied);
        self.columns.start(problem.dropped, cotangents.vectors.is_some(), tied);
        let mut spread = Spread::default();
        for (k, &kept) in pairs.spectrum.kept.iter().enumerate() {
            let (lambda, label) = (self.lambda[k], self.labels[k]);
            let lambda_bar = cotangents.values.filter(|_| kept).map_or(T::Real::of(0.0), |x| x[k].widen());
            spread.see(label, lambda_bar);
            self.columns.column(Column { k, lambda, label, lambda_bar });
        }
        tie_defect[0] = spread.largest();
    }

    /// Ā's lower triangle.
    fn multiply(&mut self) {
        let Self { columns, m, a_bar, .. } = self;
        let r = columns.of.len();
        if columns.with_vectors_bar {
            columns.project();
            columns.weigh();
            T::times(m.as_mut().subcols_mut(0, r), Accum::Replace, columns.v(), columns.x());
        }
        for (c, column) in columns.of.iter().enumerate() {
            let m = m.column_mut(c);
            if !columns.with_vectors_bar {
                m.iter_mut().zip(columns.v.column(c)).for_each(|(m, v)| *m = v.scale(column.lambda_bar));
            } else if columns.dropped == Dropped::Zero {
                let weight = T::Real::of(0.5) / column.lambda;
                m.iter_mut().zip(columns.v_bar.column(c)).for_each(|(m, v_bar)| *m += v_bar.scale(weight));
            }
        }
        let (v, m) = (columns.v(), m.as_ref().subcols(0, r));
        let lower = BlockStructure::TriangularLower;
        let par = par(a_bar.rows());
        T::times_adjoint((a_bar.as_mut(), lower), Accum::Replace, T::one(), m, v, par);
        if columns.with_vectors_bar && columns.dropped == Dropped::Zero {
            T::times_adjoint((a_bar.as_mut(), lower), Accum::Add, T::one(), v, m, par);
        }
    }

    /// Writes both triangles; whether the entries are finite.
    fn store<G: Element<Scalar = T>>(&self, a_bar: &mut [G]) -> bool {
        let (n, mut finite) = (self.a_bar.rows(), true);
        for j in 0..n {
            let (to, from) = (&mut a_bar[j * n + j..(j + 1) * n], &self.a_bar.column(j)[j..]);
            let diagonal = T::from_parts(from[0].re(), T::Real::of(0.0));
            for (to, &x) in to.iter_mut().zip([&diagonal].into_iter().chain(&from[1..])) {
                finite &= x.finite();
                *to = G::narrow(x.conj());
            }
        }
        for j0 in (0..n).step_by(TILE) {
            for i0 in (j0..n).step_by(TILE) {
                for i in i0..n.min(i0 + TILE) {
                    for j in j0..i.min(j0 + TILE) {
                        a_bar[i * n + j] = G::narrow(self.a_bar[(i, j)]);
                    }
                }
            }
        }
        finite
    }
}
