//! Addresses in device memory that know what lies there: [`DevicePtr`].

use cudarc::driver::sys::CUdeviceptr;
use std::fmt;
use std::marker::PhantomData;

/// The address of numbers in device memory, as kernels take it; null where there are none.
#[repr(transparent)]
pub struct DevicePtr<T> {
    address: CUdeviceptr,
    element: PhantomData<fn() -> T>,
}

impl<T> Clone for DevicePtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for DevicePtr<T> {}

impl<T> fmt::Debug for DevicePtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address)
    }
}

impl<T> DevicePtr<T> {
    pub const NULL: Self = Self::new(0);

    pub const fn new(address: CUdeviceptr) -> Self {
        Self { address, element: PhantomData }
    }

    pub fn address(self) -> CUdeviceptr {
        self.address
    }

    pub fn is_null(self) -> bool {
        self.address == 0
    }

    /// This where something is there, null otherwise.
    pub fn only_if(self, there: bool) -> Self {
        if there { self } else { Self::NULL }
    }

    /// The address so many elements further on; null stays null.
    pub fn behind(self, elements: usize) -> Self {
        if self.is_null() { self } else { Self::new(self.address + (elements * size_of::<T>()) as CUdeviceptr) }
    }

    /// The same memory as numbers of another type.
    pub fn cast<U>(self) -> DevicePtr<U> {
        DevicePtr::new(self.address)
    }

    /// As libraries take it.
    pub fn raw<U>(self) -> *mut U {
        self.address as *mut U
    }
}
