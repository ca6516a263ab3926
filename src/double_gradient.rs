//! What the double backward pass gives: [`DoubleGradient`], cotangents of A, λ̄ and V̄ from one of Ā.

use crate::eigenpairs::{array2, array3};
use crate::{Backend, Cpu, Element, Error, Result, Status};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// Where the results of a double backward pass are written.
#[derive(Debug)]
pub struct DoubleGradientMut<'a, O: Element, B: Backend = Cpu> {
    /// The cotangent of A, Hermitian, row-major `[batch, n, n]`.
    pub a_bar: B::ViewMut<'a, O>,
    /// The cotangent of λ̄, `[batch, n]`, 0 outside K.
    pub values_bar_bar: B::ViewMut<'a, O::Real>,
    /// The cotangent of V̄ in the order of V, one vector after the other: `[batch, k, i]`, 0 outside K.
    pub vectors_bar_bar: B::ViewMut<'a, O>,
    /// What is to be known of each matrix, `[batch]`.
    pub status: B::ViewMut<'a, Status>,
}

/// The cotangents of A, λ̄ and V̄ that a cotangent H of Ā comes to, owned.
#[derive(Debug)]
pub struct DoubleGradient<O: Element, B: Backend = Cpu> {
    backend: B,
    a_bar: B::Buffer<O>,
    values_bar_bar: B::Buffer<O::Real>,
    vectors_bar_bar: B::Buffer<O>,
    status: B::Buffer<Status>,
    batch: usize,
    n: usize,
}

impl<O: Element, B: Backend> DoubleGradient<O, B> {
    /// Memory for `batch` n×n matrices.
    pub(crate) fn zeros(backend: &B, batch: usize, n: usize) -> Result<Self> {
        Ok(Self {
            backend: backend.clone(),
            a_bar: backend.zeros(batch * n * n)?,
            values_bar_bar: backend.zeros(batch * n)?,
            vectors_bar_bar: backend.zeros(batch * n * n)?,
            status: backend.zeros(batch)?,
            batch,
            n,
        })
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> DoubleGradientMut<'_, O, B> {
        DoubleGradientMut {
            a_bar: B::view_mut(&mut self.a_bar),
            values_bar_bar: B::view_mut(&mut self.values_bar_bar),
            vectors_bar_bar: B::view_mut(&mut self.vectors_bar_bar),
            status: B::view_mut(&mut self.status),
        }
    }

    /// The statuses.
    pub(crate) fn status_view(&self) -> B::View<'_, Status> {
        B::view(&self.status)
    }

    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<DoubleGradient<O, Cpu>> {
        Ok(DoubleGradient {
            backend: self.backend.host(),
            a_bar: self.backend.download(B::view(&self.a_bar))?.into(),
            values_bar_bar: self.backend.download(B::view(&self.values_bar_bar))?.into(),
            vectors_bar_bar: self.backend.download(B::view(&self.vectors_bar_bar))?.into(),
            status: self.backend.download(B::view(&self.status))?.into(),
            batch: self.batch,
            n: self.n,
        })
    }
}

impl<O: Element> DoubleGradient<O, Cpu> {
    /// The cotangent of A, Hermitian, `[batch, n, n]`.
    pub fn a_bar(&self) -> ArrayView3<'_, O> {
        array3(self.batch, self.n, &self.a_bar)
    }

    /// The cotangent of λ̄, `[batch, n]`, 0 outside K.
    pub fn values_bar_bar(&self) -> ArrayView2<'_, O::Real> {
        array2(self.batch, self.n, &self.values_bar_bar)
    }

    /// The cotangent of V̄, `[batch, n, n]`: `[[b, .., k]]` is that of v̄_k, 0 outside K.
    pub fn vectors_bar_bar(&self) -> ArrayView3<'_, O> {
        array3(self.batch, self.n, &self.vectors_bar_bar).permuted_axes([0, 2, 1])
    }

    /// What is to be known of each matrix, `[batch]`.
    pub fn status(&self) -> ArrayView1<'_, Status> {
        ArrayView1::from(&*self.status)
    }

    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`] unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        Error::unless_clear(&self.status, |status| !status.passes())
    }
}
