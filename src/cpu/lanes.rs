//! Ā of small matrices, one in each SIMD lane: docs/derivation.md, equation (8), as scalar code over vectors of lanes.
//!
//! A number is C vectors, its real and, for C = 2, its imaginary parts in as many matrices as there are lanes. Matrices are padded to
//! whole blocks of the micro-kernel with zero rows and columns, which stay zero.

use super::Kernels;
use super::assemble::{Assemble, Column};
use super::lane_kernel::MAX_ROWS;
use crate::{Dropped, Element, Real, Scalar};
use num_traits::Float;

/// Scratch memory for a group of matrices.
#[derive(Debug)]
pub(super) struct Lanes<T: Element> {
    group: Group<T::Real>,
}

/// The group as flat memory: element (i, k) of V is at `((k·stride + i)·C + part)·width + lane`.
#[derive(Debug)]
pub struct Group<R> {
    pub(super) n: usize,
    /// n rounded up to whole blocks.
    pub(super) padded: usize,
    /// The distance of columns, off powers of two, which would crowd into a few cache sets.
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) with_vectors_bar: bool,
    pub(super) v: Vec<R>,
    pub(super) v_bar: Vec<R>,
    /// G, by columns.
    pub(super) g: Vec<R>,
    /// A few rows of M = V G.
    pub(super) m: Vec<R>,
    /// Ā, by rows.
    pub(super) a_bar: Vec<R>,
    pub(super) lambda: Vec<R>,
    pub(super) lambda_bar: Vec<R>,
    pub(super) label: Vec<R>,
    /// ‖V̄_k‖.
    pub(super) norm: Vec<R>,
    pub(super) gauge_defect: Vec<R>,
    pub(super) tie_defect: Vec<R>,
}

/// The number of vectors that make up a number of this type.
const fn parts<T: Scalar>() -> usize {
    if T::COMPLEX { 2 } else { 1 }
}

impl<T: Kernels> Lanes<T> {
    pub(super) fn new(n: usize) -> Self {
        let width = T::lanes();
        let padded = n.next_multiple_of(MAX_ROWS);
        let stride = if padded >= 8 { padded + 1 } else { padded };
        let reals = |count: usize| vec![T::Real::of(0.0); count * width];
        let numbers = |count: usize| reals(count * parts::<T>());
        let group = Group {
            n,
            padded,
            stride,
            width,
            with_vectors_bar: false,
            v: numbers(padded * stride),
            v_bar: numbers(padded * stride),
            g: numbers(padded * stride),
            m: numbers(MAX_ROWS * stride),
            a_bar: numbers(padded * stride),
            lambda: reals(n),
            lambda_bar: reals(n),
            label: reals(n),
            norm: reals(n),
            gauge_defect: reals(n),
            tie_defect: reals(1),
        };
        Self { group }
    }
}

impl<T: Kernels> Assemble<T> for Lanes<T> {
    fn width(&self) -> usize {
        self.group.width
    }

    fn start(&mut self, lanes: usize, _: Dropped, with_vectors_bar: bool) {
        let group = &mut self.group;
        group.with_vectors_bar = with_vectors_bar;
        if lanes < group.width {
            for x in [&mut group.v, &mut group.v_bar, &mut group.lambda, &mut group.lambda_bar, &mut group.label] {
                x.fill(T::Real::of(0.0));
            }
        }
    }

    fn column(
        &mut self,
        lane: usize,
        column: Column<T::Real>,
        v: impl Iterator<Item = T>,
        v_bar: Option<impl Iterator<Item = T>>,
    ) {
        let group = &mut self.group;
        let Column { k, lambda, label, lambda_bar } = column;
        group.lambda[k * group.width + lane] = lambda;
        group.label[k * group.width + lane] = label;
        group.lambda_bar[k * group.width + lane] = lambda_bar;
        let start = k * group.stride * parts::<T>() * group.width + lane;
        scatter(&mut group.v[start..], group.width, v);
        if let Some(v_bar) = v_bar {
            scatter(&mut group.v_bar[start..], group.width, v_bar);
        } else if group.with_vectors_bar {
            scatter(&mut group.v_bar[start..], group.width, (0..group.n).map(|_| T::zero()));
        }
    }

    fn assemble(&mut self) {
        T::assemble_lanes(&mut self.group);
    }

    fn defects(&self, lane: usize, gauge_defect: &mut [T::Real], tie_defect: &mut T::Real) {
        let group = &self.group;
        if group.with_vectors_bar {
            let of_lane = group.gauge_defect.iter().skip(lane).step_by(group.width);
            gauge_defect.iter_mut().zip(of_lane).for_each(|(to, &from)| *to = from);
            *tie_defect = Float::max(*tie_defect, group.tie_defect[lane]);
        } else {
            gauge_defect.fill(T::Real::of(0.0));
        }
    }

    fn entry(&self, lane: usize, i: usize, j: usize) -> T {
        let group = &self.group;
        let at = (i * group.stride + j) * parts::<T>() * group.width + lane;
        let im = if T::COMPLEX { group.a_bar[at + group.width] } else { T::Real::of(0.0) };
        T::from_parts(group.a_bar[at], im)
    }
}

fn scatter<T: Scalar>(to: &mut [T::Real], width: usize, from: impl Iterator<Item = T>) {
    for (to, x) in to.chunks_mut(parts::<T>() * width).zip(from) {
        to[0] = x.re();
        if T::COMPLEX {
            to[width] = x.im();
        }
    }
}
