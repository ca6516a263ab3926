//! Device memory on one stream: [`Cuda`] as a [`Backend`].

use super::library;
use crate::{Backend, Error, Pod, Result};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DriverError, result, sys::CUdeviceptr};
use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;

/// One GPU, seen through one stream, on which all work of this backend is enqueued.
#[derive(Clone, Debug)]
pub struct Cuda {
    stream: Arc<CudaStream>,
}

/// Owned device memory.
#[derive(Debug)]
pub struct DeviceBuffer<T> {
    bytes: CudaSlice<u8>,
    len: usize,
    element: PhantomData<T>,
}

/// Borrowed device memory: a device address that is valid for `len` elements during `'a`.
#[derive(Debug)]
pub struct DeviceView<'a, T> {
    address: CUdeviceptr,
    len: usize,
    element: PhantomData<&'a [T]>,
}

/// Mutably borrowed device memory.
#[derive(Debug)]
pub struct DeviceViewMut<'a, T> {
    address: CUdeviceptr,
    len: usize,
    element: PhantomData<&'a mut [T]>,
}

impl<T> Clone for DeviceView<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for DeviceView<'_, T> {}

impl<T> DeviceView<'_, T> {
    /// The device address.
    pub fn address(&self) -> CUdeviceptr {
        self.address
    }
}

impl<T> DeviceViewMut<'_, T> {
    /// The device address.
    pub fn address(&self) -> CUdeviceptr {
        self.address
    }
}

impl Cuda {
    /// The GPU of this number, on a stream of its own.
    ///
    /// # Errors
    /// [`Error::Library`] if a library is missing, [`Error::Backend`] if there is no such device.
    pub fn new(ordinal: usize) -> Result<Self> {
        library::require()?;
        let context = CudaContext::new(ordinal).map_err(|e| refused(&e))?;
        Ok(Self::from_stream(context.new_stream().map_err(|e| refused(&e))?))
    }

    /// The GPU of a stream that exists, on that stream.
    pub fn from_stream(stream: Arc<CudaStream>) -> Self {
        Self { stream }
    }

    /// The stream that work is enqueued on.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }
}

fn refused(error: &DriverError) -> Error {
    Error::Backend { backend: "cuda", reason: error.to_string() }
}

impl Backend for Cuda {
    type Buffer<T: Pod> = DeviceBuffer<T>;
    type View<'a, T: Pod> = DeviceView<'a, T>;
    type ViewMut<'a, T: Pod> = DeviceViewMut<'a, T>;

    fn zeros<T: Pod>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        // The driver refuses to allocate nothing.
        let size = len
            .checked_mul(size_of::<T>())
            .ok_or_else(|| Error::Backend { backend: "cuda", reason: format!("{len} elements") })?;
        let bytes = self.stream.alloc_zeros(size.max(1)).map_err(|e| refused(&e))?;
        Ok(DeviceBuffer { bytes, len, element: PhantomData })
    }

    fn upload<T: Pod>(&self, host: Vec<T>) -> Result<DeviceBuffer<T>> {
        if host.is_empty() {
            return self.zeros(0);
        }
        // SAFETY: `Pod` types are plain numbers without padding, so their memory is initialised bytes; u8 has no alignment to keep, and
        // the bytes live as long as `host`.
        let bytes = unsafe { std::slice::from_raw_parts(host.as_ptr().cast::<u8>(), size_of_val(&*host)) };
        let bytes = self.stream.clone_htod(bytes).map_err(|e| refused(&e))?;
        self.stream.synchronize().map_err(|e| refused(&e))?; // `host` must outlive the copy
        Ok(DeviceBuffer { bytes, len: host.len(), element: PhantomData })
    }

    fn download<T: Pod>(&self, view: DeviceView<'_, T>) -> Result<Vec<T>> {
        let mut host = vec![T::default(); view.len];
        if host.is_empty() {
            return Ok(host);
        }
        // SAFETY: as in `upload`; `host` is borrowed for as long as the bytes are.
        let bytes = unsafe { std::slice::from_raw_parts_mut(host.as_mut_ptr().cast::<u8>(), size_of_val(&*host)) };
        let mut staged = vec![0; bytes.len()];
        self.stream.context().bind_to_thread().map_err(|e| refused(&e))?;
        // SAFETY: the view is valid for `len` elements of T, which is as many bytes as `staged` has, in the one address space of all
        // contexts; the stream is synchronised before `staged` is read or dropped. What was enqueued on another stream may still be
        // under way: then the bytes are old ones, but bytes.
        let copied = unsafe { result::memcpy_dtoh_async(&mut staged, view.address, self.stream.cu_stream()) };
        self.stream.synchronize().and(copied).map_err(|e| refused(&e))?;
        if TypeId::of::<T>() == TypeId::of::<bool>() {
            staged.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0)); // no other byte is a bool
        }
        bytes.copy_from_slice(&staged); // any bytes are a value of the other `Pod` types
        Ok(host)
    }

    fn view<T: Pod>(buffer: &DeviceBuffer<T>) -> DeviceView<'_, T> {
        let (address, _recorded) = buffer.bytes.device_ptr(buffer.bytes.stream());
        DeviceView { address, len: buffer.len, element: PhantomData }
    }

    fn view_mut<T: Pod>(buffer: &mut DeviceBuffer<T>) -> DeviceViewMut<'_, T> {
        let (address, _recorded) = buffer.bytes.device_ptr(buffer.bytes.stream());
        DeviceViewMut { address, len: buffer.len, element: PhantomData }
    }

    fn len<T: Pod>(view: &DeviceView<'_, T>) -> usize {
        view.len
    }

    fn len_mut<T: Pod>(view: &DeviceViewMut<'_, T>) -> usize {
        view.len
    }
}
