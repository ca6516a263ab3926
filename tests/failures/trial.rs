//! A job that is done with its first call failing, with its second, and so on until it succeeds.

use crate::emulator::{CONTEXT, Census, Emulator};
use eigengrad::cuda::Cuda;
use eigengrad::{Backend, Result};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the last owners of a device call in destructors, with nobody left to tell.
const LAST: [&str; 11] = [
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuDevicePrimaryCtxRelease",
    "cuStreamDestroy",
    "cuModuleUnload",
    "cuMemFreeAsync",
    "cuStreamIsCapturing",
    "cusolverDnDestroy",
    "cusolverDnDestroyParams",
    "cusolverDnDestroySyevjInfo",
    "cublasDestroy",
];

/// What tells versions, without which the libraries are used.
const VERSIONS: [&str; 4] = ["cuDriverGetVersion", "cusolverGetProperty", "cublasGetProperty", "nvrtcVersion"];

/// What `CudaContext::new` calls when it has the context, which it keeps if one fails.
const AFTER_THE_CONTEXT: [&str; 3] = ["cuDeviceGetAttribute", "cuCtxGetCurrent", "cuCtxSetCurrent"];

/// How the job is watched.
pub struct Trial<'a> {
    pub emulator: &'a Emulator,
    /// Which is there before the job and after it, and has to tell what nobody could be told
    /// meanwhile.
    pub backend: Option<&'a Cuda>,
}

impl Trial<'_> {
    /// For N = 1, 2, … until nothing fails: the job, given what `prepare` makes, returns an error
    /// that names the call that failed, or if that was in a destructor the backend's next call
    /// does. Nothing leaks, nothing panics, and the same job then has the result that it has
    /// without failures. Returns the calls that failed.
    pub fn each_call<P, Q, R: PartialEq + Debug>(
        &self,
        what: &str,
        prepare: impl Fn() -> P,
        job: impl Fn(P) -> Result<Q>,
        finish: impl Fn(Q) -> R,
    ) -> BTreeSet<String> {
        let whole = || finish(job(prepare()).unwrap());
        let (expected, mut failed) = (whole(), BTreeSet::new());
        let before = self.settled();
        for n in 1.. {
            let prepared = prepare();
            self.emulator.fail(n);
            let outcome = catch_unwind(AssertUnwindSafe(|| job(prepared)));
            let Some(struck) = self.emulator.stop() else {
                assert_eq!(finish(outcome.unwrap().unwrap()), expected, "{what}, undisturbed");
                break;
            };
            let case = format!("{what}: call {n}, {struck}");
            let outcome = outcome.unwrap_or_else(|_| panic!("{case}: a panic"));
            let told = outcome.and_then(|got| {
                let told = self.backend.map_or(Ok(()), Backend::synchronize);
                assert_eq!(finish(got), expected, "{case}");
                told
            });
            match told {
                Err(error) => assert!(error.to_string().contains(&struck), "{case}: {error}"),
                Ok(()) => assert!(
                    VERSIONS.contains(&&*struck) || self.backend.is_none() && LAST.contains(&&*struck),
                    "{case}: nobody was told"
                ),
            }
            let mut after = self.settled();
            if after[CONTEXT] == before[CONTEXT] + 1 && AFTER_THE_CONTEXT.contains(&&*struck) {
                self.emulator.release_context(); // cudarc keeps it: src/cuda/driver/context.rs
                after = self.settled();
            }
            assert_eq!(after, before, "{case}: a leak");
            assert_eq!(whole(), expected, "{case}: the next call");
            assert_eq!(self.settled(), before, "{case}: a leak of the next call");
            failed.insert(struck);
        }
        failed
    }

    /// What is alive when all work is done.
    fn settled(&self) -> Census {
        if let Some(cuda) = self.backend {
            cuda.synchronize().unwrap();
            // other streams may have something to free
            cuda.stream().context().synchronize().unwrap();
        }
        self.emulator.alive()
    }
}
