//! The input: a batch of thin factors B, one column after the other in memory.

use crate::options::addressable;
use crate::{Array, Backend, Cpu, Element, Error, Owned, Result, Storage, View};
use ndarray::ArrayView3;

/// A batch of factors B `[batch, n, r]` with r ≤ n on a backend: of the matrices A = B Bᴴ.
#[derive(Debug)]
pub struct FactorBatch<T: Element, B: Backend = Cpu, S: Storage = Owned> {
    /// `[batch, k, i]`.
    pub(crate) data: Array<T, B, 3, S>,
}

impl<T: Element, B: Backend> Clone for FactorBatch<T, B, View<'_>> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Element, B: Backend> Copy for FactorBatch<T, B, View<'_>> {}

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
        Ok(Self { data: Array::from_host(backend, data, [batch, r, n])? })
    }

    /// The memory, as it is: `[batch, k, i]`.
    pub fn into_array(self) -> Array<T, B, 3> {
        self.data
    }

    /// Borrows it.
    pub fn view(&self) -> FactorBatch<T, B, View<'_>> {
        FactorBatch { data: self.data.view() }
    }
}

impl<T: Element, B: Backend, S: Storage> FactorBatch<T, B, S> {
    /// Factors in memory of a backend, by columns: `[batch, k, i]` holds component i of column k.
    ///
    /// # Errors
    /// As [`FactorBatch::new`].
    pub fn from_columns(data: Array<T, B, 3, S>) -> Result<Self> {
        let [batch, r, n] = data.shape();
        thin::<T>(batch, n, r).map(|()| Self { data })
    }

    /// The number of factors.
    pub fn batch(&self) -> usize {
        self.data.shape()[0]
    }

    /// The order n of the matrices B Bᴴ.
    pub fn n(&self) -> usize {
        self.data.shape()[2]
    }

    /// The number of columns.
    pub fn r(&self) -> usize {
        self.data.shape()[1]
    }
}

/// Whether factors of this shape are thin and can be addressed.
pub(super) fn thin<T: Element>(batch: usize, n: usize, r: usize) -> Result<()> {
    if r > n {
        return Err(Error::Wide { n, r });
    }
    addressable::<T>(batch, n)
}
