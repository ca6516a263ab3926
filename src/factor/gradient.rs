//! What the backward pass gives of factors: [`FactorGradient`], B̄ with a report.

use super::{FactorPairs, FactorProblem};
use crate::eigenpairs::array2;
use crate::{Backend, Cpu, Element, Error, Report, Result, Status, Stored};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// Where the gradient by factors is written.
#[derive(Debug)]
pub struct FactorGradientMut<'a, O: Element, B: Backend = Cpu> {
    /// B̄, one column after the other: `[batch, k, i]`, r columns of n components.
    pub b_bar: B::ViewMut<'a, O>,
    /// ρ, `[batch, r]`: see [`Report::gauge_defect`].
    pub gauge_defect: B::ViewMut<'a, <O::Scalar as Element>::Real>,
    /// `[batch]`: see [`Report::tie_defect`].
    pub tie_defect: B::ViewMut<'a, <O::Scalar as Element>::Real>,
    /// What is to be known of each matrix, forward and backward, `[batch]`.
    pub status: B::ViewMut<'a, Status>,
}

/// The gradient of a loss by the factors of a batch, owned.
#[derive(Debug)]
pub struct FactorGradient<O: Element, B: Backend = Cpu> {
    backend: B,
    problem: FactorProblem,
    b_bar: B::Buffer<O>,
    gauge_defect: B::Buffer<<O::Scalar as Element>::Real>,
    tie_defect: B::Buffer<<O::Scalar as Element>::Real>,
    status: B::Buffer<Status>,
}

impl<O: Element, B: Backend> FactorGradient<O, B> {
    /// Memory for the gradient of a problem.
    pub(super) fn zeros(backend: &B, problem: &FactorProblem) -> Result<Self> {
        let &FactorProblem { matrices, r } = problem;
        Ok(Self {
            backend: backend.clone(),
            problem: *problem,
            b_bar: backend.zeros(matrices.batch * r * matrices.n)?,
            gauge_defect: backend.zeros(matrices.batch * r)?,
            tie_defect: backend.zeros(matrices.batch)?,
            status: backend.zeros(matrices.batch)?,
        })
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> FactorGradientMut<'_, O, B> {
        FactorGradientMut {
            b_bar: B::view_mut(&mut self.b_bar),
            gauge_defect: B::view_mut(&mut self.gauge_defect),
            tie_defect: B::view_mut(&mut self.tie_defect),
            status: B::view_mut(&mut self.status),
        }
    }

    /// The memory of B̄, `[batch, k, i]`, one column after the other.
    pub fn into_buffer(self) -> B::Buffer<O> {
        self.b_bar
    }

    /// The statuses, `[batch]`.
    pub(super) fn status_view(&self) -> B::View<'_, Status> {
        B::view(&self.status)
    }

    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<FactorGradient<O, Cpu>> {
        Ok(FactorGradient {
            backend: self.backend.host(),
            problem: self.problem,
            b_bar: self.backend.download(B::view(&self.b_bar))?.into(),
            gauge_defect: self.backend.download(B::view(&self.gauge_defect))?.into(),
            tie_defect: self.backend.download(B::view(&self.tie_defect))?.into(),
            status: self.backend.download(B::view(&self.status))?.into(),
        })
    }
}

impl<O: Element> FactorGradient<O, Cpu> {
    /// B̄, `[batch, n, r]`, in the units of the loss per unit of B: dL = Re tr(B̄ᴴ dB); strides (n·r, 1, n).
    pub fn b_bar(&self) -> ArrayView3<'_, O> {
        let FactorProblem { matrices, r } = self.problem;
        columns_of(matrices.batch, matrices.n, r, &self.b_bar)
    }

    /// ρ, `[batch, r]`: see [`Report::gauge_defect`].
    pub fn gauge_defect(&self) -> ArrayView2<'_, <O::Scalar as Element>::Real> {
        array2(self.problem.matrices.batch, self.problem.r, &self.gauge_defect)
    }

    /// `[batch]`: see [`Report::tie_defect`].
    pub fn tie_defect(&self) -> ArrayView1<'_, <O::Scalar as Element>::Real> {
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

    /// A report for each matrix; `pairs` are those that the gradient was taken of. `gap_dropped` counts the n − r exact zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not of this gradient's shape.
    pub fn report<'a, P>(
        &'a self,
        pairs: &'a FactorPairs<P, Cpu>,
    ) -> Result<impl ExactSizeIterator<Item = Report<'a, <O::Scalar as Element>::Real>>>
    where
        P: Stored<O::Scalar>,
    {
        let FactorProblem { matrices, r } = self.problem;
        let (spectrum, expected, got) = (pairs.spectrum(), [matrices.batch, r], [pairs.batch(), pairs.r()]);
        if expected != got {
            return Err(Error::Shape { what: "pairs", expected: expected.to_vec(), got: got.to_vec() });
        }
        let round_off = matrices.round_off::<P>();
        Ok((0..matrices.batch).zip(spectrum.cut_margins(&pairs.problem.matrices)).map(move |(b, margins)| Report {
            rank: spectrum.rank()[b],
            gap_kept: spectrum.gap_kept()[b],
            gap_dropped: spectrum.gap_dropped()[b],
            kept_over_cutoff: margins[0],
            dropped_over_cutoff: margins[1],
            gauge_defect: &self.gauge_defect[b * r..][..r],
            tie_defect: self.tie_defect[b],
            round_off,
            status: self.status[b],
        }))
    }
}

/// `[batch, k, i]` in memory as `[batch, n, r]`.
pub(super) fn columns_of<T>(batch: usize, n: usize, r: usize, data: &[T]) -> ArrayView3<'_, T> {
    let columns = ArrayView3::from_shape((batch, r, n), data);
    columns.unwrap_or_else(|_| unreachable!("{batch}·{r}·{n} elements were allocated")).permuted_axes([0, 2, 1])
}
