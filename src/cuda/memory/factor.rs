//! Scratch memory of the CUDA backend for factors of one shape: [`FactorWorkspace`].

use crate::compute::Lent;
use crate::cuda::device::Cuda;
use crate::cuda::memory::allocation::{Cursor, Ground};
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::workspace::{Workspace, WorkspacePlan, at_once, indexed};
use crate::cuda::refused;
use crate::{FactorProblem, Result, Scalar};
use cudarc::driver::sys::CUdeviceptr;

/// Device memory for a part of the batch, and the eigensolver for its r×r matrices.
#[derive(Debug)]
pub struct FactorWorkspace<T: Scalar> {
    n: usize,
    /// That of the matrices R Rᴴ. Backward: of its matrices the first is X and then G, the second
    /// C, the third W.
    pub(in crate::cuda) squares: Workspace<T>,
    pub(in crate::cuda) regions: FactorRegions<T>,
    memory: Ground,
}

/// Device addresses, each of memory for one part of the batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct FactorRegions<T: Scalar> {
    /// `part`·n·r scalars each. Forward: R and the reflections; V. Backward: V̄_K; V; B̄.
    pub columns: [DevicePtr<T>; 3],
    /// `part`·r reals.
    pub tau: DevicePtr<T::Real>,
}

impl<T: Scalar> FactorRegions<T> {
    /// The regions from `start` on, and the address behind them; nothing if that overflows.
    fn lay_out(start: CUdeviceptr, part: usize, n: usize, r: usize) -> Option<(Self, CUdeviceptr)> {
        let mut cursor = Cursor(start);
        let vectors = part.checked_mul(r)?;
        let entries = vectors.checked_mul(n)?;
        let columns = [cursor.take::<T>(entries)?, cursor.take::<T>(entries)?, cursor.take::<T>(entries)?];
        let tau = cursor.take::<T::Real>(vectors)?;
        Some((Self { columns, tau }, cursor.0))
    }
}

impl<T: Scalar> FactorWorkspace<T> {
    pub(in crate::cuda) fn new(cuda: &Cuda, problem: &FactorProblem, lent: Option<Lent>) -> Result<Self> {
        let (n, r) = (problem.matrices.n, problem.r);
        let limit = lent.map_or_else(|| cuda.workspace_limit(), |lent| Ok(lent.bytes))?;
        let plan = Self::plan(cuda, problem, limit)?;
        let own = plan.bytes.next_multiple_of(256); // of the squares, which come first
        let rest = lent.map(|lent| Lent { address: lent.address + own, bytes: lent.bytes.saturating_sub(own) });
        let mut squares = Workspace::made(cuda, r, plan, None, lent)?;
        squares.regions.divides = DevicePtr::NULL; // B̄ is made by (38), of G as it stands in (7)
        let memory = Ground::zeros(cuda.stream(), Self::bytes_of(squares.part, n, r), rest)?;
        let (regions, _) = FactorRegions::<T>::lay_out(memory.address(), squares.part, n, r)
            .ok_or_else(|| refused("workspace", &"too large"))?;
        Ok(Self { n, squares, regions, memory })
    }

    /// Bytes of device memory that one takes.
    pub(in crate::cuda) fn size(cuda: &Cuda, problem: &FactorProblem) -> Result<usize> {
        let WorkspacePlan { part, bytes, enough, .. } = Self::plan(cuda, problem, cuda.workspace_limit()?)?;
        let exact = bytes.next_multiple_of(256).saturating_add(Self::bytes_of(part, problem.matrices.n, problem.r));
        Ok(enough.max(exact))
    }

    /// What the workspace of the squares will be.
    fn plan(cuda: &Cuda, problem: &FactorProblem, limit: usize) -> Result<WorkspacePlan> {
        let (n, r) = (problem.matrices.n, problem.r);
        indexed(n)?;
        WorkspacePlan::new::<T>(cuda, r, at_once(problem.matrices.batch, n * r), false, Self::bytes_of(1, n, r), limit)
    }

    fn bytes_of(part: usize, n: usize, r: usize) -> usize {
        FactorRegions::<T>::lay_out(0, part, n, r).map_or(usize::MAX, |(_, end)| end as usize)
    }

    pub(in crate::cuda) fn serves(&self, cuda: &Cuda, problem: &FactorProblem) -> bool {
        let same = || (self.n, self.squares.n) == (problem.matrices.n, problem.r);
        problem.matrices.batch == 0 || (same() && self.squares.stream == cuda.id())
    }
}

impl<T: Scalar> FactorWorkspace<T> {
    /// Bytes of device memory.
    pub fn bytes(&self) -> usize {
        self.squares.bytes() + self.memory.bytes()
    }
}
