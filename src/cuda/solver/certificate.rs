//! Whether what a solver gives is an eigendecomposition: launches of kernels/eigh/certificate.cu.

use crate::cuda::device::{Cuda, Solver};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::module::{LaunchShape, arguments, launch};
use crate::cuda::memory::allocation::Cursor;
use crate::{Element, Real, Result, Scalar};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;

/// Beyond this many n·ε neither |VᴴV − I| nor |A − VΛVᴴ| over ‖A‖ is round-off.
const ROUND_OFF: f64 = 100.0;

/// Device addresses of what is kept of the matrices of a part, and of the defects.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Certificate {
    image: CUdeviceptr,
    turned: CUdeviceptr,
    sums: CUdeviceptr,
    /// Of so many matrices as were measured, twice: by V, and by A.
    pub defect: CUdeviceptr,
}

impl Certificate {
    pub fn lay_out<T: Scalar>(cursor: &mut Cursor, part: usize, n: usize) -> Option<Self> {
        let (vectors, twice) = (part.checked_mul(n)?, part.checked_mul(2)?);
        Some(Self {
            image: cursor.take::<T>(vectors)?,
            turned: cursor.take::<T>(vectors)?,
            sums: cursor.take::<<T as Element>::Real>(twice)?,
            defect: cursor.take::<<T as Element>::Real>(twice)?,
        })
    }

    /// The largest defect of matrices of order n that is round-off.
    pub fn bound<T: Scalar>(n: usize) -> T::Real {
        T::Real::of(ROUND_OFF * n as f64 * T::PRECISION.epsilon())
    }

    /// Enqueues what is kept of `batch` matrices.
    ///
    /// # Safety
    /// `matrices` are `batch`·n² scalars in device memory of the stream of `cuda`; this was laid out for as many or more.
    pub unsafe fn probe<T: Scalar>(self, cuda: &Cuda, n: usize, batch: usize, matrices: CUdeviceptr) -> Result<()> {
        let _range = range(c"eigengrad::probe");
        let kernel = cuda.kernels::<T>()?.scalar()?.probe;
        let arguments = arguments![batch as i64, n as c_int, matrices, self.image, self.sums];
        let _current = cuda.bind()?;
        // SAFETY: the caller's.
        unsafe { launch(cuda.stream(), kernel, LaunchShape::team_for(batch, 2 * n), arguments) }
    }

    /// Enqueues the measurement of λ, and of vectors unless they are null.
    ///
    /// # Safety
    /// `vectors` are `batch`·n² scalars and `lambda` `batch`·n reals in device memory of the stream of `cuda`, and their matrices were
    /// probed.
    pub unsafe fn measure<T: Scalar>(
        self,
        cuda: &Cuda,
        n: usize,
        batch: usize,
        vectors: CUdeviceptr,
        lambda: CUdeviceptr,
    ) -> Result<()> {
        let _range = range(c"eigengrad::certify");
        let kernel = cuda.kernels::<T>()?.scalar()?.certificate;
        let Self { image, turned, sums, defect } = self;
        let weight = weight::<T>(cuda, n);
        let arguments = arguments![batch as i64, n as c_int, vectors, lambda, image, sums, turned, weight, defect];
        let entries = if vectors == 0 { 2 * n } else { n * n };
        let _current = cuda.bind()?;
        // SAFETY: the caller's.
        unsafe { launch(cuda.stream(), kernel, LaunchShape::team_for(batch, entries), arguments) }
    }
}

/// A residual as large as the tolerance that the user gave Jacobi's method is no failure.
fn weight<T: Scalar>(cuda: &Cuda, n: usize) -> T::Real {
    let bound = ROUND_OFF * n as f64 * T::PRECISION.epsilon();
    match cuda.solver {
        Solver::Jacobi { tolerance: Some(tolerance), .. } => T::Real::of(bound / (bound + tolerance)),
        _ => T::Real::of(1.0),
    }
}
