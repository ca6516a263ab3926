//! The one table of the four number types and the functions that are called for them.

use cudarc::cublas::sys::{self as blas, cublasHandle_t, cublasOperation_t, cublasStatus_t};
use cudarc::cusolver::sys::{
    self as solver, cublasFillMode_t, cusolverDnHandle_t, cusolverEigMode_t, cusolverStatus_t, syevjInfo_t,
};
use num_complex::Complex;
use std::ffi::{c_int, c_longlong};
use std::fmt::Debug;

/// The shape that both forms of `evjBatched` are given.
#[derive(Clone, Copy)]
pub struct Shape {
    pub jobz: cusolverEigMode_t,
    pub uplo: cublasFillMode_t,
    pub n: c_int,
    pub lda: c_int,
    pub batch: c_int,
}

/// A factor of a strided-batched product, or its result.
#[derive(Clone, Copy)]
pub struct Operand<T> {
    pub at: *mut T,
    pub leading: c_int,
    pub stride: c_longlong,
}

pub trait Number: Copy + Default + PartialEq + Debug + 'static {
    type Real: Copy + Default + PartialEq + Debug + Into<f64> + 'static;
    const NAME: &'static str;
    /// cudaDataType of the number and of its real part.
    const TYPES: [c_int; 2];
    const COMPLEX: bool;
    const EPSILON: f64;

    fn of(value: Complex<f64>) -> Self;
    fn wide(self) -> Complex<f64>;

    /// # Safety
    /// Handle and parameters are alive; `lwork` points to an int.
    unsafe fn evj_size(handle: cusolverDnHandle_t, shape: Shape, lwork: *mut c_int, params: syevjInfo_t) -> cusolverStatus_t;

    /// # Safety
    /// Handle and parameters are alive. `[a, work]` are device memory for lda·n·batch and `lwork`
    /// numbers, `w` for n·batch, `info` for `batch`, until the stream has been waited for; or the
    /// arguments are such that the library must refuse them.
    unsafe fn evj(
        handle: cusolverDnHandle_t,
        shape: Shape,
        memory: [*mut Self; 2],
        w: *mut Self::Real,
        lwork: c_int,
        info: *mut c_int,
        params: syevjInfo_t,
    ) -> cusolverStatus_t;

    /// # Safety
    /// The handle is alive. `[a, b, c]` are device memory for the shapes that `op` and `size` say,
    /// until the stream has been waited for; α and β are numbers where the pointer mode says; or
    /// the arguments are such that the library must refuse them.
    unsafe fn gemm(
        handle: cublasHandle_t,
        op: [cublasOperation_t; 2],
        size: [c_int; 3],
        factors: [*const Self; 2],
        operands: [Operand<Self>; 3],
        batch: c_int,
    ) -> cublasStatus_t;
}

macro_rules! numbers {
    ($($number:ty, $real:ty, $name:literal, $types:expr, $complex:literal, $evj:ident, $size:ident, $gemm:ident: |$x:ident| $of:expr, |$y:ident| $wide:expr;)*) => {$(
        impl Number for $number {
            type Real = $real;
            const NAME: &'static str = $name;
            const TYPES: [c_int; 2] = $types;
            const COMPLEX: bool = $complex;
            const EPSILON: f64 = <$real>::EPSILON as f64;

            fn of($x: Complex<f64>) -> Self {
                $of
            }

            fn wide(self) -> Complex<f64> {
                let $y = self;
                $wide
            }

            unsafe fn evj_size(handle: cusolverDnHandle_t, s: Shape, lwork: *mut c_int, params: syevjInfo_t) -> cusolverStatus_t {
                let nothing = std::ptr::null();
                // SAFETY: as this function demands; the matrices are not touched by a query.
                unsafe { solver::$size(handle, s.jobz, s.uplo, s.n, nothing, s.lda, std::ptr::null(), lwork, params, s.batch) }
            }

            unsafe fn evj(
                handle: cusolverDnHandle_t, s: Shape, [a, work]: [*mut Self; 2], w: *mut $real, lwork: c_int, info: *mut c_int, params: syevjInfo_t,
            ) -> cusolverStatus_t {
                // SAFETY: as this function demands; cuComplex is two floats, as Complex<f32> is,
                // cuDoubleComplex two doubles.
                unsafe { solver::$evj(handle, s.jobz, s.uplo, s.n, a.cast(), s.lda, w, work.cast(), lwork, info, params, s.batch) }
            }

            unsafe fn gemm(
                handle: cublasHandle_t, op: [cublasOperation_t; 2], [m, n, k]: [c_int; 3], [alpha, beta]: [*const Self; 2],
                [a, b, c]: [Operand<Self>; 3], batch: c_int,
            ) -> cublasStatus_t {
                // SAFETY: as this function demands; the complex types agree as above.
                unsafe {
                    blas::$gemm(
                        handle, op[0], op[1], m, n, k, alpha.cast(), a.at.cast(), a.leading, a.stride, b.at.cast(), b.leading, b.stride,
                        beta.cast(), c.at.cast(), c.leading, c.stride, batch,
                    )
                }
            }
        }
    )*};
}

numbers! {
    f32, f32, "f32", [0, 0], false, cusolverDnSsyevjBatched, cusolverDnSsyevjBatched_bufferSize, cublasSgemmStridedBatched:
        |x| x.re as f32, |y| Complex::new(y.into(), 0.0);
    f64, f64, "f64", [1, 1], false, cusolverDnDsyevjBatched, cusolverDnDsyevjBatched_bufferSize, cublasDgemmStridedBatched:
        |x| x.re, |y| Complex::new(y, 0.0);
    Complex<f32>, f32, "c64", [4, 0], true, cusolverDnCheevjBatched, cusolverDnCheevjBatched_bufferSize, cublasCgemmStridedBatched:
        |x| Complex::new(x.re as f32, x.im as f32), |y| Complex::new(y.re.into(), y.im.into());
    Complex<f64>, f64, "c128", [5, 1], true, cusolverDnZheevjBatched, cusolverDnZheevjBatched_bufferSize, cublasZgemmStridedBatched:
        |x| x, |y| y;
}
