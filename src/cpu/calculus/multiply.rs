//! C = Aᴴ B, the one product that the formulas are made of, in two ways: in lanes, and by faer for a matrix alone.

use super::group::GroupShape;
use crate::Scalar;
use crate::cpu::simd::numbers::{Number, Numbers};
use crate::cpu::simd::vector::Vector;
use pulp::Simd;
use std::array::from_fn;
use std::marker::PhantomData;
use std::ops::Range;

/// Columns of a block of the lanes' micro-kernel.
const COLUMNS: usize = 2;

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
pub(super) trait MultiplyBy<R: Vector, const C: usize> {
    fn multiply<S: Simd>(x: &Numbers<S, R, C>, shape: &GroupShape, c: &mut [R], term: Term, a: &[R], b: &[R], part: &OutputPart);
}

/// One matrix in each lane, by blocks of ROWS × [`COLUMNS`]; what a block has beyond the part that is asked for is written, too.
pub(super) struct InLanes<const ROWS: usize>;

impl<R: Vector, const C: usize, const ROWS: usize> MultiplyBy<R, C> for InLanes<ROWS> {
    #[inline(always)]
    fn multiply<S: Simd>(x: &Numbers<S, R, C>, shape: &GroupShape, c: &mut [R], term: Term, a: &[R], b: &[R], part: &OutputPart) {
        let (a, b, c) = (x.numbers(a), x.numbers(b), x.numbers_mut(c));
        let (stride, inner) = (shape.stride, part.inner.clone());
        for j0 in (part.columns.start / COLUMNS * COLUMNS..part.columns.end).step_by(COLUMNS) {
            let b: [&[Number<S, R, C>]; COLUMNS] = from_fn(|j| &b[(j0 + j) * stride..][inner.clone()]);
            let end = if part.upper { part.rows.end.min(j0 + COLUMNS) } else { part.rows.end };
            for i0 in (part.rows.start / ROWS * ROWS..end).step_by(ROWS) {
                let a: [&[Number<S, R, C>]; ROWS] = from_fn(|i| &a[(i0 + i) * stride..][inner.clone()]);
                let mut block = [[[x.zero(); C]; ROWS]; COLUMNS];
                for k in 0..inner.len() {
                    for i in 0..ROWS {
                        for j in 0..COLUMNS {
                            block[j][i] = x.conj_mul_add(block[j][i], a[i][k], b[j][k]);
                        }
                    }
                }
                for (j, column) in block.iter().enumerate() {
                    let c = &mut c[(j0 + j) * stride + i0..][..ROWS];
                    for (c, entry) in c.iter_mut().zip(column) {
                        for (c, &entry) in c.iter_mut().zip(entry) {
                            *c = match term {
                                Term::Set => entry,
                                Term::Add => R::adds(x.s, *c, entry),
                                Term::Subtract => R::subs(x.s, *c, entry),
                            };
                        }
                    }
                }
            }
        }
    }
}

/// A matrix alone, by faer.
pub(super) struct OneMatrix<T>(PhantomData<T>);

impl<T: Scalar<Real = R>, R: Vector, const C: usize> MultiplyBy<R, C> for OneMatrix<T> {
    #[inline(always)]
    fn multiply<S: Simd>(_: &Numbers<S, R, C>, shape: &GroupShape, c: &mut [R], term: Term, a: &[R], b: &[R], part: &OutputPart) {
        T::multiply_alone(shape.stride, c, term, a, b, part);
    }
}
