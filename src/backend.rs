//! Where the numbers live: [`Backend`].

use crate::element::sealed::Sealed;
use crate::{Cpu, Pod, Result};
use std::fmt::Debug;

/// Memory of one device, seen through one stream: the CPU's, or a GPU's.
///
/// Nobody else can be one, and so give operations memory that is not there:
///
/// ```compile_fail
/// #[derive(Clone, Debug)]
/// struct Mine;
/// impl eigengrad::Backend for Mine {}
/// ```
///
/// Views are contiguous and borrow; `'a` is what keeps a tensor framework's memory alive while an
/// operation is given it.
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

    /// Copies host memory into memory of this backend, which holds as many elements; waits for the
    /// device.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if it does not;
    /// [`Error::Backend`](crate::Error::Backend) if the copy fails, or work before it did.
    fn copy_from_host<T: Pod>(&self, host: &[T], to: Self::ViewMut<'_, T>) -> Result<()>;

    /// A copy in host memory; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the copy fails, or work before it did.
    fn download<T: Pod>(&self, view: Self::View<'_, T>) -> Result<Vec<T>>;

    /// A view of no elements.
    fn nothing<'a, T: Pod>(&self) -> Self::View<'a, T>;

    /// Memory of another owner by its address: `len` elements, of a front end's array, say.
    ///
    /// # Safety
    /// The memory is this backend's, holds `len` elements that are values of `T`, and is not
    /// written by others during `'a`; on a device, nor until the work that it is given to has run,
    /// and what was written before is ordered before the work of the stream.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the address is null or not aligned to an
    /// element.
    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    unsafe fn borrow<'a, T: Pod>(&self, address: usize, len: usize) -> Result<Self::View<'a, T>>;

    /// As [`Backend::borrow`], for memory that is written.
    ///
    /// # Safety
    /// As there; and the memory is not read by others, either.
    ///
    /// # Errors
    /// As [`Backend::borrow`].
    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    unsafe fn borrow_mut<'a, T: Pod>(&self, address: usize, len: usize) -> Result<Self::ViewMut<'a, T>>;

    /// The first `at` elements of a view, and the others.
    fn split<'a, T: Pod + 'a>(view: Self::View<'a, T>, at: usize) -> (Self::View<'a, T>, Self::View<'a, T>);

    /// As [`Backend::split`], of a mutable view.
    fn split_mut<'a, T: Pod + 'a>(view: Self::ViewMut<'a, T>, at: usize) -> (Self::ViewMut<'a, T>, Self::ViewMut<'a, T>);

    /// Borrows a buffer.
    fn view<T: Pod>(buffer: &Self::Buffer<T>) -> Self::View<'_, T>;

    /// Borrows a buffer mutably.
    fn view_mut<T: Pod>(buffer: &mut Self::Buffer<T>) -> Self::ViewMut<'_, T>;

    /// The number of elements of a view.
    fn len<T: Pod>(view: &Self::View<'_, T>) -> usize;

    /// The number of elements of a mutable view.
    fn len_mut<T: Pod>(view: &Self::ViewMut<'_, T>) -> usize;
}
