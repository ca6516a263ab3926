//! What the two ways to Ā share: the run of matrices that is read and written, and what is found of
//! each.

use crate::cpu::parallel::Chunk;
use crate::options::Problem;
use crate::{Cotangents, Cpu, Eigenpairs, Element, ElementOf, Gradient, Real, Scalar, View, ViewMut};
use num_traits::Float;

/// What is read and written of a run of matrices.
pub(in crate::cpu) struct Run<'i, 'o, O: Element, G: Element> {
    pub n: usize,
    pub pairs: Eigenpairs<O, Cpu, View<'i>>,
    pub cotangents: Cotangents<O, Cpu, View<'i>>,
    pub out: Gradient<G, Cpu, ViewMut<'o>>,
}

impl<'i, O: Element, G: Element> Run<'i, '_, O, G> {
    pub(in crate::cpu) fn reborrow(&mut self) -> Run<'i, '_, O, G> {
        Run { n: self.n, pairs: self.pairs, cotangents: self.cotangents, out: self.out.reborrow() }
    }
}

impl<O: Element, G: Element> Chunk for Run<'_, '_, O, G> {
    fn batch(&self) -> usize {
        self.pairs.spectrum.status.len()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let Self { n, pairs, cotangents, out } = self;
        let (pairs, pairs2) = pairs.split_at(b);
        let (cotangents, cotangents2) = cotangents.split_at(b);
        let (out, out2) = out.split_at(b);
        (Self { n, pairs, cotangents, out }, Self { n, pairs: pairs2, cotangents: cotangents2, out: out2 })
    }
}

/// One column of the problem: eigenvalue, label (0 is dropped; F is 0 between equal labels) and λ̄,
/// 0 outside K.
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct Column<R> {
    pub k: usize,
    pub lambda: R,
    pub label: R,
    pub lambda_bar: R,
}

/// What was found of a matrix on the way.
pub(in crate::cpu) struct Found<R> {
    /// The largest tie defect in X.
    pub tie_defect: R,
    pub gauge_defect: R,
    /// Whether Ā, as it was computed, is finite.
    pub finite: bool,
}

/// Makes Ā of as many matrices as are worked on at a time.
pub(in crate::cpu) trait GroupBackward<T: Scalar> {
    /// Writes Ā, ρ and the spreads of λ̄, and adds what ties are to the statuses; columns of V̄
    /// outside K are not used.
    fn backward<O: ElementOf<T>, G: ElementOf<T>>(&mut self, problem: &Problem, group: Run<'_, '_, O, G>);
    /// What was found of a matrix of the last group.
    fn found(&self, b: usize) -> Found<T::Real>;
}

/// The largest spread of λ̄ over a group of equal labels, relative to the largest |λ̄| of the matrix;
/// λ̄ is 0 on D.
#[derive(Default)]
pub(in crate::cpu) struct Spread<R> {
    label: R,
    low: R,
    high: R,
    /// Half of the largest spread of the groups before this one: what is not halved may overflow.
    before: R,
    /// The largest |λ̄|.
    scale: R,
}

impl<R: Real> Spread<R> {
    pub(in crate::cpu) fn see(&mut self, label: R, lambda_bar: R) {
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

    pub(in crate::cpu) fn largest(&self) -> R {
        let half = self.half();
        if half == R::of(0.0) { half } else { half / self.scale * R::of(2.0) }
    }
}
