//! The backward of a group in lanes, from storage to storage, compiled once for each type and
//! instruction set.

use crate::Element;
use crate::cpu::lanes::columns::{Given, LaneColumns};
use crate::cpu::lanes::matrices::{BLOCK, LaneMatrices, padded, size};
use crate::cpu::lanes::products::SchurMultiplier;
use crate::cpu::simd::aligned::Aligned;
use crate::cpu::simd::moves::{Runs, into_lanes, out_of_lanes};
use crate::cpu::simd::vector::{Vector, dispatch, is_wide, lanes};
use crate::cpu::types::for_each_type;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};

/// The group as flat memory, matrices as [`LaneMatrices`] has them.
#[derive(Debug)]
pub struct BackwardGroup<R> {
    pub(in crate::cpu) n: usize,
    pub(in crate::cpu) width: usize,
    pub(in crate::cpu) columns: LaneColumns<R>,
    pub(in crate::cpu) v: Aligned<R>,
    /// Vᵀ.
    pub(in crate::cpu) columns_of_v: Aligned<R>,
    /// V̄, later Ā.
    pub(in crate::cpu) v_bar: Aligned<R>,
    /// Gᵀ.
    pub(in crate::cpu) g: Aligned<R>,
    /// A few columns of Mᵀ, M = V G.
    pub(in crate::cpu) m: Aligned<R>,
    /// ‖V̄_k‖.
    pub(in crate::cpu) norm: Aligned<R>,
    pub(in crate::cpu) gauge_defect: Aligned<R>,
    /// What was found of each matrix, a vector each.
    pub(in crate::cpu) found: Aligned<R>,
}

/// The largest tie defect in X.
pub(in crate::cpu) const TIE_DEFECT: usize = 0;
/// The largest gauge defect.
pub(in crate::cpu) const GAUGE_DEFECT: usize = 1;
/// 0, or NaN if an entry of Ā is not finite.
pub(in crate::cpu) const NOT_FINITE: usize = 2;

/// What is read and written of a group, one matrix after the other.
#[derive(Debug)]
pub struct BackwardOperands<'a, T, R> {
    pub(in crate::cpu) columns: Given<'a, R>,
    pub(in crate::cpu) v: &'a [T],
    pub(in crate::cpu) v_bar: Option<&'a [T]>,
    /// Whether V̄ is given by its rows.
    pub(in crate::cpu) by_rows: bool,
    pub(in crate::cpu) a_bar: &'a mut [T],
    pub(in crate::cpu) gauge_defect: &'a mut [R],
}

/// The lane kernel, compiled once for each type and instruction set.
pub trait BackwardLanes: Element {
    /// The number of lanes of the instruction set at hand.
    fn lanes() -> usize;
    fn backward_lanes(group: &mut BackwardGroup<Self::Real>, work: BackwardOperands<'_, Self, Self::Real>);
}

macro_rules! backward_lanes {
    ($($t:ty: $real:ty, $parts:literal, $rows:literal);*) => { $(
        impl BackwardLanes for $t {
            fn lanes() -> usize {
                lanes::<$real>()
            }
            fn backward_lanes(group: &mut BackwardGroup<$real>, work: BackwardOperands<'_, $t, $real>) {
                let BackwardOperands { columns, v, v_bar, by_rows, a_bar, gauge_defect } = work;
                let (v, v_bar, a_bar) = (cast_slice(v), v_bar.map(cast_slice), cast_slice_mut(a_bar));
                let work = BackwardOperands { columns, v, v_bar, by_rows, a_bar, gauge_defect };
                dispatch(Kernel::<'_, $real, $parts, $rows> { group, work });
            }
        }
    )* }
}
for_each_type!(backward_lanes);

struct Kernel<'a, R, const C: usize, const ROWS: usize> {
    group: &'a mut BackwardGroup<R>,
    work: BackwardOperands<'a, R, R>,
}

impl<R: Vector, const C: usize, const ROWS: usize> WithSimd for Kernel<'_, R, C, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        if const { S::REGISTER_COUNT < 32 } { self.of_order::<S, 2>(s) } else { self.of_order::<S, 4>(s) }
    }
}

impl<R: Vector, const C: usize, const ROWS: usize> Kernel<'_, R, C, ROWS> {
    /// The smallest orders are compiled for themselves: their loops are as short as what it takes
    /// to begin one.
    #[inline(always)]
    fn of_order<S: Simd, const COLUMNS: usize>(self, s: S) {
        if const { !is_wide::<S, R>() } {
            let n = self.group.n;
            return self.backward::<S, COLUMNS>(s, n);
        }
        match self.group.n {
            4 => self.backward::<S, COLUMNS>(s, 4),
            8 => self.backward::<S, COLUMNS>(s, 8),
            16 => self.backward::<S, COLUMNS>(s, 16),
            n => self.backward::<S, COLUMNS>(s, n),
        }
    }

    #[inline(always)]
    fn backward<S: Simd, const COLUMNS: usize>(self, s: S, n: usize) {
        let (group, work) = (self.group, self.work);
        let tied = group.columns.label(s, n, work.columns);
        let columns = &group.columns;
        let [lambda, label, lambda_bar] = [&columns.lambda, &columns.label, &columns.lambda_bar].map(|x| &R::vectors(s, x)[..n]);
        let [norm, defects] = [&mut group.norm, &mut group.gauge_defect].map(|x| &mut R::vectors_mut(s, x)[..n]);
        let found = R::vectors_mut(s, &mut group.found);
        let matrices = LaneMatrices::<S, R, C>::new(s, n);
        let LaneMatrices { x, stride, .. } = matrices;
        let [v, columns_of_v, v_bar, g] =
            [&mut group.v, &mut group.columns_of_v, &mut group.v_bar, &mut group.g].map(|y| &mut x.numbers_mut(y)[..size(n)]);
        let m = &mut x.numbers_mut(&mut group.m)[..BLOCK * padded(n)];
        into_lanes::<S, R, C>(s, work.v, Runs::rows(n, C, stride), columns_of_v.as_flattened_mut());
        (found[TIE_DEFECT], found[GAUGE_DEFECT]) = (x.zero(), x.zero());
        let mut weighed = None;
        if let Some(bar) = work.v_bar {
            matrices.transpose(columns_of_v, v);
            let runs = if work.by_rows { Runs::rows(n, C, stride) } else { Runs::columns(n, C, stride) };
            into_lanes::<S, R, C>(s, bar, runs, v_bar.as_flattened_mut());
            matrices.clear_dropped(label, v_bar);
            if C == 2 || tied {
                matrices.norms(v, v_bar, label, norm);
            }
            found[TIE_DEFECT] =
                matrices.weigh::<ROWS, COLUMNS>(v, v_bar, &SchurMultiplier { lambda, label, lambda_bar, norm, tied }, g, defects);
            weighed = Some(&*g);
        }
        if C == 2 && weighed.is_some() {
            found[GAUGE_DEFECT] = matrices.gauge_defects(v, v_bar, label, norm, defects);
            out_of_lanes::<S, R, 1>(s, defects, Runs::row(n), work.gauge_defect);
        } else {
            work.gauge_defect.fill(R::zero()); // real numbers have no phase
        }
        // V̄ has done its part.
        let a_bar = v_bar;
        found[NOT_FINITE] = matrices.expand::<ROWS, COLUMNS>(columns_of_v, weighed, lambda_bar, m, a_bar);
        out_of_lanes::<S, R, C>(s, a_bar.as_flattened(), Runs::rows(n, C, stride), work.a_bar);
    }
}
