//! B̄ = 2 V G S + (I − V Vᴴ) V̄_K Λ_K⁻¹ S_K of one factor after the other: docs/derivation.md §12.

use crate::compute::BackwardFactor;
use crate::cpu::backward::run::Column;
use crate::cpu::backward::run::Spread;
use crate::cpu::dense::columns::Columns;
use crate::cpu::dense::matrix::Matrix;
use crate::cpu::eigh_factor;
use crate::cpu::memory::filled;
use crate::cpu::parallel::Chunk;
use crate::{
    Cotangents, Cpu, Dropped, Element, ElementOf, FactorGradient, FactorPairs, FactorProblem, Real, Result, Scalar, Status, View,
    ViewMut, cut,
};
use faer::Accum;
use num_traits::Float;

/// What is read and written of a run of factors.
pub(in crate::cpu) struct FactorRun<'a, O: Element> {
    /// n and r.
    pub shape: (usize, usize),
    pub pairs: FactorPairs<O, Cpu, View<'a>>,
    pub cotangents: Cotangents<O, Cpu, View<'a>>,
    pub out: FactorGradient<O, Cpu, ViewMut<'a>>,
}

impl<O: Element> Chunk for FactorRun<'_, O> {
    fn batch(&self) -> usize {
        self.pairs.spectrum.status.len()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let Self { shape, pairs, cotangents, out } = self;
        let (pairs, pairs2) = pairs.split_at(b);
        let (cotangents, cotangents2) = cotangents.split_at(b);
        let (out, out2) = out.split_at(b);
        (Self { shape, pairs, cotangents, out }, Self { shape, pairs: pairs2, cotangents: cotangents2, out: out2 })
    }
}

impl<T: Scalar> BackwardFactor<T> for Cpu {
    fn backward_factor<'a, O: ElementOf<T>>(
        &self,
        problem: &FactorProblem,
        pairs: FactorPairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        out: FactorGradient<O, Self, ViewMut<'a>>,
        workspace: &eigh_factor::Workspace<T>,
    ) -> Result<()> {
        let (shape, products) = ((problem.matrices.n, problem.r), &workspace.products);
        let work = |products: &mut FactorProducts<T>, chunk| {
            products.backward(problem, chunk);
            Ok(())
        };
        self.run(|| products.each(problem.r, FactorRun { shape, pairs, cotangents, out }, |_| 1, &work))
    }
}

/// Scratch memory for one factor.
#[derive(Debug)]
pub(in crate::cpu) struct FactorProducts<T: Scalar> {
    lambda: Vec<T::Real>,
    labels: Vec<T::Real>,
    columns: Columns<T>,
    /// 2 S, by rows of the columns that take part.
    twice_s: Matrix<T>,
    /// Λ_K⁻¹ S_K; its rows outside K are 0.
    weighted_s: Matrix<T>,
    /// −X.
    minus_x: Matrix<T>,
    /// 2 G S − X Λ_K⁻¹ S_K.
    c: Matrix<T>,
    b_bar: Matrix<T>,
}

impl<T: Scalar> FactorProducts<T> {
    pub(in crate::cpu) fn new(n: usize, r: usize) -> Result<Self> {
        let square = || Matrix::zeros(r, r);
        Ok(Self {
            lambda: filled(T::Real::of(0.0), r)?,
            labels: filled(T::Real::of(0.0), r)?,
            columns: Columns::new(n, r)?,
            twice_s: square()?,
            weighted_s: square()?,
            minus_x: square()?,
            c: square()?,
            b_bar: Matrix::zeros(n, r)?,
        })
    }

    /// B̄ of every factor of the chunk.
    pub(in crate::cpu) fn backward<O: ElementOf<T>>(&mut self, problem: &FactorProblem, mut chunk: FactorRun<'_, O>) {
        let (n, r) = chunk.shape;
        for b in 0..chunk.batch() {
            self.take(problem, &mut chunk, b);
            let size = b * n * r..(b + 1) * n * r;
            self.columns.load(
                &chunk.pairs.vectors[size.clone()],
                chunk.cotangents.vectors.as_deref().map(|x| &x[size]),
                chunk.cotangents.rows,
            );
            self.multiply(n > r, &chunk.pairs.projection[b * r * r..]);
            self.report(problem, &mut chunk, b);
        }
    }

    /// Gives the columns of matrix `b`, and starts its status and its tie defect.
    fn take<O: ElementOf<T>>(&mut self, problem: &FactorProblem, chunk: &mut FactorRun<'_, O>, b: usize) {
        let (matrices, r, pairs) = (&problem.matrices, problem.r, chunk.pairs);
        let kept = &pairs.spectrum.kept[b * r..][..r];
        self.lambda.iter_mut().zip(&pairs.spectrum.values[b * r..]).for_each(|(to, from)| *to = from.widen());
        let tied = cut::label(matrices.ties, matrices.tie_rtol::<O::Real>(), &self.lambda, kept, &mut self.labels);
        self.columns.start(Dropped::AsComputed, chunk.cotangents.vectors.is_some(), tied);
        let mut spread = Spread::default();
        for k in 0..r {
            let lambda_bar = chunk.cotangents.values.filter(|_| kept[k]).map_or(T::Real::of(0.0), |x| x[b * r + k].widen());
            spread.see(self.labels[k], lambda_bar);
            let as_computed = kept[k] || matrices.dropped == Dropped::AsComputed;
            let lambda = if as_computed { self.lambda[k] } else { T::Real::of(0.0) };
            self.columns.column(Column { k, lambda, label: self.labels[k], lambda_bar });
        }
        chunk.out.tie_defect[b] = spread.largest();
        chunk.out.status[b] = pairs.spectrum.status[b] | Status::of_ties(matrices.ties, tied);
    }

    /// Leaves B̄. V̄ reaches beyond the range of B if there is a null space `beside` it.
    fn multiply(&mut self, beside: bool, s: &[T]) {
        let Self { columns, twice_s, weighted_s, minus_x, c, b_bar, .. } = self;
        let (m, r) = (columns.of.len(), c.columns());
        for (row, column) in columns.of.iter().enumerate() {
            let kept = column.label > T::Real::of(0.0);
            let weight = if beside && kept { T::Real::of(1.0) / column.lambda } else { T::Real::of(0.0) };
            for at in 0..r {
                let s = s[at * r + column.k];
                twice_s[(row, at)] = s + s;
                weighted_s[(row, at)] = s.scale(weight);
            }
        }
        let with_nulls = beside && columns.with_vectors_bar;
        match columns.with_vectors_bar {
            true => columns.project(),
            false => columns.x_mut().fill(T::zero()),
        }
        if with_nulls {
            let x = columns.x();
            (0..m * m).map(|at| (at % m, at / m)).for_each(|at| minus_x[at] = -x[at]);
        }
        columns.weigh();
        let mut c = c.as_mut().subrows_mut(0, m);
        T::times(c.as_mut(), Accum::Replace, columns.x(), twice_s.as_ref().subrows(0, m));
        if with_nulls {
            T::times(c.as_mut(), Accum::Add, minus_x.as_ref().submatrix(0, 0, m, m), weighted_s.as_ref().subrows(0, m));
        }
        T::times(b_bar.as_mut(), Accum::Replace, columns.v(), c.as_ref());
        if with_nulls {
            T::times(b_bar.as_mut(), Accum::Add, columns.v_bar(), weighted_s.as_ref().subrows(0, m));
        }
    }

    /// Writes B̄ and the report of matrix `b`, as the options and its status ask for.
    fn report<O: ElementOf<T>>(&self, problem: &FactorProblem, chunk: &mut FactorRun<'_, O>, b: usize) {
        let (n, r, out) = (problem.matrices.n, problem.r, &mut chunk.out);
        let b_bar = &mut out.b_bar[b * n * r..][..n * r];
        let gauge_defect = &mut out.gauge_defect[b * r..][..r];
        let status = &mut out.status[b];
        if status.refused() {
            let nan = T::Real::of(f64::NAN);
            b_bar.fill(O::narrow(T::from_parts(nan, nan)));
            return gauge_defect.fill(T::Real::of(0.0));
        }
        gauge_defect.copy_from_slice(&self.columns.gauge_defect);
        out.tie_defect[b] = Float::max(out.tie_defect[b], self.columns.tie_defect);
        for (c, to) in b_bar.chunks_exact_mut(n.max(1)).enumerate() {
            to.iter_mut().zip(self.b_bar.column(c)).for_each(|(to, &from)| *to = O::narrow(from));
        }
        let round_off = T::Real::of(problem.matrices.round_off::<O>());
        *status |= Status::PHASE_DEPENDENT.when(self.columns.largest_gauge_defect() > round_off);
        *status |= Status::TIE_DEFECT.when(out.tie_defect[b] > round_off);
        let finite = b_bar.iter().fold(true, |finite, x| finite & x.widen().finite());
        *status |= Status::GRADIENT_NOT_FINITE.when(!finite);
    }
}
