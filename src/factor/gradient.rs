//! What the backward pass gives of factors: [`FactorGradient`], B̄ with a report.

use super::FactorPairs;
use crate::array::arrays;
use crate::{Array, Backend, Cpu, Element, ElementOf, Error, Owned, Report, Result, Status, Storage, View, ViewMut};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

arrays! {
    /// The gradient of a loss by the factors of a batch.
    FactorGradient<O>(batch, n, r) {
        /// B̄, one column after the other: `[batch, k, i]`, r columns of n components.
        b_bar, "B̄": O, 3 [batch, r, n];
        /// ρ, `[batch, r]`: see [`Report::gauge_defect`].
        gauge_defect, "gauge_defect": <O::Scalar as Element>::Real, 2 [batch, r];
        /// `[batch]`: see [`Report::tie_defect`].
        tie_defect, "tie_defect": <O::Scalar as Element>::Real, 1 [batch];
        /// What is to be known of each matrix, forward and backward, `[batch]`.
        status, "status": Status, 1 [batch];
    }
}

impl<O: Element, S: Storage> FactorGradient<O, Cpu, S> {
    /// B̄, `[batch, n, r]`, in the units of the loss per unit of B: dL = Re tr(B̄ᴴ dB); strides (n·r,
    /// 1, n).
    pub fn b_bar(&self) -> ArrayView3<'_, O> {
        self.b_bar.array().permuted_axes([0, 2, 1])
    }

    /// [`FactorGradient::gauge_defect`] as an array, `[batch, r]`.
    pub fn gauge_defect(&self) -> ArrayView2<'_, <O::Scalar as Element>::Real> {
        self.gauge_defect.array()
    }

    /// [`FactorGradient::tie_defect`] as an array, `[batch]`.
    pub fn tie_defect(&self) -> ArrayView1<'_, <O::Scalar as Element>::Real> {
        self.tie_defect.array()
    }

    /// [`FactorGradient::status`] as an array, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        self.status.array()
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`] unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        self.status.check()
    }

    /// A report for each matrix; `pairs` are those that the gradient was taken of. `gap_dropped`
    /// counts the n − r exact zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not of this gradient's shape.
    pub fn report<'a, P>(
        &'a self,
        pairs: &'a FactorPairs<P, Cpu>,
    ) -> Result<impl ExactSizeIterator<Item = Report<'a, <O::Scalar as Element>::Real>>>
    where
        P: ElementOf<O::Scalar>,
    {
        let [batch, r, n] = self.b_bar.shape();
        let (spectrum, expected, got) = (&pairs.spectrum, [batch, n, r], [pairs.batch(), pairs.n(), pairs.r()]);
        if expected != got {
            return Err(Error::Shape { what: "pairs", expected: expected.to_vec(), got: got.to_vec() });
        }
        let round_off = pairs.problem.matrices.round_off::<P>();
        Ok((0..batch).zip(spectrum.cut_margins(&pairs.problem.matrices)).map(move |(b, margins)| Report {
            rank: spectrum.rank[b],
            gap_kept: spectrum.gap_kept[b],
            gap_dropped: spectrum.gap_dropped[b],
            kept_over_cutoff: margins[0],
            dropped_over_cutoff: margins[1],
            gauge_defect: &self.gauge_defect[b * r..][..r],
            tie_defect: self.tie_defect[b],
            round_off,
            status: self.status[b],
        }))
    }
}
