//! Eigenpairs and their derivatives.

use crate::call::{Address, Job};
use eigengrad::{
    Cotangents, DoubleGradient, Eigenpairs, Engine, Gradient, HermitianBatch, HermitianResult, Read, Result, Scalar, Spectrum,
    Tangents, View, ViewMut,
};

/// Where λ `[batch, n]` and what the cut made of it are written: kept `[batch, n]`, rank, status
/// and both gaps `[batch]`.
#[derive(Clone, Copy, Debug)]
pub struct SpectrumAt {
    pub values: Address,
    pub kept: Address,
    pub rank: Address,
    pub status: Address,
    pub gap_kept: Address,
    pub gap_dropped: Address,
}

impl SpectrumAt {
    /// Of `count` eigenvalues a matrix.
    pub(crate) fn of<'a, T: Scalar, B: Engine<T>>(
        self,
        job: &Job<'_, T, B>,
        count: usize,
    ) -> Result<Spectrum<T::Real, B, ViewMut<'a>>> {
        let batch = job.batch;
        Ok(Spectrum {
            values: job.view_mut(self.values, [batch, count])?,
            kept: job.view_mut(self.kept, [batch, count])?,
            rank: job.view_mut(self.rank, [batch])?,
            gap_kept: job.view_mut(self.gap_kept, [batch])?,
            gap_dropped: job.view_mut(self.gap_dropped, [batch])?,
            status: job.view_mut(self.status, [batch])?,
        })
    }
}

/// A `[batch, n, n]` ↦ λ, and V `[batch, k, i]` unless that is absent.
#[derive(Clone, Copy, Debug)]
pub struct Eigh {
    pub a: Address,
    pub read: Read,
    pub spectrum: SpectrumAt,
    pub vectors: Address,
    pub with_vectors: bool,
}

impl Eigh {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (&Job { batch, n, .. }, spectrum) = (job, self.spectrum.of(job, job.n)?);
        let a = job.view::<T, 3>(self.a, [batch, n, n])?;
        let a = HermitianBatch::of_view(job.backend, a, self.read)?;
        if !self.with_vectors {
            return job.with_workspace(|workspace| job.plan.eigvalsh_into(a, spectrum, workspace));
        }
        let vectors = job.view_mut::<T, 3>(self.vectors, [batch, n, n])?;
        let out = job.plan.eigenpairs_of(spectrum, vectors)?;
        job.with_workspace(|workspace| job.plan.eigh_into(a, out, workspace))
    }
}

/// Eigenpairs that were made before: λ, kept `[batch, n]`, status `[batch]`, V `[batch, k, i]`.
#[derive(Clone, Copy, Debug)]
pub struct PairsAt {
    pub values: Address,
    pub kept: Address,
    pub status: Address,
    pub vectors: Address,
}

impl PairsAt {
    pub(crate) fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<Eigenpairs<T, B, View<'a>>> {
        let &Job { batch, n, .. } = job;
        job.plan.eigenpairs_view(
            job.view(self.values, [batch, n])?,
            job.view(self.kept, [batch, n])?,
            job.view(self.status, [batch])?,
            job.view(self.vectors, [batch, n, n])?,
        )
    }
}

/// Cotangents, each of which may be absent: λ̄ `[directions·batch, n]` and V̄, one vector after the
/// other, `[directions·batch, k, i]`, or by rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct CotangentsAt {
    pub values: Address,
    pub vectors: Address,
    pub rows: bool,
}

impl CotangentsAt {
    pub(crate) fn of<'a, T: Scalar, B: Engine<T>>(
        self,
        job: &Job<'_, T, B>,
        directions: usize,
    ) -> Result<Cotangents<T, B, View<'a>>> {
        self.of_pairs(job, directions, job.n)
    }

    /// Of so many pairs a matrix.
    pub(crate) fn of_pairs<'a, T: Scalar, B: Engine<T>>(
        self,
        job: &Job<'_, T, B>,
        directions: usize,
        pairs: usize,
    ) -> Result<Cotangents<T, B, View<'a>>> {
        let (count, n) = (directions * job.batch, job.n);
        let shape = if self.rows { [count, n, pairs] } else { [count, pairs, n] };
        let present = |address: Address| (address != 0).then_some(address);
        let values = present(self.values).map(|at| job.view(at, [count, pairs])).transpose()?;
        let vectors = present(self.vectors).map(|at| job.view(at, shape)).transpose()?;
        Ok(if self.rows { Cotangents::from_rows(values, vectors) } else { Cotangents::from_columns(values, vectors) })
    }
}

/// (λ̄, V̄) ↦ Ā `[directions·batch, n, n]`, ρ `[directions·batch, n]`, the tie defect and the status
/// `[directions·batch]`.
#[derive(Clone, Copy, Debug)]
pub struct Backward {
    pub pairs: PairsAt,
    pub directions: usize,
    pub cotangents: CotangentsAt,
    pub a_bar: Address,
    pub gauge_defect: Address,
    pub tie_defect: Address,
    pub status: Address,
}

impl Backward {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (count, n) = (self.directions * job.batch, job.n);
        let out = Gradient::<T, B, ViewMut<'_>> {
            a_bar: job.view_mut(self.a_bar, [count, n, n])?,
            gauge_defect: job.view_mut(self.gauge_defect, [count, n])?,
            tie_defect: job.view_mut(self.tie_defect, [count])?,
            status: job.view_mut(self.status, [count])?,
        };
        let (pairs, cotangents) = (self.pairs.of(job)?, self.cotangents.of(job, self.directions)?);
        job.with_workspace(|workspace| job.plan.backward_into(pairs, cotangents, out, workspace))
    }
}

/// (Ȧ) ↦ λ̇ `[directions·batch, n]`, V̇ `[directions·batch, k, i]` and statuses.
#[derive(Clone, Copy, Debug)]
pub struct Jvp {
    pub pairs: PairsAt,
    pub directions: usize,
    pub a_dot: Address,
    pub values: Address,
    pub vectors: Address,
    pub status: Address,
}

impl Jvp {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (count, n) = (self.directions * job.batch, job.n);
        let out = Tangents::<T, B, ViewMut<'_>> {
            values: job.view_mut(self.values, [count, n])?,
            vectors: job.view_mut(self.vectors, [count, n, n])?,
            status: job.view_mut(self.status, [count])?,
        };
        let (pairs, a_dot) = (self.pairs.of(job)?, job.means(self.a_dot, self.directions)?);
        job.with_scratch(|scratch| job.plan.jvp_into(pairs, a_dot, out, scratch))
    }
}

/// The transpose of the backward pass: (λ̄, V̄, H) ↦ the cotangents of A, λ̄ and V̄.
#[derive(Clone, Copy, Debug)]
pub struct DoubleBackward {
    pub pairs: PairsAt,
    pub directions: usize,
    pub cotangents: CotangentsAt,
    pub h: Address,
    pub a_bar: Address,
    pub values_bar_bar: Address,
    pub vectors_bar_bar: Address,
    pub status: Address,
}

impl DoubleBackward {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (count, n) = (self.directions * job.batch, job.n);
        let out = DoubleGradient::<T, B, ViewMut<'_>> {
            a_bar: job.view_mut(self.a_bar, [count, n, n])?,
            values_bar_bar: job.view_mut(self.values_bar_bar, [count, n])?,
            vectors_bar_bar: job.view_mut(self.vectors_bar_bar, [count, n, n])?,
            status: job.view_mut(self.status, [count])?,
        };
        let (pairs, cotangents, h) =
            (self.pairs.of(job)?, self.cotangents.of(job, self.directions)?, job.means(self.h, self.directions)?);
        let downstream = Cotangents::from_columns(None, None);
        job.with_scratch(|scratch| job.plan.double_backward_into(pairs, cotangents, h, downstream, out, scratch))
    }
}

/// The tangent of Ā along Ȧ, λ̄̇ and V̄̇, `[batch, n, n]`, and statuses.
#[derive(Clone, Copy, Debug)]
pub struct BackwardJvp {
    pub pairs: PairsAt,
    pub cotangents: CotangentsAt,
    pub a_dot: Address,
    pub cotangents_dot: CotangentsAt,
    pub out: ResultAt,
}

/// Hermitian matrices `[batch, n, n]` and statuses `[batch]` that are written.
#[derive(Clone, Copy, Debug)]
pub struct ResultAt {
    pub data: Address,
    pub status: Address,
}

impl ResultAt {
    pub(crate) fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<HermitianResult<T, B, ViewMut<'a>>> {
        let &Job { batch, n, .. } = job;
        Ok(HermitianResult { data: job.view_mut(self.data, [batch, n, n])?, status: job.view_mut(self.status, [batch])? })
    }
}

impl BackwardJvp {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (pairs, a_dot, out) = (self.pairs.of(job)?, job.means(self.a_dot, 1)?, self.out.of(job)?);
        let (bar, bar_dot) = (self.cotangents.of(job, 1)?, self.cotangents_dot.of(job, 1)?);
        job.with_scratch(|scratch| job.plan.backward_jvp_into(pairs, bar, a_dot, bar_dot, out, scratch))
    }
}
