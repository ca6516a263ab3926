//! Small matrices in one kernel: how they are laid out on chip.

use crate::cuda::kernel::launch::LaunchShape;
use crate::cuda::kernel::table::{Instantiation, in_cuda};
use crate::cuda::refused;
use crate::{Dtype, Result};
use std::env;

/// Shared memory that every device gives a block, and that leaves room for several.
const SHARED: usize = 48 << 10;

/// Shared memory of a multiprocessor that each block takes beside its own.
const RESERVED: usize = 1 << 10;

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
    /// The orders up to which the threads that share a matrix have registers enough, on every device
    /// that has shared memory enough: in f32, complex64, f64 and complex128.
    pub up_to: [usize; 4],
    /// The orders beyond which a tile has twice as many columns, since half as many threads have
    /// twice as many registers: in the same types.
    pub large_beyond: [usize; 4],
    /// The order from which a block may have two buffers; none where the template has no choice.
    pub two_buffers_from: Option<usize>,
}

/// That of kernels/backward/backward.cu. Registers and shared memory of an H200 end together.
pub(in crate::cuda) const BACKWARD: Demand = Demand {
    kernel: "backward",
    places: 2,
    rows: 4,
    columns: |n, real, _, padded| (4 * n + 2 * padded) * real + 8 * n + 28,
    up_to: [152, 108, 88, 76],
    large_beyond: [128, 88, 76, 76],
    two_buffers_from: Some(24),
};

/// What a device has for the blocks of a kernel.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Room {
    /// Bytes of shared memory that a block can have.
    pub block: usize,
    /// Those of a multiprocessor.
    pub multiprocessor: usize,
    pub multiprocessors: usize,
}

impl Room {
    /// As much as any device has.
    pub const MOST: Self = Self { block: 227 << 10, multiprocessor: 228 << 10, multiprocessors: 1 };
}

/// How many buffers a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) enum Buffers {
    One,
    /// Where they fit.
    Two,
    /// Two where they help: where a multiprocessor then has as many blocks as it has registers for.
    Auto,
}

impl Buffers {
    /// What `EIGENGRAD_BACKWARD` asks of gradients, so that a benchmark can tell them apart; none
    /// where all go by the kernels of larger matrices.
    pub fn from_environment() -> Result<Option<Self>> {
        let named = env::var("EIGENGRAD_BACKWARD").unwrap_or_default();
        let known =
            [("", Some(Self::Auto)), ("one-buffer", Some(Self::One)), ("two-buffers", Some(Self::Two)), ("inner-outer", None)];
        let found = known.into_iter().find(|(name, _)| *name == named);
        let expected = || format!("expected one-buffer, two-buffers, inner-outer or nothing, got {named:?}");
        found.map(|(_, asked)| asked).ok_or_else(|| refused("EIGENGRAD_BACKWARD", &expected()))
    }
}

/// The template arguments of a kernel behind its types, as `struct layout` of kernels/lib/tile.cuh
/// follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::cuda) struct Layout {
    n: usize,
    /// Tiles of so many columns, and as many rows or the most, a thread each.
    tile: usize,
    /// In a block.
    matrices: usize,
    /// Of so many matrices; none where the template has no choice.
    buffers: Option<usize>,
    threads: usize,
    /// Of shared memory, for a block.
    bytes: usize,
    /// A grid has no more: a block with two buffers takes group after group.
    most_blocks: usize,
}

impl Layout {
    /// The layout for n×n matrices that are computed in a type; none where they are too large for
    /// the device.
    pub fn new(demand: &Demand, computed: Dtype, n: usize, room: Room, buffers: Buffers) -> Option<Self> {
        let (scalar, real, of) = match computed {
            Dtype::F32 => (4, 4, 0),
            Dtype::Complex64 => (8, 4, 1),
            Dtype::F64 => (8, 8, 2),
            _ => (16, 8, 3),
        };
        if n == 0 || n > demand.up_to[of] {
            return None;
        }
        // The tile's sums fill 32 to 64 registers: enough work for what is read from shared memory.
        let tile = match (n, scalar) {
            (..=2, _) => 2,
            (17.., 4) => 8,
            _ => 4,
        };
        let tile = if n > demand.large_beyond[of] { 2 * tile } else { tile };
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
        let (threads, one) = (matrices * team, matrices * each);
        // `RESIDENT` of kernels/backward/backward.cu.
        let resident = (if real == 8 { 12 } else { 16 } / threads.div_ceil(32)).max(1);
        let of_multiprocessor = |bytes: usize| (room.multiprocessor / (bytes + RESERVED)).min(resident);
        let two = demand.two_buffers_from.is_some_and(|from| n >= from)
            && 2 * one <= room.block
            && match buffers {
                Buffers::One => false,
                Buffers::Two => true,
                // Columns of whole packs alone arrive while nothing waits for them.
                Buffers::Auto => n.is_multiple_of(at_once) && of_multiprocessor(2 * one) == resident,
            };
        let bytes = if two { 2 * one } else { one };
        let most_blocks = if two { room.multiprocessors * of_multiprocessor(bytes).max(1) } else { usize::MAX };
        let buffers = demand.two_buffers_from.map(|_| 1 + usize::from(two));
        (bytes <= room.block).then_some(Self { n, tile, matrices, buffers, threads, bytes, most_blocks })
    }

    /// Those that a device may take for a gradient: with one buffer, and with two if those of most
    /// shared memory take them.
    pub fn of_backward(computed: Dtype, n: usize) -> impl Iterator<Item = Self> {
        let [one, auto] = [Buffers::One, Buffers::Auto].map(|buffers| Self::new(&BACKWARD, computed, n, Room::MOST, buffers));
        one.into_iter().chain(auto.filter(|_| one != auto))
    }

    /// For the types that the kernel's template takes, that of the eigenpairs first.
    pub fn instantiation(&self, kernel: &'static str, dtypes: &[Dtype]) -> Instantiation {
        let Self { n, tile, matrices, bytes, .. } = *self;
        let buffers = self.buffers.map_or_else(String::new, |buffers| format!(", {buffers}"));
        let types = dtypes.iter().copied().map(in_cuda).collect::<Vec<_>>().join(", ");
        let dtype = dtypes[0];
        let expression = format!("eigengrad::{kernel}<{types}, {n}, {tile}, {matrices}{buffers}, {bytes}>");
        Instantiation { kernel, dtype, n: Some(n), shared: bytes, expression }
    }

    pub fn shape(&self, batch: usize) -> LaunchShape {
        // more than 2³¹ − 1 the driver refuses
        let blocks = u32::try_from(batch.div_ceil(self.matrices).min(self.most_blocks)).unwrap_or(u32::MAX);
        LaunchShape { blocks, threads: (self.threads as u32, 1), shared: self.bytes as u32 }
    }
}
