//! Memory of cudarc's, of raw pointers and of any strides goes in and comes out as it is, or is
//! refused with a reason.
#![allow(unsafe_code, reason = "raw pointers are part of the interface")]

use crate::gpu::device;
use crate::sample::{bytes, matrices, numbers, run};
use cudarc::driver::{DevicePtr, DevicePtrMut};
use eigengrad::cuda::{Cuda, DeviceBuffer, DeviceView, DeviceViewMut, Strided, StridedMut};
use eigengrad::{
    Array, Backend, Cotangents, Eigenpairs, Error, FactorBatch, FactorPlan, HermitianBatch, Options, Plan, Triangle, View, eigh,
    eigh_factor,
};
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
    let batch = HermitianBatch::of(Array::from_buffer(&cuda, buffer, [5, 4, 4]).unwrap(), Triangle::Lower).unwrap();
    let plan = Plan::<C, Cuda>::new(&cuda, 5, 4, &Options::default()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap();

    let values_bar = numbers::<f32>((1, 5, 4), 7).into_raw_vec_and_offset().0;
    let vectors_bar = numbers::<C>((5, 4, 4), 8).permuted_axes([0, 2, 1]);
    let vectors_bar: Vec<_> = vectors_bar.iter().copied().collect();
    let values_bar = cuda.adopt(cuda.stream().clone_htod(&values_bar).unwrap()).unwrap();
    let vectors_bar = cuda.adopt(cuda.stream().clone_htod(&reals(&vectors_bar)).unwrap()).unwrap();
    let cotangents = Cotangents::<C, Cuda>::from_columns(
        Some(Array::from_buffer(&cuda, values_bar, [5, 4]).unwrap()),
        Some(Array::from_buffer(&cuda, vectors_bar, [5, 4, 4]).unwrap()),
    );
    let gradient = pairs.backward(&cotangents).unwrap();

    let Eigenpairs { spectrum, vectors, .. } = pairs;
    let a_bar = gradient.a_bar.into_buffer().into_slice::<f32>().unwrap();
    let back = other_stream.clone_dtoh(&a_bar).unwrap(); // waits for the work that writes it
    assert_eq!(bytes(&complexes(&back)), bytes(expected.1.a_bar()));
    let values = spectrum.values.into_buffer().into_slice::<f32>().unwrap();
    assert_eq!(bytes(&cuda.stream().clone_dtoh(&values).unwrap()), bytes(expected.0.values()));
    let vectors = vectors.into_buffer().into_slice::<u32>().unwrap();
    let vectors = complexes(&cuda.stream().clone_dtoh(&vectors).unwrap().into_iter().map(f32::from_bits).collect::<Vec<_>>());
    assert_eq!(bytes(&vectors), bytes(expected.0.vectors().permuted_axes([0, 2, 1])));

    let Eigenpairs { spectrum, vectors, .. } = plan.eigenpairs::<C>().unwrap();
    let again: Eigenpairs<C, Cuda> = plan.eigenpairs_of(spectrum, vectors).unwrap();
    let Eigenpairs { mut spectrum, vectors, .. } = again;
    spectrum.rank = Array::zeros(&cuda, [4]).unwrap();
    let refused = plan.eigenpairs_of::<C, _>(spectrum, vectors).unwrap_err();
    assert_eq!(refused.to_string(), "rank: expected shape [5], got [4]");
}

#[test]
fn slices_are_lent() {
    let Some(cuda) = device() else { return };
    let a = matrices::<f64>(3, 5, 2);
    let (expected, _) = run::<f64, f64>(&cuda, &a, &Options::default());
    let plan = Plan::<f64, Cuda>::new(&cuda, 3, 5, &Options::default()).unwrap();
    let (workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<f64>().unwrap());
    let other_stream = cuda.stream().context().new_stream().unwrap();
    let slice = other_stream.clone_htod(a.as_slice().unwrap()).unwrap();
    let mut vectors = other_stream.alloc_zeros::<f64>(3 * 25).unwrap();
    {
        let a = cuda.read::<f64, _>(&slice).unwrap();
        let mut writing = cuda.write::<f64, _>(&mut vectors).unwrap();
        let mut out = pairs.view_mut();
        out.vectors = Array::from_view_mut(writing.view_mut(), [3, 5, 5]).unwrap();
        let a = HermitianBatch::of_view(&cuda, Array::from_view(a.view(), [3, 5, 5]).unwrap(), Triangle::Lower).unwrap();
        plan.eigh_into(a, out, &workspace).unwrap();
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
    let a = HermitianBatch::of_view(&cuda, Array::from_view(view, [2, 3, 3]).unwrap(), Triangle::Upper).unwrap();
    plan.eigh_into(a, pairs.view_mut(), &plan.workspace().unwrap()).unwrap();
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
    // SAFETY: the elements from 50 down to 0 by tens, and five from each, lie within the 60 of the
    // target.
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
    let got = plan.eigh_into(batch.view(), pairs.view_mut(), &plan.workspace().unwrap());
    assert!(got.unwrap_err().to_string().contains("memory of another device or stream"));
    let foreign = Plan::<f64, Cuda>::new(&cuda, 2, 3, &Options::default()).unwrap().workspace();
    let batch = HermitianBatch::on(&other, matrices::<f64>(2, 3, 4).view()).unwrap();
    let got = plan.eigh_into(batch.view(), pairs.view_mut(), &foreign.unwrap());
    assert!(matches!(got, Err(Error::Workspace { batch: 2, n: 3 })));
    let same = Cuda::from_stream(cuda.stream().clone()).unwrap();
    let array = Array::<f64, Cuda, 1>::zeros(&cuda, [3]).unwrap();
    assert!(same.download(array.view().memory()).is_ok() && other.download(array.view().memory()).is_err());
}

/// Workspaces in memory of the caller's: as much as is asked for gives the bits of their own; too
/// little is refused.
#[test]
fn workspaces_are_lent() {
    let Some(cuda) = device() else { return };
    for n in [5, 89] {
        let a = matrices::<f64>(9, n, 4);
        let (expected, gradient) = run::<f64, f64>(&cuda, &a, &Options::default());
        let plan = Plan::<f64, Cuda>::new(&cuda, 9, n, &Options::default()).unwrap();
        let (size, of_scratch) = (plan.workspace_bytes().unwrap(), plan.scratch_bytes().unwrap());
        let memory = cuda.stream().clone_htod(&vec![0xff_u8; size + of_scratch + 512]).unwrap();
        let address = (memory.device_ptr(cuda.stream()).0 as usize).next_multiple_of(256);
        // SAFETY: the memory is of this stream, lives to the end of this block, and nobody else
        // uses it.
        let workspace = unsafe { plan.workspace_at(address, size) }.unwrap();
        assert_eq!(workspace.bytes(), size);
        let behind = (address + size).next_multiple_of(256);
        // SAFETY: as above.
        let scratch = unsafe { plan.scratch_at(behind, of_scratch) }.unwrap();
        let batch = HermitianBatch::on(&cuda, a.view()).unwrap();
        let (mut pairs, mut out) = (plan.eigenpairs::<f64>().unwrap(), plan.gradient::<f64>().unwrap());
        plan.eigh_into(batch.view(), pairs.view_mut(), &workspace).unwrap();
        let v_bar = pairs.to_host().unwrap().vectors().to_owned();
        let cotangents = Cotangents::vectors(&pairs, v_bar.view()).unwrap();
        plan.backward_into(pairs.view(), cotangents.view(), out.view_mut(), &workspace).unwrap();
        let mut tangents = plan.tangents::<f64>(1).unwrap();
        plan.jvp_into(pairs.view(), batch.view(), tangents.view_mut(), &scratch).unwrap();
        assert_eq!(bytes(pairs.to_host().unwrap().vectors()), bytes(expected.vectors()), "n = {n}");
        assert_eq!(out.to_host().unwrap().a_bar().dim(), gradient.a_bar().dim());
        let fresh = pairs.jvp(&batch).unwrap().to_host().unwrap();
        assert_eq!(bytes(tangents.to_host().unwrap().vectors()), bytes(fresh.vectors()), "n = {n}");
        for (at, size) in [(address, 256), (address + 8, size)] {
            // SAFETY: refused.
            let refused = unsafe { plan.workspace_at(at, size) };
            assert!(matches!(refused, Err(Error::Backend { .. })), "{size} bytes at {at:#x}");
        }
    }
    let plan = FactorPlan::<f64, Cuda>::new(&cuda, 9, 6, 3, &Options::default()).unwrap();
    let size = plan.workspace_bytes().unwrap();
    let memory = cuda.stream().alloc_zeros::<u8>(size + 256).unwrap();
    let address = (memory.device_ptr(cuda.stream()).0 as usize).next_multiple_of(256);
    // SAFETY: as above.
    let workspace = unsafe { plan.workspace_at(address, size) }.unwrap();
    let b = FactorBatch::on(&cuda, numbers::<f64>((9, 6, 3), 5).view()).unwrap();
    let mut pairs = plan.pairs::<f64>().unwrap();
    plan.eigh_into(b.view(), pairs.view_mut(), &workspace).unwrap();
    let expected = eigh_factor(&b, &Options::default()).unwrap().to_host().unwrap();
    assert_eq!(bytes(pairs.to_host().unwrap().vectors()), bytes(expected.vectors()));
}

/// A stream of another owner by its handle: the results of our own, and the kernels of the device
/// are there.
#[test]
fn a_stream_by_its_handle() {
    let Some(cuda) = device() else { return };
    let stream = cuda.stream().context().new_stream().unwrap();
    // SAFETY: the stream is of the primary context, and lives to the end of this function.
    let borrowed = unsafe { Cuda::from_raw(0, stream.cu_stream()) }.unwrap();
    let a = matrices::<f32>(4, 6, 6);
    let ((one, _), (other, _)) =
        (run::<f32, f32>(&cuda, &a, &Options::default()), run::<f32, f32>(&borrowed, &a, &Options::default()));
    assert_eq!(bytes(one.vectors()), bytes(other.vectors()));
    let array = Array::<f32, Cuda, 1>::zeros(&cuda, [3]).unwrap();
    // SAFETY: the array lives to the end of this function, and its zeros were enqueued on this
    // stream.
    let view = unsafe { Array::<f32, Cuda, 1, View<'_>>::borrow(&cuda, array.view().memory().address() as usize, [3]) }.unwrap();
    assert_eq!(cuda.download(view.memory()).unwrap(), [0.0; 3]);
}
