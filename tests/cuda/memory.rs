//! Memory of cudarc's, of raw pointers and of any strides goes in and comes out as it is, or is refused with a reason.
#![allow(unsafe_code, reason = "raw pointers are part of the interface")]

use crate::gpu::device;
use crate::sample::{bytes, matrices, numbers, run};
use cudarc::driver::{DevicePtr, DevicePtrMut};
use eigengrad::cuda::{Cuda, DeviceBuffer, DeviceView, DeviceViewMut, Strided, StridedMut};
use eigengrad::{Backend, Cotangents, Eigenpairs, Error, HermitianBatch, HermitianRef, Options, Plan, Triangle, eigh};
use num_complex::Complex;

type C = Complex<f32>;

fn reals(numbers: &[C]) -> Vec<f32> {
    numbers.iter().flat_map(|x| [x.re, x.im]).collect()
}

fn complexes(reals: &[f32]) -> Vec<C> {
    reals.chunks_exact(2).map(|x| C::new(x[0], x[1])).collect()
}

#[test]
fn slices_are_taken_over_and_given_back() {
    let Some(cuda) = device() else { return };
    let a = matrices::<C>(5, 4, 1);
    let expected = run::<C, C>(&cuda, &a, &Options::default());

    let other_stream = cuda.stream().context().new_stream().unwrap(); // its work must come first
    let slice = other_stream.clone_htod(&reals(a.as_slice().unwrap())).unwrap();
    let buffer: DeviceBuffer<C> = cuda.adopt(slice).unwrap();
    let batch = HermitianBatch::from_buffer(&cuda, buffer, 5, 4, Triangle::Lower).unwrap();
    let plan = Plan::<C, Cuda>::new(&cuda, 5, 4, &Options::default()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap();

    let values_bar = numbers::<f32>((1, 5, 4), 7).into_raw_vec_and_offset().0;
    let vectors_bar = numbers::<C>((5, 4, 4), 8).permuted_axes([0, 2, 1]);
    let vectors_bar: Vec<_> = vectors_bar.iter().copied().collect();
    let values_bar = cuda.adopt(cuda.stream().clone_htod(&values_bar).unwrap()).unwrap();
    let vectors_bar = cuda.adopt(cuda.stream().clone_htod(&reals(&vectors_bar)).unwrap()).unwrap();
    let cotangents = Cotangents::from_buffers(&pairs, Some(values_bar), Some(vectors_bar)).unwrap();
    let gradient = pairs.backward(&cotangents).unwrap();

    let (spectrum, vectors) = pairs.into_buffers();
    let a_bar = gradient.into_buffers().a_bar.into_slice::<f32>().unwrap();
    let back = other_stream.clone_dtoh(&a_bar).unwrap(); // waits for the work that writes it
    assert_eq!(bytes(&complexes(&back)), bytes(expected.1.a_bar()));
    let values = spectrum.values.into_slice::<f32>().unwrap();
    assert_eq!(bytes(&cuda.stream().clone_dtoh(&values).unwrap()), bytes(expected.0.values()));
    let vectors = vectors.into_slice::<u32>().unwrap();
    let vectors = complexes(&cuda.stream().clone_dtoh(&vectors).unwrap().into_iter().map(f32::from_bits).collect::<Vec<_>>());
    assert_eq!(bytes(&vectors), bytes(expected.0.vectors().permuted_axes([0, 2, 1])));

    let again = plan.eigenpairs::<C>().unwrap().into_buffers();
    let (mut spectrum, vectors) = again;
    let again: Eigenpairs<C, Cuda> = plan.eigenpairs_from(spectrum, vectors).unwrap();
    (spectrum, _) = again.into_buffers();
    spectrum.rank = cuda.zeros(4).unwrap();
    assert_eq!(plan.spectrum_from::<f32>(spectrum).unwrap_err().to_string(), "rank: expected shape [5], got [4]");
}

#[test]
fn slices_are_lent() {
    let Some(cuda) = device() else { return };
    let a = matrices::<f64>(3, 5, 2);
    let (expected, _) = run::<f64, f64>(&cuda, &a, &Options::default());
    let plan = Plan::<f64, Cuda>::new(&cuda, 3, 5, &Options::default()).unwrap();
    let (mut workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<f64>().unwrap());
    let other_stream = cuda.stream().context().new_stream().unwrap();
    let slice = other_stream.clone_htod(a.as_slice().unwrap()).unwrap();
    let mut vectors = other_stream.alloc_zeros::<f64>(3 * 25).unwrap();
    {
        let a = cuda.read::<f64, _>(&slice).unwrap();
        let mut writing = cuda.write::<f64, _>(&mut vectors).unwrap();
        let mut out = pairs.as_mut();
        out.vectors = writing.view_mut();
        let a = HermitianRef { data: a.view(), triangle: Triangle::Lower };
        plan.eigh_into(a, out, &mut workspace).unwrap();
    }
    let vectors = other_stream.clone_dtoh(&vectors).unwrap();
    assert_eq!(bytes(&vectors), bytes(expected.vectors().permuted_axes([0, 2, 1])));
    let odd = other_stream.alloc_zeros::<f32>(7).unwrap();
    assert!(matches!(cuda.read::<C, _>(&odd), Err(Error::Backend { .. })));
}

#[test]
fn raw_pointers_are_lent() {
    let Some(cuda) = device() else { return };
    let a = matrices::<f32>(2, 3, 3);
    let (expected, _) = run::<f32, f32>(&cuda, &a, &Options::default());
    let mut slice = cuda.stream().clone_htod(a.as_slice().unwrap()).unwrap();
    let address = slice.device_ptr(cuda.stream()).0;
    // SAFETY: the slice lives to the end of this function, and was written on this stream.
    let view = unsafe { DeviceView::<f32>::from_raw(&cuda, address, 18) }.unwrap();
    let plan = Plan::<f32, Cuda>::new(&cuda, 2, 3, &Options::default()).unwrap();
    let mut pairs = plan.eigenpairs::<f32>().unwrap();
    let a = HermitianRef { data: view, triangle: Triangle::Upper };
    plan.eigh_into(a, pairs.as_mut(), &mut plan.workspace().unwrap()).unwrap();
    assert_eq!(bytes(pairs.to_host().unwrap().values()), bytes(expected.values()));
    let writable = slice.device_ptr_mut(cuda.stream()).0;
    for (address, len) in [(0, 1), (writable + 2, 1), (writable + 4, 1)] {
        // SAFETY: refused, or an element within the slice.
        let got = unsafe { DeviceViewMut::<C>::from_raw(&cuda, address, len) };
        assert!(matches!(got, Err(Error::Backend { .. })), "a complex number at {address:#x}");
    }
    // SAFETY: no element at all.
    assert!(unsafe { DeviceView::<C>::from_raw(&cuda, 0, 0) }.is_ok());
}

#[test]
fn strides() {
    let Some(cuda) = device() else { return };
    let x = numbers::<C>((4, 3, 5), 9);
    let buffer = cuda.upload(x.iter().copied().collect()).unwrap();
    let view = || Cuda::view(&buffer);
    let copy = |shape, strides| {
        let buffer = cuda.contiguous(view().strided(shape, strides).unwrap()).unwrap();
        cuda.download(Cuda::view(&buffer)).unwrap()
    };
    assert_eq!(copy([4, 5, 3], [15, 1, 5]), x.view().permuted_axes([0, 2, 1]).iter().copied().collect::<Vec<_>>());
    assert_eq!(copy([3, 4, 5], [5, 15, 1]), x.view().permuted_axes([1, 0, 2]).iter().copied().collect::<Vec<_>>());
    assert_eq!(copy([2, 3, 2], [30, 5, 2]), x.slice(ndarray::s![..;2, .., ..4;2]).iter().copied().collect::<Vec<_>>());
    assert_eq!(copy([4, 2, 3], [0, 5, 0]).len(), 24);
    assert_eq!(copy([0, 5, 3], [99, 99, 99]), []);
    for (shape, strides) in [([4, 3, 5], [15, 5, 2]), ([1, 1, 2], [1, 1, -1]), ([5, 3, 5], [15, 5, 1])] {
        assert!(matches!(view().strided(shape, strides), Err(Error::Shape { what: "strides", .. })), "{strides:?}");
    }
    assert!(view().strided([usize::MAX, 2, 2], [0, 0, 0]).is_err());

    // Into a row-major array: every second row from the last to the first.
    let mut target = cuda.zeros::<C>(60).unwrap();
    let address = Cuda::view(&target).address() + 8 * 50;
    // SAFETY: the elements from 50 down to 0 by tens, and five from each, lie within the 60 of the target.
    let to = unsafe { StridedMut::<C>::from_raw(&cuda, address, [1, 6, 5], [60, -10, 1]) }.unwrap();
    cuda.copy(view().strided([1, 6, 5], [60, 10, 1]).unwrap(), to).unwrap();
    let got = cuda.download(Cuda::view(&target)).unwrap();
    let flat: Vec<_> = x.iter().copied().collect();
    for row in 0..12 {
        let expected = if row % 2 == 0 { flat[(10 - row) * 5..][..5].to_vec() } else { vec![C::default(); 5] };
        assert_eq!(&got[row * 5..][..5], expected, "row {row}");
    }
    let coincide = Cuda::view_mut(&mut target).strided([1, 2, 2], [4, 1, 1]);
    assert!(coincide.unwrap_err().to_string().contains("coincide"));
    let other = Cuda::view_mut(&mut target).strided([1, 2, 5], [10, 5, 1]).unwrap();
    assert!(matches!(cuda.copy(view().strided([1, 1, 5], [5, 5, 1]).unwrap(), other), Err(Error::Shape { what: "copy", .. })));
    // SAFETY: refused, since the address is null.
    assert!(unsafe { Strided::<f64>::from_raw(&cuda, 0, [1, 1, 1], [1, 1, 1]) }.is_err());
}

#[test]
fn memory_of_another_stream_is_refused() {
    let (Some(cuda), Some(other)) = (device(), device()) else { return };
    let batch = HermitianBatch::on(&cuda, matrices::<f64>(2, 3, 4).view()).unwrap();
    let plan = Plan::<f64, Cuda>::new(&other, 2, 3, &Options::default()).unwrap();
    let mut pairs = plan.eigenpairs::<f64>().unwrap();
    let got = plan.eigh_into(batch.as_ref(), pairs.as_mut(), &mut plan.workspace().unwrap());
    assert!(got.unwrap_err().to_string().contains("memory of another device or stream"));
    assert!(other.download(batch.as_ref().data).is_err());
    let foreign = Plan::<f64, Cuda>::new(&cuda, 2, 3, &Options::default()).unwrap().workspace();
    let batch = HermitianBatch::on(&other, matrices::<f64>(2, 3, 4).view()).unwrap();
    let got = plan.eigh_into(batch.as_ref(), pairs.as_mut(), &mut foreign.unwrap());
    assert!(matches!(got, Err(Error::Workspace { batch: 2, n: 3 })));
    let same = Cuda::from_stream(cuda.stream().clone()).unwrap();
    assert!(same.download(HermitianBatch::on(&cuda, matrices::<f64>(2, 3, 4).view()).unwrap().as_ref().data).is_ok());
}
