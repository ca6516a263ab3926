//! Scratch memory of derivatives beyond the gradient and of functions of the spectrum, for one
//! order of matrices: [`Scratch`].

use crate::compute::Lent;
use crate::cuda::device::{Cuda, StreamId};
use crate::cuda::kernel::layouts::Layouts;
use crate::cuda::memory::allocation::{Cursor, Ground};
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::refused;
use crate::options::Problem;
use crate::{Result, Scalar, Status};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;
use std::sync::Mutex;

/// Elements of a part of the batch that is worked on at a time: a quarter of the first backward's,
/// for there are twice as many regions.
const ELEMENTS_AT_ONCE: usize = 1 << 22;

/// Device memory for a part of the batch.
#[derive(Debug)]
pub struct Scratch<T: Scalar> {
    pub(in crate::cuda) n: usize,
    pub(in crate::cuda) stream: StreamId,
    /// The number of matrices that are worked on at a time.
    pub(in crate::cuda) part: usize,
    /// How operations go in one kernel, which needs none of the regions.
    pub(in crate::cuda) layouts: Layouts,
    pub(in crate::cuda) regions: ScratchRegions<T>,
    /// As of a workspace.
    pub(in crate::cuda) turn: Mutex<()>,
    memory: Ground,
}

/// Device addresses, each of memory for one part of the batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct ScratchRegions<T: Scalar> {
    /// `part`·n² scalars each.
    pub matrices: [DevicePtr<T>; 6],
    /// As many: V in the type computed in.
    pub wide_v: DevicePtr<T>,
    /// `part`·n reals: λ.
    pub lambda: DevicePtr<T::Real>,
    /// As many each: λ̄; λ̄̇, or the λ̄ from downstream and then ℓ; λ̇ or λ̄̄. Of functions: f; f′; what
    /// else is kept of f.
    pub columns: [DevicePtr<T::Real>; 3],
    /// `part`·n ints.
    pub labels: DevicePtr<c_int>,
    /// `part` reals: up to where eigenvalues tie.
    pub within: DevicePtr<T::Real>,
    /// `part` ints: the exponents by which λ are scaled for a function.
    pub lifts: DevicePtr<c_int>,
    /// `part` statuses, as far as they are known before the results.
    pub status: DevicePtr<Status>,
}

impl<T: Scalar> ScratchRegions<T> {
    /// The regions from `start` on, and the address behind them; nothing if that overflows.
    fn lay_out(start: CUdeviceptr, part: usize, n: usize) -> Option<(Self, CUdeviceptr)> {
        let mut cursor = Cursor(start);
        let vectors = part.checked_mul(n)?;
        let entries = vectors.checked_mul(n)?;
        let mut matrices = [DevicePtr::NULL; 6];
        for region in &mut matrices {
            *region = cursor.take::<T>(entries)?;
        }
        let wide_v = cursor.take::<T>(entries)?;
        let mut reals = || cursor.take::<T::Real>(vectors);
        let (lambda, columns) = (reals()?, [reals()?, reals()?, reals()?]);
        let labels = cursor.take::<c_int>(vectors)?;
        let (within, lifts) = (cursor.take::<T::Real>(part)?, cursor.take::<c_int>(part)?);
        let status = cursor.take::<Status>(part)?;
        Some((Self { matrices, wide_v, lambda, columns, labels, within, lifts, status }, cursor.0))
    }
}

impl<T: Scalar> Scratch<T> {
    pub(in crate::cuda) fn new(cuda: &Cuda, problem: &Problem, lent: Option<Lent>) -> Result<Self> {
        let n = problem.n;
        let layouts = Layouts::new(T::DTYPE, n, cuda.room());
        let limit = lent.map_or_else(|| cuda.workspace_limit(), |lent| Ok(lent.bytes))?;
        let part = Self::part(problem, &layouts, limit)?;
        let memory = Ground::zeros(cuda.stream(), Self::bytes_of(part, n), lent)?;
        let (regions, _) =
            ScratchRegions::<T>::lay_out(memory.address(), part, n).ok_or_else(|| refused("scratch", &"too large"))?;
        let turn = Mutex::default();
        Ok(Self { n, stream: cuda.id(), part, layouts, regions, turn, memory })
    }

    /// Bytes of device memory that one takes.
    pub(in crate::cuda) fn size(cuda: &Cuda, problem: &Problem) -> Result<usize> {
        let layouts = Layouts::new(T::DTYPE, problem.n, cuda.room());
        Ok(Self::bytes_of(Self::part(problem, &layouts, cuda.workspace_limit()?)?, problem.n))
    }

    fn bytes_of(part: usize, n: usize) -> usize {
        ScratchRegions::<T>::lay_out(0, part, n).map_or(usize::MAX, |(_, end)| end as usize)
    }

    /// How many matrices are worked on at a time, within `limit` bytes if one is.
    fn part(problem: &Problem, layouts: &Layouts, limit: usize) -> Result<usize> {
        let n = problem.n;
        if n >= 1 << 16 {
            return Err(refused("scratch", &format!("matrices of {n}×{n} are beyond the kernels' indices")));
        }
        let most = if layouts.are_whole() { 1 } else { (ELEMENTS_AT_ONCE / (n * n).max(1)).max(1) };
        let mut part = problem.batch.min(most).max(1);
        while part > 1 && Self::bytes_of(part, n) > limit {
            part = part.div_ceil(2);
        }
        Ok(part)
    }

    pub(in crate::cuda) fn serves(&self, cuda: &Cuda, problem: &Problem) -> bool {
        problem.batch == 0 || (self.n == problem.n && self.stream == cuda.id())
    }
}

impl<T: Scalar> Scratch<T> {
    /// Bytes of device memory.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }
}
