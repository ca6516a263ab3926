//! The objects of cuSOLVER and cuBLAS, each with its owner: made in a context, bound to a stream,
//! destroyed when dropped.

use crate::Result;
use crate::cuda::driver::context;
use crate::cuda::refused;
use cudarc::cublas::{result as blas, sys as blas_sys};
use cudarc::cusolver::{result as solver, sys as solver_sys};
use cudarc::driver::{CudaContext, CudaStream};
use std::sync::Arc;

/// cuSOLVER's handle for one stream.
#[derive(Debug)]
pub(in crate::cuda) struct SolverHandle {
    raw: solver_sys::cusolverDnHandle_t,
    stream: Arc<CudaStream>,
}

/// cuBLAS's handle for one stream.
#[derive(Debug)]
pub(in crate::cuda) struct Blas {
    raw: blas_sys::cublasHandle_t,
    stream: Arc<CudaStream>,
}

/// The settings of the Jacobi solvers.
#[derive(Debug)]
pub(in crate::cuda) struct JacobiInfo {
    raw: solver_sys::syevjInfo_t,
    context: Arc<CudaContext>,
}

/// The settings of the 64-bit solvers.
#[derive(Debug)]
pub(in crate::cuda) struct SolverParams {
    raw: solver_sys::cusolverDnParams_t,
    context: Arc<CudaContext>,
}

// SAFETY: the libraries allow use of these objects from any thread, one at a time; all but
// destruction takes `&mut` or a lock.
unsafe impl Send for SolverHandle {}
// SAFETY: as above.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Send for JacobiInfo {}
// SAFETY: as above.
unsafe impl Send for SolverParams {}

impl SolverHandle {
    /// A handle for `stream`, whose context is current.
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let raw = solver::dn_create().map_err(|e| refused("cusolverDnCreate", &e))?;
        let handle = Self { raw, stream: stream.clone() };
        // SAFETY: the handle is live, and it keeps the stream so; the two libraries name the one
        // type of streams differently.
        unsafe { solver::dn_set_stream(handle.raw, stream.cu_stream().cast()) }
            .map_err(|e| refused("cusolverDnSetStream", &e))?;
        Ok(handle)
    }

    /// For calls; live as long as this is borrowed.
    pub fn raw(&mut self) -> solver_sys::cusolverDnHandle_t {
        self.raw
    }
}

impl Drop for SolverHandle {
    fn drop(&mut self) {
        let Some(_current) = context::bind_to_free(self.stream.context()) else { return };
        // SAFETY: the only owner destroys it, once.
        let destroyed = unsafe { solver::dn_destroy(self.raw) };
        context::tell_later(self.stream.context(), "cusolverDnDestroy", destroyed);
    }
}

impl Blas {
    /// A handle for `stream`, whose context is current.
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let raw = blas::create_handle().map_err(|e| refused("cublasCreate", &e))?;
        let handle = Self { raw, stream: stream.clone() };
        // SAFETY: as in `SolverHandle::new`.
        unsafe { blas::set_stream(handle.raw, stream.cu_stream().cast()) }.map_err(|e| refused("cublasSetStream", &e))?;
        Ok(handle)
    }

    /// For calls; live as long as this is borrowed.
    pub fn raw(&mut self) -> blas_sys::cublasHandle_t {
        self.raw
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        let Some(_current) = context::bind_to_free(self.stream.context()) else { return };
        // SAFETY: the only owner destroys it, once.
        let destroyed = unsafe { blas::destroy_handle(self.raw) };
        context::tell_later(self.stream.context(), "cublasDestroy", destroyed);
    }
}

impl JacobiInfo {
    /// Eigenvalues are sorted; no tolerance is the library's own. What goes wrong in the end is
    /// told in `context`.
    pub fn new(context: &Arc<CudaContext>, tolerance: Option<f64>, sweeps: i32) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: it writes one pointer through a pointer to one.
        let made = unsafe { solver_sys::cusolverDnCreateSyevjInfo(&raw mut raw) };
        made.result().map_err(|e| refused("cusolverDnCreateSyevjInfo", &e))?;
        let info = Self { raw, context: context.clone() };
        // SAFETY: the object is live.
        let sorted = unsafe { solver_sys::cusolverDnXsyevjSetSortEig(raw, 1) };
        sorted.result().map_err(|e| refused("cusolverDnXsyevjSetSortEig", &e))?;
        // SAFETY: the object is live.
        let limited = unsafe { solver_sys::cusolverDnXsyevjSetMaxSweeps(raw, sweeps) };
        limited.result().map_err(|e| refused("cusolverDnXsyevjSetMaxSweeps", &e))?;
        if let Some(tolerance) = tolerance {
            // SAFETY: the object is live.
            let set = unsafe { solver_sys::cusolverDnXsyevjSetTolerance(raw, tolerance) };
            set.result().map_err(|e| refused("cusolverDnXsyevjSetTolerance", &e))?;
        }
        Ok(info)
    }

    /// For calls; live as long as this is borrowed.
    pub fn raw(&self) -> solver_sys::syevjInfo_t {
        self.raw
    }
}

impl Drop for JacobiInfo {
    fn drop(&mut self) {
        let Some(_current) = context::bind_to_free(&self.context) else { return };
        // SAFETY: the only owner destroys it, once.
        let destroyed = unsafe { solver_sys::cusolverDnDestroySyevjInfo(self.raw) };
        context::tell_later(&self.context, "cusolverDnDestroySyevjInfo", destroyed.result());
    }
}

impl SolverParams {
    /// What goes wrong in the end is told in `context`.
    pub fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let raw = solver::dn_create_params().map_err(|e| refused("cusolverDnCreateParams", &e))?;
        Ok(Self { raw, context: context.clone() })
    }

    /// For calls; live as long as this is borrowed.
    pub fn raw(&self) -> solver_sys::cusolverDnParams_t {
        self.raw
    }
}

impl Drop for SolverParams {
    fn drop(&mut self) {
        let Some(_current) = context::bind_to_free(&self.context) else { return };
        // SAFETY: the only owner destroys it, once.
        let destroyed = unsafe { solver::dn_destroy_params(self.raw) };
        context::tell_later(&self.context, "cusolverDnDestroyParams", destroyed);
    }
}
