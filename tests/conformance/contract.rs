//! What both routines read, write and refuse. Source: cuSOLVER library guide, "syevjBatched()" and
//! "cusolverDnXsyevBatched()".

use crate::fact::fact;
use crate::gpu::{Gpu, gpu};
use crate::matrices::{Matrices, ascending, ratios};
use crate::number::Number;
use crate::objects::{Handle, INVALID_VALUE, JacobiInfo, NOT_SUPPORTED, Params, SUCCESS};
use crate::solver::{JACOBI, Job, Routine};
use cudarc::cusolver::sys;
use num_complex::Complex;
use std::ffi::c_int;
use std::ptr::null_mut;

const NAN: Complex<f64> = Complex::new(f64::NAN, f64::NAN);
const LOOSE: f64 = 1000.0;

/// For each routine and each of two dtypes, real and complex.
fn each(gpu: &Gpu, mut real: impl FnMut(&Gpu, Routine), mut complex: impl FnMut(&Gpu, Routine)) {
    for routine in Routine::all() {
        real(gpu, routine);
        complex(gpu, routine);
    }
}

/// uplo: "specifies which part of A is stored"; the other part is not read, the imaginary part of
/// the diagonal not used.
#[test]
fn one_triangle_is_read() {
    fn check<T: Number>(gpu: &Gpu, routine: Routine) {
        for (lower, n) in [(true, 5), (false, 5), (true, 33), (false, 33)] {
            let a = Matrices::<T>::random(n, 3, 21);
            let mut half = a.clone();
            for (k, i, j) in (0..3).flat_map(|k| (0..n).flat_map(move |i| (0..n).map(move |j| (k, i, j)))) {
                if (lower && i < j) || (!lower && i > j) {
                    half.set(k, i, j, NAN);
                }
            }
            let outcome = Job { lower, ..Job::new(routine, n, 3) }.run(gpu, &half).expect("the call succeeds");
            let [r, o] = ratios(&a, &outcome.w, &outcome.v);
            assert!(r <= LOOSE && o <= LOOSE, "{routine:?} {} n = {n} lower = {lower}: {r} {o}", T::NAME);
        }
    }
    let Some(gpu) = gpu("one_triangle_is_read") else { return };
    each(&gpu, check::<f64>, check::<Complex<f64>>);
    each(&gpu, check::<f32>, check::<Complex<f32>>);
}

/// lda ≥ n: A_k(i, j) = A[i + lda·j + lda·n·k]; what lies below the n rows stays as it was.
#[test]
fn columns_may_have_gaps() {
    fn check<T: Number>(gpu: &Gpu, routine: Routine) {
        let (n, lda, count) = (5, 8, 3);
        let a = Matrices::<T>::random(n, count, 22);
        let mut prepared = Job { lda, ..Job::new(routine, n, count) }.prepare::<T>(gpu).expect("a workspace");
        let mark = T::of(123.0.into());
        let padded = a.data.chunks(n).flat_map(|column| column.iter().copied().chain([mark; 3])).collect::<Vec<_>>();
        prepared.a.write(&padded);
        prepared.enqueue().expect("the call succeeds");
        let outcome = prepared.outcome();
        assert!(outcome.v.data.chunks(lda).all(|column| column[n..] == [mark; 3]), "{routine:?} {}", T::NAME);
        let v = Matrices { n, count, data: outcome.v.data.chunks(lda).flat_map(|column| column[..n].to_vec()).collect() };
        let [r, o] = ratios(&a, &outcome.w, &v);
        assert!(r <= LOOSE && o <= LOOSE, "{routine:?} {}: {r} {o}", T::NAME);
    }
    let Some(gpu) = gpu("columns_may_have_gaps") else { return };
    each(&gpu, check::<f64>, check::<Complex<f32>>);
}

/// CUSOLVER_EIG_MODE_NOVECTOR: the same λ, up to rounding.
#[test]
fn eigenvalues_come_without_vectors() {
    fn check<T: Number>(gpu: &Gpu, routine: Routine) {
        for n in [2, 16, 33] {
            let a = Matrices::<T>::random(n, 3, 23);
            let job = Job::new(routine, n, 3);
            let with = job.run(gpu, &a).expect("the call succeeds");
            let without = Job { vectors: false, ..job }.run(gpu, &a).expect("the call succeeds");
            assert!(ascending(&without.w, n));
            let norm = with.w.iter().fold(0.0, |norm: f64, w| norm.max((*w).into().abs()));
            let apart =
                with.w.iter().zip(&without.w).fold(0.0, |apart: f64, (x, y)| apart.max(((*x).into() - (*y).into()).abs()));
            assert!(apart <= LOOSE * n as f64 * T::EPSILON * norm, "{routine:?} {} n = {n}: {apart}", T::NAME);
        }
    }
    let Some(gpu) = gpu("eigenvalues_come_without_vectors") else { return };
    each(&gpu, check::<f64>, check::<Complex<f32>>);
}

/// info is an int for each matrix, on the device: 0 where it converged, and nothing is written
/// behind the last.
#[test]
fn info_has_one_int_for_each_matrix() {
    fn check<T: Number>(gpu: &Gpu, routine: Routine) {
        let outcome = Job::new(routine, 6, 100).run(gpu, &Matrices::<T>::random(6, 100, 24)).expect("the call succeeds");
        assert_eq!(outcome.info[..100], [0; 100], "{routine:?} {}", T::NAME);
        assert_eq!(outcome.info[100], 0x5555_5555, "{routine:?} {}: an int too many", T::NAME);
    }
    let Some(gpu) = gpu("info_has_one_int_for_each_matrix") else { return };
    each(&gpu, check::<f64>, check::<Complex<f32>>);
}

/// info[i] = n + 1: "syevjBatched does not converge on i-th matrix under given tolerance and
/// maximum sweeps".
#[test]
fn too_few_sweeps_are_told() {
    fn check<T: Number>(gpu: &Gpu, n: usize) {
        let routine = Routine::Jacobi { tolerance: None, sweeps: Some(1), sort: true };
        let outcome = Job::new(routine, n, 10).run(gpu, &Matrices::<T>::random(n, 10, 25)).expect("the call succeeds");
        let failed = outcome.info[..10].iter().filter(|info| **info == n as c_int + 1).count();
        fact!("one sweep", dtype: T::NAME, n: n, batch: 10usize, not_converged: failed);
        assert!(outcome.info[..10].iter().all(|info| [0, n as c_int + 1].contains(info)), "{:?}", outcome.info);
    }
    let Some(gpu) = gpu("too_few_sweeps_are_told") else { return };
    for n in [8, 16, 32, 33] {
        check::<f64>(&gpu, n);
        check::<Complex<f32>>(&gpu, n);
    }
}

/// Nothing is promised for a matrix with NaN or infinity: recorded. That the others of the batch do
/// not suffer is what we rely on.
#[test]
fn a_bad_matrix_is_alone() {
    fn check<T: Number>(gpu: &Gpu, routine: Routine) {
        for (name, value) in [("NaN", f64::NAN), ("infinity", f64::INFINITY)] {
            for n in [4, 33] {
                let good = Matrices::<T>::random(n, 5, 26);
                let mut bad = good.clone();
                bad.set(2, 1, 0, value.into());
                bad.set(2, 0, 1, value.into());
                let job = Job::new(routine, n, 5);
                let outcome = job.run(gpu, &bad).expect("the call succeeds");
                let reference = job.run(gpu, &good).expect("the call succeeds");
                let is_nan = outcome.w[2 * n..][..n].iter().any(|w| (*w).into().is_nan());
                let same = (0..5).filter(|k| *k != 2).all(|k| {
                    let (w, v) = (k * n..(k + 1) * n, k * n * n..(k + 1) * n * n);
                    outcome.w[w.clone()] == reference.w[w] && outcome.v.data[v.clone()] == reference.v.data[v]
                });
                fact!(
                    "bad matrix", routine: routine.name(), dtype: T::NAME, n: n, holds: name, info: outcome.info[2], lambda_nan: is_nan,
                    others_same_bits: same,
                );
                let without = |x: &Matrices<T>| [0, 1, 3, 4].iter().flat_map(|k| x.data[k * n * n..][..n * n].to_vec()).collect();
                let w = [0, 1, 3, 4].iter().flat_map(|k| outcome.w[k * n..][..n].to_vec()).collect::<Vec<_>>();
                let others = |x: &Matrices<T>| Matrices { n, count: 4, data: without(x) };
                let [r, o] = ratios(&others(&good), &w, &others(&outcome.v));
                assert!(r <= LOOSE && o <= LOOSE, "{routine:?} {} n = {n} {name}: {r} {o}", T::NAME);
            }
        }
    }
    let Some(gpu) = gpu("a_bad_matrix_is_alone") else { return };
    each(&gpu, check::<f64>, check::<Complex<f32>>);
}

/// sort_eig = 0: the same λ in whatever order.
#[test]
fn jacobi_sorts_unless_told_not_to() {
    let Some(gpu) = gpu("jacobi_sorts_unless_told_not_to") else { return };
    for n in [4, 32] {
        let a = Matrices::<Complex<f64>>::random(n, 4, 27);
        let sorted = Job::new(JACOBI, n, 4).run(&gpu, &a).expect("the call succeeds");
        let unsorted = Routine::Jacobi { tolerance: None, sweeps: None, sort: false };
        let outcome = Job::new(unsorted, n, 4).run(&gpu, &a).expect("the call succeeds");
        fact!("unsorted", n: n, ascending: ascending(&outcome.w, n));
        let [r, o] = ratios(&a, &outcome.w, &outcome.v);
        assert!(ascending(&sorted.w, n) && r <= LOOSE && o <= LOOSE, "n = {n}: {r} {o}");
    }
}

/// cusolverDnXsyevjGetResidual, GetSweeps: CUSOLVER_STATUS_NOT_SUPPORTED after a batched call.
#[test]
fn jacobi_tells_no_sweeps_of_a_batch() {
    let Some(gpu) = gpu("jacobi_tells_no_sweeps_of_a_batch") else { return };
    let (handle, params) = (Handle::new(&gpu), JacobiInfo::new(None, None, true));
    let job = Job::new(JACOBI, 4, 2);
    let (a, w) = (gpu.upload(&Matrices::<f64>::random(4, 2, 28).data), gpu.filled::<f64>(8, 0));
    let [bytes, _] = job.workspace::<f64>(&handle).expect("a size");
    let (work, info) = (gpu.filled::<f64>(bytes / 8, 0), gpu.filled::<c_int>(2, 0));
    // SAFETY: each buffer is as large as this shape demands and waits for the stream before it is
    // freed.
    let status = unsafe {
        f64::evj(
            handle.0,
            job.shape(),
            [a.pointer(), work.pointer()],
            w.pointer(),
            (bytes / 8) as c_int,
            info.pointer(),
            params.0,
        )
    };
    assert_eq!(status as c_int, SUCCESS);
    gpu.wait();
    let (mut residual, mut sweeps) = (0.0, 0);
    // SAFETY: both objects are alive, the result is a double.
    let status = unsafe { sys::cusolverDnXsyevjGetResidual(handle.0, params.0, &raw mut residual) };
    assert_eq!(status as c_int, NOT_SUPPORTED);
    // SAFETY: both objects are alive, the result is an int.
    let status = unsafe { sys::cusolverDnXsyevjGetSweeps(handle.0, params.0, &raw mut sweeps) };
    assert_eq!(status as c_int, NOT_SUPPORTED);
}

/// CUSOLVER_STATUS_INVALID_VALUE: n < 0, lda < max(1, n), batchSize < 0. info[0] = −i of the i-th
/// argument, the handle not counted, and what happens to a workspace too small or a null pointer:
/// recorded.
#[test]
fn jacobi_refuses_bad_arguments() {
    let Some(gpu) = gpu("jacobi_refuses_bad_arguments") else { return };
    let (handle, params) = (Handle::new(&gpu), JacobiInfo::new(None, None, true));
    let job = Job::new(JACOBI, 4, 2);
    let [bytes, _] = job.workspace::<f64>(&handle).expect("a size");
    let (a, w, work) = (gpu.filled::<f64>(32, 0), gpu.filled::<f64>(8, 0), gpu.filled::<f64>(bytes / 8, 0));
    let info = gpu.filled::<c_int>(2, 0);
    let lwork = (bytes / 8) as c_int;
    let good = job.shape();
    let memory = [a.pointer(), work.pointer()];
    for (name, shape, memory, lwork, documented) in [
        ("n < 0", crate::number::Shape { n: -1, ..good }, memory, lwork, true),
        ("lda < n", crate::number::Shape { lda: 3, ..good }, memory, lwork, true),
        // documented too, but cuSOLVER 12.0.4 returns success
        ("batchSize < 0", crate::number::Shape { batch: -1, ..good }, memory, lwork, false),
        ("lwork one too small", good, memory, lwork - 1, false),
        ("A null", good, [null_mut(), work.pointer()], lwork, false),
        ("n = 0", crate::number::Shape { n: 0, ..good }, memory, lwork, false),
        ("batchSize = 0", crate::number::Shape { batch: 0, ..good }, memory, lwork, false),
    ] {
        if memory[0].is_null() && std::env::var_os("EIGENGRAD_CONFORMANCE_NULL").is_none() {
            continue; // a library that took it would leave the context unusable to every other test
        }
        info.write(&[7; 2]);
        // SAFETY: the arguments are refused; those that might not be stay inside the buffers, as
        // the work space is as large as it must be.
        let status = unsafe { f64::evj(handle.0, shape, memory, w.pointer(), lwork, info.pointer(), params.0) } as c_int;
        gpu.wait();
        fact!("argument", routine: JACOBI.name(), wrong: name, status: status, info: info.read()[0]);
        assert!(!documented || status == INVALID_VALUE, "{name}: {status}");
    }
}

/// The same of XsyevBatched, and the table of its data types: W real, of the precision of A; the
/// compute type that of A.
#[test]
fn syev_refuses_bad_arguments() {
    let Some(gpu) = gpu("syev_refuses_bad_arguments") else { return };
    if !Routine::all().contains(&Routine::Syev { algorithm: 0 }) {
        return;
    }
    let (handle, params) = (Handle::new(&gpu), Params::new(0));
    for (name, n, types, lda, batch, documented) in [
        ("nothing", 4, [1, 1, 1], 4, 2, None),
        ("n < 0", -1, [1, 1, 1], 4, 2, None), // documented too, but cuSOLVER 12.0.4 returns success
        ("lda < n", 4, [1, 1, 1], 3, 2, Some(())),
        ("batchSize < 0", 4, [1, 1, 1], 4, -1, Some(())),
        ("W complex", 4, [4, 4, 4], 4, 2, None),
        ("W of another precision", 4, [4, 1, 4], 4, 2, None),
        ("compute type of another precision", 4, [4, 0, 5], 4, 2, None),
        ("A half", 4, [2, 2, 2], 4, 2, None),
        ("n = 0", 0, [1, 1, 1], 1, 2, None),
        ("batchSize = 0", 4, [1, 1, 1], 4, 0, None),
    ] {
        let (mut device, mut host) = (0, 0);
        let [a, w, compute] = types;
        // SAFETY: all objects are alive, both results are size_t; the matrices are not touched by a
        // query.
        let status = unsafe {
            (params.functions.size)(
                handle.0.cast(),
                params.at,
                1,
                0,
                n,
                a,
                null_mut(),
                lda,
                w,
                null_mut(),
                compute,
                &raw mut device,
                &raw mut host,
                batch,
            )
        };
        fact!("argument", routine: "XsyevBatched_bufferSize", wrong: name, status: status);
        assert!(documented.is_none() || status == INVALID_VALUE, "{name}: {status}");
        assert!(name != "nothing" || status == SUCCESS);
    }
}
