//! Functions of matrices.

use crate::call::{Address, Job};
use crate::pairs::{PairsAt, ResultAt};
use eigengrad::{
    Array, Derivative, Engine, Function, HermitianBatch, Read, Result, Scalar, SchurMultiplier, Spectral, View, fidelity,
};

/// A function of eigenvalues: by name, or by f(λ) and f′(λ), `[batch, n]`.
#[derive(Clone, Copy, Debug)]
pub enum FunctionAt {
    Named(Function),
    Given { values: Address, slopes: Address },
}

impl FunctionAt {
    pub(crate) fn of<'a, T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<Spectral<T, B, View<'a>>> {
        let shape = [job.batch, job.n];
        Ok(match self {
            Self::Named(function) => Spectral::Named(function),
            Self::Given { values, slopes } => {
                Spectral::Given { values: job.view(values, shape)?, slopes: job.view(slopes, shape)? }
            }
        })
    }
}

/// V_K f(Λ_K) V_Kᴴ, or with f′.
#[derive(Clone, Copy, Debug)]
pub struct SpectralOf {
    pub pairs: PairsAt,
    pub function: FunctionAt,
    pub derivative: Derivative,
    pub out: ResultAt,
}

impl SpectralOf {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (pairs, out) = (self.pairs.of(job)?, self.out.of(job)?);
        let function = self.function.of(job)?;
        job.with_scratch(|scratch| job.plan.spectral_into(pairs, function, self.derivative, out, scratch))
    }
}

/// The derivative of f(A) applied to E `[batch, n, n]`, which is its own adjoint.
#[derive(Clone, Copy, Debug)]
pub struct SpectralDerivative {
    pub pairs: PairsAt,
    pub function: FunctionAt,
    pub e: Address,
    pub out: ResultAt,
}

impl SpectralDerivative {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let (pairs, e, out) = (self.pairs.of(job)?, job.means(self.e, 1)?, self.out.of(job)?);
        let (function, divided) = (self.function.of(job)?, SchurMultiplier::Divided);
        job.with_scratch(|scratch| job.plan.map_into(pairs, function, divided, e, None, out, scratch))
    }
}

/// tr f(A) and statuses, `[batch]`.
#[derive(Clone, Copy, Debug)]
pub struct TraceOf {
    pub pairs: PairsAt,
    pub function: FunctionAt,
    pub trace: Address,
    pub status: Address,
}

impl TraceOf {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let batch = job.batch;
        let (pairs, trace, status) =
            (self.pairs.of(job)?, job.view_mut(self.trace, [batch])?, job.view_mut(self.status, [batch])?);
        job.plan.trace_into(pairs, self.function.of(job)?, trace, status)
    }
}

/// A and B `[batch, n, n]` ↦ the root of their fidelity and the status `[batch]`, and the gradients
/// of the fidelity by both.
#[derive(Clone, Copy, Debug)]
pub struct FidelityOf {
    pub a: Address,
    pub b: Address,
    pub read: Read,
    pub root: Address,
    pub status: Address,
    pub a_bar: Address,
    pub b_bar: Address,
}

impl FidelityOf {
    pub(crate) fn run<T: Scalar, B: Engine<T>>(self, job: &Job<'_, T, B>) -> Result<()> {
        let &Job { backend, batch, n, .. } = job;
        // The library owns its operands: it scales them on the host.
        let state = |address| {
            let host = backend.download(job.view::<T, 3>(address, [batch, n, n])?.memory())?;
            HermitianBatch::of(Array::from_host(backend, host, [batch, n, n])?, self.read)
        };
        let found = fidelity(&state(self.a)?, &state(self.b)?, &job.options)?;
        job.view_mut::<T::Real, 1>(self.root, [batch])?
            .copy_from_host(backend, &backend.download(found.root.view().memory())?)?;
        job.view_mut(self.status, [batch])?.copy_from_host(backend, &backend.download(found.status.view().memory())?)?;
        for (gradient, at) in [(found.a_bar, self.a_bar), (found.b_bar, self.b_bar)] {
            let host = backend.download(gradient.data.view().memory())?;
            job.view_mut::<T, 3>(at, [batch, n, n])?.copy_from_host(backend, &host)?;
        }
        Ok(())
    }
}
