//! Where the numbers live: [`Backend`].

use crate::scalar::sealed::Sealed;
use crate::{Cpu, Pod, Result};
use std::fmt::Debug;

/// Memory of one device, seen through one stream: the CPU's, or a GPU's.
///
/// Views are contiguous and borrow; `'a` is what keeps a tensor framework's memory alive while an operation is given it.
#[diagnostic::on_unimplemented(message = "`{Self}` is no backend", note = "`Cpu` and `cuda::Cuda` are")]
pub trait Backend: Clone + Debug + Send + Sync + Sealed + 'static {
    /// Owned memory of a fixed number of elements.
    type Buffer<T: Pod>: Debug + Send + Sync;
    /// Borrowed memory.
    type View<'a, T: Pod>: Copy + Debug + Send + Sync;
    /// Mutably borrowed memory.
    type ViewMut<'a, T: Pod>: Debug + Send;

    /// What messages and records call it.
    const NAME: &'static str;

    /// Waits until all work that was enqueued has run.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if it failed.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// The CPU that does this backend's work on the host: the backend itself where it is one.
    fn host(&self) -> Cpu {
        Cpu::default()
    }

    /// Zero-filled memory for `len` elements.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is none.
    fn zeros<T: Pod>(&self, len: usize) -> Result<Self::Buffer<T>>;

    /// A copy of host memory.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if there is no memory for it or the copy fails.
    fn upload<T: Pod>(&self, host: Vec<T>) -> Result<Self::Buffer<T>>;

    /// A copy in host memory; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the copy fails, or work before it did.
    fn download<T: Pod>(&self, view: Self::View<'_, T>) -> Result<Vec<T>>;

    /// Borrows a buffer.
    fn view<T: Pod>(buffer: &Self::Buffer<T>) -> Self::View<'_, T>;

    /// Borrows a buffer mutably.
    fn view_mut<T: Pod>(buffer: &mut Self::Buffer<T>) -> Self::ViewMut<'_, T>;

    /// The number of elements of a view.
    fn len<T: Pod>(view: &Self::View<'_, T>) -> usize;

    /// The number of elements of a mutable view.
    fn len_mut<T: Pod>(view: &Self::ViewMut<'_, T>) -> usize;
}
