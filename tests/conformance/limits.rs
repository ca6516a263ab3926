//! How large a batch may be, and what workspace it needs.

use crate::fact::fact;
use crate::gpu::{Gpu, gpu};
use crate::matrices::{Matrices, ratios};
use crate::number::Number;
use crate::objects::{Handle, Params, SUCCESS};
use crate::solver::{JACOBI, Job, Routine};
use cudarc::driver::result::mem_get_info;
use num_complex::Complex;

/// lwork counts elements in an int. Reported (cupy/cupy#7261): 1024 + n + (1024 + (n+1)²)·batch of
/// them, so that n = 4 fails above 2,047,171 matrices and n = 2 above 2,078,879. Recorded, with
/// whether it agrees.
#[test]
fn the_workspace_of_jacobi_outgrows_an_int() {
    let Some(gpu) = gpu("the_workspace_of_jacobi_outgrows_an_int") else { return };
    let handle = Handle::new(&gpu);
    for (n, batch) in
        [(4, 1), (4, 512), (2, 2_078_879), (2, 2_078_880), (4, 2_047_171), (4, 2_047_172), (4, 3_000_000), (16, 1_700_000)]
    {
        let expected = 1024 + n + (1024 + (n + 1) * (n + 1)) * batch;
        let expected = (expected <= i32::MAX as usize).then_some(expected);
        let got = Job::new(JACOBI, n, batch).workspace::<Complex<f32>>(&handle).map(|[bytes, _]| bytes / 8);
        let (elements, status) = (got.unwrap_or(0), got.err().unwrap_or(SUCCESS));
        fact!("lwork", dtype: "c64", n: n, batch: batch, status: status, elements: elements, as_reported: got.ok() == expected);
        assert!(got != Ok(0), "n = {n}, batch = {batch}");
    }
}

/// Bytes of workspace by n and batch, and how cusolverDnSetAdvOptions takes the choice of an
/// algorithm: recorded.
#[test]
fn workspaces_are_told() {
    fn record<T: Number>(handle: &Handle, routine: Routine, n: usize, batch: usize) {
        let (bytes, status) = match Job::new(routine, n, batch).workspace::<T>(handle) {
            Ok(bytes) => (bytes, SUCCESS),
            Err(status) => ([0, 0], status),
        };
        fact!(
            "workspace", routine: routine.name(), dtype: T::NAME, n: n, batch: batch, status: status, device_bytes: bytes[0],
            host_bytes: bytes[1],
        );
    }
    let Some(gpu) = gpu("workspaces_are_told") else { return };
    let handle = Handle::new(&gpu);
    for routine in Routine::all() {
        if let Routine::Syev { algorithm } = routine {
            fact!("algorithm", routine: routine.name(), status: Params::new(algorithm).chosen);
        }
        for n in [2, 4, 8, 16, 32, 33, 64, 128] {
            for batch in [1, 1024, 8192, 16_384] {
                record::<f32>(&handle, routine, n, batch);
                record::<f64>(&handle, routine, n, batch);
                record::<Complex<f32>>(&handle, routine, n, batch);
                record::<Complex<f64>>(&handle, routine, n, batch);
            }
        }
    }
}

/// Documented: n·lda·batch ≤ INT32_MAX. Reported (mujocolab/mjlab#732): a ceiling of the batch
/// between 16 k and 32 k. 16,384 matrices are what we rely on: asserted. The rest is recorded, for
/// the query and, where half the free memory holds it, for the call.
#[test]
fn the_batch_of_syev_has_a_ceiling() {
    fn record(gpu: &Gpu, handle: &Handle, routine: Routine, n: usize, batch: usize) {
        let job = Job::new(routine, n, batch);
        let size = job.workspace::<Complex<f32>>(handle);
        let [bytes, _] = size.unwrap_or([0, 0]);
        let (free, _) = mem_get_info().expect("the memory's size");
        let fits = bytes + 3 * 8 * n * n * batch <= free / 2;
        let run = (size.is_ok() && fits).then(|| job.run(gpu, &Matrices::<Complex<f32>>::random(n, batch, 31)));
        let residual = match &run {
            Some(Ok(outcome)) => ratios(&Matrices::<Complex<f32>>::random(n, batch, 31), &outcome.w, &outcome.v)[0],
            _ => f64::NAN,
        };
        let status = run.map_or(-1, |run| run.err().unwrap_or(SUCCESS));
        let size = size.err().unwrap_or(SUCCESS);
        fact!(
            "ceiling", routine: routine.name(), dtype: "c64", n: n, batch: batch, query_status: size, run_status: status, residual: residual,
            workspace_bytes: bytes,
        );
        assert!(batch > 16_384 || !fits || (status == SUCCESS && residual <= 1000.0), "{routine:?} batch = {batch}");
    }
    let Some(gpu) = gpu("the_batch_of_syev_has_a_ceiling") else { return };
    let handle = Handle::new(&gpu);
    for routine in Routine::all() {
        for batch in [16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 65_536] {
            record(&gpu, &handle, routine, 2, batch);
        }
    }
    for routine in Routine::all().into_iter().filter(|routine| *routine != JACOBI) {
        for (n, batch) in [(256, 32_767), (256, 32_768), (512, 8_191), (512, 8_192)] {
            let size = Job::new(routine, n, batch).workspace::<f32>(&handle);
            fact!("int ceiling", routine: routine.name(), n: n, batch: batch, elements: n * n * batch, query_status: size.err().unwrap_or(SUCCESS));
        }
    }
}

/// Reported: XsyevBatched in complex64 before cuSOLVER 11.7.3 needs a workspace of zeros
/// (pytorch/pytorch#192483, JuliaGPU/CUDA.jl#2577). Recorded for every routine with zeros, ones and
/// NaN patterns; with zeros asserted.
#[test]
fn the_workspace_may_hold_anything() {
    fn record<T: Number>(gpu: &Gpu, routine: Routine) {
        for (lower, n) in [(true, 8), (false, 8), (true, 16), (true, 32), (true, 33)] {
            let a = Matrices::<T>::random(n, 50, 32);
            for (name, fill) in [("zero", 0), ("0x01", 1), ("0xff", 0xff)] {
                let outcome = Job { lower, fill, ..Job::new(routine, n, 50) }.run(gpu, &a).expect("the call succeeds");
                let [r, o] = ratios(&a, &outcome.w, &outcome.v);
                fact!(
                    "dirty workspace", routine: routine.name(), dtype: T::NAME, n: n, lower: lower, holds: name, residual: r, orthogonality: o,
                );
                assert!(fill != 0 || (r <= 1000.0 && o <= 1000.0), "{routine:?} {} n = {n}", T::NAME);
            }
        }
    }
    let Some(gpu) = gpu("the_workspace_may_hold_anything") else { return };
    for routine in Routine::all() {
        record::<f64>(&gpu, routine);
        record::<Complex<f32>>(&gpu, routine);
        record::<Complex<f64>>(&gpu, routine);
    }
}
