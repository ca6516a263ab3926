//! Small matrices in one kernel: how they are laid out on chip; and the launch of kernels/backward.cu, Ā.

use super::backward::Operands;
use super::device::Cuda;
use super::kernels::{Instantiation, Shape, arguments, in_cuda, launch};
use super::range::range;
use crate::options::Problem;
use crate::{Dropped, Dtype, GradientForm, Result, Scalar, Stored, Triangle};
use std::ffi::c_int;

/// `struct rules` of kernels/backward.cu.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Rules {
    ties: c_int,
    dropped_zero: c_int,
    form: c_int,
    tie_rtol: f64,
    round_off: f64,
}

/// Shared memory that every device gives a block, and that leaves room for several.
const SHARED: usize = 48 << 10;

/// What a kernel keeps of a matrix on chip.
#[derive(Debug)]
pub(super) struct Demand {
    pub kernel: &'static str,
    /// Matrices in shared memory for each of the batch.
    pub places: usize,
    /// Bytes beside them, by the order, the bytes of a real number and the tiles in a row.
    pub columns: fn(usize, usize, usize) -> usize,
    /// The orders up to which the threads that share a matrix have registers enough, on every device, and most devices shared memory:
    /// in f32, complex64, f64 and complex128.
    pub up_to: [usize; 4],
}

/// Rows and columns of the largest tile, to which `weight` of kernels/backward.cu is padded.
const MOST_TILE: usize = 8;

/// That of kernels/backward.cu.
pub(super) const BACKWARD: Demand = Demand {
    kernel: "backward",
    places: 2,
    columns: |n, real, side| (6 * n + MOST_TILE) * real + 8 * n + 24 + side * (side + 1) / 2,
    up_to: [64; 4],
};

/// The template arguments of a kernel behind its types, as `struct layout` of kernels/tile.cuh follows from them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    kernel: &'static str,
    n: usize,
    /// Tiles of so many rows and columns, a thread each.
    tile: usize,
    /// In a block.
    matrices: usize,
    threads: usize,
    /// Of shared memory, for a block.
    bytes: usize,
}

impl Layout {
    /// The layout for n×n matrices that are computed in a type, for a device that gives a block so much shared memory; none where
    /// they are too large.
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
        let (at_once, side) = ((16 / scalar).max(1), n.div_ceil(tile));
        let ld = (side * tile).div_ceil(at_once) | 1;
        let matrix = ((ld * side * tile) | 1) * at_once * scalar;
        let team = side * side;
        let each = demand.places * matrix + (demand.columns)(n, real, side).next_multiple_of(16);
        // As many as leave the fewest lanes of warps idle, in blocks of about 128 threads.
        let idle = |&matrices: &usize| (matrices * team).div_ceil(32) as f64 / matrices as f64;
        let near = |&matrices: &usize| (matrices * team).abs_diff(128);
        let fits = |&matrices: &usize| matrices == 1 || matrices * team <= 256 && matrices * each <= SHARED;
        let better = |a: &usize, b: &usize| idle(a).total_cmp(&idle(b)).then(near(a).cmp(&near(b)));
        let matrices = (1..=64).filter(fits).min_by(better)?;
        let bytes = matrices * each;
        (bytes <= most_shared).then_some(Self { kernel: demand.kernel, n, tile, matrices, threads: matrices * team, bytes })
    }

    /// For eigenpairs stored as `dtype`, and what is stored as other types.
    pub fn instantiation(&self, dtype: Dtype, others: &[Dtype]) -> Instantiation {
        let Self { kernel, n, tile, matrices, bytes, .. } = *self;
        let types = [&[dtype], others].concat().into_iter().map(in_cuda).collect::<Vec<_>>().join(", ");
        let expression = format!("eigengrad::{kernel}<{types}, {n}, {tile}, {matrices}, {bytes}>");
        Instantiation { kernel, dtype, n: Some(n), shared: bytes, expression }
    }

    pub fn shape(&self, batch: usize) -> Shape {
        let blocks = u32::try_from(batch.div_ceil(self.matrices)).unwrap_or(u32::MAX); // more than 2³¹ − 1 the driver refuses
        Shape { blocks, threads: (self.threads as u32, 1), shared: self.bytes as u32 }
    }
}

impl Cuda {
    /// Enqueues Ā of a batch.
    pub(super) fn assemble_on_chip<T: Scalar, O: Stored<T>, G: Stored<T>>(
        &self,
        problem: &Problem,
        layout: Layout,
        at: Operands,
    ) -> Result<()> {
        let _range = range(c"eigengrad::fused");
        let kernel = self.alone(layout.instantiation(O::DTYPE, &[G::DTYPE]))?;
        let rules = Rules {
            ties: problem.tie_rule(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            form: form(problem.gradient),
            tie_rtol: problem.tie_rtol::<O::Real>(),
            round_off: problem.round_off::<O>(),
        };
        let Operands { values, vectors, kept, found, values_bar, vectors_bar, a_bar, gauge_defect, tie_defect, status } = at;
        let arguments = arguments![
            problem.batch as i64,
            rules,
            values,
            kept,
            found,
            vectors,
            values_bar,
            vectors_bar,
            a_bar,
            gauge_defect,
            tie_defect,
            status,
        ];
        let _current = self.bind()?;
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { launch(self.stream(), kernel.function, layout.shape(problem.batch), arguments) }
    }
}

/// `enum form` of kernels/form.cuh.
pub(super) fn form(form: GradientForm) -> c_int {
    match form {
        GradientForm::Hermitian => 0,
        GradientForm::Triangle(Triangle::Lower) => 1,
        GradientForm::Triangle(Triangle::Upper) => 2,
    }
}
