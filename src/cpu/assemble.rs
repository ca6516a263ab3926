//! What the two ways to Ā share: the run of matrices that is read and written, and what is found of each.

use super::parallel::Chunk;
use crate::options::Problem;
use crate::{CotangentsRef, Cpu, EigenpairsRef, Element, GradientMut, Real, Scalar, Stored};
use num_traits::Float;

/// What is read and written of a run of matrices.
pub(super) struct Run<'a, O: Element, G: Element> {
    pub n: usize,
    pub pairs: EigenpairsRef<'a, O, Cpu>,
    pub cotangents: CotangentsRef<'a, O, Cpu>,
    pub out: GradientMut<'a, G, Cpu>,
}

impl<O: Element, G: Element> Run<'_, O, G> {
    pub(super) fn reborrow(&mut self) -> Run<'_, O, G> {
        let EigenpairsRef { values, vectors, kept, status } = self.pairs;
        let (values_bar, vectors_bar) = (self.cotangents.values, self.cotangents.vectors);
        let out = &mut self.out;
        Run {
            n: self.n,
            pairs: EigenpairsRef { values, vectors, kept, status },
            cotangents: CotangentsRef { values: values_bar, vectors: vectors_bar },
            out: GradientMut {
                a_bar: &mut *out.a_bar,
                gauge_defect: &mut *out.gauge_defect,
                tie_defect: &mut *out.tie_defect,
                status: &mut *out.status,
            },
        }
    }
}

impl<O: Element, G: Element> Chunk for Run<'_, O, G> {
    fn batch(&self) -> usize {
        self.pairs.status.len()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let Self { n, pairs, cotangents, out } = self;
        let (values, values2) = pairs.values.split_at(b * n);
        let (vectors, vectors2) = pairs.vectors.split_at(b * n * n);
        let (kept, kept2) = pairs.kept.split_at(b * n);
        let (status, status2) = pairs.status.split_at(b);
        let (values_bar, values_bar2) = cotangents.values.map(|x| x.split_at(b * n)).unzip();
        let (vectors_bar, vectors_bar2) = cotangents.vectors.map(|x| x.split_at(b * n * n)).unzip();
        let (a_bar, a_bar2) = out.a_bar.split_at_mut(b * n * n);
        let (gauge_defect, gauge_defect2) = out.gauge_defect.split_at_mut(b * n);
        let (tie_defect, tie_defect2) = out.tie_defect.split_at_mut(b);
        let (found, found2) = out.status.split_at_mut(b);
        let left = Self {
            n,
            pairs: EigenpairsRef { values, vectors, kept, status },
            cotangents: CotangentsRef { values: values_bar, vectors: vectors_bar },
            out: GradientMut { a_bar, gauge_defect, tie_defect, status: found },
        };
        let right = Self {
            n,
            pairs: EigenpairsRef { values: values2, vectors: vectors2, kept: kept2, status: status2 },
            cotangents: CotangentsRef { values: values_bar2, vectors: vectors_bar2 },
            out: GradientMut { a_bar: a_bar2, gauge_defect: gauge_defect2, tie_defect: tie_defect2, status: found2 },
        };
        (left, right)
    }
}

/// One column of the problem: eigenvalue, label (0 is dropped; F is 0 between equal labels) and λ̄, 0 outside K.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<R> {
    pub k: usize,
    pub lambda: R,
    pub label: R,
    pub lambda_bar: R,
}

/// What was found of a matrix on the way.
pub(super) struct Found<R> {
    /// The largest tie defect in X.
    pub tie_defect: R,
    pub gauge_defect: R,
    /// Whether Ā, as it was computed, is finite.
    pub finite: bool,
}

/// Assembles Ā of as many matrices as are worked on at a time.
pub(super) trait Assemble<T: Scalar> {
    /// Writes Ā, ρ and the spreads of λ̄, and adds what ties are to the statuses; columns of V̄ outside K are not used.
    fn assemble<O: Stored<T>, G: Stored<T>>(&mut self, problem: &Problem, group: Run<'_, O, G>);
    /// What was found of a matrix of the last group.
    fn found(&self, b: usize) -> Found<T::Real>;
}

/// The largest spread of λ̄ over a group of equal labels, relative to the largest |λ̄| of the matrix; λ̄ is 0 on D.
#[derive(Default)]
pub(super) struct Spread<R> {
    label: R,
    low: R,
    high: R,
    /// Half of the largest spread of the groups before this one: what is not halved may overflow.
    before: R,
    /// The largest |λ̄|.
    scale: R,
}

impl<R: Real> Spread<R> {
    pub(super) fn see(&mut self, label: R, lambda_bar: R) {
        if label != self.label {
            *self = Self { label, low: lambda_bar, high: lambda_bar, before: self.half(), scale: self.scale };
        }
        self.low = Float::min(self.low, lambda_bar);
        self.high = Float::max(self.high, lambda_bar);
        self.scale = Float::max(self.scale, Float::abs(lambda_bar));
    }

    fn half(&self) -> R {
        Float::max(self.before, self.high * R::of(0.5) - self.low * R::of(0.5))
    }

    pub(super) fn largest(&self) -> R {
        let half = self.half();
        if half == R::of(0.0) { half } else { half / self.scale * R::of(2.0) }
    }
}
