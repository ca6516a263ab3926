//! The formulas, and the moves into a group and out of it, compiled once for each type and instruction set: [`Calculate`].

use super::formulas::Formulas;
use super::group::{DerivativeGroup, GroupShape};
use super::multiply::{InLanes, MultiplyBy, OneMatrix};
use crate::cpu::simd::moves::{Runs, into_lanes, out_of_lanes};
use crate::cpu::simd::vector::{Vector, dispatch};
use crate::{Element, Scalar, Triangle};
use num_complex::Complex;
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

/// Takes a step with a group, or moves matrices.
pub trait Calculate: Element {
    fn calculate(group: &mut DerivativeGroup<Self::Real>, step: Step);
    /// Matrices one after the other, `[lane, k, i]`, into a group.
    fn gather(shape: GroupShape, from: &[Self], to: &mut [Self::Real]);
    /// As many matrices as `to` has memory for out of a group.
    fn scatter(shape: GroupShape, from: &[Self::Real], to: &mut [Self]);
}

macro_rules! calculate {
    ($($t:ty: $parts:literal, $rows:literal);*) => { $(
        impl Calculate for $t {
            fn calculate(group: &mut DerivativeGroup<Self::Real>, step: Step) {
                dispatch(Kernel::<'_, $t, $parts, $rows> { group, step });
            }
            fn gather(shape: GroupShape, from: &[Self], to: &mut [Self::Real]) {
                transfer(Gather::<'_, Self::Real, $parts> { shape, from: cast_slice(from), to }, shape.alone);
            }
            fn scatter(shape: GroupShape, from: &[Self::Real], to: &mut [Self]) {
                transfer(Scatter::<'_, Self::Real, $parts> { shape, from, to: cast_slice_mut(to) }, shape.alone);
            }
        }
    )* }
}
calculate!(f32: 1, 4; f64: 1, 4; Complex<f32>: 2, 2; Complex<f64>: 2, 2);

fn transfer(job: impl WithSimd<Output = ()>, alone: bool) {
    if alone { pulp::Scalar.vectorize(job) } else { dispatch(job) }
}

struct Gather<'a, R, const C: usize> {
    shape: GroupShape,
    from: &'a [R],
    to: &'a mut [R],
}

impl<R: Vector, const C: usize> WithSimd for Gather<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { shape, from, to } = self;
        into_lanes::<S, R, C>(s, from, Runs::rows(shape.n, C, shape.stride), R::vectors_mut(s, to));
    }
}

struct Scatter<'a, R, const C: usize> {
    shape: GroupShape,
    from: &'a [R],
    to: &'a mut [R],
}

impl<R: Vector, const C: usize> WithSimd for Scatter<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { shape, from, to } = self;
        out_of_lanes(s, R::vectors(s, from), Runs::rows(shape.n, C, shape.stride), to);
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
            take::<S, T::Real, C, InLanes<ROWS>>(s, self.group, self.step);
        }
    }
}

#[inline(always)]
fn take<S: Simd, R: Vector, const C: usize, W: MultiplyBy<R, C>>(s: S, group: &mut DerivativeGroup<R>, step: Step) {
    let formulas = Formulas::<S, R, C, W>::new(s, group.shape);
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
