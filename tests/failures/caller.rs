//! What a program that uses CUDA itself may rely on: its thread's context is as it was, and
//! processes that it forks do no harm.
#![allow(unsafe_code, reason = "contexts and processes as a C program has them")]

use crate::child::{command, passes};
use crate::emulator::{Emulator, folder, turn};
use crate::gpu::device;
use crate::sample::{assert_same, matrices, run};
use cudarc::driver::{CudaContext, result::ctx, sys::CUcontext};
use eigengrad::cuda::{Cuda, Solver, devices};
use eigengrad::{Backend, Cotangents, Function, HermitianBatch, Options, Result, Spectral, eigh, eigvalsh};
use ndarray::Array3;
use std::ffi::c_int;
use std::io::Write;

fn current() -> CUcontext {
    ctx::get_current().unwrap().unwrap_or(std::ptr::null_mut())
}

/// What `work` returns, in a thread whose context is as it was.
fn undisturbed<R>(what: &str, work: impl FnOnce() -> R) -> R {
    let before = current();
    let done = work();
    assert_eq!(current(), before, "{what}");
    done
}

/// All that a program calls, and all that it drops, the last owner of a device too.
fn each_call(solver: Solver, n: usize) -> Result<()> {
    let a = matrices::<f64>(3, n, 1);
    let bar = Array3::from_elem((3, n, n), 1.0);
    let found = undisturbed("devices", devices)?;
    assert!(!found.is_empty());
    let cuda = undisturbed("new", || Cuda::new(0))?.with_solver(solver);
    let before = current();
    // cudarc's, which makes its context current
    let stream = cuda.stream().context().new_stream().unwrap();
    // SAFETY: the context that was current before.
    unsafe { ctx::set_current(before) }.unwrap();
    let of_stream = undisturbed("from_stream", || Cuda::from_stream(stream))?;
    undisturbed("drop of another stream", || drop(of_stream));
    undisturbed("info", || cuda.info())?;
    undisturbed("warm", || cuda.synchronize())?;
    let batch = undisturbed("upload", || HermitianBatch::on(&cuda, a.view()))?;
    let pairs = undisturbed("eigh", || eigh(&batch, &Options::default()))?;
    let values = undisturbed("eigvalsh", || eigvalsh(&batch, &Options::default()))?;
    let cotangents = undisturbed("cotangents", || Cotangents::new(&pairs, None, Some(bar.view())))?;
    let gradient = undisturbed("backward", || pairs.backward(&cotangents))?;
    let spectral = undisturbed("spectral", || pairs.spectral(&Spectral::from(Function::Pinv)))?;
    undisturbed("download", || pairs.to_host())?;
    let buffer = undisturbed("zeros", || cuda.zeros::<f64>(8))?;
    let slice = undisturbed("into_slice", || buffer.into_slice::<f64>())?;
    let mut slice = undisturbed("adopt", || cuda.adopt::<f64, f64>(slice))?.into_slice::<f64>()?;
    drop(undisturbed("read", || cuda.read::<f64, f64>(&slice))?);
    let before = current();
    drop(cuda.read::<f64, f64>(&slice)?);
    drop(cuda.write::<f64, f64>(&mut slice)?);
    assert_eq!(current(), before, "lent memory");
    drop(cuda.adopt::<f64, f64>(slice)?);
    undisturbed("drop of results", || drop((spectral, gradient, cotangents, values)));
    undisturbed("drop of a backend", || drop((cuda, batch)));
    undisturbed("drop of the last owner", || drop(pairs));
    Ok(())
}

#[test]
fn the_context_of_the_caller_stays() {
    let _turn = turn();
    let Some(cuda) = device() else { return };
    if devices().unwrap().len() < 2 {
        let _ = writeln!(std::io::stderr(), "not run, one device alone");
        return;
    }
    let other = CudaContext::new(1).unwrap();
    for context in [other.cu_ctx(), std::ptr::null_mut()] {
        for (solver, n) in [(Solver::Auto, 4), (Solver::JACOBI, 5), (Solver::SYEV, 5), (Solver::Auto, 49)] {
            // SAFETY: the context lives as long as `other`.
            unsafe { ctx::set_current(context) }.unwrap();
            each_call(solver, n).unwrap();
            assert_eq!(current(), context);
        }
        if context.is_null() {
            continue;
        }
        let plan = eigengrad::Plan::<f64, Cuda>::new(&cuda, 2, 3, &Options::default()).unwrap();
        let (workspace, mut pairs) = (plan.workspace().unwrap(), plan.eigenpairs::<f64>().unwrap());
        let batch = HermitianBatch::on(&cuda, matrices::<f64>(2, 3, 1).view()).unwrap();
        let graph = undisturbed("capture", || cuda.capture(|| plan.eigh_into(batch.view(), pairs.view_mut(), &workspace)));
        let mut graph = graph.unwrap();
        // SAFETY: the memory lives until the end of this block.
        undisturbed("replay", || unsafe { graph.replay() }).unwrap();
        undisturbed("drop of a graph", || drop(graph));
        undisturbed("drop of a workspace", || drop(workspace));
    }
}

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

/// A child calls nothing of the driver when it drops what its parent made, and is told why it
/// cannot have more.
#[test]
fn a_child_that_fork_made() {
    let Some(emulator) = Emulator::take() else { return };
    let cuda = device().unwrap();
    let batch = HermitianBatch::on(&cuda, matrices::<f64>(2, 3, 1).view()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap();
    // SAFETY: the child calls nothing but what is below, and ends without going back.
    let child = unsafe { fork() };
    if child == 0 {
        emulator.fail(0);
        let told = [cuda.zeros::<f64>(1).map(drop), Cuda::new(0).map(drop), pairs.to_host().map(drop)];
        let told = told.into_iter().all(|refused| refused.is_err_and(|e| e.to_string().contains("fork")));
        drop((batch, pairs, cuda));
        let code = if told { emulator.calls() } else { 100 };
        // SAFETY: ends the child at once.
        unsafe { _exit(code.min(100) as c_int) };
    }
    let mut status = -1;
    // SAFETY: the child is this process's own.
    assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child ended with {} calls", status >> 8);
    pairs.to_host().unwrap().check().unwrap();
}

#[test]
fn a_device_that_is_not_available() {
    if folder().is_some() {
        passes(command("caller::one_is_not_available").env("EIGENGRAD_EMULATOR_UNAVAILABLE", "0"));
    }
}

#[test]
#[ignore = "started by a_device_that_is_not_available"]
fn one_is_not_available() {
    let found = devices().unwrap();
    assert!(found[0].as_ref().unwrap_err().to_string().contains("device 0"), "{found:?}");
    assert_eq!(found[1].as_ref().unwrap().ordinal, 1);
    let a = matrices::<f64>(3, 4, 1);
    run::<f64, f64>(&Cuda::new(1).unwrap(), &a, &Options::default());
}

/// Pools give memory again as it is: zeros are made, and results do not depend on what was there.
#[test]
fn memory_that_pools_give_again() {
    if folder().is_some() {
        passes(command("caller::pools_give_again").env("EIGENGRAD_EMULATOR_POOLS", "reuse"));
    }
}

#[test]
#[ignore = "started by memory_that_pools_give_again"]
fn pools_give_again() {
    let cuda = device().unwrap();
    let garbage = cuda.upload(vec![f64::NAN; 12]).unwrap();
    let address = Cuda::view(&garbage).address();
    drop(garbage);
    let zeros = cuda.zeros::<f64>(12).unwrap();
    assert_eq!(Cuda::view(&zeros).address(), address, "what this test is about");
    assert_eq!(cuda.download(Cuda::view(&zeros)).unwrap(), [0.0; 12]);
    for n in [3, 33, 50] {
        let (a, other) = (matrices::<f64>(3, n, 1), matrices::<f64>(3, n, 2));
        let expected = run::<f64, f64>(&cuda, &a, &Options::default());
        run::<f64, f64>(&cuda, &other, &Options::default());
        assert_same(&expected, &run(&cuda, &a, &Options::default()));
    }
}

/// What a destructor failed at is told once, to whoever asks first.
#[test]
fn errors_of_destructors() {
    let Some(emulator) = Emulator::take() else { return };
    let (cuda, other) = (device().unwrap(), device().unwrap());
    let buffer = cuda.zeros::<f64>(8).unwrap();
    let calls = {
        let same = cuda.zeros::<f64>(8).unwrap();
        emulator.fail(0);
        drop(same);
        emulator.calls()
    };
    emulator.fail(calls);
    drop(buffer);
    let struck = emulator.stop().unwrap();
    let told = other.take_deferred_error().expect("an error").to_string();
    assert!(told.contains(&struck) && told.contains("deferred from a destructor"), "{struck}: {told}");
    assert!(cuda.take_deferred_error().is_none());
    cuda.synchronize().unwrap();
}
