//! What the loss sends back: [`Cotangents`] λ̄ and V̄, either of which may be absent.

use crate::batch::expect_len;
use crate::eigenpairs::Eigenpairs;
use crate::{Backend, Cpu, Element, Error, Result};
use ndarray::{ArrayView2, ArrayView3};

/// Borrowed cotangents of eigenpairs stored as `O`.
#[derive(Debug)]
pub struct CotangentsRef<'a, O: Element, B: Backend = Cpu> {
    /// λ̄, `[batch, n]`; columns outside K are not read.
    pub(crate) values: Option<B::View<'a, O::Real>>,
    /// V̄ in the order of V, one vector after the other: `[batch, k, i]`; columns outside K are not read.
    pub(crate) vectors: Option<B::View<'a, O>>,
}

impl<'a, O: Element> CotangentsRef<'a, O> {
    /// Cotangents as they lie in host memory: λ̄ `[batch, n]`, V̄ `[batch, n, k]` with `v_bar[[b, .., k]]` belonging to eigenvector k.
    /// The memory of V̄ has one vector after the other, strides (n·k, 1, n), as [`Eigenpairs::vectors`] has it.
    ///
    /// # Errors
    /// [`Error::NotByColumns`] of arrays that lie otherwise: an array in row-major order is none of these.
    pub fn new(values: Option<ArrayView2<'a, O::Real>>, vectors: Option<ArrayView3<'a, O>>) -> Result<Self> {
        let values = values.map(|x| x.to_slice().ok_or(Error::NotByColumns { what: "λ̄" })).transpose()?;
        let vectors =
            vectors.map(|x| x.permuted_axes([0, 2, 1]).to_slice().ok_or(Error::NotByColumns { what: "V̄" })).transpose()?;
        Ok(Self { values, vectors })
    }
}

impl<'a, O: Element, B: Backend> CotangentsRef<'a, O, B> {
    /// Cotangents in memory of the backend: λ̄ `[batch, n]`, and V̄ by its columns, one vector after the other, `[batch, k, i]`.
    pub fn from_columns(values: Option<B::View<'a, O::Real>>, columns: Option<B::View<'a, O>>) -> Self {
        Self { values, vectors: columns }
    }
}

impl<O: Element, B: Backend> Clone for CotangentsRef<'_, O, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Element, B: Backend> Copy for CotangentsRef<'_, O, B> {}

/// Cotangents of eigenpairs stored as `O`: dL = Σ λ̄·dλ + Re tr(V̄ᴴ dV), owned.
#[derive(Debug)]
pub struct Cotangents<O: Element, B: Backend = Cpu> {
    values: Option<B::Buffer<O::Real>>,
    vectors: Option<B::Buffer<O>>,
    shape: [usize; 3],
}

impl<O: Element, B: Backend> Cotangents<O, B> {
    /// Copies cotangents for `pairs` from arrays of any strides: λ̄ `[batch, n]`, V̄ `[batch, n, n]` with `v_bar[[b, .., k]]`
    /// belonging to eigenvector k. What is outside K is ignored.
    ///
    /// # Errors
    /// [`Error::Shape`] if an array has another shape than the pairs, [`Error::Backend`].
    pub fn new(
        pairs: &Eigenpairs<O, B>,
        values: Option<ArrayView2<'_, O::Real>>,
        vectors: Option<ArrayView3<'_, O>>,
    ) -> Result<Self> {
        Self::shaped(&pairs.backend, [pairs.batch(), pairs.n(), pairs.n()], values, vectors)
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
        shape: [usize; 3],
        values: Option<ArrayView2<'_, O::Real>>,
        vectors: Option<ArrayView3<'_, O>>,
    ) -> Result<Self> {
        if let Some(values) = &values {
            expect_shape("λ̄", &[shape[0], shape[2]], values.shape())?;
        }
        if let Some(vectors) = &vectors {
            expect_shape("V̄", &shape, vectors.shape())?;
        }
        Ok(Self {
            values: values.map(|x| backend.upload(x.iter().copied().collect())).transpose()?,
            vectors: vectors
                .map(|x| x.permuted_axes([0, 2, 1]))
                .map(|x| backend.upload(x.as_slice().map_or_else(|| x.iter().copied().collect(), <[O]>::to_vec)))
                .transpose()?,
            shape,
        })
    }

    /// Cotangents from memory that is on the backend already: λ̄ `[batch, n]`, V̄ `[batch, k, i]`, one vector after the other.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not hold as many elements.
    pub fn from_buffers(
        pairs: &Eigenpairs<O, B>,
        values: Option<B::Buffer<O::Real>>,
        vectors: Option<B::Buffer<O>>,
    ) -> Result<Self> {
        Self::from_shaped([pairs.batch(), pairs.n(), pairs.n()], values, vectors)
    }

    /// As [`Cotangents::from_buffers`] for pairs of this shape.
    pub(crate) fn from_shaped(
        shape: [usize; 3],
        values: Option<B::Buffer<O::Real>>,
        vectors: Option<B::Buffer<O>>,
    ) -> Result<Self> {
        values.as_ref().map_or(Ok(()), |x| expect_len::<O::Real, B>("λ̄", shape[0] * shape[2], x))?;
        vectors.as_ref().map_or(Ok(()), |x| expect_len::<O, B>("V̄", shape.iter().product(), x))?;
        Ok(Self { values, vectors, shape })
    }

    /// These cotangents as borrowed memory, for [`Plan::backward_into`](crate::Plan::backward_into).
    pub fn as_ref(&self) -> CotangentsRef<'_, O, B> {
        CotangentsRef { values: self.values.as_ref().map(B::view), vectors: self.vectors.as_ref().map(B::view) }
    }

    /// Whether they belong to pairs of this shape.
    pub(crate) fn expect(&self, batch: usize, n: usize) -> Result<()> {
        expect_shape("cotangents", &[batch, n], &[self.shape[0], self.shape[2]])?;
        self.expect_shape(&[batch, n, n])
    }

    /// Whether they belong to pairs of this shape `[batch, n, k]`.
    pub(crate) fn expect_shape(&self, shape: &[usize; 3]) -> Result<()> {
        expect_shape("cotangents", shape, &self.shape)
    }
}

fn expect_shape(what: &'static str, expected: &[usize], got: &[usize]) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Shape { what, expected: expected.to_vec(), got: got.to_vec() }) }
}
