//! Several devices, several streams, several threads.

use crate::gpu::device;
use crate::sample::{bytes, matrices, run};
use eigengrad::cuda::{Cuda, devices};
use eigengrad::{Error, HermitianBatch, Options, eigh};

/// A batch over all devices, or over two streams of the one that is there.
#[test]
fn a_batch_over_several_devices() {
    let Some(cuda) = device() else { return };
    let a = matrices::<f64>(7, 4, 10);
    let (expected, _) = run::<f64, f64>(&cuda, &a, &Options::default());
    let count = devices().unwrap().len();
    let backends: Vec<_> = (0..count.max(2)).map(|k| Cuda::new(k % count).unwrap()).collect();
    let parts = HermitianBatch::over(&backends, a.view()).unwrap();
    // all at work
    let pairs: Vec<_> = parts.iter().map(|part| eigh(part, &Options::default()).unwrap()).collect();
    let mut values = Vec::new();
    for part in &pairs {
        values.extend(bytes(part.to_host().unwrap().values()));
    }
    assert_eq!(values, bytes(expected.values()));
    assert_eq!(parts.iter().map(HermitianBatch::batch).sum::<usize>(), 7);
    let none = HermitianBatch::<f64, Cuda>::over(&[], a.view());
    assert!(matches!(none, Err(Error::Shape { what: "backends", .. })), "{none:?}");

    let mut wrong = a;
    wrong[[6, 0, 1]] += 1.0;
    assert!(matches!(HermitianBatch::over(&backends, wrong.view()), Err(Error::NotHermitian { matrix: 6, .. })));
}

#[test]
fn several_threads_share_a_backend() {
    let Some(cuda) = device() else { return };
    let a = matrices::<f32>(9, 5, 11);
    let expected = run::<f32, f32>(&cuda, &a, &Options::default());
    std::thread::scope(|scope| {
        let work = || run::<f32, f32>(&cuda, &a, &Options::default());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            crate::sample::assert_same(&expected, &thread.join().unwrap());
        }
    });
}

#[test]
fn a_device_that_is_not_there() {
    if device().is_none() {
        return;
    }
    let error = Cuda::new(1000).unwrap_err().to_string();
    assert!(error.starts_with("cuda: device 1000: "), "{error}");
}

#[test]
fn what_a_device_says_of_itself() {
    let Some(cuda) = device() else { return };
    let info = cuda.info().unwrap();
    assert!(info.total >= info.free && info.free > 0 && !info.name.is_empty());
    assert_eq!((info.ordinal, info.capability), (0, cuda.capability()));
}
