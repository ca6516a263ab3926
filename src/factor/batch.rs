//! The input: a batch of thin factors B, one column after the other in memory.

use crate::batch::expect_len;
use crate::{Backend, Cpu, Element, Error, Result};
use ndarray::ArrayView3;

/// A batch of factors B `[batch, n, r]` with r ≤ n, owned, on a backend: of the matrices A = B Bᴴ.
#[derive(Debug)]
pub struct FactorBatch<T: Element, B: Backend = Cpu> {
    pub(crate) backend: B,
    data: B::Buffer<T>,
    batch: usize,
    n: usize,
    r: usize,
}

impl<T: Element> FactorBatch<T, Cpu> {
    /// A batch on the CPU from an array `[batch, n, r]` of any strides.
    ///
    /// # Errors
    /// [`Error::Wide`] if r > n, [`Error::TooLarge`]; [`Error::Backend`] without memory.
    pub fn new(b: ArrayView3<'_, T>) -> Result<Self> {
        Self::on(&Cpu::default(), b)
    }
}

impl<T: Element, B: Backend> FactorBatch<T, B> {
    /// As [`FactorBatch::new`], on the given backend.
    ///
    /// # Errors
    /// As [`FactorBatch::new`].
    pub fn on(backend: &B, b: ArrayView3<'_, T>) -> Result<Self> {
        let (batch, n, r) = b.dim();
        thin::<T>(batch, n, r)?;
        let columns = b.permuted_axes([0, 2, 1]);
        let data = columns.as_slice().map_or_else(|| columns.iter().copied().collect(), <[T]>::to_vec);
        Ok(Self { backend: backend.clone(), data: backend.upload(data)?, batch, n, r })
    }

    /// A batch from memory that is on the backend already: `[batch, k, i]` holds component i of column k.
    ///
    /// # Errors
    /// As [`FactorBatch::new`]; [`Error::Shape`] if the memory does not hold `batch`·n·r elements.
    pub fn from_buffer(backend: &B, data: B::Buffer<T>, batch: usize, n: usize, r: usize) -> Result<Self> {
        thin::<T>(batch, n, r)?;
        expect_len::<T, B>("B", batch * n * r, &data)?;
        Ok(Self { backend: backend.clone(), data, batch, n, r })
    }

    /// The memory, as it is.
    pub fn into_buffer(self) -> B::Buffer<T> {
        self.data
    }

    /// The factors as borrowed memory, for [`FactorPlan::eigh_into`](crate::FactorPlan::eigh_into).
    pub fn as_ref(&self) -> B::View<'_, T> {
        B::view(&self.data)
    }

    /// The number of factors.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The order n of the matrices B Bᴴ.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The number of columns.
    pub fn r(&self) -> usize {
        self.r
    }
}

/// Whether factors of this shape are thin and can be addressed.
pub(super) fn thin<T: Element>(batch: usize, n: usize, r: usize) -> Result<()> {
    if r > n {
        return Err(Error::Wide { n, r });
    }
    crate::options::addressable::<T>(batch, n)
}
