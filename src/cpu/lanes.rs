//! Ā of small matrices, one in each SIMD lane: docs/derivation.md, equation (8), as scalar code over vectors of lanes.
//!
//! A number is C vectors, its real and, for C = 2, its imaginary parts in as many matrices as there are lanes. Matrices are padded to
//! whole blocks of the micro-kernel with zero rows and columns, which stay zero.

use super::Kernels;
use super::aligned::Aligned;
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
    /// Whether eigenvalues tie in any lane.
    pub(super) tied: bool,
    pub(super) v: Aligned<R>,
    pub(super) v_bar: Aligned<R>,
    /// G, by columns.
    pub(super) g: Aligned<R>,
    /// A few rows of M = V G.
    pub(super) m: Aligned<R>,
    /// Ā, by rows, both triangles.
    pub(super) a_bar: Aligned<R>,
    pub(super) lambda: Aligned<R>,
    pub(super) lambda_bar: Aligned<R>,
    pub(super) label: Aligned<R>,
    /// ‖V̄_k‖.
    pub(super) norm: Aligned<R>,
    pub(super) gauge_defect: Aligned<R>,
    pub(super) tie_defect: Aligned<R>,
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
        let reals = |count: usize| Aligned::new(T::Real::of(0.0), count * width);
        let numbers = |count: usize| reals(count * parts::<T>());
        let group = Group {
            n,
            padded,
            stride,
            width,
            with_vectors_bar: false,
            tied: false,
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
        (group.with_vectors_bar, group.tied) = (with_vectors_bar, false);
        if lanes < group.width {
            for x in [&mut group.v, &mut group.v_bar, &mut group.lambda, &mut group.lambda_bar, &mut group.label] {
                x.fill(T::Real::of(0.0));
            }
        }
    }

    fn tied(&mut self) {
        self.group.tied = true;
    }

    fn column(&mut self, lane: usize, column: Column<T::Real>) {
        let group = &mut self.group;
        let at = column.k * group.width + lane;
        group.lambda[at] = column.lambda;
        group.label[at] = column.label;
        group.lambda_bar[at] = column.lambda_bar;
    }

    fn load<O: Element<Scalar = T>>(&mut self, v: &[O], v_bar: Option<&[O]>) {
        let group = &mut self.group;
        let (n, width, number) = (group.n, group.width, parts::<T>() * group.width);
        gather(&mut group.v, v, n, group.stride, width);
        let Some(v_bar) = v_bar else { return };
        gather(&mut group.v_bar, v_bar, n, group.stride, width);
        for (k, column) in group.v_bar.chunks_exact_mut(group.stride * number).take(n).enumerate() {
            for (lane, &label) in group.label[k * width..][..width].iter().enumerate() {
                if label == T::Real::of(0.0) {
                    column.chunks_exact_mut(width).for_each(|x| x[lane] = label); // outside K
                }
            }
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

    fn store<G: Element<Scalar = T>>(&self, a_bar: &mut [G]) {
        let group = &self.group;
        scatter(&group.a_bar, a_bar, group.n, group.stride, group.width);
    }
}

/// Matrices one after the other, `[lane, k, i]`, into lanes, `[k, i, lane]`.
fn gather<O: Element>(to: &mut [<O::Scalar as Element>::Real], from: &[O], n: usize, stride: usize, width: usize) {
    let number = parts::<O::Scalar>() * width;
    for (lane, matrix) in from.chunks_exact(n * n).enumerate() {
        for (to, from) in to.chunks_exact_mut(stride * number).zip(matrix.chunks_exact(n)) {
            for (to, x) in to.chunks_exact_mut(number).zip(from) {
                let x = x.widen();
                to[lane] = x.re();
                if O::Scalar::COMPLEX {
                    to[width + lane] = x.im();
                }
            }
        }
    }
}

/// Lanes, `[i, j, lane]`, into matrices one after the other, `[lane, i, j]`.
fn scatter<G: Element>(from: &[<G::Scalar as Element>::Real], to: &mut [G], n: usize, stride: usize, width: usize) {
    let number = parts::<G::Scalar>() * width;
    for (lane, matrix) in to.chunks_exact_mut(n * n).enumerate() {
        for (to, from) in matrix.chunks_exact_mut(n).zip(from.chunks_exact(stride * number)) {
            for (to, x) in to.iter_mut().zip(from.chunks_exact(number)) {
                let im = if G::Scalar::COMPLEX { x[width + lane] } else { Real::of(0.0) };
                *to = G::narrow(Scalar::from_parts(x[lane], im));
            }
        }
    }
}
