//! Batched matrix products of cuBLAS, one table for the types that are computed in.

use crate::cuda::device::Cuda;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::refused;
use crate::{Real, Result, Scalar};
use cudarc::cublas::sys::{self, cublasHandle_t, cublasOperation_t, cublasStatus_t};
use std::ffi::c_int;

/// C = α·op(A)·op(B) + β·C for column-major matrices that lie one after the other.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Product<T> {
    pub batch: usize,
    /// m, n, k: op(A) is m×k, op(B) is k×n.
    pub shape: [usize; 3],
    pub alpha: f64,
    pub a: (Form, DevicePtr<T>),
    pub b: (Form, DevicePtr<T>),
    pub beta: f64,
    pub c: DevicePtr<T>,
}

/// What enters a product.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) enum Form {
    Plain,
    Adjoint,
}

/// `gemmStridedBatched` of a type.
pub trait Gemm: Sized {
    /// Its name.
    const GEMM: &str;
    /// m, n, k and the batch, of matrices without gaps; α and β.
    ///
    /// # Safety
    /// The handle is live and its context current; a, b and c hold `batch`·m·k, `batch`·k·n and
    /// `batch`·m·n elements of device memory of the handle's stream, and c overlaps neither a nor
    /// b.
    unsafe fn gemm(
        handle: cublasHandle_t,
        shape: [c_int; 4],
        op: [cublasOperation_t; 2],
        by: &Factors<Self>,
        abc: [DevicePtr<Self>; 3],
    ) -> cublasStatus_t;
}

/// α and β as cuBLAS reads them: `cuDoubleComplex` is aligned to 16 bytes, and where num_complex's
/// is not cuBLAS crashes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Factors<T>([T; 2]);

macro_rules! gemm {
    ($($t:ty = $function:ident),*) => { $(
        impl Gemm for $t {
            const GEMM: &str = stringify!($function);
            unsafe fn gemm(handle: cublasHandle_t, [m, n, k, batch]: [c_int; 4], [op_a, op_b]: [cublasOperation_t; 2], by: &Factors<$t>, [a, b, c]: [DevicePtr<$t>; 3]) -> cublasStatus_t {
                let (alpha, beta) = (std::ptr::from_ref(&by.0[0]).cast(), std::ptr::from_ref(&by.0[1]).cast());
                let rows = |op, plain, adjoint| if op == cublasOperation_t::CUBLAS_OP_N { plain } else { adjoint };
                let (rows_a, rows_b) = (rows(op_a, m, k), rows(op_b, k, n));
                let apart = |x, y| i64::from(x) * i64::from(y);
                // SAFETY: the caller's; the library's complex types have the layout of
                // num_complex's; scalars are read during the call.
                unsafe { sys::$function(handle, op_a, op_b, m, n, k, alpha, a.raw(), rows_a, apart(m, k), b.raw(), rows_b, apart(k, n), beta, c.raw(), m, apart(m, n), batch) }
            }
        }
    )* }
}
gemm! {
    f32 = cublasSgemmStridedBatched,
    f64 = cublasDgemmStridedBatched,
    num_complex::Complex<f32> = cublasCgemmStridedBatched,
    num_complex::Complex<f64> = cublasZgemmStridedBatched
}

impl Cuda {
    /// Enqueues a product.
    ///
    /// # Safety
    /// The addresses are of `batch`·m·k, `batch`·k·n and `batch`·m·n elements of `T` in device
    /// memory of this stream; c overlaps neither a nor b.
    pub(in crate::cuda) unsafe fn multiply<T: Scalar + Gemm>(&self, product: Product<T>) -> Result<()> {
        let Product { batch, shape: [m, n, k], alpha, a: (form_a, a), b: (form_b, b), beta, c } = product;
        let op = |form| match form {
            Form::Plain => cublasOperation_t::CUBLAS_OP_N,
            Form::Adjoint if T::COMPLEX => cublasOperation_t::CUBLAS_OP_C,
            Form::Adjoint => cublasOperation_t::CUBLAS_OP_T,
        };
        let int = |x: usize| c_int::try_from(x).map_err(|e| refused(T::GEMM, &e));
        let shape = [int(m)?, int(n)?, int(k)?, int(batch)?];
        let by = Factors([alpha, beta].map(|x| T::from_parts(Real::of(x), Real::of(0.0))));
        let _current = self.bind()?;
        let mut blas = self.blas()?;
        // SAFETY: the handle is live while it is locked, its context current; the rest is the
        // caller's.
        let done = unsafe { T::gemm(blas.raw(), shape, [op(form_a), op(form_b)], &by, [a, b, c]) };
        done.result().map_err(|e| refused(T::GEMM, &e))
    }
}
