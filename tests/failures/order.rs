//! The order of work where several streams, devices and threads have a part in it. The emulator
//! runs a stream when something waits for it: without an event between two streams the second finds
//! memory as it was.
#![allow(unsafe_code, reason = "a view that is wrong on purpose")]

use crate::emulator::{folder, turn};
use crate::gpu::device;
use crate::sample::{assert_same, bytes, matrices, run};
use cudarc::driver::{CudaContext, DevicePtr};
use eigengrad::cuda::{Cuda, DeviceView, devices};
use eigengrad::{Array, Backend, HermitianBatch, Options, Plan, Triangle, eigh};
use std::io::Write;

/// What this file relies on: without an event the memory of another stream is as it was, fresh, and
/// with one it holds what was written.
#[test]
fn an_event_that_is_missing_shows() {
    if folder().is_none() {
        return; // where streams do run by themselves nobody knows
    }
    let _turn = turn();
    let cuda = device().unwrap();
    let owner = cuda.stream().context().new_stream().unwrap();
    let (mut slice, ones) = (owner.alloc_zeros::<f64>(4).unwrap(), [1.0; 4]);
    owner.synchronize().unwrap();
    owner.memcpy_htod(&ones, &mut slice).unwrap();
    // SAFETY: the memory is there; that nothing orders its use is what is shown, by an emulator
    // that runs one thread.
    let unordered = unsafe { DeviceView::<f64>::from_raw(&cuda, slice.device_ptr(&owner).0, 4) };
    assert_eq!(cuda.download(unordered.unwrap()).unwrap(), [0.0; 4]);
    let ordered = cuda.read::<f64, _>(&slice).unwrap();
    assert_eq!(cuda.download(ordered.view()).unwrap(), ones);
}

/// Slices of a context that has made no stream, or tracks no events: cudarc leaves their order to
/// whoever uses them.
#[test]
fn slices_of_another_context_object() {
    let _turn = turn();
    let Some(cuda) = device() else { return };
    let a = matrices::<f64>(3, 4, 2);
    let (expected, _) = run::<f64, f64>(&cuda, &a, &Options::default());
    let context = CudaContext::new(0).unwrap();
    let plan = Plan::<f64, Cuda>::new(&cuda, 3, 4, &Options::default()).unwrap();
    let (workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<f64>().unwrap());
    let owner = context.default_stream();
    for _ in 0..2 {
        let slice = owner.clone_htod(a.as_slice().unwrap()).unwrap();
        let mut vectors = owner.alloc_zeros::<f64>(48).unwrap();
        {
            let a = cuda.read::<f64, _>(&slice).unwrap();
            let mut writing = cuda.write::<f64, _>(&mut vectors).unwrap();
            let mut out = pairs.view_mut();
            out.vectors = Array::from_view_mut(writing.view_mut(), [3, 4, 4]).unwrap();
            let a = Array::from_view(a.view(), [3, 4, 4]).unwrap();
            plan.eigh_into(HermitianBatch::of_view(&cuda, a, Triangle::Lower).unwrap(), out, &workspace).unwrap();
        }
        drop(slice); // in the order of its stream, behind what reads it
        let vectors = owner.clone_dtoh(&vectors).unwrap();
        assert_eq!(bytes(&vectors), bytes(expected.vectors().permuted_axes([0, 2, 1])));
    }
}

/// Made in one thread, used in a second, dropped in a third, none of which has made the context its
/// own.
#[test]
fn memory_that_goes_from_thread_to_thread() {
    let _turn = turn();
    let Some(cuda) = device() else { return };
    let a = matrices::<f64>(3, 4, 2);
    let (expected, _) = run::<f64, f64>(&cuda, &a, &Options::default());
    let batch = std::thread::spawn(move || HermitianBatch::on(&cuda, a.view()).unwrap()).join().unwrap();
    let used = move || (eigh(&batch, &Options::default()).unwrap(), batch);
    let (pairs, batch) = std::thread::spawn(used).join().unwrap();
    assert_eq!(bytes(pairs.to_host().unwrap().vectors()), bytes(expected.vectors()));
    std::thread::spawn(move || drop((pairs, batch))).join().unwrap();
}

/// Two devices by turns in one thread: whichever context is current, each call finds its own,
/// destructors too.
#[test]
fn two_devices_by_turns() {
    let _turn = turn();
    let Some(first) = device() else { return };
    if devices().unwrap().len() < 2 {
        let _ = writeln!(std::io::stderr(), "not run, one device alone");
        return;
    }
    let (second, options) = (Cuda::new(1).unwrap(), Options::default());
    let a = [3, 4].map(|seed| matrices::<f64>(3, 4, seed));
    let expected = [0, 1].map(|k| run::<f64, f64>(&first, &a[k], &options));
    let batches = [HermitianBatch::on(&first, a[0].view()).unwrap(), HermitianBatch::on(&second, a[1].view()).unwrap()];
    let pairs = [0, 1].map(|k| eigh(&batches[k], &options).unwrap()); // both at work
    for k in [1, 0] {
        assert_eq!(bytes(pairs[k].to_host().unwrap().vectors()), bytes(expected[k].0.vectors()));
    }
    assert_same(&expected[1], &run(&second, &a[1], &options));
    let slice = second.stream().clone_htod(&[1.0_f64]).unwrap();
    let error = first.adopt::<f64, f64>(slice).unwrap_err().to_string();
    assert!(error.contains("a slice of another device: 1, not 0"), "{error}");
    second.synchronize().unwrap();
    drop(first); // with the other's context current
    drop((batches, pairs, second));
    assert_same(&expected[0], &run(&Cuda::new(1).unwrap(), &a[0], &options));
}

/// A thread for each device, and two for one stream.
#[test]
fn threads_on_two_devices() {
    let _turn = turn();
    let Some(first) = device() else { return };
    let others: Vec<_> = (1..devices().unwrap().len()).map(|k| Cuda::new(k).unwrap()).collect();
    let a = matrices::<f32>(5, 6, 8);
    let expected = run::<f32, f32>(&first, &a, &Options::default());
    std::thread::scope(|scope| {
        for cuda in [&first, &first].into_iter().chain(&others) {
            scope.spawn(|| (0..4).for_each(|_| assert_same(&expected, &run(cuda, &a, &Options::default()))));
        }
    });
}
