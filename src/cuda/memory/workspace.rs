//! Scratch memory of the CUDA backend for one order of matrices: [`Workspace`].

use crate::compute::Lent;
use crate::cuda::device::{Cuda, Solver, StreamId};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::allocation::{Cursor, Ground};
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::refused;
use crate::cuda::solver::certificate::Certificate;
use crate::cuda::solver::library::Prepared;
use crate::options::Problem;
use crate::{Result, Scalar};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;
use std::sync::Mutex;

/// Elements of a part of the batch that is worked on at a time: enough to fill any device, and
/// launches are then cheap beside it.
const ELEMENTS_AT_ONCE: usize = 1 << 24;

/// How many matrices of so many entries are worked on at a time if memory allows it.
pub(in crate::cuda) fn at_once(batch: usize, entries: usize) -> usize {
    batch.min(ELEMENTS_AT_ONCE / entries.max(1)).max(1)
}

/// Rows and columns of the tiles of kernels/backward/inner.cu and outer.cu.
pub(in crate::cuda) const EDGE: usize = 32;

/// Those of a matrix on and below the diagonal.
pub(in crate::cuda) fn tiles(n: usize) -> usize {
    let side = n.div_ceil(EDGE);
    side * (side + 1) / 2
}

/// The kernels count the entries of a matrix in 32 bits.
pub(in crate::cuda) fn indexed(n: usize) -> Result<()> {
    if n < 1 << 16 {
        return Ok(());
    }
    Err(refused("workspace", &format!("matrices of {n}×{n} are beyond the kernels' indices")))
}

/// Device memory for a part of the batch, and the eigensolver that works on it.
#[derive(Debug)]
pub struct Workspace<T: Scalar> {
    pub(in crate::cuda) n: usize,
    pub(in crate::cuda) stream: StreamId,
    /// The number of matrices that are worked on at a time.
    pub(in crate::cuda) part: usize,
    /// The eigensolver that was asked for.
    pub(in crate::cuda) asked: Solver,
    /// None for matrices of no order.
    pub(in crate::cuda) solver: Mutex<Option<Prepared>>,
    /// Whose the regions are while an operation enqueues its work, which the stream then keeps in
    /// order.
    pub(in crate::cuda) turn: Mutex<()>,
    /// How the backward goes in one kernel, which needs none of the regions; none where it goes by
    /// matrix products.
    pub(in crate::cuda) on_chip: Option<Layout>,
    pub(in crate::cuda) regions: WorkspaceRegions<T>,
    memory: Ground,
}

/// Device addresses, each of memory for one part of the batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct WorkspaceRegions<T: Scalar> {
    /// Four times `part`·n² scalars. Forward: matrices. Backward by products: X and then G; V G; V;
    /// V̄.
    pub matrices: [DevicePtr<T>; 4],
    /// `part`·n reals: λ.
    pub lambda: DevicePtr<T::Real>,
    /// `part`·n reals each: λ̄ on K; 1/λ; of factors ‖V̄_k‖.
    pub lambda_bar: DevicePtr<T::Real>,
    pub inverse: DevicePtr<T::Real>,
    pub norms: DevicePtr<T::Real>,
    /// `part` times as many reals as `tiles`: tie defects.
    pub ties: DevicePtr<T::Real>,
    /// `part`·n ints.
    pub labels: DevicePtr<c_int>,
    /// `part` ints each: whether equation (10) is used, null where it never is; the solver's info;
    /// exponents.
    pub divides: DevicePtr<c_int>,
    pub info: DevicePtr<c_int>,
    pub exponent: DevicePtr<c_int>,
    pub certificate: Certificate<T>,
    /// The eigensolver's.
    pub scratch: DevicePtr<u8>,
}

impl<T: Scalar> WorkspaceRegions<T> {
    /// The regions from `start` on, and the address behind them; nothing if that overflows.
    /// What only the backward by products needs is left out if it goes `on_chip`.
    fn lay_out(start: CUdeviceptr, part: usize, n: usize, on_chip: bool, scratch: usize) -> Option<(Self, CUdeviceptr)> {
        let mut cursor = Cursor(start);
        let vectors = part.checked_mul(n)?;
        let entries = vectors.checked_mul(n)?;
        let by_products = |elements| if on_chip { 0 } else { elements };
        let regions = Self {
            matrices: [
                cursor.take::<T>(entries)?,
                cursor.take::<T>(by_products(entries))?,
                cursor.take::<T>(by_products(entries))?,
                cursor.take::<T>(by_products(entries))?,
            ],
            lambda: cursor.take::<T::Real>(vectors)?,
            lambda_bar: cursor.take::<T::Real>(by_products(vectors))?,
            inverse: cursor.take::<T::Real>(by_products(vectors))?,
            norms: cursor.take::<T::Real>(by_products(vectors))?,
            ties: cursor.take::<T::Real>(by_products(part.checked_mul(tiles(n))?))?,
            labels: cursor.take::<c_int>(by_products(vectors))?,
            divides: cursor.take::<c_int>(by_products(part))?,
            info: cursor.take::<c_int>(part)?,
            exponent: cursor.take::<c_int>(part)?,
            certificate: Certificate::lay_out(&mut cursor, part, n)?,
            scratch: cursor.take::<u8>(scratch)?,
        };
        Some((regions, cursor.0))
    }
}

impl<T: Scalar> Workspace<T> {
    pub(in crate::cuda) fn new(cuda: &Cuda, problem: &Problem, lent: Option<Lent>) -> Result<Self> {
        let limit = lent.map_or_else(|| cuda.workspace_limit(), |lent| Ok(lent.bytes))?;
        let (plan, on_chip) = Self::plan(cuda, problem, limit)?;
        Self::made(cuda, problem.n, plan, on_chip, lent)
    }

    /// Bytes of device memory that one takes.
    pub(in crate::cuda) fn size(cuda: &Cuda, problem: &Problem) -> Result<usize> {
        Ok(Self::plan(cuda, problem, cuda.workspace_limit()?)?.0.enough)
    }

    fn plan(cuda: &Cuda, problem: &Problem, limit: usize) -> Result<(WorkspacePlan, Option<Layout>)> {
        let on_chip = cuda.of_backward(T::DTYPE, problem.n);
        let most = at_once(problem.batch, problem.n * problem.n);
        Ok((WorkspacePlan::new::<T>(cuda, problem.n, most, on_chip.is_some(), 0, limit)?, on_chip))
    }

    /// For matrices of order `n`.
    pub(in crate::cuda) fn made(
        cuda: &Cuda,
        n: usize,
        plan: WorkspacePlan,
        on_chip: Option<Layout>,
        lent: Option<Lent>,
    ) -> Result<Self> {
        let WorkspacePlan { solver, part, bytes, .. } = plan;
        let scratch = solver.as_ref().map_or(0, |solver| solver.bytes);
        let memory = Ground::zeros(cuda.stream(), bytes, lent)?;
        let (regions, _) = WorkspaceRegions::<T>::lay_out(memory.address(), part, n, on_chip.is_some(), scratch)
            .ok_or_else(|| refused("workspace", &"too large"))?;
        let (solver, turn) = (Mutex::new(solver), Mutex::default());
        Ok(Self { n, stream: cuda.id(), part, asked: cuda.solver, solver, turn, on_chip, regions, memory })
    }
}

/// What a workspace will be.
pub(in crate::cuda) struct WorkspacePlan {
    /// None for matrices of no order.
    solver: Option<Prepared>,
    /// The number of matrices at a time.
    pub part: usize,
    pub bytes: usize,
    /// A limit under which this is the plan.
    pub enough: usize,
}

impl WorkspacePlan {
    /// For up to `most` matrices of order `n` at a time, beside each of which others need so many
    /// bytes, within `limit` bytes if one matrix is.
    pub fn new<T: Scalar>(cuda: &Cuda, n: usize, most: usize, on_chip: bool, beside: usize, limit: usize) -> Result<Self> {
        indexed(n)?;
        let _current = cuda.bind()?;
        let bytes = |part, scratch| {
            WorkspaceRegions::<T>::lay_out(0, part, n, on_chip, scratch).map_or(usize::MAX, |(_, end)| end as usize)
        };
        let (solver, part) = match n {
            0 => (None, most),
            _ => {
                let (solver, part) = Prepared::new::<T>(cuda, n, most, bytes(1, 0).saturating_add(beside), limit)?;
                (Some(solver), part)
            }
        };
        let scratch = solver.as_ref().map_or(0, |solver| solver.bytes);
        let of_each = bytes(1, 0).saturating_add(beside);
        let enough = part.saturating_mul(of_each).saturating_add(scratch).max(bytes(part, scratch));
        Ok(Self { solver, part, bytes: bytes(part, scratch), enough })
    }
}

impl<T: Scalar> Workspace<T> {
    /// Bytes of device memory.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }
}
