//! A typed range of device memory, checked when it is named and again when it is touched.

use crate::memory;
use std::ffi::c_void;
use std::marker::PhantomData;

/// `len` elements of device memory.
pub(crate) struct Device<T> {
    address: usize,
    len: usize,
    element: PhantomData<fn() -> T>,
}

impl<T> Clone for Device<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Device<T> {}

impl<T: Copy> Device<T> {
    /// The range, unless it is not wholly device memory or not aligned.
    pub(crate) fn new(address: *const T, len: usize) -> Option<Self> {
        let range = Self { address: address.addr(), len, element: PhantomData };
        range.alive().then_some(range)
    }

    /// The number of elements.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    fn alive(self) -> bool {
        let bytes = self.len.checked_mul(size_of::<T>());
        self.address != 0
            && self.address.is_multiple_of(align_of::<T>())
            && bytes.is_some_and(|bytes| memory::is_device(self.address as *const c_void, bytes))
    }

    /// An error that names the range if it has been freed since.
    pub(crate) fn check(self, name: &str) -> Result<(), String> {
        let text = || format!("{name}: {} bytes at {:#x} are no longer device memory", self.len * size_of::<T>(), self.address);
        self.alive().then_some(()).ok_or_else(text)
    }

    /// Copies `to.len()` elements from place `from` on. T is a plain number: whatever bytes lie
    /// there are one.
    pub(crate) fn read(self, from: usize, to: &mut [T]) {
        let source = self.place(from, to.len());
        // SAFETY: `place` returned the address of `to.len()` elements inside device memory, which
        // the emulator holds as host memory; `to` is a borrowed host slice outside of it. T is f32,
        // f64, a pair of either, u8 or c_int.
        unsafe { std::ptr::copy_nonoverlapping(source, to.as_mut_ptr(), to.len()) }
    }

    /// Copies `what` to place `from` on.
    pub(crate) fn write(self, from: usize, what: &[T]) {
        let target = self.place(from, what.len());
        // SAFETY: as in `read`, with the roles exchanged; device memory is writable.
        unsafe { std::ptr::copy_nonoverlapping(what.as_ptr(), target, what.len()) }
    }

    fn place(self, from: usize, len: usize) -> *mut T {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.len), "{len} elements at {from} of {}", self.len);
        (self.address + from * size_of::<T>()) as *mut T
    }
}
