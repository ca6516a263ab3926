//! Kernels that keep the columns of a matrix in registers: compiled for a number of rows, in a
//! module of their own.

use crate::cuda::device::Cuda;
use crate::cuda::kernel::launch::{Arguments, LaunchShape};
use crate::cuda::kernel::table::{Instantiation, computed, in_cuda};
use crate::{Dtype, Result};

/// Shared memory that every device gives a block, and that leaves room for several.
const SHARED: usize = 48 << 10;

/// A kernel of kernels/eigh/ whose template takes types and a number of rows.
pub(in crate::cuda) trait ColumnsKernel {
    /// As [`Kernel::Arguments`](crate::cuda::kernel::launch::Kernel::Arguments).
    type Arguments: Arguments;
    /// Its template.
    const NAME: &'static str;
    /// The types that it takes.
    const DTYPES: &'static [Dtype];
}

/// How the columns of a matrix lie in the registers of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::cuda) enum Columns {
    /// A matrix of this order a thread.
    OfThread(usize),
    /// A column a thread, of up to so many rows.
    Each(usize),
}

impl Columns {
    /// None where threads have too few registers, or a block too little shared memory.
    pub fn new(computed: Dtype, n: usize, most_shared: usize) -> Option<Self> {
        // No spills on any architecture: `scripts/kernel-report`.
        let (small, most) = match computed {
            Dtype::F64 => (8, 64),
            Dtype::Complex128 => (6, 64),
            _ => (8, 128),
        };
        let columns = match n {
            0 => return None,
            _ if n <= small => Self::OfThread(n),
            ..=64 if n <= most => Self::Each(n.next_multiple_of(8).max(16)),
            _ if n <= most => Self::Each(n.next_multiple_of(16)),
            _ => return None,
        };
        let fits = |kernel| columns.each(kernel, computed) <= most_shared;
        ["tridiagonalise", "assemble"].into_iter().all(fits).then_some(columns)
    }

    /// Whether a thread has a matrix.
    pub fn is_small(self) -> bool {
        matches!(self, Self::OfThread(_))
    }

    /// Threads that share a column: `SPLIT_OF` of kernels/eigh/tridiagonal.cuh.
    fn split(self, computed: Dtype) -> usize {
        match (self, computed) {
            (Self::Each(33..), Dtype::Complex128) | (Self::Each(65..), Dtype::Complex64) | (Self::Each(97..), Dtype::F32) => 2,
            _ => 1,
        }
    }

    /// Threads of a team: `TEAM_OF` there; of a warp where a thread has a matrix.
    fn team(self, dtype: Dtype) -> usize {
        match self {
            Self::OfThread(_) => 32,
            Self::Each(rows) => rows.next_power_of_two() * self.split(computed(dtype)),
        }
    }

    /// Teams of a block: 128 threads in warps, unless they want more shared memory than every device
    /// gives. A team of several warps is a block: its barriers are the block's.
    fn teams(self, kernel: &str, dtype: Dtype) -> usize {
        let team = self.team(dtype);
        let most = if self.is_small() || team > 32 { 1 } else { 128 / team };
        let fits = |teams: &usize| *teams == 1 || teams * self.each(kernel, dtype) <= SHARED;
        std::iter::successors(Some(most), |teams| Some(teams / 2)).find(fits).unwrap_or(1)
    }

    /// Bytes of dynamic shared memory of a team: `tridiagonalise_memory` and `assemble_memory`, which
    /// say so if that is another size.
    fn each(self, kernel: &str, dtype: Dtype) -> usize {
        let Self::Each(rows) = self else { return 0 };
        let (scalar, real) = match computed(dtype) {
            Dtype::F32 => (4, 4),
            Dtype::Complex64 => (8, 4),
            Dtype::F64 => (8, 8),
            _ => (16, 8),
        };
        let (at_once, split) = ((16 / scalar).max(1), self.split(computed(dtype)));
        let (row, vector) = ((rows + 5) / 2 * 2, (rows / split + 4 + at_once) / at_once * at_once * split);
        let square = rows * (rows | 1);
        let partial = if split > 1 { split * rows.next_power_of_two() } else { 1 };
        let matrix = match kernel {
            "tridiagonalise" => {
                let entries = if split == 1 && rows <= 64 { square } else { 1 };
                (2 * vector + 1 + partial + entries) * scalar + 16 * real
            }
            _ => {
                4 * row * real + (2 * vector + 2 + partial) * scalar + 5 * rows * real + 4 * rows + 16 + 8 * real + square * real
            }
        };
        matrix.next_multiple_of(16)
    }

    /// A kernel for the types that its template takes.
    pub fn instantiation(self, kernel: &'static str, dtypes: &[Dtype]) -> Instantiation {
        let (Self::OfThread(n) | Self::Each(n)) = self;
        let (dtype, teams) = (dtypes[0], self.teams(kernel, dtypes[0]));
        let shared = teams * self.each(kernel, dtype);
        let types = dtypes.iter().copied().map(in_cuda).collect::<Vec<_>>().join(", ");
        let bytes = if self.is_small() { String::new() } else { format!(", {teams}, {shared}") };
        let expression = format!("eigengrad::{kernel}<{types}, {n}{bytes}>");
        Instantiation { kernel, dtype, n: Some(n), shared, expression }
    }

    /// The kernels of an eigensolver for matrices of this order, with eigenvectors stored as A is.
    pub fn kernels(self, dtype: Dtype) -> Vec<Instantiation> {
        match self {
            Self::OfThread(_) => vec![self.instantiation("small", &[dtype, dtype])],
            Self::Each(_) => ["tridiagonalise", "assemble"].map(|name| self.instantiation(name, &[dtype])).into(),
        }
    }

    fn shape(self, kernel: &str, dtype: Dtype, batch: usize) -> LaunchShape {
        let (team, teams) = (self.team(dtype), self.teams(kernel, dtype));
        let of_block = if self.is_small() { team } else { teams };
        // more than 2³¹ − 1 the driver refuses
        let blocks = u32::try_from(batch.div_ceil(of_block)).unwrap_or(u32::MAX);
        LaunchShape { blocks, threads: (team as u32, teams as u32), shared: (teams * self.each(kernel, dtype)) as u32 }
    }
}

impl Cuda {
    /// Enqueues a kernel that has columns in registers.
    ///
    /// # Safety
    /// As [`Cuda::launch`], for a batch of this size.
    pub(in crate::cuda) unsafe fn launch_columns<K: ColumnsKernel>(
        &self,
        columns: Columns,
        batch: usize,
        arguments: K::Arguments,
    ) -> Result<()> {
        let module = self.of_columns(K::NAME, K::DTYPES, columns)?;
        // SAFETY: the module is of this context and live during the call; the rest is the caller's.
        unsafe { self.enqueue(module.function(0)?, columns.shape(K::NAME, K::DTYPES[0], batch), &arguments) }
    }
}
