//! One array: [`Array`], memory of a backend with its shape, owned or borrowed; and structs of
//! arrays that belong to one batch.

use crate::element::sealed::Sealed;
use crate::{Backend, Cpu, Error, Pod, Result, Status};
use ndarray::{ArrayView, IntoDimension};
use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// How an array holds its memory, as in `ndarray`: [`Owned`], [`View`] or [`ViewMut`].
pub trait Storage: Debug + Sealed {
    /// The memory of `T` on `B`.
    type Memory<T: Pod, B: Backend>: Debug;

    /// The number of elements.
    fn len<T: Pod, B: Backend>(memory: &Self::Memory<T, B>) -> usize;

    /// The elements in host memory.
    fn host<T: Pod>(memory: &Self::Memory<T, Cpu>) -> &[T];
}

/// Storage that may be written.
pub trait StorageMut: Storage {
    /// The elements in host memory.
    fn host_mut<T: Pod>(memory: &mut Self::Memory<T, Cpu>) -> &mut [T];
}

/// Memory that the array frees, and the backend that it is on.
#[derive(Clone, Copy, Debug)]
pub struct Owned;

/// Memory of another owner, which is read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a>(PhantomData<&'a ()>);

/// Memory of another owner, which is written.
#[derive(Clone, Copy, Debug)]
pub struct ViewMut<'a>(PhantomData<&'a mut ()>);

impl Sealed for Owned {}
impl Sealed for View<'_> {}
impl Sealed for ViewMut<'_> {}

impl Storage for Owned {
    type Memory<T: Pod, B: Backend> = (B, B::Buffer<T>);

    fn len<T: Pod, B: Backend>((_, buffer): &(B, B::Buffer<T>)) -> usize {
        B::len(&B::view(buffer))
    }

    fn host<T: Pod>((_, buffer): &(Cpu, Box<[T]>)) -> &[T] {
        buffer
    }
}

impl StorageMut for Owned {
    fn host_mut<T: Pod>((_, buffer): &mut (Cpu, Box<[T]>)) -> &mut [T] {
        buffer
    }
}

impl<'a> Storage for View<'a> {
    type Memory<T: Pod, B: Backend> = B::View<'a, T>;

    fn len<T: Pod, B: Backend>(view: &B::View<'a, T>) -> usize {
        B::len(view)
    }

    fn host<'m, T: Pod>(view: &'m &'a [T]) -> &'m [T] {
        view
    }
}

impl<'a> Storage for ViewMut<'a> {
    type Memory<T: Pod, B: Backend> = B::ViewMut<'a, T>;

    fn len<T: Pod, B: Backend>(view: &B::ViewMut<'a, T>) -> usize {
        B::len_mut(view)
    }

    fn host<'m, T: Pod>(view: &'m &'a mut [T]) -> &'m [T] {
        view
    }
}

impl<'a> StorageMut for ViewMut<'a> {
    fn host_mut<'m, T: Pod>(view: &'m mut &'a mut [T]) -> &'m mut [T] {
        view
    }
}

/// Elements of type `T` in memory of `B`, row-major without gaps, in `D` dimensions.
///
/// In host memory it is a slice, and [`Array::array`] is that slice with its shape.
///
/// ```
/// use eigengrad::{Array, Cpu};
///
/// let rows = Array::from_host(&Cpu::default(), vec![1.0, 2.0, 3.0, 4.0], [2, 2])?;
/// assert_eq!(rows.array()[[1, 0]], 3.0);
/// assert_eq!(rows.iter().sum::<f64>(), 10.0);
/// # eigengrad::Result::<()>::Ok(())
/// ```
///
/// Its shape is that of its memory, which nobody can say otherwise:
///
/// ```compile_fail
/// let numbers = [1.0, 2.0];
/// let more: eigengrad::Array<f64, eigengrad::Cpu, 1, eigengrad::View<'_>> = eigengrad::Array { memory: &numbers[..], shape: [3] };
/// ```
///
/// and a view ends with what it borrows:
///
/// ```compile_fail
/// let view = {
///     let zeros = eigengrad::Array::<f64, _, 1>::zeros(&eigengrad::Cpu::default(), [2])?;
///     zeros.view()
/// };
/// println!("{view:?}");
/// # eigengrad::Result::<()>::Ok(())
/// ```
pub struct Array<T: Pod, B: Backend, const D: usize, S: Storage = Owned> {
    pub(crate) memory: S::Memory<T, B>,
    shape: [usize; D],
}

impl<T: Pod, B: Backend, const D: usize, S: Storage> Debug for Array<T, B, D, S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("shape", &self.shape).field("memory", &self.memory).finish()
    }
}

impl<T: Pod, B: Backend, const D: usize> Clone for Array<T, B, D, View<'_>> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Pod, B: Backend, const D: usize> Copy for Array<T, B, D, View<'_>> {}

impl<T: Pod, B: Backend, const D: usize, S: Storage> Array<T, B, D, S> {
    /// Memory that lies row-major without gaps.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not hold as many elements.
    fn of(memory: S::Memory<T, B>, shape: [usize; D]) -> Result<Self> {
        let (expected, got) = (elements(shape), S::len::<T, B>(&memory));
        if expected == Some(got) {
            return Ok(Self { memory, shape });
        }
        Err(Error::Shape { what: "memory", expected: shape.to_vec(), got: vec![got] })
    }

    /// The extents.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Whether this is its shape.
    ///
    /// # Errors
    /// [`Error::Shape`], which names `what`.
    pub(crate) fn expect(&self, what: &'static str, shape: [usize; D]) -> Result<()> {
        same(what, &shape, &self.shape)
    }
}

/// Whether extents are those that are expected.
///
/// # Errors
/// [`Error::Shape`], which names `what`.
pub(crate) fn same(what: &'static str, expected: &[usize], got: &[usize]) -> Result<()> {
    match expected == got {
        true => Ok(()),
        false => Err(Error::Shape { what, expected: expected.to_vec(), got: got.to_vec() }),
    }
}

fn elements<const D: usize>(shape: [usize; D]) -> Option<usize> {
    shape.into_iter().try_fold(1_usize, usize::checked_mul)
}

/// The number of elements of memory that there can be.
#[cfg(feature = "foreign")]
fn addressed<T, const D: usize>(shape: [usize; D]) -> Result<usize> {
    let largest = isize::MAX as usize / size_of::<T>().max(1);
    let too_many = || Error::Shape { what: "memory", expected: vec![largest], got: shape.to_vec() };
    elements(shape).filter(|&len| len <= largest).ok_or_else(too_many)
}

impl<T: Pod, B: Backend, const D: usize> Array<T, B, D> {
    /// Zeros.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is no memory for them.
    pub fn zeros(backend: &B, shape: [usize; D]) -> Result<Self> {
        let len = elements(shape).unwrap_or(usize::MAX); // which no backend has
        Ok(Self { memory: (backend.clone(), backend.zeros(len)?), shape })
    }

    /// A copy of host memory.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not hold as many elements; [`Error::Backend`].
    pub fn from_host(backend: &B, host: Vec<T>, shape: [usize; D]) -> Result<Self> {
        Self::from_buffer(backend, backend.upload(host)?, shape)
    }

    /// Memory of `backend`, which it takes over.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not hold as many elements.
    pub fn from_buffer(backend: &B, buffer: B::Buffer<T>, shape: [usize; D]) -> Result<Self> {
        Self::of((backend.clone(), buffer), shape)
    }

    /// The memory, as it is.
    pub fn into_buffer(self) -> B::Buffer<T> {
        self.memory.1
    }

    /// The backend that the memory is on.
    pub fn backend(&self) -> &B {
        &self.memory.0
    }

    /// Borrows it.
    pub fn view(&self) -> Array<T, B, D, View<'_>> {
        Array { memory: B::view(&self.memory.1), shape: self.shape }
    }

    /// Borrows it to be written.
    pub fn view_mut(&mut self) -> Array<T, B, D, ViewMut<'_>> {
        Array { memory: B::view_mut(&mut self.memory.1), shape: self.shape }
    }

    /// A copy in host memory; waits for the device.
    ///
    /// # Errors
    /// [`Error::Backend`] if the device, or work enqueued before, failed.
    pub fn to_host(&self) -> Result<Array<T, Cpu, D>> {
        let host = self.backend().download(B::view(&self.memory.1))?;
        Ok(Array { memory: (self.backend().host(), host.into()), shape: self.shape })
    }
}

impl<'a, T: Pod, B: Backend, const D: usize> Array<T, B, D, View<'a>> {
    /// Memory of another owner.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not hold as many elements.
    pub fn from_view(view: B::View<'a, T>, shape: [usize; D]) -> Result<Self> {
        Self::of(view, shape)
    }

    /// Memory of another owner by its address.
    ///
    /// # Safety
    /// As [`Backend::borrow`].
    ///
    /// # Errors
    /// As [`Backend::borrow`]; [`Error::Shape`] if so many elements cannot be addressed.
    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    pub unsafe fn borrow(backend: &B, address: usize, shape: [usize; D]) -> Result<Self> {
        let len = addressed::<T, D>(shape)?;
        // SAFETY: the caller's.
        Self::of(unsafe { backend.borrow(address, len) }?, shape)
    }

    /// The memory, without its shape.
    pub fn memory(self) -> B::View<'a, T> {
        self.memory
    }
}

impl<'a, T: Pod, B: Backend, const D: usize> Array<T, B, D, ViewMut<'a>> {
    /// Memory of another owner, to be written.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not hold as many elements.
    pub fn from_view_mut(view: B::ViewMut<'a, T>, shape: [usize; D]) -> Result<Self> {
        Self::of(view, shape)
    }

    /// Memory of another owner by its address, to be written.
    ///
    /// # Safety
    /// As [`Backend::borrow_mut`].
    ///
    /// # Errors
    /// As [`Array::borrow`].
    #[cfg(feature = "foreign")]
    #[allow(unsafe_code, reason = "the caller's memory")]
    pub unsafe fn borrow_mut(backend: &B, address: usize, shape: [usize; D]) -> Result<Self> {
        let len = addressed::<T, D>(shape)?;
        // SAFETY: the caller's.
        Self::of(unsafe { backend.borrow_mut(address, len) }?, shape)
    }

    /// Copies host memory into it; waits for the device.
    ///
    /// # Errors
    /// As [`Backend::copy_from_host`].
    pub fn copy_from_host(self, backend: &B, host: &[T]) -> Result<()> {
        backend.copy_from_host(host, self.memory)
    }

    /// The memory, without its shape.
    pub fn memory(self) -> B::ViewMut<'a, T> {
        self.memory
    }
}

impl<T: Pod, const D: usize, S: Storage> Array<T, Cpu, D, S>
where
    [usize; D]: IntoDimension,
{
    /// The elements with their shape.
    pub fn array(&self) -> ArrayView<'_, T, <[usize; D] as IntoDimension>::Dim> {
        ArrayView::from_shape(self.shape, self).unwrap_or_else(|_| unreachable!("the memory holds {:?}", self.shape))
    }
}

impl<T: Pod, const D: usize, S: Storage> Array<T, Cpu, D, S> {
    /// Other numbers for these, of as many.
    pub(crate) fn like<'m, U: Pod>(&self, memory: &'m [U]) -> Array<U, Cpu, D, View<'m>> {
        debug_assert_eq!(memory.len(), self.len());
        Array { memory, shape: self.shape }
    }

    /// As [`Array::like`], to be written.
    pub(crate) fn like_mut<'m, U: Pod>(&self, memory: &'m mut [U]) -> Array<U, Cpu, D, ViewMut<'m>> {
        debug_assert_eq!(memory.len(), self.len());
        Array { memory, shape: self.shape }
    }
}

impl<T: Pod, const D: usize, S: Storage> Deref for Array<T, Cpu, D, S> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        S::host(&self.memory)
    }
}

impl<T: Pod, const D: usize, S: StorageMut> DerefMut for Array<T, Cpu, D, S> {
    fn deref_mut(&mut self) -> &mut [T] {
        S::host_mut(&mut self.memory)
    }
}

impl<'a, T: Pod, const D: usize, S: Storage> IntoIterator for &'a Array<T, Cpu, D, S> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<const D: usize, S: Storage> Array<Status, Cpu, D, S> {
    /// Turns the statuses into one error that names the matrices.
    ///
    /// # Errors
    /// [`Error::Matrices`] unless all pass: see [`Status::passes`].
    pub fn check(&self) -> Result<()> {
        Error::unless_clear(self, |status| !status.passes())
    }
}

impl<T: Pod, B: Backend, const D: usize> Array<T, B, D, View<'_>> {
    /// What belongs to the first `at` along the first axis, and the rest; of an array that is left
    /// empty, nothing.
    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        let at = at.min(self.shape[0]);
        let (left, right) = B::split(self.memory, at * elements_behind(&self.shape));
        (Self { memory: left, shape: with_first(self.shape, at) }, Self { memory: right, shape: without_first(self.shape, at) })
    }
}

impl<T: Pod, B: Backend, const D: usize> Array<T, B, D, ViewMut<'_>> {
    /// As for views that are read.
    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        let at = at.min(self.shape[0]);
        let (left, right) = B::split_mut(self.memory, at * elements_behind(&self.shape));
        (Self { memory: left, shape: with_first(self.shape, at) }, Self { memory: right, shape: without_first(self.shape, at) })
    }
}

impl<T: Pod, const D: usize> Array<T, Cpu, D, ViewMut<'_>> {
    /// The same memory, for as long as this is borrowed.
    pub(crate) fn reborrow(&mut self) -> Array<T, Cpu, D, ViewMut<'_>> {
        Array { memory: &mut *self.memory, shape: self.shape }
    }
}

fn elements_behind(shape: &[usize]) -> usize {
    shape[1..].iter().product()
}

fn with_first<const D: usize>(mut shape: [usize; D], first: usize) -> [usize; D] {
    shape[0] = first;
    shape
}

fn without_first<const D: usize>(mut shape: [usize; D], first: usize) -> [usize; D] {
    shape[0] -= first;
    shape
}

/// Declares a struct of arrays whose first axis is the batch, and what is done to all of them
/// alike.
///
/// `field, "symbol": type, rank [extents]` is an array; `@` before it, a struct of such arrays.
/// Extents are of the sizes in brackets.
macro_rules! arrays {
    (
        $(#[$meta:meta])*
        $name:ident<$e:ident>($batch:ident $(, $size:ident)*) {
            $($(#[$about:meta])* $field:ident, $symbol:literal: $t:ty, $rank:literal [$($extent:expr),+];)*
            $(@ $(#[$about_part:meta])* $part:ident: $of:ident<$of_e:ty>($($of_size:expr),+);)?
            $(with $known:ident: $known_type:ty;)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name<$e: Element, B: Backend = Cpu, S: Storage = Owned> {
            $($(#[$about])* pub $field: Array<$t, B, $rank, S>,)*
            $($(#[$about_part])* pub $part: $of<$of_e, B, S>,)?
            $(pub(crate) $known: $known_type,)?
        }

        impl<$e: Element, B: Backend> Clone for $name<$e, B, View<'_>> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<$e: Element, B: Backend> Copy for $name<$e, B, View<'_>> {}

        impl<$e: Element, B: Backend> $name<$e, B> {
            /// Zeros of these sizes.
            pub(crate) fn zeros(backend: &B, $batch: usize $(, $size: usize)* $(, $known: $known_type)?) -> Result<Self> {
                Ok(Self {
                    $($field: Array::zeros(backend, [$($extent),+])?,)*
                    $($part: $of::zeros(backend, $($of_size),+)?,)?
                    $($known,)?
                })
            }

            /// Borrows it.
            pub fn view(&self) -> $name<$e, B, View<'_>> {
                $name { $($field: self.$field.view(),)* $($part: self.$part.view(),)? $($known: self.$known,)? }
            }

            /// Borrows it to be written.
            pub fn view_mut(&mut self) -> $name<$e, B, ViewMut<'_>> {
                $name { $($field: self.$field.view_mut(),)* $($part: self.$part.view_mut(),)? $($known: self.$known,)? }
            }

            /// A copy in host memory, where it can be looked at; waits for the device.
            ///
            /// # Errors
            /// [`Error::Backend`](crate::Error::Backend) if the device, or work enqueued before,
            /// failed.
            pub fn to_host(&self) -> Result<$name<$e, Cpu>> {
                Ok($name { $($field: self.$field.to_host()?,)* $($part: self.$part.to_host()?,)? $($known: self.$known,)? })
            }
        }

        impl<$e: Element, B: Backend, S: Storage> $name<$e, B, S> {
            /// Whether all have the extents that belong to these sizes.
            pub(crate) fn expect(&self, $batch: usize $(, $size: usize)*) -> Result<()> {
                $(self.$field.expect($symbol, [$($extent),+])?;)*
                $(self.$part.expect($($of_size),+)?;)?
                Ok(())
            }
        }

        #[allow(dead_code, reason = "not each is split, or written in part")]
        impl<$e: Element, B: Backend> $name<$e, B, View<'_>> {
            /// What belongs to the first `at` matrices, and the rest.
            pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
                $(let $field = self.$field.split_at(at);)*
                $(let $part = self.$part.split_at(at);)?
                (
                    Self { $($field: $field.0,)* $($part: $part.0,)? $($known: self.$known,)? },
                    Self { $($field: $field.1,)* $($part: $part.1,)? $($known: self.$known,)? },
                )
            }
        }

        #[allow(dead_code, reason = "not each is split, or written in part")]
        impl<$e: Element, B: Backend> $name<$e, B, ViewMut<'_>> {
            /// As for views that are read.
            pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
                $(let $field = self.$field.split_at(at);)*
                $(let $part = self.$part.split_at(at);)?
                (
                    Self { $($field: $field.0,)* $($part: $part.0,)? $($known: self.$known,)? },
                    Self { $($field: $field.1,)* $($part: $part.1,)? $($known: self.$known,)? },
                )
            }
        }

        #[allow(dead_code, reason = "not each is written in part")]
        impl<$e: Element> $name<$e, Cpu, ViewMut<'_>> {
            /// The same memory, for as long as this is borrowed.
            pub(crate) fn reborrow(&mut self) -> $name<$e, Cpu, ViewMut<'_>> {
                $name { $($field: self.$field.reborrow(),)* $($part: self.$part.reborrow(),)? $($known: self.$known,)? }
            }
        }
    };
}
pub(crate) use arrays;
