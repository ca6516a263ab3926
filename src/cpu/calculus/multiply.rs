//! C = Aᴴ B, the one product that the formulas are made of, in two ways: in lanes, and by faer for
//! a matrix alone.

use crate::Scalar;
use crate::cpu::lanes::matrices::{Block, LaneMatrices};
use crate::cpu::parallel::par;
use crate::cpu::simd::vector::Vector;
use faer::linalg::matmul::triangular::BlockStructure;
use faer::{Accum, MatMut, MatRef};
use pulp::Simd;
use std::marker::PhantomData;
use std::ops::Range;

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    Set,
    Add,
    Subtract,
}

/// The part of C that is computed, and of the sum over k.
#[derive(Clone, Debug)]
pub struct OutputPart {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub inner: Range<usize>,
    /// Whether only entries (i, j) with i ≤ j are wanted; a few others may be written, too.
    pub upper: bool,
}

/// A way to multiply matrices of a group.
pub(super) trait MultiplyBy<S: Simd, R: Vector, const C: usize> {
    fn multiply(x: &LaneMatrices<S, R, C>, c: &mut [R], term: Term, a: &[R], b: &[R], part: &OutputPart);
}

/// One matrix in each lane, by blocks of ROWS × COLUMNS; what a block has beyond the part that is
/// asked for is written, too.
pub(super) struct InLanes<const ROWS: usize, const COLUMNS: usize>;

impl<S: Simd, R: Vector, const C: usize, const ROWS: usize, const COLUMNS: usize> MultiplyBy<S, R, C> for InLanes<ROWS, COLUMNS> {
    #[inline(always)]
    fn multiply(x: &LaneMatrices<S, R, C>, c: &mut [R], term: Term, a: &[R], b: &[R], part: &OutputPart) {
        let (a, b, c) = (x.x.numbers(a), x.x.numbers(b), x.x.numbers_mut(c));
        let rows = |x: &LaneMatrices<S, R, C>, of, first| x.some_rows(of, first, part.inner.clone());
        for j0 in (part.columns.start / COLUMNS * COLUMNS..part.columns.end).step_by(COLUMNS) {
            let end = if part.upper { part.rows.end.min(j0 + COLUMNS) } else { part.rows.end };
            for i0 in (part.rows.start / ROWS * ROWS..end).step_by(ROWS) {
                let block: Block<S, R, C, ROWS, COLUMNS> =
                    x.accumulate::<ROWS, COLUMNS, true>(x.zeros(), rows(x, a, i0), rows(x, b, j0));
                for (i, row) in (i0..).zip(&block) {
                    let c = &mut c[x.at(i, j0)..][..COLUMNS];
                    for (c, entry) in c.iter_mut().zip(row) {
                        for (c, &entry) in c.iter_mut().zip(entry) {
                            *c = match term {
                                Term::Set => entry,
                                Term::Add => R::adds(x.x.s, *c, entry),
                                Term::Subtract => R::subs(x.x.s, *c, entry),
                            };
                        }
                    }
                }
            }
        }
    }
}

/// A matrix alone, by faer: Cᵀ = Bᵀ (Aᵀ)ᴴ, since what lies by rows is the transpose of what faer
/// sees.
pub(super) struct OneMatrix<T>(PhantomData<T>);

impl<T: Scalar<Real = R>, S: Simd, R: Vector, const C: usize> MultiplyBy<S, R, C> for OneMatrix<T> {
    #[inline(always)]
    fn multiply(x: &LaneMatrices<S, R, C>, c: &mut [R], term: Term, a: &[R], b: &[R], part: &OutputPart) {
        let OutputPart { rows, columns, inner, upper } = part;
        let of = |memory, columns: &Range<usize>| {
            let all: MatRef<'_, T> = transposed(T::from_components(memory), x.stride);
            all.submatrix(columns.start, inner.start, columns.len(), inner.len())
        };
        let c = T::from_components_mut(c);
        let (height, count) = extents(c.len(), x.stride);
        let c = MatMut::from_column_major_slice_with_stride_mut(&mut c[..count * x.stride], height, count, x.stride);
        let c = c.submatrix_mut(columns.start, rows.start, columns.len(), rows.len());
        let (accumulate, alpha) = match term {
            Term::Set => (Accum::Replace, T::one()),
            Term::Add => (Accum::Add, T::one()),
            Term::Subtract => (Accum::Add, -T::one()),
        };
        let triangular = *upper && rows == columns;
        let part = if triangular { BlockStructure::TriangularLower } else { BlockStructure::Rectangular };
        let par = par(rows.len().max(columns.len()).max(inner.len()));
        T::times_adjoint((c, part), accumulate, alpha, of(b, columns), of(a, rows), par);
    }
}

/// The transpose of a matrix by rows.
fn transposed<T>(x: &[T], stride: usize) -> MatRef<'_, T> {
    let (height, count) = extents(x.len(), stride);
    MatRef::from_column_major_slice_with_stride(&x[..count * stride], height, count, stride)
}

/// Numbers in a row, and rows, of so many numbers.
fn extents(len: usize, stride: usize) -> (usize, usize) {
    (stride.min(len), len / stride.max(1))
}
