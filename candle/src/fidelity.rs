//! The [`fidelity`] of states.

use crate::batch::Batch;
use crate::memory::{Source, on_cpu, tensor};
use crate::report::Statuses;
use crate::spectral::times;
use crate::{Matrices, Options, Value};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Error, Layout, Result, Shape, Storage, Tensor, bail};
use eigengrad::Read;
use eigengrad_door as door;
use std::sync::{Arc, OnceLock};

/// The fidelity (tr √(√A B √A))² of positive semi-definite matrices `[…, n, n]` of any rank,
/// `[…]`, differentiable at fixed rank by both. Leading axes are broadcast.
///
/// On a device the host takes part, and waits for it.
///
/// # Errors
/// As [`eigh`](crate::eigh()); if A and B differ in order, type or device.
///
/// # Source
/// docs/derivation.md of eigengrad, §11, (36).
pub fn fidelity<M: Matrices>(a: &M, b: &M, options: &Options) -> Result<Value> {
    let shape = a.tensor().shape().broadcast_shape_binary_op(b.tensor().shape(), "eigengrad::fidelity")?;
    let [a, b] = [a, b].map(|x| x.tensor().broadcast_as(&shape).map(M::of));
    let ((a, of_a), (b, of_b)) = (Batch::of_square(&a?, options)?, Batch::of_square(&b?, options)?);
    if of_a.real != of_b.real {
        bail!("eigengrad: A is of {:?}, B of {:?}", of_a.real, of_b.real);
    }
    let (mut batch, computed) = (of_a, of_b.options.cut.computed_in());
    // The coarser of two, where both were stored in halves.
    if let (Some(ours), Some(theirs)) = (batch.options.cut.computed_in(), computed) {
        batch.options.cut = batch.options.cut.with_computed_in(ours.coarser(theirs));
    } else if let Some(theirs) = computed {
        batch.options.cut = batch.options.cut.with_computed_in(theirs);
    }
    let found = Arc::new(OnceLock::new());
    let root = a.apply_op2(&b, FidelityOf { batch, found: found.clone() })?;
    let Found { status, .. } = found.get().ok_or_else(|| Error::msg("eigengrad: nothing was computed"))?;
    Ok(Value { value: root, status: Statuses(status.clone()) })
}

/// What is kept of the forward pass.
#[derive(Debug)]
struct Found {
    status: Tensor,
    a_bar: Tensor,
    b_bar: Tensor,
}

/// (A, B) ↦ their fidelity.
struct FidelityOf {
    batch: Batch,
    found: Arc<OnceLock<Found>>,
}

impl FidelityOf {
    fn forward(&self, sources: [Source<'_>; 2]) -> Result<(Storage, Shape)> {
        let (batch, n, real) = (&self.batch, self.batch.n, self.batch.real);
        let (count, size) = (batch.count(), batch.count() * n * n * batch.parts());
        let results = [(real, count), (DType::U32, count), (real, size), (real, size)];
        let [root, status, a_bar, b_bar] = batch.call(sources, results, |[a, b], [root, status, a_bar, b_bar]| {
            door::FidelityOf { a, b, read: Read::Mean, root, status, a_bar, b_bar }.into()
        })?;
        let [a_bar, b_bar] = [a_bar, b_bar].map(|bar| tensor(bar, batch.matrices(n, n)));
        let _ = self.found.set(Found { status: tensor(status, batch.lead.clone()), a_bar, b_bar });
        let fidelity = tensor(root, batch.lead.clone()).sqr()?;
        let (storage, layout) = fidelity.storage_and_layout();
        Ok((storage.try_clone(layout)?, batch.lead.clone().into()))
    }
}

impl CustomOp2 for FidelityOf {
    fn name(&self) -> &'static str {
        "eigengrad::fidelity"
    }

    fn cpu_fwd(&self, a: &CpuStorage, of_a: &Layout, b: &CpuStorage, of_b: &Layout) -> Result<(CpuStorage, Shape)> {
        on_cpu(self.forward([Source::Cpu(a, of_a), Source::Cpu(b, of_b)]))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, a: &CudaStorage, of_a: &Layout, b: &CudaStorage, of_b: &Layout) -> Result<(CudaStorage, Shape)> {
        crate::memory::on_cuda(self.forward([Source::Cuda(a, of_a), Source::Cuda(b, of_b)]))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, bar: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Found { a_bar, b_bar, .. } = self.found.get().ok_or_else(|| Error::msg("eigengrad: nothing was computed"))?;
        let axes = self.batch.parts() + 1;
        Ok((Some(times(a_bar, bar, axes)?), Some(times(b_bar, bar, axes)?)))
    }
}
