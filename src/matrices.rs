//! Hermitian matrices that come out of a computation: [`Matrices`], with a status each.

use crate::eigenpairs::array3;
use crate::{Backend, Cpu, Element, Error, HermitianBatch, HermitianRef, Result, Status, Triangle};
use ndarray::{ArrayView1, ArrayView3};

/// Where Hermitian matrices are written.
#[derive(Debug)]
pub struct MatricesMut<'a, G: Element, B: Backend = Cpu> {
    /// Both triangles, row-major `[count, n, n]`.
    pub data: B::ViewMut<'a, G>,
    /// What is to be known of each, `[count]`.
    pub status: B::ViewMut<'a, Status>,
}

/// Hermitian matrices `[count, n, n]`, owned: a function of the matrices of a batch, or a derivative by them.
#[derive(Debug)]
pub struct Matrices<G: Element, B: Backend = Cpu> {
    backend: B,
    data: B::Buffer<G>,
    status: B::Buffer<Status>,
    count: usize,
    n: usize,
}

impl<G: Element, B: Backend> Matrices<G, B> {
    /// Memory for `count` n×n matrices.
    pub(crate) fn zeros(backend: &B, count: usize, n: usize) -> Result<Self> {
        let (data, status) = (backend.zeros(count * n * n)?, backend.zeros(count)?);
        Ok(Self { backend: backend.clone(), data, status, count, n })
    }

    /// Matrices that were made on the host, row-major `[status.len(), n, n]`.
    pub(crate) fn upload(backend: &B, data: Vec<G>, status: Vec<Status>, n: usize) -> Result<Self> {
        let count = status.len();
        Ok(Self { backend: backend.clone(), data: backend.upload(data)?, status: backend.upload(status)?, count, n })
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> MatricesMut<'_, G, B> {
        MatricesMut { data: B::view_mut(&mut self.data), status: B::view_mut(&mut self.status) }
    }

    /// The matrices as borrowed memory, for another operation.
    pub fn as_ref(&self) -> HermitianRef<'_, G, B> {
        HermitianRef { data: B::view(&self.data), triangle: Triangle::Lower }
    }

    /// The matrices as a batch, to be decomposed in turn; statuses are left behind.
    ///
    /// # Errors
    /// None that can happen: the shape has been checked.
    pub fn into_batch(self) -> Result<HermitianBatch<G, B>> {
        HermitianBatch::from_buffer(&self.backend, self.data, self.count, self.n, Triangle::Lower)
    }

    /// The memory, as it is: matrices and statuses, shaped as in [`MatricesMut`].
    pub fn into_buffers(self) -> (B::Buffer<G>, B::Buffer<Status>) {
        (self.data, self.status)
    }

    /// The statuses.
    pub(crate) fn status_view(&self) -> B::View<'_, Status> {
        B::view(&self.status)
    }

    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<Matrices<G, Cpu>> {
        Ok(Matrices {
            backend: self.backend.host(),
            data: self.backend.download(B::view(&self.data))?.into(),
            status: self.backend.download(B::view(&self.status))?.into(),
            count: self.count,
            n: self.n,
        })
    }

    /// The number of matrices.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl<G: Element> Matrices<G, Cpu> {
    /// The matrices, `[count, n, n]`.
    pub fn data(&self) -> ArrayView3<'_, G> {
        array3(self.count, self.n, &self.data)
    }

    /// What is to be known of each, `[count]`.
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
