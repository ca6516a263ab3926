//! What the backward pass gives: [`Gradient`] Ā, and a [`Report`] on how far it can be trusted.

use crate::batch::expect_len;
use crate::eigenpairs::{Eigenpairs, array2, array3};
use crate::options::Problem;
use crate::{Backend, Cpu, Element, Error, Result, Status, Stored};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// Where a gradient is written.
#[derive(Debug)]
pub struct GradientMut<'a, G: Element, B: Backend = Cpu> {
    /// Ā, row-major `[batch, n, n]`.
    pub a_bar: B::ViewMut<'a, G>,
    /// ρ, `[batch, n]`: see [`Report::gauge_defect`].
    pub gauge_defect: B::ViewMut<'a, <G::Scalar as Element>::Real>,
    /// `[batch]`: see [`Report::tie_defect`].
    pub tie_defect: B::ViewMut<'a, <G::Scalar as Element>::Real>,
    /// What is to be known of each matrix, forward and backward, `[batch]`.
    pub status: B::ViewMut<'a, Status>,
}

/// The gradient of a loss by the matrices of a batch, owned.
#[derive(Debug)]
pub struct Gradient<G: Element, B: Backend = Cpu> {
    backend: B,
    a_bar: B::Buffer<G>,
    gauge_defect: B::Buffer<<G::Scalar as Element>::Real>,
    tie_defect: B::Buffer<<G::Scalar as Element>::Real>,
    status: B::Buffer<Status>,
    batch: usize,
    n: usize,
}

/// The memory of a [`Gradient`]; shapes as in [`GradientMut`].
#[derive(Debug)]
#[allow(missing_docs, reason = "named as in GradientMut")]
pub struct GradientBuffers<G: Element, B: Backend = Cpu> {
    pub a_bar: B::Buffer<G>,
    pub gauge_defect: B::Buffer<<G::Scalar as Element>::Real>,
    pub tie_defect: B::Buffer<<G::Scalar as Element>::Real>,
    pub status: B::Buffer<Status>,
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
    /// min |λ|/τ over kept eigenvalues, more than 1: how clear the cut was from above. Infinite for τ = 0, without a cut and where nothing
    /// is kept.
    pub kept_over_cutoff: R,
    /// max |λ|/τ over dropped eigenvalues: at most 1 where τ cut, more where "at most r" did. 0 for τ = 0 if they are 0, as without a
    /// cut and where nothing is dropped; otherwise infinite.
    pub dropped_over_cutoff: R,
    /// ρ_j = |Im X_jj| / ‖V̄_j‖ for each eigenvector, X = Vᴴ V̄: 0 to round-off if and only if the loss does not depend on its
    /// phase. 0 for dropped ones and always 0 in real arithmetic, where phases are signs and cannot be seen in a derivative.
    pub gauge_defect: &'a [R],
    /// The largest |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖) in any group of tied kept eigenvalues, or, if that is larger, the largest
    /// spread of λ̄ over a group relative to the largest |λ̄| of the matrix. 0 to round-off is necessary, not sufficient, for a loss that sees the
    /// group as a subspace with a mean eigenvalue. Not measured under [`TieRule::Exact`](crate::TieRule::Exact), which has no groups.
    pub tie_defect: R,
    /// What both defects stay below by rounding: [`Precision::round_off`](crate::Precision::round_off).
    pub round_off: f64,
    /// What is to be known of this matrix, forward and backward.
    pub status: Status,
}

impl<G: Element, B: Backend> Gradient<G, B> {
    /// Memory for the gradient of a problem.
    pub(crate) fn zeros(backend: &B, problem: &Problem) -> Result<Self> {
        let &Problem { batch, n, .. } = problem;
        Ok(Self {
            backend: backend.clone(),
            a_bar: backend.zeros(batch * n * n)?,
            gauge_defect: backend.zeros(batch * n)?,
            tie_defect: backend.zeros(batch)?,
            status: backend.zeros(batch)?,
            batch,
            n,
        })
    }

    /// The memory, as it is.
    pub fn into_buffers(self) -> GradientBuffers<G, B> {
        let Self { a_bar, gauge_defect, tie_defect, status, .. } = self;
        GradientBuffers { a_bar, gauge_defect, tie_defect, status }
    }

    /// A gradient in memory of the caller's.
    ///
    /// # Errors
    /// [`Error::Shape`] if any of it has another length.
    pub(crate) fn from_buffers(backend: &B, problem: &Problem, buffers: GradientBuffers<G, B>) -> Result<Self> {
        let &Problem { batch, n, .. } = problem;
        let GradientBuffers { a_bar, gauge_defect, tie_defect, status } = buffers;
        expect_len::<G, B>("Ā", batch * n * n, &a_bar)?;
        expect_len::<<G::Scalar as Element>::Real, B>("gauge_defect", batch * n, &gauge_defect)?;
        expect_len::<<G::Scalar as Element>::Real, B>("tie_defect", batch, &tie_defect)?;
        expect_len::<Status, B>("status", batch, &status)?;
        Ok(Self { backend: backend.clone(), a_bar, gauge_defect, tie_defect, status, batch, n })
    }

    /// The number of matrices.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The order n of the matrices.
    pub fn n(&self) -> usize {
        self.n
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> GradientMut<'_, G, B> {
        GradientMut {
            a_bar: B::view_mut(&mut self.a_bar),
            gauge_defect: B::view_mut(&mut self.gauge_defect),
            tie_defect: B::view_mut(&mut self.tie_defect),
            status: B::view_mut(&mut self.status),
        }
    }

    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<Gradient<G, Cpu>> {
        Ok(Gradient {
            backend: self.backend.host(),
            a_bar: self.backend.download(B::view(&self.a_bar))?.into(),
            gauge_defect: self.backend.download(B::view(&self.gauge_defect))?.into(),
            tie_defect: self.backend.download(B::view(&self.tie_defect))?.into(),
            status: self.backend.download(B::view(&self.status))?.into(),
            batch: self.batch,
            n: self.n,
        })
    }

    /// The statuses, `[batch]`.
    pub(crate) fn status_view(&self) -> B::View<'_, Status> {
        B::view(&self.status)
    }
}

impl<G: Element> Gradient<G, Cpu> {
    /// Ā, `[batch, n, n]`, in the units of the loss per unit of A: dL = Re tr(Āᴴ dA).
    pub fn a_bar(&self) -> ArrayView3<'_, G> {
        array3(self.batch, self.n, &self.a_bar)
    }

    /// ρ, `[batch, n]`: see [`Report::gauge_defect`].
    pub fn gauge_defect(&self) -> ArrayView2<'_, <G::Scalar as Element>::Real> {
        array2(self.batch, self.n, &self.gauge_defect)
    }

    /// `[batch]`: see [`Report::tie_defect`].
    pub fn tie_defect(&self) -> ArrayView1<'_, <G::Scalar as Element>::Real> {
        ArrayView1::from(&*self.tie_defect)
    }

    /// What is to be known of each matrix, forward and backward, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        ArrayView1::from(&*self.status)
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`] unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        Error::unless_clear(&self.status, |status| !status.passes())
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
        O: Stored<G::Scalar>,
    {
        let (spectrum, expected, got) = (pairs.spectrum(), [self.batch, self.n], [pairs.batch(), pairs.n()]);
        if expected != got {
            return Err(Error::Shape { what: "pairs", expected: expected.to_vec(), got: got.to_vec() });
        }
        let round_off = pairs.problem.round_off::<O>();
        Ok((0..self.batch).zip(spectrum.cut_margins(&pairs.problem)).map(move |(b, margins)| Report {
            rank: spectrum.rank()[b],
            gap_kept: spectrum.gap_kept()[b],
            gap_dropped: spectrum.gap_dropped()[b],
            kept_over_cutoff: margins[0],
            dropped_over_cutoff: margins[1],
            gauge_defect: &self.gauge_defect[b * self.n..][..self.n],
            tie_defect: self.tie_defect[b],
            round_off,
            status: self.status[b],
        }))
    }
}
