//! Scratch memory of the CUDA backend for factors of one shape: [`FactorWorkspace`].

use crate::cuda::device::Cuda;
use crate::cuda::memory::allocation::Allocation;
use crate::cuda::memory::allocation::Cursor;
use crate::cuda::memory::workspace::{Workspace, at_once, indexed};
use crate::cuda::refused;
use crate::{Element, FactorProblem, Result, Scalar};
use cudarc::driver::sys::CUdeviceptr;

/// Device memory for a part of the batch, and the eigensolver for its r×r matrices.
#[derive(Debug)]
pub struct FactorWorkspace<T> {
    n: usize,
    /// That of the matrices R Rᴴ. Backward: of its matrices the first is X and then G, the second C, the third W.
    pub(in crate::cuda) squares: Workspace<T>,
    pub(in crate::cuda) regions: Regions,
    memory: Allocation,
}

/// Device addresses, each of memory for one part of the batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Regions {
    /// `part`·n·r scalars each. Forward: R and the reflections; V. Backward: V̄_K; V; B̄.
    pub columns: [CUdeviceptr; 3],
    /// `part`·r reals.
    pub tau: CUdeviceptr,
}

impl Regions {
    /// The regions from `start` on, and the address behind them; nothing if that overflows.
    fn lay_out<T: Scalar>(start: CUdeviceptr, part: usize, n: usize, r: usize) -> Option<(Self, CUdeviceptr)> {
        let mut cursor = Cursor(start);
        let vectors = part.checked_mul(r)?;
        let entries = vectors.checked_mul(n)?;
        let columns = [cursor.take::<T>(entries)?, cursor.take::<T>(entries)?, cursor.take::<T>(entries)?];
        let tau = cursor.take::<<T as Element>::Real>(vectors)?;
        Some((Self { columns, tau }, cursor.0))
    }
}

impl<T: Scalar> FactorWorkspace<T> {
    pub(in crate::cuda) fn new(cuda: &Cuda, problem: &FactorProblem) -> Result<Self> {
        let (n, r) = (problem.matrices.n, problem.r);
        indexed(n)?;
        let bytes = |part| Regions::lay_out::<T>(0, part, n, r).map_or(usize::MAX, |(_, end)| end as usize);
        let mut squares = Workspace::sized(cuda, r, at_once(problem.matrices.batch, n * r), None, bytes(1))?;
        squares.regions.divides = 0; // B̄ is made by (38), of G as it stands in (7)
        let memory = Allocation::zeros(cuda.stream(), bytes(squares.part))?;
        let (regions, _) =
            Regions::lay_out::<T>(memory.address(), squares.part, n, r).ok_or_else(|| refused("workspace", &"too large"))?;
        Ok(Self { n, squares, regions, memory })
    }

    pub(in crate::cuda) fn serves(&self, cuda: &Cuda, problem: &FactorProblem) -> bool {
        let same = || (self.n, self.squares.n) == (problem.matrices.n, problem.r);
        problem.matrices.batch == 0 || (same() && self.squares.stream == cuda.id())
    }
}

impl<T> FactorWorkspace<T> {
    /// Bytes of device memory.
    pub fn bytes(&self) -> usize {
        self.squares.bytes() + self.memory.bytes()
    }
}
