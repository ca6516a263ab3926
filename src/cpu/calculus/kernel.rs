//! The formulas, and the moves into a group and out of it, compiled once for each type and
//! instruction set: [`Calculate`].

use super::formulas::Formulas;
use super::group::{DerivativeGroup, GroupShape};
use super::multiply::{InLanes, MultiplyBy, OneMatrix};
use crate::cpu::simd::moves::{Runs, into_lanes, out_of_lanes};
use crate::cpu::simd::vector::{Vector, dispatch};
use crate::cpu::types::for_each_type;
use crate::{Element, Scalar, Triangle};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};

/// What is done with a group.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Vᴴ and F, which operations on eigenpairs begin with.
    Gaps,
    /// Vᴴ and the weights of a function.
    Function,
    /// Vᴴ alone.
    Adjoin,
    /// The other triangle of the Hermitian matrix that was given.
    Complete(Triangle),
    Jvp,
    BackwardJvp,
    DoubleBackward,
    Spectral,
    Map,
}

/// How matrices lie in storage.
#[derive(Clone, Copy, Debug)]
pub enum StorageOrder {
    /// Row by row, as Hermitian matrices.
    Rows,
    /// Column by column, as eigenvectors and their cotangents.
    Columns,
}

impl StorageOrder {
    #[inline(always)]
    fn runs(self, shape: GroupShape, parts: usize) -> Runs {
        match self {
            Self::Rows => Runs::rows(shape.n, parts, shape.stride),
            Self::Columns => Runs::columns(shape.n, parts, shape.stride),
        }
    }
}

/// Takes a step with a group, or moves matrices.
pub trait Calculate: Element {
    fn calculate(group: &mut DerivativeGroup<Self::Real>, step: Step);
    /// Matrices one after the other into a group.
    fn gather(shape: GroupShape, from: &[Self], order: StorageOrder, to: &mut [Self::Real]);
    /// As many matrices as `to` has memory for out of a group.
    fn scatter(shape: GroupShape, from: &[Self::Real], order: StorageOrder, to: &mut [Self]);
}

macro_rules! calculate {
    ($($t:ty: $real:ty, $parts:literal, $rows:literal);*) => { $(
        impl Calculate for $t {
            fn calculate(group: &mut DerivativeGroup<Self::Real>, step: Step) {
                dispatch(Kernel::<'_, $t, $parts, $rows> { group, step });
            }
            fn gather(shape: GroupShape, from: &[Self], order: StorageOrder, to: &mut [$real]) {
                transfer(Gather::<'_, $real, $parts> { shape, from: cast_slice(from), order, to }, shape.alone);
            }
            fn scatter(shape: GroupShape, from: &[$real], order: StorageOrder, to: &mut [Self]) {
                transfer(Scatter::<'_, $real, $parts> { shape, from, order, to: cast_slice_mut(to) }, shape.alone);
            }
        }
    )* }
}
for_each_type!(calculate);

fn transfer(job: impl WithSimd<Output = ()>, alone: bool) {
    if alone { pulp::Scalar.vectorize(job) } else { dispatch(job) }
}

struct Gather<'a, R, const C: usize> {
    shape: GroupShape,
    from: &'a [R],
    order: StorageOrder,
    to: &'a mut [R],
}

impl<R: Vector, const C: usize> WithSimd for Gather<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { shape, from, order, to } = self;
        into_lanes::<S, R, C>(s, from, order.runs(shape, C), R::vectors_mut(s, to));
    }
}

struct Scatter<'a, R, const C: usize> {
    shape: GroupShape,
    from: &'a [R],
    order: StorageOrder,
    to: &'a mut [R],
}

impl<R: Vector, const C: usize> WithSimd for Scatter<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { shape, from, order, to } = self;
        out_of_lanes::<S, R, C>(s, R::vectors(s, from), order.runs(shape, C), to);
    }
}

struct Kernel<'a, T: Element, const C: usize, const ROWS: usize> {
    group: &'a mut DerivativeGroup<T::Real>,
    step: Step,
}

impl<T: Scalar<Real: Vector>, const C: usize, const ROWS: usize> WithSimd for Kernel<'_, T, C, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        if self.group.shape.alone {
            take::<pulp::Scalar, T::Real, C, OneMatrix<T>>(pulp::Scalar, self.group, self.step);
        } else {
            let Self { group, step } = self;
            if const { S::REGISTER_COUNT < 32 } {
                take::<S, T::Real, C, InLanes<ROWS, 2>>(s, group, step);
            } else {
                take::<S, T::Real, C, InLanes<ROWS, 4>>(s, group, step);
            }
        }
    }
}

#[inline(always)]
fn take<S: Simd, R: Vector, const C: usize, W: MultiplyBy<S, R, C>>(s: S, group: &mut DerivativeGroup<R>, step: Step) {
    let formulas = Formulas::<S, R, C, W>::new(s, group.shape.n);
    match step {
        Step::Gaps => {
            formulas.adjoin(group);
            formulas.weigh_gaps(group);
        }
        Step::Function => {
            formulas.adjoin(group);
            formulas.weigh_function(group);
        }
        Step::Adjoin => formulas.adjoin(group),
        Step::Complete(triangle) => formulas.complete(&mut group.given, triangle),
        Step::Jvp => formulas.jvp(group),
        Step::BackwardJvp => formulas.backward_jvp(group),
        Step::DoubleBackward => formulas.double_backward(group),
        Step::Spectral => formulas.spectral(group),
        Step::Map => formulas.map(group),
    }
}
