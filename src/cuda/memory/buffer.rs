//! Device memory on one stream: [`Cuda`] as a [`Backend`].

use crate::array::same;
use crate::cuda::device::{Cuda, StreamId};
use crate::cuda::driver::event;
use crate::cuda::memory::allocation::Allocation;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::refused;
use crate::element::sealed::Sealed;
use crate::{Array, Backend, Error, Pod, Result, View, ViewMut};
use cudarc::driver::{CudaSlice, result, sys::CUdeviceptr};
use half::{bf16, f16};
use std::any::TypeId;
use std::marker::PhantomData;

/// Owned device memory, allocated and freed in the order of its backend's stream.
#[derive(Debug)]
pub struct DeviceBuffer<T> {
    allocation: Allocation,
    len: usize,
    stream: StreamId,
    element: PhantomData<T>,
}

/// Borrowed device memory: `len` elements at a device address, valid during `'a` for work in the
/// order of one stream.
#[derive(Debug)]
pub struct DeviceView<'a, T> {
    address: CUdeviceptr,
    len: usize,
    stream: StreamId,
    element: PhantomData<&'a [T]>,
}

/// Mutably borrowed device memory, as [`DeviceView`].
#[derive(Debug)]
pub struct DeviceViewMut<'a, T> {
    address: CUdeviceptr,
    len: usize,
    stream: StreamId,
    element: PhantomData<&'a mut [T]>,
}

impl<T> Clone for DeviceView<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for DeviceView<'_, T> {}

/// Numbers of which any bits are a value: what a `CudaSlice` that becomes a [`DeviceBuffer`], or
/// the other way, may hold.
pub trait Bits: Copy + Sealed {}

macro_rules! bits { ($($known:ty),*; $($other:ty),*) => { $(impl Bits for $known {})* $(impl Sealed for $other {} impl Bits for $other {})* } }
bits!(u32, f16, bf16, f32, f64; u8, u16, u64);

impl<'a, T: Pod> DeviceView<'a, T> {
    /// Memory of another owner: `len` elements at `address`.
    ///
    /// # Safety
    /// The memory is device memory that `cuda` can reach, holds `len` elements, is not written by
    /// others during `'a` nor until the work that it is given to has run, and what was written to
    /// it before is ordered before the work of the stream of `cuda`.
    ///
    /// # Errors
    /// [`Error::Backend`] if the address is null or not aligned to an element.
    pub unsafe fn from_raw(cuda: &Cuda, address: CUdeviceptr, len: usize) -> Result<Self> {
        aligned::<T>(address, len)?;
        Ok(Self::new(cuda, address, len))
    }
}

impl<T> DeviceView<'_, T> {
    /// Memory that is used in the order of the stream of `cuda`.
    pub(in crate::cuda) fn new(cuda: &Cuda, address: CUdeviceptr, len: usize) -> Self {
        Self { address, len, stream: cuda.id(), element: PhantomData }
    }

    /// The device address.
    pub fn address(&self) -> CUdeviceptr {
        self.address
    }

    pub(in crate::cuda) fn pointer(&self) -> DevicePtr<T> {
        DevicePtr::new(self.address)
    }

    pub(in crate::cuda) fn stream(&self) -> StreamId {
        self.stream
    }
}

impl<'a, T: Pod> DeviceViewMut<'a, T> {
    /// As [`DeviceView::from_raw`], for memory that is written.
    ///
    /// # Safety
    /// As there; and the memory is not read by others, either.
    ///
    /// # Errors
    /// As [`DeviceView::from_raw`].
    pub unsafe fn from_raw(cuda: &Cuda, address: CUdeviceptr, len: usize) -> Result<Self> {
        aligned::<T>(address, len)?;
        Ok(Self::new(cuda, address, len))
    }
}

impl<T> DeviceViewMut<'_, T> {
    /// Memory that is used in the order of the stream of `cuda`.
    pub(in crate::cuda) fn new(cuda: &Cuda, address: CUdeviceptr, len: usize) -> Self {
        Self { address, len, stream: cuda.id(), element: PhantomData }
    }

    /// The same memory, for as long as this is borrowed.
    pub(in crate::cuda) fn reborrow(&mut self) -> DeviceViewMut<'_, T> {
        DeviceViewMut { address: self.address, len: self.len, stream: self.stream, element: PhantomData }
    }

    /// The device address.
    pub fn address(&self) -> CUdeviceptr {
        self.address
    }

    pub(in crate::cuda) fn stream(&self) -> StreamId {
        self.stream
    }
}

/// Vector loads need natural alignment: that of a complex number is its size, which `align_of` does
/// not know.
pub(in crate::cuda) fn aligned<T>(address: CUdeviceptr, len: usize) -> Result<()> {
    let misaligned = !address.is_multiple_of(size_of::<T>() as u64);
    if len > 0 && (address == 0 || misaligned) {
        return Err(refused(
            "borrowed memory",
            &format!("{address:#x} is not an address of elements of {} bytes", size_of::<T>()),
        ));
    }
    Ok(())
}

/// `bytes` as a number of elements of type `T`.
pub(in crate::cuda) fn elements<T>(bytes: usize) -> Result<usize> {
    if bytes.is_multiple_of(size_of::<T>()) {
        return Ok(bytes / size_of::<T>());
    }
    Err(refused("device memory", &format!("{bytes} bytes are no multiple of {}", size_of::<T>())))
}

impl Cuda {
    /// Takes over a slice: `[re, im, re, im, …]` for complex numbers. Work enqueued on its stream
    /// before comes before work of this one.
    ///
    /// # Errors
    /// [`Error::Backend`] if the slice is of another device, holds no whole number of elements, or
    /// the driver refuses.
    pub fn adopt<T: Pod, R: Bits>(&self, slice: CudaSlice<R>) -> Result<DeviceBuffer<T>> {
        let len = elements::<T>(slice.num_bytes())?;
        self.same_device(slice.context())?;
        // What other streams do with it is ordered before the work of its own, and that before
        // ours.
        let owner = slice.stream().clone();
        let allocation = Allocation::from_slice(slice)?;
        event::join(self.stream().context(), self.stream(), &owner)?;
        let allocation = allocation.moved_to(self.stream());
        Ok(DeviceBuffer { allocation, len, stream: self.id(), element: PhantomData })
    }
}

impl<T: Pod> DeviceBuffer<T> {
    /// Gives the memory to cudarc: `[re, im, re, im, …]` for complex numbers.
    ///
    /// # Errors
    /// [`Error::Backend`] if it holds no whole number of `R`, or the driver refuses.
    pub fn into_slice<R: Bits>(self) -> Result<CudaSlice<R>> {
        let len = elements::<R>(self.len * size_of::<T>())?;
        // SAFETY: the allocation holds `len` numbers, and any bits are a value of `R`.
        unsafe { self.allocation.into_slice(len) }
    }
}

impl Sealed for Cuda {}

impl Backend for Cuda {
    type Buffer<T: Pod> = DeviceBuffer<T>;
    type View<'a, T: Pod> = DeviceView<'a, T>;
    type ViewMut<'a, T: Pod> = DeviceViewMut<'a, T>;
    const NAME: &'static str = "cuda";

    fn synchronize(&self) -> Result<()> {
        let _current = self.bind()?;
        self.wait()
    }

    fn zeros<T: Pod>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        let size = len.checked_mul(size_of::<T>()).ok_or_else(|| refused("cuMemAllocAsync", &format!("{len} elements")))?;
        let allocation = Allocation::zeros(self.stream(), size)?;
        Ok(DeviceBuffer { allocation, len, stream: self.id(), element: PhantomData })
    }

    fn upload<T: Pod>(&self, host: Vec<T>) -> Result<DeviceBuffer<T>> {
        let mut buffer = self.zeros(host.len())?;
        self.copy_from_host(&host, Self::view_mut(&mut buffer))?;
        Ok(buffer)
    }

    fn copy_from_host<T: Pod>(&self, host: &[T], to: DeviceViewMut<'_, T>) -> Result<()> {
        self.owns(to.stream)?;
        same("memory", &[to.len], &[host.len()])?;
        if host.is_empty() {
            return Ok(());
        }
        // SAFETY: `Pod` types are plain numbers without padding, so their memory is initialised
        // bytes; u8 has no alignment to keep, and the bytes live as long as `host`.
        let bytes = unsafe { std::slice::from_raw_parts(host.as_ptr().cast::<u8>(), size_of_val(host)) };
        let _current = self.bind()?;
        // SAFETY: the view holds as many bytes, and the stream is synchronised before `host` is
        // dropped.
        let copied = unsafe { result::memcpy_htod_async(to.address, bytes, self.stream().cu_stream()) };
        let done = self.wait(); // whatever else: the copy may be under way
        copied.map_err(|e| refused("cuMemcpyHtoDAsync", &e))?;
        done
    }

    fn download<T: Pod>(&self, view: DeviceView<'_, T>) -> Result<Vec<T>> {
        self.owns(view.stream)?;
        let mut host = Vec::new();
        host.try_reserve_exact(view.len).map_err(|e| Error::Backend { backend: "cpu", reason: e.to_string() })?;
        host.resize(view.len, T::default());
        if host.is_empty() {
            return Ok(host);
        }
        // SAFETY: as in `copy_from_host`; `host` is borrowed for as long as the bytes are.
        let bytes = unsafe { std::slice::from_raw_parts_mut(host.as_mut_ptr().cast::<u8>(), size_of_val(&*host)) };
        if TypeId::of::<T>() != TypeId::of::<bool>() {
            self.copy_to_host(bytes, view.address)?; // any bytes are a value of these types
            return Ok(host);
        }
        let mut staged = vec![0; bytes.len()];
        self.copy_to_host(&mut staged, view.address)?;
        // no other byte is a bool
        bytes.iter_mut().zip(staged).for_each(|(to, byte)| *to = u8::from(byte != 0));
        Ok(host)
    }

    fn nothing<'a, T: Pod>(&self) -> DeviceView<'a, T> {
        DeviceView::new(self, 0, 0)
    }

    unsafe fn borrow<'a, T: Pod>(&self, address: usize, len: usize) -> Result<DeviceView<'a, T>> {
        // SAFETY: the caller's.
        unsafe { DeviceView::from_raw(self, address as CUdeviceptr, len) }
    }

    unsafe fn borrow_mut<'a, T: Pod>(&self, address: usize, len: usize) -> Result<DeviceViewMut<'a, T>> {
        // SAFETY: the caller's.
        unsafe { DeviceViewMut::from_raw(self, address as CUdeviceptr, len) }
    }

    fn split<'a, T: Pod + 'a>(view: DeviceView<'a, T>, at: usize) -> (DeviceView<'a, T>, DeviceView<'a, T>) {
        let at = at.min(view.len);
        let address = view.address + (at * size_of::<T>()) as CUdeviceptr;
        (DeviceView { len: at, ..view }, DeviceView { address, len: view.len - at, ..view })
    }

    fn split_mut<'a, T: Pod + 'a>(view: DeviceViewMut<'a, T>, at: usize) -> (DeviceViewMut<'a, T>, DeviceViewMut<'a, T>) {
        let DeviceViewMut { address, len, stream, element } = view;
        let at = at.min(len);
        let behind = address + (at * size_of::<T>()) as CUdeviceptr;
        (DeviceViewMut { address, len: at, stream, element }, DeviceViewMut { address: behind, len: len - at, stream, element })
    }

    fn view<T: Pod>(buffer: &DeviceBuffer<T>) -> DeviceView<'_, T> {
        DeviceView { address: buffer.allocation.address(), len: buffer.len, stream: buffer.stream, element: PhantomData }
    }

    fn view_mut<T: Pod>(buffer: &mut DeviceBuffer<T>) -> DeviceViewMut<'_, T> {
        DeviceViewMut { address: buffer.allocation.address(), len: buffer.len, stream: buffer.stream, element: PhantomData }
    }

    fn len<T: Pod>(view: &DeviceView<'_, T>) -> usize {
        view.len
    }

    fn len_mut<T: Pod>(view: &DeviceViewMut<'_, T>) -> usize {
        view.len
    }
}

impl Cuda {
    /// Waits for the stream, whose context is current.
    pub(in crate::cuda) fn wait(&self) -> Result<()> {
        // SAFETY: the stream is live and its context current.
        unsafe { result::stream::synchronize(self.stream().cu_stream()) }.map_err(|e| refused("cuStreamSynchronize", &e))
    }

    /// Copies device memory of this stream, once what was enqueued before has run.
    fn copy_to_host(&self, host: &mut [u8], address: CUdeviceptr) -> Result<()> {
        let _current = self.bind()?;
        // SAFETY: callers pass the address of a view that holds as many bytes, in the order of this
        // stream; the stream is synchronised before `host` is read or dropped.
        let copied = unsafe { result::memcpy_dtoh_async(host, address, self.stream().cu_stream()) };
        let done = self.wait(); // whatever else: the copy may be under way
        copied.map_err(|e| refused("cuMemcpyDtoHAsync", &e)).and(done)
    }

    /// The address of memory that an operation of this backend reads.
    pub(in crate::cuda) fn input<T: Pod, const D: usize>(&self, array: &Array<T, Self, D, View<'_>>) -> Result<DevicePtr<T>> {
        self.owns(array.memory.stream).map(|()| array.memory.pointer())
    }

    /// As [`Cuda::input`], of memory that may be absent: null then.
    pub(in crate::cuda) fn given<T: Pod, const D: usize>(
        &self,
        array: &Option<Array<T, Self, D, View<'_>>>,
    ) -> Result<DevicePtr<T>> {
        array.as_ref().map_or(Ok(DevicePtr::NULL), |array| self.input(array))
    }

    /// The address of memory that an operation of this backend writes.
    pub(in crate::cuda) fn output<T: Pod, const D: usize>(&self, array: &Array<T, Self, D, ViewMut<'_>>) -> Result<DevicePtr<T>> {
        self.owns(array.memory.stream).map(|()| DevicePtr::new(array.memory.address))
    }
}
