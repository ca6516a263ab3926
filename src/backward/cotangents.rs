//! What the loss sends back: [`Cotangents`] λ̄ and V̄, either of which may be absent.

use crate::{Array, Backend, Cpu, Eigenpairs, Element, Error, Owned, Result, Storage, View};
use ndarray::{ArrayView2, ArrayView3};

/// Cotangents of eigenpairs stored as `O`: dL = Σ λ̄·dλ + Re tr(V̄ᴴ dV). What is outside K is not
/// read.
#[derive(Debug)]
pub struct Cotangents<O: Element, B: Backend = Cpu, S: Storage = Owned> {
    /// λ̄, `[batch, n]`.
    pub(crate) values: Option<Array<O::Real, B, 2, S>>,
    /// V̄ in the order of V, one vector after the other: `[batch, k, i]`; or as its rows, `[batch,
    /// i, k]`.
    pub(crate) vectors: Option<Array<O, B, 3, S>>,
    /// Whether V̄ is given by its rows.
    pub(crate) rows: bool,
}

impl<O: Element, B: Backend> Clone for Cotangents<O, B, View<'_>> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Element, B: Backend> Copy for Cotangents<O, B, View<'_>> {}

impl<O: Element, B: Backend> Cotangents<O, B> {
    /// Copies cotangents for `pairs` from arrays of any strides: λ̄ `[batch, n]`, V̄ `[batch, n, n]`
    /// with `v_bar[[b, .., k]]` belonging to eigenvector k.
    ///
    /// # Errors
    /// [`Error::Shape`] if an array has another shape than the pairs, [`Error::Backend`].
    pub fn new(
        pairs: &Eigenpairs<O, B>,
        values: Option<ArrayView2<'_, O::Real>>,
        vectors: Option<ArrayView3<'_, O>>,
    ) -> Result<Self> {
        Self::shaped(pairs.backend(), [pairs.batch(), pairs.n(), pairs.n()], values, vectors)
    }

    /// λ̄ alone, as [`Cotangents::new`].
    ///
    /// # Errors
    /// As [`Cotangents::new`].
    pub fn values(pairs: &Eigenpairs<O, B>, values: ArrayView2<'_, O::Real>) -> Result<Self> {
        Self::new(pairs, Some(values), None)
    }

    /// V̄ alone, as [`Cotangents::new`].
    ///
    /// # Errors
    /// As [`Cotangents::new`].
    pub fn vectors(pairs: &Eigenpairs<O, B>, vectors: ArrayView3<'_, O>) -> Result<Self> {
        Self::new(pairs, None, Some(vectors))
    }

    /// λ̄ and V̄, as [`Cotangents::new`].
    ///
    /// # Errors
    /// As [`Cotangents::new`].
    pub fn both(pairs: &Eigenpairs<O, B>, values: ArrayView2<'_, O::Real>, vectors: ArrayView3<'_, O>) -> Result<Self> {
        Self::new(pairs, Some(values), Some(vectors))
    }

    /// As [`Cotangents::new`] for pairs of this shape `[batch, n, k]`: k vectors of n components.
    pub(crate) fn shaped(
        backend: &B,
        [batch, n, k]: [usize; 3],
        values: Option<ArrayView2<'_, O::Real>>,
        vectors: Option<ArrayView3<'_, O>>,
    ) -> Result<Self> {
        if let Some(x) = vectors.filter(|x| x.dim() != (batch, n, k)) {
            return Err(Error::Shape { what: "V̄", expected: vec![batch, n, k], got: x.shape().to_vec() });
        }
        let columns = vectors.map(|x| x.permuted_axes([0, 2, 1]));
        let copied = |x: ArrayView3<'_, O>| x.as_slice().map_or_else(|| x.iter().copied().collect(), <[O]>::to_vec);
        let array2 = |x: ArrayView2<'_, O::Real>| Array::from_host(backend, x.iter().copied().collect(), x.dim().into());
        let array3 = |x: ArrayView3<'_, O>| Array::from_host(backend, copied(x), x.dim().into());
        let cotangents = Self { values: values.map(array2).transpose()?, vectors: columns.map(array3).transpose()?, rows: false };
        cotangents.expect(batch, n, k).map(|()| cotangents)
    }

    /// Borrows them.
    pub fn view(&self) -> Cotangents<O, B, View<'_>> {
        let (values, vectors) = (self.values.as_ref().map(Array::view), self.vectors.as_ref().map(Array::view));
        Cotangents { values, vectors, rows: self.rows }
    }
}

impl<O: Element, B: Backend, S: Storage> Cotangents<O, B, S> {
    /// Cotangents in memory of the backend: λ̄ `[batch, n]`, and V̄ by its columns, one vector after
    /// the other, `[batch, k, i]`.
    pub fn from_columns(values: Option<Array<O::Real, B, 2, S>>, columns: Option<Array<O, B, 3, S>>) -> Self {
        Self { values, vectors: columns, rows: false }
    }

    /// As [`Cotangents::from_columns`], with V̄ by its rows, `[batch, i, k]`: row-major, as
    /// `v_bar[[b, i, k]]` belongs to component i of eigenvector k. On a device a copy is made of
    /// it, in memory that is allocated for the call.
    pub fn from_rows(values: Option<Array<O::Real, B, 2, S>>, rows: Option<Array<O, B, 3, S>>) -> Self {
        Self { values, vectors: rows, rows: true }
    }

    /// For how many matrices they are, unless both are absent.
    pub(crate) fn count(&self) -> Option<usize> {
        self.values.as_ref().map(|x| x.shape()[0]).or(self.vectors.as_ref().map(|x| x.shape()[0]))
    }

    /// Whether they belong to `k` vectors of n components for each matrix.
    pub(crate) fn expect(&self, batch: usize, n: usize, k: usize) -> Result<()> {
        self.values.as_ref().map_or(Ok(()), |x| x.expect("λ̄", [batch, k]))?;
        let shape = if self.rows { [batch, n, k] } else { [batch, k, n] };
        self.vectors.as_ref().map_or(Ok(()), |x| x.expect("V̄", shape))
    }
}

impl<'a, O: Element> Cotangents<O, Cpu, View<'a>> {
    /// Cotangents as they lie in host memory: λ̄ `[batch, n]`, V̄ `[batch, n, k]` with `v_bar[[b, ..,
    /// k]]` belonging to eigenvector k. The memory of V̄ has one vector after the other, strides
    /// (n·k, 1, n), as [`Eigenpairs::vectors`] has it, or is row-major.
    ///
    /// # Errors
    /// [`Error::NotByColumns`] of arrays that lie otherwise.
    pub fn borrowed(values: Option<ArrayView2<'a, O::Real>>, vectors: Option<ArrayView3<'a, O>>) -> Result<Self> {
        let values = values.map(|x| {
            let slice = x.to_slice().ok_or(Error::NotByColumns { what: "λ̄" })?;
            Array::from_view(slice, x.dim().into())
        });
        let columns = vectors.map(|x| x.permuted_axes([0, 2, 1]));
        let rows = columns.is_some_and(|x| x.to_slice().is_none());
        let vectors = if rows { vectors } else { columns }.map(|x| {
            let slice = x.to_slice().ok_or(Error::NotByColumns { what: "V̄" })?;
            Array::from_view(slice, x.dim().into())
        });
        Ok(Self { values: values.transpose()?, vectors: vectors.transpose()?, rows })
    }
}

impl<O: Element, B: Backend> Cotangents<O, B, View<'_>> {
    /// What belongs to the first `at` matrices, and the rest.
    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        let (values, values2) = self.values.map(|x| x.split_at(at)).unzip();
        let (vectors, vectors2) = self.vectors.map(|x| x.split_at(at)).unzip();
        let rows = self.rows;
        (Self { values, vectors, rows }, Self { values: values2, vectors: vectors2, rows })
    }
}
