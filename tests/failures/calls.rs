//! Each call fails in turn: of devices, backends, memory, and of what is missing.

use crate::child::{command, passes, without};
use crate::emulator::{Emulator, folder};
use crate::gpu::device;
use crate::sample::{bytes, matrices, run};
use crate::trial::Trial;
use cudarc::driver::CudaContext;
use eigengrad::cuda::{Cuda, DeviceBuffer, Solver, devices, probe};
use eigengrad::{Array, Backend, Error, HermitianBatch, Options, Plan, Triangle, eigh, eigvalsh};
use std::process::Command;

#[test]
fn of_devices() {
    let Some(emulator) = Emulator::take() else { return };
    let trial = Trial { emulator: &emulator, backend: None };
    let text = |found: Vec<_>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    let failed = trial.each_call("devices", || (), |()| devices()?.into_iter().collect::<eigengrad::Result<Vec<_>>>(), text);
    for call in ["cuInit", "cuDeviceGetCount", "cuDeviceGetName", "cuMemGetInfo", "cuDevicePrimaryCtxRetain"] {
        assert!(failed.contains(call), "{call} of {failed:?}");
    }
}

/// A library that does not tell its version is used without.
#[test]
fn of_versions() {
    let Some(emulator) = Emulator::take() else { return };
    for n in 1.. {
        emulator.fail(n);
        let found: Vec<_> = probe().into_iter().map(Result::unwrap).collect();
        let unknown: Vec<_> = found.iter().filter(|found| found.version.is_none()).collect();
        match emulator.stop() {
            None => return assert!(unknown.is_empty() && n == 9, "{n}"),
            Some(_) => assert!(unknown.len() == 1 && unknown[0].to_string().contains(" at "), "{found:?}"),
        }
    }
}

/// From nothing to a gradient, kernels compiled and loaded on the way.
#[test]
fn of_a_first_use() {
    let Some(emulator) = Emulator::take() else { return };
    let a = matrices::<f32>(2, 2, 1);
    let job = |()| {
        let cuda = Cuda::new(0)?;
        let batch = HermitianBatch::on(&cuda, a.view())?;
        let pairs = eigh(&batch, &Options::default())?;
        let values_bar = ndarray::Array2::from_elem((2, 2), 1.0);
        let cotangents = eigengrad::Cotangents::new(&pairs, Some(values_bar.view()), None)?;
        pairs.backward(&cotangents)?.to_host()
    };
    let trial = Trial { emulator: &emulator, backend: None };
    let failed = trial.each_call("a first use", || (), job, |gradient| bytes(gradient.a_bar()));
    for call in ["cuStreamCreate", "nvrtcCompileProgram", "cuModuleLoadData", "cuFuncSetAttribute"] {
        assert!(failed.contains(call), "{call} of {failed:?}");
    }
}

#[test]
fn of_a_stream_that_is_taken_over() {
    let Some(emulator) = Emulator::take() else { return };
    let keeps_the_device = device().unwrap();
    let trial = Trial { emulator: &emulator, backend: None };
    let stream = || keeps_the_device.stream().context().new_stream().unwrap();
    trial.each_call("from_stream", stream, Cuda::from_stream, |cuda| cuda.capability());
}

#[test]
fn of_memory() {
    let Some(emulator) = Emulator::take() else { return };
    let cuda = device().unwrap();
    let trial = Trial { emulator: &emulator, backend: Some(&cuda) };
    let numbers = || (0..12).map(f64::from).collect::<Vec<_>>();
    let on_device = cuda.upload(numbers()).unwrap();
    let view = || Cuda::view(&on_device);

    trial.each_call("zeros", || (), |()| cuda.zeros::<f64>(3), |buffer| cuda.download(Cuda::view(&buffer)).unwrap());
    trial.each_call("upload", numbers, |x| cuda.upload(x), |buffer| cuda.download(Cuda::view(&buffer)).unwrap());
    trial.each_call("download", || (), |()| cuda.download(view()), |numbers| numbers);
    trial.each_call(
        "flags",
        || cuda.upload(vec![true, false]).unwrap(),
        |flags| cuda.download(Cuda::view(&flags)),
        |flags| flags,
    );
    let transposed = |()| cuda.contiguous(view().strided([2, 3, 2], [6, 1, 3])?);
    trial.each_call("strides", || (), transposed, |buffer| cuda.download(Cuda::view(&buffer)).unwrap());
    trial.each_call("info", || (), |()| cuda.info(), |info| info.name);

    let other = cuda.stream().context().new_stream().unwrap();
    let slice = || other.clone_htod(&numbers()).unwrap();
    let failed = trial.each_call(
        "adopt",
        slice,
        |slice| cuda.adopt::<f64, f64>(slice),
        |buffer: DeviceBuffer<f64>| cuda.download(Cuda::view(&buffer)).unwrap(),
    );
    assert!(failed.contains("cuStreamWaitEvent") && failed.contains("cuEventDestroy"), "{failed:?}");
    let buffer = || cuda.upload(numbers()).unwrap();
    let failed =
        trial.each_call("into_slice", buffer, |buffer| buffer.into_slice::<f64>(), |slice| other.clone_dtoh(&slice).unwrap());
    assert!(failed.contains("cuEventCreate") && failed.contains("cuEventRecord"), "{failed:?}");
}

/// Memory of two owners, one of which cudarc orders and one of which it does not: it makes no
/// stream.
#[test]
fn of_lent_memory() {
    let Some(emulator) = Emulator::take() else { return };
    let cuda = device().unwrap();
    let trial = Trial { emulator: &emulator, backend: Some(&cuda) };
    let a = matrices::<f64>(2, 3, 2);
    let plan = Plan::<f64, Cuda>::new(&cuda, 2, 3, &Options::default()).unwrap();
    let scratch = std::cell::RefCell::new((plan.workspace().unwrap(), plan.eigenpairs::<f64>().unwrap()));
    for stream in [cuda.stream().context().new_stream().unwrap(), CudaContext::new(0).unwrap().default_stream()] {
        let slices = || (stream.clone_htod(a.as_slice().unwrap()).unwrap(), stream.alloc_zeros::<f64>(18).unwrap());
        let job = |(slice, mut vectors)| {
            let (workspace, pairs) = &mut *scratch.borrow_mut();
            {
                let a = cuda.read::<f64, _>(&slice)?;
                let mut writing = cuda.write::<f64, _>(&mut vectors)?;
                let mut out = pairs.view_mut();
                out.vectors = Array::from_view_mut(writing.view_mut(), [2, 3, 3])?;
                let a = Array::from_view(a.view(), [2, 3, 3])?;
                plan.eigh_into(HermitianBatch::of_view(&cuda, a, Triangle::Lower)?, out, workspace)?;
            }
            Ok((slice, vectors))
        };
        let failed = trial.each_call("lent", slices, job, |(_, vectors)| bytes(&stream.clone_dtoh(&vectors).unwrap()));
        assert!(failed.contains("cuStreamWaitEvent") && failed.contains("cuEventRecord"), "{failed:?}");
    }
}

/// Where the driver has no memory pools, memory is freed when the work on it is done.
#[test]
fn of_memory_without_pools() {
    if folder().is_some() {
        passes(command("calls::no_pools").env("EIGENGRAD_EMULATOR_POOLS", "0"));
    }
}

#[test]
#[ignore = "started by of_memory_without_pools"]
fn no_pools() {
    let emulator = Emulator::take().unwrap();
    let cuda = device().unwrap();
    let trial = Trial { emulator: &emulator, backend: Some(&cuda) };
    let job = |numbers| cuda.upload(numbers).and_then(|buffer| cuda.download(Cuda::view(&buffer)));
    let failed = trial.each_call("no pools", || vec![1.0, 2.0], job, |numbers| numbers);
    assert!(failed.contains("cuMemAlloc") && failed.contains("cuMemFree") && !failed.contains("cuMemAllocAsync"), "{failed:?}");
}

/// Without one library or function: an error with its name.
#[test]
fn that_are_missing() {
    if folder().is_none() {
        return;
    }
    for hidden in
        ["libcuda", "libcusolver", "libcublas", "libnvrtc", "cuMemAllocAsync", "cusolverDnCreate", "cublasCgemmStridedBatched"]
    {
        let folder = without(&[hidden]);
        passes(command("calls::one_is_hidden").env("EIGENGRAD_CUDA_LIB_DIR", folder).env("HIDDEN", hidden));
    }
    let hidden = ["cusolverDnXsyevBatched", "cusolverDnXsyevBatched_bufferSize"];
    passes(command("calls::a_solver_is_hidden").env("EIGENGRAD_CUDA_LIB_DIR", without(&hidden)));
}

#[test]
#[ignore = "started by that_are_missing"]
fn one_is_hidden() {
    let hidden = std::env::var("HIDDEN").unwrap();
    let tried = Cuda::new(0)
        .and_then(|cuda| cuda.contiguous(Cuda::view(&cuda.zeros::<f32>(1)?).strided([1, 1, 1], [1, 1, 1])?).map(drop));
    match tried.unwrap_err() {
        Error::Library { library, reason, .. } => {
            assert!(library == hidden || reason.contains(&format!("has no {hidden}")), "{library}: {reason}");
        }
        other => panic!("{other}"),
    }
}

/// A library of another folder that cudarc would find first, by a name without a version: the one
/// that is named in vain is told.
#[test]
fn that_are_shadowed() {
    let Some(emulator) = folder() else { return };
    let others = tempfile::tempdir().unwrap();
    let [source, library] = ["blas.c", "libcublas.so"].map(|name| others.path().join(name));
    std::fs::write(&source, "int cublasCreate_v2(void) { return 1; }").unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(made.success());
    passes(command("calls::one_is_shadowed").env("EIGENGRAD_CUDA_LIB_DIR", emulator).env("LD_LIBRARY_PATH", others.path()));
}

#[test]
#[ignore = "started by that_are_shadowed"]
fn one_is_shadowed() {
    match Cuda::new(0).unwrap_err() {
        Error::Library { library: "libcublas", reason, .. } => {
            assert!(reason.contains("libcublas.so.13 would not be called, but another libcublas.so, "), "{reason}");
        }
        other => panic!("{other}"),
    }
}

/// Jacobi's method then serves where the user names none.
#[test]
#[ignore = "started by that_are_missing"]
fn a_solver_is_hidden() {
    let (cuda, a) = (Cuda::new(0).unwrap(), matrices::<f64>(2, 49, 2)); // 48 is ours
    let of = |solver| {
        let cuda = cuda.clone().with_solver(solver);
        let spectrum = eigvalsh(&HermitianBatch::on(&cuda, a.view()).unwrap(), &Options::default())?;
        spectrum.to_host().map(|spectrum| bytes(spectrum.values()))
    };
    assert_eq!(of(Solver::Auto).unwrap(), of(Solver::JACOBI).unwrap());
    assert!(matches!(of(Solver::SYEV), Err(Error::Library { library: "XsyevBatched", .. })));
    run::<f64, f64>(&cuda, &a, &Options::default());
}
