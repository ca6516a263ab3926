//! Functions of A by its kept eigenvalues: [`spectral`], [`projector`], [`trace_of`].

use crate::eigh::Pairs;
use crate::memory::{Held, on_cpu, tensor};
use crate::report::Statuses;
use crate::{Eigh, Function, Matrices, Options, eigh};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, D, DType, Error, Layout, Result, Shape, Storage, Tensor};
use eigengrad::Derivative;
use eigengrad_door::{self as door, FunctionAt, Operation, ResultAt};
use std::sync::{Arc, OnceLock};

/// What a function gives, and what is to be known of each matrix.
#[derive(Clone, Debug)]
pub struct Value<M = Tensor> {
    /// The result, with its gradient.
    pub value: M,
    /// What is to be known of each matrix.
    pub status: Statuses,
}

/// f(A) = Σ_{k ∈ K} f(λ_k) v_k v_kᴴ of each matrix `[…, n, n]`, differentiable.
///
/// The gradient is right at every tie, whatever basis the solver took.
///
/// # Errors
/// As [`eigh`]. A kept eigenvalue where f is not defined is told by the status.
///
/// # Source
/// docs/derivation.md of eigengrad, §10.
pub fn spectral<M: Matrices>(a: &M, function: Function, options: &Options) -> Result<Value<M>> {
    eigh(a, options)?.spectral(function)
}

/// The projector on the kept eigenvectors, Σ_{k ∈ K} v_k v_kᴴ, as [`spectral`].
///
/// # Errors
/// As [`spectral`].
pub fn projector<M: Matrices>(a: &M, options: &Options) -> Result<Value<M>> {
    spectral(a, Function::Projector, options)
}

/// tr f(A) = Σ_{k ∈ K} f(λ_k) of each matrix, `[…]`, differentiable: Ā = f′(A).
///
/// # Errors
/// As [`spectral`].
pub fn trace_of<M: Matrices>(a: &M, function: Function, options: &Options) -> Result<Value> {
    eigh(a, options)?.trace_of(function)
}

impl<M: Matrices> Eigh<M> {
    /// As [`spectral`], of these eigenpairs.
    ///
    /// # Errors
    /// As [`spectral`].
    pub fn spectral(&self, function: Function) -> Result<Value<M>> {
        let (value, status) = self.apply(Kind::Matrix, function)?;
        Ok(Value { value: M::of(value), status })
    }

    /// As [`projector`], of these eigenpairs.
    ///
    /// # Errors
    /// As [`spectral`].
    pub fn projector(&self) -> Result<Value<M>> {
        self.spectral(Function::Projector)
    }

    /// As [`trace_of`], of these eigenpairs.
    ///
    /// # Errors
    /// As [`spectral`].
    pub fn trace_of(&self, function: Function) -> Result<Value> {
        let (value, status) = self.apply(Kind::Trace, function)?;
        Ok(Value { value, status })
    }

    fn apply(&self, kind: Kind, function: Function) -> Result<(Tensor, Statuses)> {
        let status = Arc::new(OnceLock::new());
        let op = FunctionOf { kind, function, pairs: self.pairs.clone(), status: status.clone() };
        let value = self.a.apply_op1(op)?;
        let status = status.get().ok_or_else(|| Error::msg("eigengrad: nothing was computed"))?;
        Ok((value, Statuses(Tensor::clone(status))))
    }
}

/// f(A), or its trace.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Matrix,
    Trace,
}

/// A ↦ f(A), or its trace, of pairs that are there.
struct FunctionOf {
    kind: Kind,
    function: Function,
    pairs: Arc<Pairs>,
    status: Arc<OnceLock<Tensor>>,
}

impl FunctionOf {
    fn forward(&self) -> Result<(Storage, Shape)> {
        let (pairs, batch, function) = (&*self.pairs, &self.pairs.batch, FunctionAt::Named(self.function));
        let (n, real, count, [pack, kept, status]) = (batch.n, batch.real, batch.count(), pairs.held()?);
        let sources = [pack.source()?, kept.source()?, status.source()?];
        let (len, shape) = match self.kind {
            Kind::Matrix => (count * n * n * batch.parts(), batch.matrices(n, n)),
            Kind::Trace => (count, batch.lead.clone()),
        };
        let [value, status] = batch.call(sources, [(real, len), (DType::U32, count)], |at, [data, status]| {
            let (pairs, derivative) = (pairs.at(at), Derivative::Zeroth);
            match self.kind {
                Kind::Matrix => door::SpectralOf { pairs, function, derivative, out: ResultAt { data, status } }.into(),
                Kind::Trace => door::TraceOf { pairs, function, trace: data, status }.into(),
            }
        })?;
        let _ = self.status.set(tensor(status, batch.lead.clone()));
        Ok((value, shape.into()))
    }

    /// A matrix of these pairs: by what `operation` makes of them, of what it reads besides, and of
    /// where it writes.
    fn matrix(
        &self,
        beside: Option<&Tensor>,
        operation: impl FnOnce(door::PairsAt, door::Address, ResultAt) -> Operation,
    ) -> Result<Tensor> {
        let (pairs, batch) = (&*self.pairs, &self.pairs.batch);
        let (n, count, [pack, kept, status]) = (batch.n, batch.count(), pairs.held()?);
        let beside = Held::new(beside.unwrap_or(pairs.pack()?));
        let sources = [pack.source()?, kept.source()?, status.source()?, beside.source()?];
        let results = [(batch.real, count * n * n * batch.parts()), (DType::U32, count)];
        let [data, _] = batch.call(sources, results, |[at @ .., beside], [data, status]| {
            operation(pairs.at(at), beside, ResultAt { data, status })
        })?;
        Ok(tensor(data, batch.matrices(n, n)))
    }
}

impl CustomOp1 for FunctionOf {
    fn name(&self) -> &'static str {
        "eigengrad::spectral"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        on_cpu(self.forward())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        crate::memory::on_cuda(self.forward())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, bar: &Tensor) -> Result<Option<Tensor>> {
        let function = FunctionAt::Named(self.function);
        let gradient = match self.kind {
            Kind::Matrix => self
                .matrix(Some(&bar.contiguous()?), |pairs, e, out| door::SpectralDerivative { pairs, function, e, out }.into())?,
            Kind::Trace => {
                let slope = self.matrix(None, |pairs, _, out| {
                    door::SpectralOf { pairs, function, derivative: Derivative::First, out }.into()
                })?;
                times(&slope, bar, self.pairs.batch.parts() + 1)?
            }
        };
        Ok(Some(gradient))
    }
}

/// Matrices, each times a number; behind the numbers are so many axes.
pub(crate) fn times(matrices: &Tensor, numbers: &Tensor, axes: usize) -> Result<Tensor> {
    let mut numbers = numbers.clone();
    for _ in 0..axes {
        numbers = numbers.unsqueeze(D::Minus1)?;
    }
    matrices.broadcast_mul(&numbers)
}
