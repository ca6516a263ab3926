//! What a direction makes of eigenpairs: [`Tangents`] λ̇ and V̇ of Ȧ, the counterpart of [`Cotangents`](crate::Cotangents).

use crate::eigenpairs::{array2, array3};
use crate::{Backend, Cpu, Element, Error, Result, Status};
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// Where tangents are written, direction after direction.
#[derive(Debug)]
pub struct TangentsMut<'a, O: Element, B: Backend = Cpu> {
    /// λ̇, `[directions·batch, n]`, 0 outside K.
    pub values: B::ViewMut<'a, O::Real>,
    /// V̇ in the order of V, one vector after the other: `[directions·batch, k, i]`, 0 outside K.
    pub vectors: B::ViewMut<'a, O>,
    /// What is to be known of each, `[directions·batch]`.
    pub status: B::ViewMut<'a, Status>,
}

/// λ̇_K and V̇_K along one direction or several, owned.
#[derive(Debug)]
pub struct Tangents<O: Element, B: Backend = Cpu> {
    backend: B,
    values: B::Buffer<O::Real>,
    vectors: B::Buffer<O>,
    status: B::Buffer<Status>,
    count: usize,
    n: usize,
}

impl<O: Element, B: Backend> Tangents<O, B> {
    /// Memory for `count` = directions·batch tangents.
    pub(crate) fn zeros(backend: &B, count: usize, n: usize) -> Result<Self> {
        Ok(Self {
            backend: backend.clone(),
            values: backend.zeros(count * n)?,
            vectors: backend.zeros(count * n * n)?,
            status: backend.zeros(count)?,
            count,
            n,
        })
    }

    /// This memory, to be written.
    pub fn as_mut(&mut self) -> TangentsMut<'_, O, B> {
        TangentsMut {
            values: B::view_mut(&mut self.values),
            vectors: B::view_mut(&mut self.vectors),
            status: B::view_mut(&mut self.status),
        }
    }

    /// The memory, as it is: λ̇, V̇ and statuses, shaped as in [`TangentsMut`].
    #[allow(clippy::type_complexity, reason = "three buffers")]
    pub fn into_buffers(self) -> (B::Buffer<O::Real>, B::Buffer<O>, B::Buffer<Status>) {
        (self.values, self.vectors, self.status)
    }

    /// The statuses.
    pub(crate) fn status_view(&self) -> B::View<'_, Status> {
        B::view(&self.status)
    }

    /// A copy in host memory, where it can be looked at; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<Tangents<O, Cpu>> {
        Ok(Tangents {
            backend: self.backend.host(),
            values: self.backend.download(B::view(&self.values))?.into(),
            vectors: self.backend.download(B::view(&self.vectors))?.into(),
            status: self.backend.download(B::view(&self.status))?.into(),
            count: self.count,
            n: self.n,
        })
    }
}

impl<O: Element> Tangents<O, Cpu> {
    /// λ̇, `[directions·batch, n]`, 0 outside K.
    pub fn values(&self) -> ArrayView2<'_, O::Real> {
        array2(self.count, self.n, &self.values)
    }

    /// V̇, `[directions·batch, n, n]`: `v[[b, .., k]]` is that of eigenvector k, 0 outside K; strides as of
    /// [`Eigenpairs::vectors`](crate::Eigenpairs::vectors).
    pub fn vectors(&self) -> ArrayView3<'_, O> {
        array3(self.count, self.n, &self.vectors).permuted_axes([0, 2, 1])
    }

    /// What is to be known of each, `[directions·batch]`.
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
