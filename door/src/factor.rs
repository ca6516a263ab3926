//! Eigenpairs of factors.

use crate::call::{Address, Job};
use crate::pairs::{CotangentsAt, PairsAt, SpectrumAt};
use eigengrad::{Engine, FactorBatch, FactorGradient, FactorPlan, Result, Scalar, ViewMut};

/// B `[batch, k, i]`, r columns of n components, ↦ the r eigenpairs of B Bᴴ: λ and what the cut
/// makes of it, V `[batch, k, i]`, S `[batch, c, k]`.
#[derive(Clone, Copy, Debug)]
pub struct EighFactor {
    pub b: Address,
    pub r: usize,
    pub spectrum: SpectrumAt,
    pub vectors: Address,
    pub projection: Address,
}

impl EighFactor {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (&Job { batch, n, .. }, r) = (job, self.r);
        let plan = FactorPlan::<T, B>::new(job.backend, batch, n, r, &job.options)?;
        let b = FactorBatch::from_columns(job.view::<T, 3>(self.b, [batch, r, n])?)?;
        let (vectors, projection) = (job.view_mut(self.vectors, [batch, r, n])?, job.view_mut(self.projection, [batch, r, r])?);
        let out = plan.pairs_of::<T, _>(self.spectrum.of(job, r)?, vectors, projection)?;
        job.with_factors(&plan, |workspace| plan.eigh_into(b, out, workspace))
    }
}

/// (λ̄, V̄) of those pairs ↦ B̄ `[batch, k, i]`, ρ `[batch, r]`, the tie defect and the status
/// `[batch]`.
#[derive(Clone, Copy, Debug)]
pub struct BackwardFactor {
    pub pairs: PairsAt,
    pub projection: Address,
    pub r: usize,
    pub cotangents: CotangentsAt,
    pub b_bar: Address,
    pub gauge_defect: Address,
    pub tie_defect: Address,
    pub status: Address,
}

impl BackwardFactor {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (&Job { batch, n, .. }, r, at) = (job, self.r, self.pairs);
        let plan = FactorPlan::<T, B>::new(job.backend, batch, n, r, &job.options)?;
        let (values, kept, status) =
            (job.view(at.values, [batch, r])?, job.view(at.kept, [batch, r])?, job.view(at.status, [batch])?);
        let (vectors, projection) = (job.view(at.vectors, [batch, r, n])?, job.view(self.projection, [batch, r, r])?);
        let pairs = plan.pairs_view::<T>(values, kept, status, vectors, projection)?;
        let out = FactorGradient::<T, B, ViewMut<'_>> {
            b_bar: job.view_mut(self.b_bar, [batch, r, n])?,
            gauge_defect: job.view_mut(self.gauge_defect, [batch, r])?,
            tie_defect: job.view_mut(self.tie_defect, [batch])?,
            status: job.view_mut(self.status, [batch])?,
        };
        let cotangents = self.cotangents.of_pairs(job, 1, r)?;
        job.with_factors(&plan, |workspace| plan.backward_into(pairs, cotangents, out, workspace))
    }
}
