//! What the backward pass gives: [`Gradient`] Ā, and a [`Report`] on how far it can be trusted.

use crate::array::arrays;
use crate::{Array, Backend, Cpu, Eigenpairs, Element, ElementOf, Error, Owned, Result, Status, Storage, View, ViewMut};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

arrays! {
    /// The gradient of a loss by the matrices of a batch.
    Gradient<G>(batch, n) {
        /// Ā, `[batch, n, n]`, in the units of the loss per unit of A: dL = Re tr(Āᴴ dA).
        a_bar, "Ā": G, 3 [batch, n, n];
        /// ρ, `[batch, n]`: see [`Report::gauge_defect`].
        gauge_defect, "gauge_defect": <G::Scalar as Element>::Real, 2 [batch, n];
        /// `[batch]`: see [`Report::tie_defect`].
        tie_defect, "tie_defect": <G::Scalar as Element>::Real, 1 [batch];
        /// What is to be known of each matrix, forward and backward, `[batch]`.
        status, "status": Status, 1 [batch];
    }
}

/// How far the gradient of one matrix can be trusted.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a, R> {
    /// The number of kept eigenpairs.
    pub rank: u32,
    /// min |λ_j − λ_i| over kept pairs; ‖Ā‖ grows as its reciprocal.
    pub gap_kept: R,
    /// min |λ_j − λ_i| over pairs of a dropped and a kept one; ‖Ā‖ grows as its reciprocal.
    pub gap_dropped: R,
    /// min |λ|/τ over kept eigenvalues, more than 1: how clear the cut was from above. Infinite for
    /// τ = 0, without a cut and where nothing is kept.
    pub kept_over_cutoff: R,
    /// max |λ|/τ over dropped eigenvalues: at most 1 where τ cut, more where "at most r" did. 0 for
    /// τ = 0 if they are 0, as without a cut and where nothing is dropped; otherwise infinite.
    pub dropped_over_cutoff: R,
    /// ρ_j = |Im X_jj| / ‖V̄_j‖ for each eigenvector, X = Vᴴ V̄: 0 to round-off if and only if the
    /// loss does not depend on its phase. 0 for dropped ones and always 0 in real arithmetic, where
    /// phases are signs and cannot be seen in a derivative.
    pub gauge_defect: &'a [R],
    /// The largest |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖) in any group of tied kept eigenvalues, or, if
    /// that is larger, the largest spread of λ̄ over a group relative to the largest |λ̄| of the
    /// matrix. 0 to round-off is necessary, not sufficient, for a loss that sees the group as a
    /// subspace with a mean eigenvalue. Not measured under
    /// [`TieRule::Exact`](crate::TieRule::Exact), which has no groups.
    pub tie_defect: R,
    /// What both defects stay below by rounding:
    /// [`Precision::round_off`](crate::Precision::round_off).
    pub round_off: f64,
    /// What is to be known of this matrix, forward and backward.
    pub status: Status,
}

impl<G: Element, B: Backend, S: Storage> Gradient<G, B, S> {
    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.a_bar.shape()[0]
    }

    /// The order n of the matrices.
    pub fn n(&self) -> usize {
        self.a_bar.shape()[1]
    }
}

impl<G: Element, S: Storage> Gradient<G, Cpu, S> {
    /// [`Gradient::a_bar`] as an array, `[batch, n, n]`.
    pub fn a_bar(&self) -> ArrayView3<'_, G> {
        self.a_bar.array()
    }

    /// [`Gradient::gauge_defect`] as an array, `[batch, n]`.
    pub fn gauge_defect(&self) -> ArrayView2<'_, <G::Scalar as Element>::Real> {
        self.gauge_defect.array()
    }

    /// [`Gradient::tie_defect`] as an array, `[batch]`.
    pub fn tie_defect(&self) -> ArrayView1<'_, <G::Scalar as Element>::Real> {
        self.tie_defect.array()
    }

    /// [`Gradient::status`] as an array, `[batch]`.
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

    /// A report for each matrix; `pairs` are those that the gradient was taken of.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not of this gradient's shape.
    pub fn report<'a, O>(
        &'a self,
        pairs: &'a Eigenpairs<O, Cpu>,
    ) -> Result<impl ExactSizeIterator<Item = Report<'a, <G::Scalar as Element>::Real>>>
    where
        O: ElementOf<G::Scalar>,
    {
        let (spectrum, expected, got) = (&pairs.spectrum, [self.batch(), self.n()], [pairs.batch(), pairs.n()]);
        if expected != got {
            return Err(Error::Shape { what: "pairs", expected: expected.to_vec(), got: got.to_vec() });
        }
        let (n, round_off) = (self.n(), pairs.problem.round_off::<O>());
        Ok((0..self.batch()).zip(spectrum.cut_margins(&pairs.problem)).map(move |(b, margins)| Report {
            rank: spectrum.rank[b],
            gap_kept: spectrum.gap_kept[b],
            gap_dropped: spectrum.gap_dropped[b],
            kept_over_cutoff: margins[0],
            dropped_over_cutoff: margins[1],
            gauge_defect: &self.gauge_defect[b * n..][..n],
            tie_defect: self.tie_defect[b],
            round_off,
            status: self.status[b],
        }))
    }
}
