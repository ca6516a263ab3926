//! Losses of eigenpairs against targets, matrix by matrix: docs/derivation.md §15.

use super::parallel::{self, Chunk};
use crate::compute::Loss;
use crate::loss::factors;
use crate::options::Problem;
use crate::{Cpu, Eigenpairs, Element, ElementOf, PairLoss, PairLosses, Real, Result, Scalar, Targets, View, ViewMut};
use num_traits::{Float, Zero};

/// Consecutive matrices with all that is read and written of them.
struct Run<'a, O: Element> {
    n: usize,
    pairs: Eigenpairs<O, Cpu, View<'a>>,
    targets: Targets<O, Cpu, View<'a>>,
    out: PairLosses<O, Cpu, ViewMut<'a>>,
}

impl<O: Element> Chunk for Run<'_, O> {
    fn batch(&self) -> usize {
        self.out.loss.len()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let Self { n, pairs, targets, out } = self;
        let (pairs, pairs2) = pairs.split_at(b);
        let (targets, targets2) = targets.split_at(b);
        let (out, out2) = out.split_at(b);
        (Self { n, pairs, targets, out }, Self { n, pairs: pairs2, targets: targets2, out: out2 })
    }
}

impl<T: Scalar> Loss<T> for Cpu {
    fn loss<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        loss: &PairLoss,
        pairs: Eigenpairs<O, Self, View<'a>>,
        targets: Targets<O, Self, View<'a>>,
        out: PairLosses<O, Self, ViewMut<'a>>,
    ) -> Result<()> {
        let by = factors::<T>(loss);
        let each = |mut run: Run<'_, O>| (0..run.batch()).for_each(|b| run.matrix(b, by));
        self.run(|| parallel::each(Run { n: problem.n, pairs, targets, out }, &each));
        Ok(())
    }
}

impl<O: Element> Run<'_, O> {
    /// The loss of matrix `b`.
    fn matrix<T: Scalar>(&mut self, b: usize, by: [T::Real; 3])
    where
        O: ElementOf<T>,
    {
        let sum = (b * self.n..(b + 1) * self.n).fold(T::Real::zero(), |sum, k| sum + self.pair(k, by));
        self.out.loss[b] = if self.pairs.spectrum.status[b].failed() { T::Real::nan() } else { sum };
    }

    /// What pair `k` of the run adds.
    fn pair<T: Scalar>(&mut self, k: usize, [spectral, overlap, intensity]: [T::Real; 3]) -> T::Real
    where
        O: ElementOf<T>,
    {
        let entries = k * self.n..(k + 1) * self.n;
        let v_bar = &mut self.out.vectors_bar[entries.clone()];
        let weight: T::Real = self.targets.weights[k].widen();
        if !self.pairs.spectrum.kept[k] || weight == T::Real::zero() {
            v_bar.fill(O::narrow(T::zero()));
            self.out.values_bar[k] = O::Real::narrow(T::Real::zero());
            return T::Real::zero();
        }
        let vectors = || self.pairs.vectors[entries.clone()].iter().zip(&self.targets.vectors[entries.clone()]);
        let vectors = || vectors().map(|(v, target)| (v.widen(), target.widen()));
        let inner = vectors().fold(T::zero(), |sum, (v, target)| sum + target.conj() * v);
        let (mut apart, mut brighter) = (T::Real::zero(), T::Real::zero());
        for ((v, target), v_bar) in vectors().zip(v_bar) {
            let (along, difference) = (target * inner, v.norm_sqr() - target.norm_sqr());
            apart += (v - along).norm_sqr();
            brighter += difference * difference;
            let [of_intensity, of_overlap] = [T::Real::of(4.0) * intensity * weight, T::Real::of(2.0) * overlap * weight];
            *v_bar = O::narrow(v.scale(of_intensity * difference) - along.scale(of_overlap));
        }
        let off = self.pairs.spectrum.values[k].widen() - self.targets.values[k].widen();
        self.out.values_bar[k] = O::Real::narrow(T::Real::of(2.0) * spectral * weight * off);
        weight * (spectral * off * off + overlap * apart + intensity * brighter)
    }
}
