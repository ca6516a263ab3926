//! cuSOLVER's objects with owners, and the functions of its 64-bit interface where there are any.

use crate::gpu::Gpu;
use cudarc::cusolver::result::{dn_create, dn_destroy, dn_set_stream};
use cudarc::cusolver::sys::{self, cusolverDnHandle_t, cusolverStatus_t, syevjInfo_t};
use eigengrad::cuda::probe;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

/// A status as a number.
pub type Status = c_int;
pub const SUCCESS: Status = 0;
pub const INVALID_VALUE: Status = 3;
pub const NOT_SUPPORTED: Status = 9;

type Size = unsafe extern "C" fn(
    *mut c_void,
    *mut c_void,
    c_int,
    c_int,
    i64,
    c_int,
    *const c_void,
    i64,
    c_int,
    *const c_void,
    c_int,
    *mut usize,
    *mut usize,
    i64,
) -> Status;
type Run = unsafe extern "C" fn(
    *mut c_void,
    *mut c_void,
    c_int,
    c_int,
    i64,
    c_int,
    *mut c_void,
    i64,
    c_int,
    *mut c_void,
    c_int,
    *mut c_void,
    usize,
    *mut c_void,
    usize,
    *mut c_int,
    i64,
) -> Status;
type Create = unsafe extern "C" fn(*mut *mut c_void) -> Status;
type Destroy = unsafe extern "C" fn(*mut c_void) -> Status;
type Choose = unsafe extern "C" fn(*mut c_void, c_int, c_int) -> Status;

/// The functions of the 64-bit interface, which older toolkits and the bindings to them lack.
#[derive(Clone, Copy)]
pub struct Functions {
    pub size: Size,
    pub run: Run,
    create: Create,
    destroy: Destroy,
    choose: Choose,
}

/// They, where this libcusolver has them all.
pub fn syev_functions() -> Option<Functions> {
    let found = probe().into_iter().flatten().find(|found| found.name == "libcusolver")?;
    // SAFETY: `probe` has loaded this library; to load it again runs none of its initialisers.
    let library = unsafe { libloading::Library::new(found.path) }.ok()?;
    // SAFETY: this and the four below are declared with these types in cusolverDn.h.
    let size = *unsafe { library.get::<Size>(b"cusolverDnXsyevBatched_bufferSize\0") }.ok()?;
    // SAFETY: as above.
    let run = *unsafe { library.get::<Run>(b"cusolverDnXsyevBatched\0") }.ok()?;
    // SAFETY: as above.
    let create = *unsafe { library.get::<Create>(b"cusolverDnCreateParams\0") }.ok()?;
    // SAFETY: as above.
    let destroy = *unsafe { library.get::<Destroy>(b"cusolverDnDestroyParams\0") }.ok()?;
    // SAFETY: as above.
    let choose = *unsafe { library.get::<Choose>(b"cusolverDnSetAdvOptions\0") }.ok()?;
    std::mem::forget(library);
    Some(Functions { size, run, create, destroy, choose })
}

/// A handle on the stream of a test.
pub struct Handle(pub cusolverDnHandle_t);

impl Handle {
    pub fn new(gpu: &Gpu) -> Self {
        let handle = Self(dn_create().expect("a handle"));
        // SAFETY: the handle is new, the stream outlives the test that borrows it.
        unsafe { dn_set_stream(handle.0, gpu.stream.cu_stream().cast()) }.expect("a handle takes a stream");
        handle
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `new` and is destroyed once.
        let destroyed = unsafe { dn_destroy(self.0) };
        assert!(std::thread::panicking() || destroyed.is_ok());
    }
}

/// syevjInfo_t, set as the routine says.
pub struct JacobiInfo(pub syevjInfo_t);

impl JacobiInfo {
    pub fn new(tolerance: Option<f64>, sweeps: Option<c_int>, sort: bool) -> Self {
        let mut info = null_mut();
        // SAFETY: the function stores a pointer through a pointer to one.
        let status = unsafe { sys::cusolverDnCreateSyevjInfo(&raw mut info) };
        status.result().expect("parameters");
        if let Some(tolerance) = tolerance {
            // SAFETY: the parameters are alive.
            let status = unsafe { sys::cusolverDnXsyevjSetTolerance(info, tolerance) };
            status.result().expect("a tolerance");
        }
        if let Some(sweeps) = sweeps {
            // SAFETY: the parameters are alive.
            let status = unsafe { sys::cusolverDnXsyevjSetMaxSweeps(info, sweeps) };
            status.result().expect("sweeps");
        }
        // SAFETY: the parameters are alive.
        let status = unsafe { sys::cusolverDnXsyevjSetSortEig(info, sort.into()) };
        status.result().expect("an order");
        Self(info)
    }
}

impl Drop for JacobiInfo {
    fn drop(&mut self) {
        // SAFETY: the parameters were made by `new` and are destroyed once.
        let status = unsafe { sys::cusolverDnDestroySyevjInfo(self.0) };
        assert!(std::thread::panicking() || status == cusolverStatus_t::CUSOLVER_STATUS_SUCCESS);
    }
}

/// cusolverDnParams_t with the algorithm of XsyevBatched chosen.
pub struct Params {
    pub at: *mut c_void,
    pub functions: Functions,
    /// What choosing the algorithm returned: toolkits before 13.0 know only one.
    pub chosen: Status,
}

impl Params {
    pub fn new(algorithm: c_int) -> Self {
        let functions = syev_functions().expect("the routine is there: `Routine::all` has looked");
        let mut at = null_mut();
        // SAFETY: the function stores a pointer through a pointer to one.
        let created = unsafe { (functions.create)(&raw mut at) };
        assert_eq!(created, SUCCESS);
        const SYEVBATCHED: c_int = 2;
        // SAFETY: the parameters are alive.
        let chosen = unsafe { (functions.choose)(at, SYEVBATCHED, algorithm) };
        Self { at, functions, chosen }
    }
}

impl Drop for Params {
    fn drop(&mut self) {
        // SAFETY: the parameters were made by `new` and are destroyed once.
        let status = unsafe { (self.functions.destroy)(self.at) };
        assert!(std::thread::panicking() || status == SUCCESS);
    }
}
