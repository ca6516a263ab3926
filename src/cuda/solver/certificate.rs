//! Whether what a solver gives is an eigendecomposition: launches of kernels/eigh/certificate.cu.

use crate::cuda::device::{Cuda, Solver};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::memory::allocation::Cursor;
use crate::cuda::memory::pointer::DevicePtr;
use crate::{Real, Result, Scalar};
use std::ffi::c_int;

/// Beyond this many n·ε neither |VᴴV − I| nor |A − VΛVᴴ| over ‖A‖ is round-off.
const ROUND_OFF: f64 = 100.0;

/// Device addresses of what is kept of the matrices of a part, and of the defects.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Certificate<T: Scalar> {
    image: DevicePtr<T>,
    turned: DevicePtr<T>,
    sums: DevicePtr<T::Real>,
    /// Of so many matrices as were measured, twice: by V, and by A.
    pub defect: DevicePtr<T::Real>,
}

kernels! { Eigenpairs:
    /// kernels/eigh/certificate.cu: A, its image of a vector, its trace and norm.
    Probe<S> = "probe"(i64, c_int, DevicePtr<S>, DevicePtr<S>, DevicePtr<RealOf<S>>);
    /// kernels/eigh/certificate.cu: V, λ and what was kept of A; the weight of residuals, and the
    /// defects.
    Certify<S> = "certificate"(
        i64,
        c_int,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<S>,
        RealOf<S>,
        DevicePtr<RealOf<S>>,
    );
}

impl<T: Scalar> Certificate<T> {
    pub fn lay_out(cursor: &mut Cursor, part: usize, n: usize) -> Option<Self> {
        let (vectors, twice) = (part.checked_mul(n)?, part.checked_mul(2)?);
        Some(Self {
            image: cursor.take::<T>(vectors)?,
            turned: cursor.take::<T>(vectors)?,
            sums: cursor.take::<T::Real>(twice)?,
            defect: cursor.take::<T::Real>(twice)?,
        })
    }

    /// The largest defect of matrices of order n that is round-off.
    pub fn bound(n: usize) -> T::Real {
        T::Real::of(ROUND_OFF * n as f64 * T::PRECISION.epsilon())
    }

    /// Enqueues what is kept of `batch` matrices.
    ///
    /// # Safety
    /// `matrices` are `batch`·n² scalars in device memory of the stream of `cuda`; this was laid
    /// out for as many or more.
    pub unsafe fn probe(self, cuda: &Cuda, n: usize, batch: usize, matrices: DevicePtr<T>) -> Result<()> {
        let _range = range(c"eigengrad::probe");
        let arguments = (batch as i64, n as c_int, matrices, self.image, self.sums);
        // SAFETY: the caller's.
        unsafe { cuda.launch::<Probe<T>>(LaunchShape::team_for(batch, 2 * n), arguments) }
    }

    /// Enqueues the measurement of λ, and of vectors unless they are null.
    ///
    /// # Safety
    /// `vectors` are `batch`·n² scalars and `lambda` `batch`·n reals in device memory of the stream
    /// of `cuda`, and their matrices were probed.
    pub unsafe fn measure(
        self,
        cuda: &Cuda,
        n: usize,
        batch: usize,
        vectors: DevicePtr<T>,
        lambda: DevicePtr<T::Real>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::certify");
        let Self { image, turned, sums, defect } = self;
        let weight = weight::<T>(cuda, n);
        let arguments = (batch as i64, n as c_int, vectors, lambda, image, sums, turned, weight, defect);
        let entries = if vectors.is_null() { 2 * n } else { n * n };
        // SAFETY: the caller's.
        unsafe { cuda.launch::<Certify<T>>(LaunchShape::team_for(batch, entries), arguments) }
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
