//! The formulas compiled once for each type and instruction set: [`Calculate`].

use super::formulas::Formulas;
use super::group::Group;
use super::multiply::{Alone, InLanes, Way};
use crate::cpu::Kernels;
use crate::cpu::vector::Vector;
use crate::{Element, Triangle};
use num_complex::Complex;
use pulp::{Arch, Scalar, Simd, WithSimd};

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

/// Takes a step with a group.
pub trait Calculate: Element {
    fn calculate(group: &mut Group<Self::Real>, step: Step);
}

macro_rules! calculate {
    ($($t:ty: $parts:literal, $rows:literal);*) => { $(
        impl Calculate for $t {
            fn calculate(group: &mut Group<Self::Real>, step: Step) {
                Arch::new().dispatch(Kernel::<'_, $t, $parts, $rows> { group, step });
            }
        }
    )* }
}
calculate!(f32: 1, 4; f64: 1, 4; Complex<f32>: 2, 2; Complex<f64>: 2, 2);

struct Kernel<'a, T: Element, const C: usize, const ROWS: usize> {
    group: &'a mut Group<T::Real>,
    step: Step,
}

impl<T: Kernels<Real: Vector>, const C: usize, const ROWS: usize> WithSimd for Kernel<'_, T, C, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        if self.group.alone {
            take::<Scalar, T::Real, C, Alone<T>>(Scalar, self.group, self.step);
        } else {
            take::<S, T::Real, C, InLanes<ROWS>>(s, self.group, self.step);
        }
    }
}

#[inline(always)]
fn take<S: Simd, R: Vector, const C: usize, W: Way<R, C>>(s: S, group: &mut Group<R>, step: Step) {
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
