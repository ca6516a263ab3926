//! Eigenpairs of B Bᴴ by its factor: [`eigh_factor`].

use crate::batch::Batch;
use crate::eigh::{Pairs, spectrum};
use crate::memory::{Held, Source, on_cpu, tensor};
use crate::{Matrices, Options, Report};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Error, Layout, Result, Shape, Storage, Tensor};
use eigengrad_door as door;
use std::sync::{Arc, OnceLock};

/// Eigenpairs of matrices B Bᴴ of factors `[…, n, r]`.
#[derive(Debug)]
pub struct FactorPairs<M = Tensor> {
    /// λ, `[…, r]`, ascending.
    pub eigenvalues: Tensor,
    /// V, `[…, n, r]`: column k is eigenvector k.
    pub eigenvectors: M,
    /// Whether each eigenpair is kept, u8 `[…, r]`.
    pub kept: Tensor,
    /// What else is to be known of each matrix.
    pub report: Report,
}

/// The r eigenpairs of B Bᴴ that are not zero whatever B, of each factor B `[…, n, r]`, r ≤ n,
/// without forming the product: λ and their gradients keep the digits that a square would lose.
///
/// # Errors
/// As [`eigh`](crate::eigh()); if r > n.
///
/// # Source
/// docs/derivation.md of eigengrad, §12.
pub fn eigh_factor<M: Matrices>(b: &M, options: &Options) -> Result<FactorPairs<M>> {
    // The library reads factors column after column.
    let (_, batch, r) = Batch::of(b, options)?;
    let (columns, _, n) = Batch::of(&b.transposed()?, options)?;
    debug_assert_eq!(n, batch.n);
    let side = Arc::new(OnceLock::new());
    let pack = columns.apply_op1(Factorisation { batch: batch.clone(), r, pairs: side.clone() })?;
    let pairs: &Arc<Pairs> = side.get().ok_or_else(|| Error::msg("eigengrad: nothing was decomposed"))?;
    pairs.set_pack(&pack);
    let (n, count) = (batch.n, batch.count());
    let size = count * n * r * batch.parts();
    let rows = M::of(pack.narrow(0, 0, size)?.reshape(batch.matrices(r, n))?);
    let eigenvalues = pack.narrow(0, size, count * r)?.reshape(batch.shape(&[r]))?;
    Ok(FactorPairs { eigenvalues, eigenvectors: rows.transposed()?, kept: pairs.kept(), report: pairs.report() })
}

/// Bᵀ `[…, r, n]` ↦ [V | λ].
struct Factorisation {
    batch: Batch,
    r: usize,
    pairs: Arc<OnceLock<Arc<Pairs>>>,
}

impl Factorisation {
    fn forward(&self, b: Source<'_>) -> Result<(Storage, Shape)> {
        let (batch, r, n, real) = (&self.batch, self.r, self.batch.n, self.batch.real);
        let (count, parts) = (batch.count(), batch.parts());
        let size = count * n * r * parts;
        let [first, second, third, fourth, fifth, sixth] = Pairs::results(batch, r, size);
        let results = [first, second, third, fourth, fifth, sixth, (real, count * r * r * parts)];
        let [pack, beside @ .., projection] = batch.call([b], results, |[b], [pack, beside @ .., projection]| {
            let spectrum = spectrum(pack + size * real.size_in_bytes(), beside);
            door::EighFactor { b, r, spectrum, vectors: pack, projection }.into()
        })?;
        let projection = tensor(projection, batch.matrices(r, r));
        let _ = self.pairs.set(Arc::new(Pairs::known(batch, r, beside, Some(projection))));
        Ok((pack, Shape::from(size + count * r)))
    }

    /// B̄ᵀ of a cotangent of the pack.
    fn backward(&self, pairs: &Pairs, bar: &Tensor) -> Result<Tensor> {
        let (batch, r, n, real, count) = (&self.batch, self.r, self.batch.n, self.batch.real, self.batch.count());
        let projection = pairs.projection.as_ref().ok_or_else(|| Error::msg("eigengrad: these pairs are of no factor"))?;
        let ([pack, kept, status], projection, bar) = (pairs.held()?, Held::new(projection), Held::new(bar));
        let sources = [pack.source()?, kept.source()?, status.source()?, projection.source()?, bar.source()?];
        let results = [(real, count * r * n * batch.parts()), (real, count * r), (real, count), (DType::U32, count)];
        let [b_bar, rest @ ..] =
            batch.call(sources, results, |[at @ .., projection, bar], [b_bar, gauge_defect, tie_defect, status]| {
                let (pairs, cotangents) = (pairs.at(at), pairs.cotangents_at(bar));
                door::BackwardFactor { pairs, projection, r, cotangents, b_bar, gauge_defect, tie_defect, status }.into()
            })?;
        pairs.reported(rest);
        Ok(tensor(b_bar, batch.matrices(r, n)))
    }
}

impl CustomOp1 for Factorisation {
    fn name(&self) -> &'static str {
        "eigengrad::eigh_factor"
    }

    fn cpu_fwd(&self, b: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        on_cpu(self.forward(Source::Cpu(b, layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, b: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        crate::memory::on_cuda(self.forward(Source::Cuda(b, layout)))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, bar: &Tensor) -> Result<Option<Tensor>> {
        let pairs = self.pairs.get().ok_or_else(|| Error::msg("eigengrad: nothing was decomposed"))?;
        self.backward(pairs, &bar.contiguous()?).map(Some)
    }
}
