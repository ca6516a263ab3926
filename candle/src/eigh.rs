//! A = V Λ Vᴴ, and its gradient: [`eigh`], [`eigvalsh`].

use crate::batch::Batch;
use crate::memory::{Held, Source, on_cpu, tensor};
use crate::report::{BackwardReport, Latest, Report, Statuses};
use crate::{Matrices, Options};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Error, Layout, Result, Shape, Storage, Tensor};
use eigengrad::Read;
use eigengrad_door::{self as door, Address, CotangentsAt, PairsAt, SpectrumAt};
use std::sync::{Arc, OnceLock};

/// Eigenpairs of matrices `[…, n, n]`.
#[derive(Debug)]
pub struct Eigh<M = Tensor> {
    /// λ, `[…, n]`, ascending.
    pub eigenvalues: Tensor,
    /// V, `[…, n, n]`: column k is eigenvector k. A view whose vectors lie one after the other.
    pub eigenvectors: M,
    /// Whether each eigenpair is kept, u8 `[…, n]`. Of those that are not nothing flows back, and
    /// a loss should not contain them.
    pub kept: Tensor,
    /// What else is to be known of each matrix.
    pub report: Report,
    pub(crate) a: Tensor,
    pub(crate) pairs: Arc<Pairs>,
}

/// Eigenvalues of matrices `[…, n, n]`.
#[derive(Debug)]
pub struct Eigenvalues {
    /// λ, `[…, n]`, ascending.
    pub eigenvalues: Tensor,
    /// Whether each eigenvalue is kept, u8 `[…, n]`.
    pub kept: Tensor,
    /// What else is to be known of each matrix.
    pub report: Report,
}

/// A = V Λ Vᴴ of each Hermitian matrix, whose gradient leaves out the null space.
///
/// Eigenpairs with |λ| ≤ τ are dropped, by default those that are round-off of zero: see [`Cut`].
/// Of a loss of the kept ones the gradient is exact, wherever dropped eigenvalues tie. The mean of
/// both triangles of A is what counts, and Ā is Hermitian: dL = Re tr(Āᴴ dA).
///
/// # Shapes
/// A `[…, n, n]`, λ and kept `[…, n]`, V `[…, n, n]`. f16 and bf16 are storage: they are computed
/// in f32, in which the results are, and the default cut knows of their round-off.
///
/// # Errors
/// What the shape, the type or the options are not fit for. A matrix that is not finite is told
/// by [`Report::status`], and is no error.
///
/// # Source
/// docs/derivation.md of eigengrad, (9)–(13).
///
/// [`Cut`]: crate::Cut
pub fn eigh<M: Matrices>(a: &M, options: &Options) -> Result<Eigh<M>> {
    let (a, batch) = Batch::of_square(a, options)?;
    let (pack, pairs) = Decomposition::of(&a, &batch)?;
    let (n, size) = (batch.n, batch.count() * batch.n * batch.n * batch.parts());
    let rows = M::of(pack.narrow(0, 0, size)?.reshape(batch.matrices(n, n))?);
    let eigenvalues = pack.narrow(0, size, batch.count() * n)?.reshape(batch.shape(&[n]))?;
    let eigenvectors = rows.transposed()?;
    Ok(Eigh { eigenvalues, eigenvectors, kept: pairs.kept(), report: pairs.report(), a, pairs })
}

/// λ of each Hermitian matrix, as [`eigh`]. V is made only where a gradient may be asked for.
///
/// # Errors
/// As [`eigh`].
pub fn eigvalsh<M: Matrices>(a: &M, options: &Options) -> Result<Eigenvalues> {
    if a.tensor().track_op() {
        let Eigh { eigenvalues, kept, report, .. } = eigh(a, options)?;
        return Ok(Eigenvalues { eigenvalues, kept, report });
    }
    let (a, batch) = Batch::of_square(a, options)?;
    let (values, pairs) = Pairs::of(&batch, Held::new(&a).source()?, false)?;
    let eigenvalues = tensor(values, batch.shape(&[batch.n]));
    Ok(Eigenvalues { eigenvalues, kept: pairs.kept(), report: pairs.report() })
}

/// What is known of eigenpairs beside λ and V: of k pairs a matrix.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub batch: Batch,
    pub k: usize,
    kept: Tensor,
    rank: Tensor,
    status: Tensor,
    gap_kept: Tensor,
    gap_dropped: Tensor,
    /// λ and V, one after the other, without history.
    pack: OnceLock<Tensor>,
    /// S of factors.
    pub projection: Option<Tensor>,
    pub backward: Arc<Latest>,
}

impl Pairs {
    /// The pack [V | λ] of square matrices, or λ alone, and what is known beside.
    fn of(batch: &Batch, a: Source<'_>, with_vectors: bool) -> Result<(Storage, Self)> {
        let (real, n) = (batch.real, batch.n);
        let size = if with_vectors { batch.count() * n * n * batch.parts() } else { 0 };
        let [pack, rest @ ..] = batch.call([a], Self::results(batch, n, size), |[a], [pack, rest @ ..]| {
            let spectrum = spectrum(pack + size * real.size_in_bytes(), rest);
            door::Eigh { a, read: Read::Mean, spectrum, vectors: pack, with_vectors }.into()
        })?;
        Ok((pack, Self::known(batch, n, rest, None)))
    }

    /// The types and lengths of a pack of so many numbers before λ, and what is known beside.
    pub fn results(batch: &Batch, k: usize, size: usize) -> [(DType, usize); 6] {
        let (real, count) = (batch.real, batch.count());
        let beside = [(DType::U8, count * k), (DType::U32, count), (DType::U32, count), (real, count), (real, count)];
        let [kept, rank, status, gap_kept, gap_dropped] = beside;
        [(real, size + count * k), kept, rank, status, gap_kept, gap_dropped]
    }

    pub fn known(batch: &Batch, k: usize, beside: [Storage; 5], projection: Option<Tensor>) -> Self {
        let [kept, rank, status, gap_kept, gap_dropped] = beside;
        let each = |storage| tensor(storage, batch.lead.clone());
        Self {
            batch: batch.clone(),
            k,
            kept: tensor(kept, batch.shape(&[k])),
            rank: each(rank),
            status: each(status),
            gap_kept: each(gap_kept),
            gap_dropped: each(gap_dropped),
            pack: OnceLock::new(),
            projection,
            backward: Arc::default(),
        }
    }

    pub fn kept(&self) -> Tensor {
        self.kept.clone()
    }

    pub fn report(&self) -> Report {
        Report {
            rank: self.rank.clone(),
            gap_kept: self.gap_kept.clone(),
            gap_dropped: self.gap_dropped.clone(),
            status: Statuses(self.status.clone()),
            backward: self.backward.clone(),
        }
    }

    /// Keeps the pack, without its history.
    pub fn set_pack(&self, pack: &Tensor) {
        self.pack.get_or_init(|| pack.detach());
    }

    /// The pack, once it is made.
    pub fn pack(&self) -> Result<&Tensor> {
        self.pack.get().ok_or_else(|| Error::msg("eigengrad: these pairs have no vectors"))
    }

    /// Bytes of V in the pack.
    fn vectors_size(&self) -> usize {
        self.batch.count() * self.batch.n * self.k * self.batch.parts() * self.batch.real.size_in_bytes()
    }

    /// Where pairs are: the pack, kept and status.
    pub fn at(&self, [pack, kept, status]: [Address; 3]) -> PairsAt {
        PairsAt { values: pack + self.vectors_size(), kept, status, vectors: pack }
    }

    /// Where cotangents are that lie as the pack does.
    pub fn cotangents_at(&self, pack: Address) -> CotangentsAt {
        CotangentsAt { values: pack + self.vectors_size(), vectors: pack, rows: false }
    }

    /// The tensors that [`Pairs::at`] has the addresses of.
    pub fn held(&self) -> Result<[Held<'_>; 3]> {
        Ok([Held::new(self.pack()?), Held::new(&self.kept), Held::new(&self.status)])
    }

    /// Keeps the report of a backward pass.
    pub fn reported(&self, [gauge_defect, tie_defect, status]: [Storage; 3]) {
        let lead = || self.batch.lead.clone();
        self.backward.set(BackwardReport {
            gauge_defect: tensor(gauge_defect, self.batch.shape(&[self.k])),
            tie_defect: tensor(tie_defect, lead()),
            status: Statuses(tensor(status, lead())),
        });
    }

    /// Ā of a cotangent of the pack.
    fn backward(&self, bar: &Tensor) -> Result<Tensor> {
        let (n, real, count) = (self.batch.n, self.batch.real, self.batch.count());
        let ([pack, kept, status], bar) = (self.held()?, Held::new(bar));
        let sources = [pack.source()?, kept.source()?, status.source()?, bar.source()?];
        let results = [(real, count * n * n * self.batch.parts()), (real, count * n), (real, count), (DType::U32, count)];
        let [a_bar, rest @ ..] =
            self.batch.call(sources, results, |[at @ .., bar], [a_bar, gauge_defect, tie_defect, status]| {
                let (pairs, cotangents, directions) = (self.at(at), self.cotangents_at(bar), 1);
                door::Backward { pairs, directions, cotangents, a_bar, gauge_defect, tie_defect, status }.into()
            })?;
        self.reported(rest);
        Ok(tensor(a_bar, self.batch.matrices(n, n)))
    }
}

/// Where λ and what is known beside are written.
pub(crate) fn spectrum(values: Address, [kept, rank, status, gap_kept, gap_dropped]: [Address; 5]) -> SpectrumAt {
    SpectrumAt { values, kept, rank, status, gap_kept, gap_dropped }
}

/// A ↦ [V | λ].
struct Decomposition {
    batch: Batch,
    pairs: Arc<OnceLock<Arc<Pairs>>>,
}

impl Decomposition {
    /// The pack, with its history, and what is known beside.
    fn of(a: &Tensor, batch: &Batch) -> Result<(Tensor, Arc<Pairs>)> {
        let side = Arc::new(OnceLock::new());
        let pack = a.apply_op1(Self { batch: batch.clone(), pairs: side.clone() })?;
        let pairs = side.get().ok_or_else(|| Error::msg("eigengrad: nothing was decomposed"))?.clone();
        pairs.set_pack(&pack);
        Ok((pack, pairs))
    }

    fn forward(&self, a: Source<'_>) -> Result<(Storage, Shape)> {
        let (pack, pairs) = Pairs::of(&self.batch, a, true)?;
        let _ = self.pairs.set(Arc::new(pairs));
        let Batch { n, .. } = self.batch;
        Ok((pack, Shape::from(self.batch.count() * n * (n * self.batch.parts() + 1))))
    }
}

impl CustomOp1 for Decomposition {
    fn name(&self) -> &'static str {
        "eigengrad::eigh"
    }

    fn cpu_fwd(&self, a: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        on_cpu(self.forward(Source::Cpu(a, layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, a: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        crate::memory::on_cuda(self.forward(Source::Cuda(a, layout)))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, bar: &Tensor) -> Result<Option<Tensor>> {
        let pairs = self.pairs.get().ok_or_else(|| Error::msg("eigengrad: nothing was decomposed"))?;
        pairs.backward(&bar.contiguous()?).map(Some)
    }
}
