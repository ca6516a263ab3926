//! Ā of small matrices, one in each SIMD lane: docs/derivation.md, equation (8), as scalar code
//! over vectors of lanes.
//!
//! A number is C vectors, its real and, for C = 2, its imaginary parts in as many matrices as there
//! are lanes. Matrices are padded to whole blocks of the micro-kernel with zero rows and columns,
//! which stay zero.

use crate::cpu::backward::run::Run;
use crate::cpu::backward::run::{Found, GroupBackward};
use crate::cpu::lanes::columns::{Given, LaneColumns};
use crate::cpu::lanes::kernel::{BackwardGroup, BackwardOperands, GAUGE_DEFECT, NOT_FINITE, TIE_DEFECT};
use crate::cpu::lanes::matrices::{BLOCK, padded, size};
use crate::cpu::memory::filled;
use crate::cpu::simd::aligned::Aligned;
use crate::options::Problem;
use crate::{Dropped, Element, ElementOf, Gradient, Real, Result, Scalar, Status, TieRule};

/// Scratch memory for a group of matrices.
#[derive(Debug)]
pub(in crate::cpu) struct LaneBackward<T: Element> {
    group: BackwardGroup<T::Real>,
    wide: Wide<T, T::Real>,
}

/// What is stored as another type, in that computed in.
#[derive(Debug)]
struct Wide<T, R> {
    values: Vec<R>,
    values_bar: Vec<R>,
    v: Vec<T>,
    v_bar: Vec<T>,
    a_bar: Vec<T>,
}

/// The number of vectors that make up a number of this type.
const fn parts<T: Scalar>() -> usize {
    if T::COMPLEX { 2 } else { 1 }
}

impl<T: Scalar> LaneBackward<T> {
    pub(in crate::cpu) fn new(n: usize) -> Result<Self> {
        let width = T::lanes();
        let zero = T::Real::of(0.0);
        let reals = |count: usize| Aligned::new(zero, count * width);
        let numbers = |count: usize| reals(count * parts::<T>());
        let group = BackwardGroup {
            n,
            width,
            columns: LaneColumns::new(n, width)?,
            v: numbers(size(n))?,
            columns_of_v: numbers(size(n))?,
            v_bar: numbers(size(n))?,
            g: numbers(size(n))?,
            m: numbers(BLOCK * padded(n))?,
            norm: reals(n)?,
            gauge_defect: reals(n)?,
            found: reals(3)?,
        };
        let (values, values_bar) = (filled(zero, n * width)?, filled(zero, n * width)?);
        let matrices = || filled(T::zero(), n * n * width);
        let wide = Wide { values, values_bar, v: matrices()?, v_bar: matrices()?, a_bar: matrices()? };
        Ok(Self { group, wide })
    }

    /// The number of matrices that are worked on at a time.
    pub(in crate::cpu) fn width(&self) -> usize {
        self.group.width
    }
}

impl<T: Scalar> GroupBackward<T> for LaneBackward<T> {
    fn backward<O: ElementOf<T>, G: ElementOf<T>>(&mut self, problem: &Problem, matrices: Run<'_, '_, O, G>) {
        let Run { pairs, cotangents, out: Gradient { mut a_bar, gauge_defect, mut tie_defect, mut status }, .. } = matrices;
        let Self { group, wide } = self;
        let columns = Given {
            lambda: widened(pairs.spectrum.values.memory, &mut wide.values),
            kept: pairs.spectrum.kept.memory,
            lambda_bar: cotangents.values.map(|x| widened(x.memory, &mut wide.values_bar)),
            exact: problem.ties == TieRule::Exact,
            tie_rtol: T::Real::of(problem.tie_rtol::<O::Real>()),
            as_computed: problem.dropped == Dropped::AsComputed,
        };
        let v = widened(pairs.vectors.memory, &mut wide.v);
        let (v_bar, by_rows) = (cotangents.vectors.map(|x| widened(x.memory, &mut wide.v_bar)), cotangents.rows);
        let gauge_defect = gauge_defect.memory;
        match G::as_scalars_mut(&mut a_bar) {
            Some(a_bar) => T::backward_lanes(group, BackwardOperands { columns, v, v_bar, by_rows, a_bar, gauge_defect }),
            None => {
                let computed = &mut *wide.a_bar;
                T::backward_lanes(group, BackwardOperands { columns, v, v_bar, by_rows, a_bar: computed, gauge_defect });
                a_bar.iter_mut().zip(&wide.a_bar).for_each(|(to, &from)| *to = G::narrow(from));
            }
        }
        let LaneColumns { tied, spread, .. } = &group.columns;
        let lanes = tied.iter().zip(&**spread);
        for ((status, tie_defect), (&tied, &spread)) in status.iter_mut().zip(tie_defect.iter_mut()).zip(lanes) {
            *status |= Status::of_ties(problem.ties, tied != T::Real::of(0.0));
            *tie_defect = spread;
        }
    }

    fn found(&self, b: usize) -> Found<T::Real> {
        let found = |what: usize| self.group.found[what * self.group.width + b];
        Found { tie_defect: found(TIE_DEFECT), gauge_defect: found(GAUGE_DEFECT), finite: found(NOT_FINITE) == T::Real::of(0.0) }
    }
}

/// Numbers in the type computed in.
pub(in crate::cpu) fn widened<'a, T: Element<Scalar = T>, O: Element<Scalar = T>>(x: &'a [O], wide: &'a mut [T]) -> &'a [T] {
    O::as_scalars(x).unwrap_or_else(|| {
        wide.iter_mut().zip(x).for_each(|(to, from)| *to = from.widen());
        &wide[..x.len()]
    })
}
