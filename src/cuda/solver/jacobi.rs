//! Our own eigensolver: of matrices that a block holds on chip, and of those that cuSOLVER fails
//! on; launches of kernels/eigh/jacobi.cu.

use crate::cuda::device::Cuda;
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::memory::allocation::Cursor;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::refused;
use crate::cuda::solver::Memory;
use crate::cuda::solver::certificate::Certificate;
use crate::{Result, Scalar};
use cudarc::driver::result;
use std::ffi::c_int;

kernels! { Eigenpairs:
    /// kernels/eigh/jacobi.cu: whether vectors are wanted, bytes of shared memory a matrix; A that
    /// becomes V, λ, info.
    JacobiKernel<S> = "jacobi"(i64, c_int, c_int, c_int, DevicePtr<S>, DevicePtr<RealOf<S>>, DevicePtr<c_int>);
    /// kernels/eigh/jacobi.cu: as above with the matrices apart; defects, their bound and memory to
    /// work in.
    RepairKernel<S> = "repair"(
        i64,
        c_int,
        c_int,
        i64,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        RealOf<S>,
        DevicePtr<u8>,
    );
}

/// How n×n matrices lie in shared memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cuda) struct OnChip {
    n: usize,
    /// Threads that share a matrix.
    team: usize,
    /// Matrices in a block.
    teams: usize,
}

impl OnChip {
    /// None where matrices are too large for the shared memory that a device gives a block.
    pub fn new<T: Scalar>(n: usize, most_shared: usize) -> Option<Self> {
        // the fastest on an H200, of the powers of two
        let in_warp = if size_of::<T>() < 16 { 24 } else { 16 };
        let team = match n {
            ..=3 => 2,
            4..=6 => 4,
            7..=12 => 8,
            _ if n <= in_warp => 16,
            13..=40 => 128,
            _ => 256,
        };
        // As many in a block as fit, of whole warps.
        let most = if team > 32 { 1 } else { 128 / team };
        let teams = std::iter::successors(Some(most), |teams| Some(teams / 2).filter(|teams| teams * team >= 32));
        let fits = teams.into_iter().find(|teams| teams * bytes::<T>(n, true) <= most_shared);
        fits.map(|teams| Self { n, team, teams })
    }

    /// Enqueues the decomposition of `batch` matrices.
    ///
    /// # Safety
    /// As that of [`Prepared::solve`](crate::cuda::solver::library::Prepared::solve); no scratch is
    /// used.
    pub unsafe fn solve<T: Scalar>(self, cuda: &Cuda, batch: usize, with_vectors: bool, memory: Memory<T>) -> Result<()> {
        let Self { n, team, teams } = self;
        let bytes = bytes::<T>(n, with_vectors);
        let (blocks, threads) = (batch.div_ceil(teams) as u32, (team as u32, teams as u32));
        let shape = LaunchShape { blocks, threads, shared: (teams * bytes) as u32 };
        let (vectors, bytes) = (c_int::from(with_vectors), bytes as c_int);
        let arguments = (batch as i64, n as c_int, vectors, bytes, memory.a, memory.lambda, memory.info);
        // SAFETY: the caller's.
        unsafe { cuda.launch::<JacobiKernel<T>>(shape, arguments) }
    }
}

/// Of shared memory for a matrix, as kernels/eigh/jacobi.cu lays it out.
fn bytes<T: Scalar>(n: usize, with_vectors: bool) -> usize {
    let players = n.next_multiple_of(2);
    let pairs = players / 2;
    let scalars = players * (players | 1) + if with_vectors { players * n } else { 0 } + pairs;
    (scalars * size_of::<T>() + pairs * size_of::<T::Real>()).next_multiple_of(16)
}

/// The largest order that is decomposed again. At n = 256 a sweep is predicted to take a
/// multiprocessor of an H200 10 ms, of which there are 10, and at most 60; the time grows as n³.
const MOST_REPAIRED: usize = 256;

/// The matrices of a part as they were, and the memory in which those that failed are decomposed
/// again.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Repair {
    n: usize,
    /// Decomposed at a time: as many as the device has multiprocessors, or as the part has
    /// matrices.
    blocks: usize,
    /// Bytes behind the start of its memory.
    work: usize,
    pub bytes: usize,
}

impl Repair {
    /// For parts of so many matrices; none where one of them would take too long.
    pub fn new<T: Scalar>(cuda: &Cuda, n: usize, part: usize) -> Option<Self> {
        if n > MOST_REPAIRED {
            return None;
        }
        let blocks = part.min(cuda.multiprocessors());
        let mut cursor = Cursor(0);
        cursor.take::<T>(part.checked_mul(n * n)?)?;
        let work = usize::try_from(cursor.take::<u8>(blocks * bytes::<T>(n, true))?.address()).ok()?;
        Some(Self { n, blocks, work, bytes: usize::try_from(cursor.0).ok()? })
    }

    /// Enqueues a copy of the matrices to `at`.
    ///
    /// # Safety
    /// `matrices` are `batch`·n² scalars, `at` the memory for a part of as many or more, of the
    /// stream of `cuda`.
    pub unsafe fn keep<T: Scalar>(self, cuda: &Cuda, batch: usize, matrices: DevicePtr<T>, at: DevicePtr<u8>) -> Result<()> {
        let bytes = batch * self.n * self.n * size_of::<T>();
        // SAFETY: the caller's.
        let copied = unsafe { result::memcpy_dtod_async(at.address(), matrices.address(), bytes, cuda.stream().cu_stream()) };
        copied.map_err(|e| refused("cuMemcpyDtoDAsync", &e))
    }

    /// Enqueues the decomposition of those matrices that a solver failed on.
    ///
    /// # Safety
    /// `memory` is what the solver left of `batch` matrices, which were probed, and `at` where
    /// [`Repair::keep`] put them.
    pub unsafe fn solve<T: Scalar>(
        self,
        cuda: &Cuda,
        batch: usize,
        with_vectors: bool,
        memory: Memory<T>,
        certificate: Certificate<T>,
        at: DevicePtr<u8>,
    ) -> Result<()> {
        let Memory { a, lambda, info, .. } = memory;
        // SAFETY: the caller's.
        unsafe { certificate.measure(cuda, self.n, batch, a.only_if(with_vectors), lambda) }?;
        let (defect, work, bound) = (certificate.defect, at.behind(self.work), Certificate::<T>::bound(self.n));
        let (n, vectors, bytes) = (self.n as c_int, c_int::from(with_vectors), bytes::<T>(self.n, with_vectors) as i64);
        let arguments = (batch as i64, n, vectors, bytes, at.cast(), a, lambda, info, defect, bound, work);
        let shape = LaunchShape { blocks: self.blocks.min(batch) as u32, threads: (256, 1), shared: 0 };
        // SAFETY: the caller's; the work's memory is behind the matrices'.
        unsafe { cuda.launch::<RepairKernel<T>>(shape, arguments) }
    }
}
