//! Device memory of any strides, and copies between it and memory that lies as the operations want
//! it.

use crate::cuda::device::{Cuda, StreamId};
use crate::cuda::kernel::launch::{LaunchShape, kernels};
use crate::cuda::memory::buffer::{DeviceBuffer, DeviceView, DeviceViewMut, aligned};
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::refused;
use crate::{Backend, Element, Error, Pod, Result};
use cudarc::driver::sys::CUdeviceptr;
use std::marker::PhantomData;

kernels! { Eigenpairs:
    /// kernels/lib/convert.cu: batch, rows and columns; where from, and where to.
    Gather<T> = "gather"(i64, i64, i64, DevicePtr<T>, [i64; 3], DevicePtr<T>, [i64; 3]);
}

/// Where the elements of an array `[batch, rows, columns]` are: strides in elements, `struct
/// strides` of kernels/lib/convert.cu in `i64`.
#[derive(Clone, Copy, Debug)]
struct StridedLayout {
    address: CUdeviceptr,
    shape: [usize; 3],
    strides: [i64; 3],
    stream: StreamId,
}

/// Borrowed device memory of any strides, valid during `'a` for work in the order of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, T> {
    layout: StridedLayout,
    element: PhantomData<&'a [T]>,
}

/// Mutably borrowed device memory of any strides, of which no two elements coincide.
#[derive(Debug)]
pub struct StridedMut<'a, T> {
    layout: StridedLayout,
    element: PhantomData<&'a mut [T]>,
}

impl StridedLayout {
    fn new<T>(cuda: &Cuda, address: CUdeviceptr, shape: [usize; 3], strides: [isize; 3]) -> Result<Self> {
        let len = elements(shape)?;
        aligned::<T>(address, len)?;
        Ok(Self { address, shape, strides: strides.map(|stride| stride as i64), stream: cuda.id() })
    }

    /// Row-major without gaps.
    fn contiguous(address: CUdeviceptr, shape: [usize; 3], stream: StreamId) -> Self {
        let [_, rows, columns] = shape.map(|extent| extent as i64);
        Self { address, shape, strides: [rows * columns, columns, 1], stream }
    }

    /// Whether all elements lie among the first `len` at the address.
    fn within(&self, len: usize) -> Result<()> {
        let axes = || self.shape.iter().zip(self.strides);
        let reach = |(&extent, stride): (&usize, i64)| i128::from(stride) * (extent.max(1) - 1) as i128;
        let (low, high) = axes().map(reach).fold((0, 0), |(low, high), x| (low + x.min(0), high + x.max(0)));
        if self.shape.contains(&0) || (low >= 0 && high < len as i128) {
            return Ok(());
        }
        Err(Error::Shape { what: "strides", expected: vec![len], got: vec![usize::try_from(high + 1).unwrap_or(usize::MAX)] })
    }

    /// Whether no two elements coincide, which is certain where each stride passes over all that
    /// the smaller ones reach.
    fn injective(&self) -> Result<()> {
        let mut axes: Vec<_> = self.shape.iter().zip(self.strides).filter(|(extent, _)| **extent > 1).collect();
        axes.sort_by_key(|(_, stride)| stride.abs());
        let mut reached = 0;
        for (&extent, stride) in axes {
            if i128::from(stride).abs() <= reached {
                return Err(refused(
                    "strides",
                    &format!("elements of {:?} with strides {:?} coincide", self.shape, self.strides),
                ));
            }
            reached += i128::from(stride).abs() * (extent - 1) as i128;
        }
        Ok(())
    }
}

fn elements(shape: [usize; 3]) -> Result<usize> {
    let len = shape.into_iter().try_fold(1_usize, usize::checked_mul);
    len.filter(|&len| i64::try_from(len).is_ok()).ok_or_else(|| refused("array", &format!("{shape:?} is too large to address")))
}

impl<T: Pod> Strided<'_, T> {
    /// Memory of another owner: `[batch, rows, columns]` at `address`, strides in elements.
    ///
    /// # Safety
    /// As [`DeviceView::from_raw`], for every element that the strides reach.
    ///
    /// # Errors
    /// [`Error::Backend`] if the address is null or not aligned, or the shape too large.
    pub unsafe fn from_raw(cuda: &Cuda, address: CUdeviceptr, shape: [usize; 3], strides: [isize; 3]) -> Result<Self> {
        Ok(Self { layout: StridedLayout::new::<T>(cuda, address, shape, strides)?, element: PhantomData })
    }
}

impl<T: Pod> StridedMut<'_, T> {
    /// As [`Strided::from_raw`], for memory that is written.
    ///
    /// # Safety
    /// As [`DeviceViewMut::from_raw`], for every element that the strides reach.
    ///
    /// # Errors
    /// As [`Strided::from_raw`], and if elements coincide.
    pub unsafe fn from_raw(cuda: &Cuda, address: CUdeviceptr, shape: [usize; 3], strides: [isize; 3]) -> Result<Self> {
        let layout = StridedLayout::new::<T>(cuda, address, shape, strides)?;
        layout.injective().map(|()| Self { layout, element: PhantomData })
    }
}

impl<'a, T: Pod> DeviceView<'a, T> {
    /// This memory as an array `[batch, rows, columns]` of any strides, in elements.
    ///
    /// # Errors
    /// [`Error::Shape`] if an element would lie outside.
    pub fn strided(self, shape: [usize; 3], strides: [isize; 3]) -> Result<Strided<'a, T>> {
        elements(shape)?;
        let layout = StridedLayout { address: self.address(), shape, strides: strides.map(|x| x as i64), stream: self.stream() };
        layout.within(Cuda::len(&self))?;
        Ok(Strided { layout, element: PhantomData })
    }
}

impl<'a, T: Pod> DeviceViewMut<'a, T> {
    /// As [`DeviceView::strided`].
    ///
    /// # Errors
    /// As there, and [`Error::Backend`] if elements coincide.
    pub fn strided(self, shape: [usize; 3], strides: [isize; 3]) -> Result<StridedMut<'a, T>> {
        elements(shape)?;
        let layout = StridedLayout { address: self.address(), shape, strides: strides.map(|x| x as i64), stream: self.stream() };
        layout.within(Cuda::len_mut(&self))?;
        layout.injective().map(|()| StridedMut { layout, element: PhantomData })
    }
}

impl Cuda {
    /// A copy that lies row-major without gaps. With the last two axes exchanged it is what V̄ wants
    /// of a row-major array.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is no memory for it.
    pub fn contiguous<T: Element>(&self, from: Strided<'_, T>) -> Result<DeviceBuffer<T>> {
        let mut buffer = self.zeros(elements(from.layout.shape)?)?;
        let view = Self::view_mut(&mut buffer);
        let to = StridedLayout::contiguous(view.address(), from.layout.shape, view.stream());
        self.copy(from, StridedMut { layout: to, element: PhantomData })?;
        Ok(buffer)
    }

    /// Enqueues a copy between arrays of one shape and any strides.
    ///
    /// # Errors
    /// [`Error::Shape`] if their shapes differ, [`Error::Backend`].
    pub fn copy<T: Element>(&self, from: Strided<'_, T>, to: StridedMut<'_, T>) -> Result<()> {
        let (from, to) = (from.layout, to.layout);
        if from.shape != to.shape {
            return Err(Error::Shape { what: "copy", expected: to.shape.to_vec(), got: from.shape.to_vec() });
        }
        self.owns(from.stream)?;
        self.owns(to.stream)?;
        let [batch, rows, columns] = from.shape.map(|extent| extent as i64);
        let (source, target) = (DevicePtr::new(from.address), DevicePtr::new(to.address));
        let arguments = (batch, rows, columns, source, from.strides, target, to.strides);
        let shape = LaunchShape::thread_for(elements(from.shape)?);
        // SAFETY: the elements that the strides reach are readable, and writable where they are
        // written, by how the views were made.
        unsafe { self.launch::<Gather<T>>(shape, arguments) }
    }
}
