//! Small matrices in one kernel: how they are laid out on chip.

use crate::Dtype;
use crate::cuda::kernel::launch::LaunchShape;
use crate::cuda::kernel::table::{Instantiation, in_cuda};

/// Shared memory that every device gives a block, and that leaves room for several.
const SHARED: usize = 48 << 10;

/// What a kernel keeps of a matrix on chip.
#[derive(Debug)]
pub(in crate::cuda) struct Demand {
    pub kernel: &'static str,
    /// Matrices in shared memory for each of the batch.
    pub places: usize,
    /// Rows of a tile at most.
    pub rows: usize,
    /// Bytes beside them, by the order, the bytes of a real number, the tiles in a column, and the
    /// columns of all tiles.
    pub columns: fn(usize, usize, usize, usize) -> usize,
    /// The orders up to which the threads that share a matrix have registers enough, on every
    /// device, and most devices shared memory: in f32, complex64, f64 and complex128.
    pub up_to: [usize; 4],
}

/// That of kernels/backward/backward.cu.
pub(in crate::cuda) const BACKWARD: Demand = Demand {
    kernel: "backward",
    places: 2,
    rows: 4,
    columns: |n, real, _, padded| (4 * n + 2 * padded) * real + 8 * n + 28,
    up_to: [64; 4],
};

/// The template arguments of a kernel behind its types, as `struct layout` of kernels/lib/tile.cuh
/// follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) struct Layout {
    n: usize,
    /// Tiles of so many columns, and as many rows or the most, a thread each.
    tile: usize,
    /// In a block.
    matrices: usize,
    threads: usize,
    /// Of shared memory, for a block.
    bytes: usize,
}

impl Layout {
    /// The layout for n×n matrices that are computed in a type, for a device that gives a block so
    /// much shared memory; none where they are too large.
    pub fn new(demand: &Demand, computed: Dtype, n: usize, most_shared: usize) -> Option<Self> {
        let [of_f32, of_complex64, of_f64, of_complex128] = demand.up_to;
        let (scalar, real, up_to) = match computed {
            Dtype::F32 => (4, 4, of_f32),
            Dtype::Complex64 => (8, 4, of_complex64),
            Dtype::F64 => (8, 8, of_f64),
            _ => (16, 8, of_complex128),
        };
        if n == 0 || n > up_to {
            return None;
        }
        // The tile's sums fill 32 to 64 registers: enough work for what is read from shared memory.
        let tile = match (n, scalar) {
            (..=2, _) => 2,
            (17.., 4) => 8,
            _ => 4,
        };
        let (at_once, side, across) = ((16 / scalar).max(1), n.div_ceil(tile.min(demand.rows)), n.div_ceil(tile));
        let padded = across * tile;
        let ld = padded.div_ceil(at_once) | 1;
        let matrix = ((ld * padded) | 1) * at_once * scalar;
        let team = side * across;
        let each = demand.places * matrix + (demand.columns)(n, real, side, padded).next_multiple_of(16);
        // As many as leave the fewest lanes of warps idle, in blocks of about 128 threads.
        let idle = |&matrices: &usize| (matrices * team).div_ceil(32) as f64 / matrices as f64;
        let near = |&matrices: &usize| (matrices * team).abs_diff(128);
        let fits = |&matrices: &usize| matrices == 1 || matrices * team <= 256 && matrices * each <= SHARED;
        let better = |a: &usize, b: &usize| idle(a).total_cmp(&idle(b)).then(near(a).cmp(&near(b)));
        let matrices = (1..=64).filter(fits).min_by(better)?;
        let bytes = matrices * each;
        (bytes <= most_shared).then_some(Self { n, tile, matrices, threads: matrices * team, bytes })
    }

    /// For the types that the kernel's template takes, that of the eigenpairs first.
    pub fn instantiation(&self, kernel: &'static str, dtypes: &[Dtype]) -> Instantiation {
        let Self { n, tile, matrices, bytes, .. } = *self;
        let types = dtypes.iter().copied().map(in_cuda).collect::<Vec<_>>().join(", ");
        let dtype = dtypes[0];
        let expression = format!("eigengrad::{kernel}<{types}, {n}, {tile}, {matrices}, {bytes}>");
        Instantiation { kernel, dtype, n: Some(n), shared: bytes, expression }
    }

    pub fn shape(&self, batch: usize) -> LaunchShape {
        // more than 2³¹ − 1 the driver refuses
        let blocks = u32::try_from(batch.div_ceil(self.matrices)).unwrap_or(u32::MAX);
        LaunchShape { blocks, threads: (self.threads as u32, 1), shared: self.bytes as u32 }
    }
}
