//! Adam on the coordinates of one factor.

use eigengrad::{Real, Scalar};
use ndarray::{Array2, ArrayView2, Zip};
use num_traits::{Float, Zero};

/// The part of the mean gradient that a step keeps. Above the usual 0.9: nearly tied eigenvalues
/// make the loss stiff, and the condition number that momentum can cross grows with 1/(1 − β₁).
const BETA_1: f64 = 0.95;
/// The part of the mean square that a step keeps. Below the usual 0.999: gradients fall by ten
/// orders of magnitude within a run, and what a crossing of eigenvalues left behind is to be
/// forgotten within a hundred steps.
const BETA_2: f64 = 0.99;
/// The gradient, which has no units here, below which steps shrink with it.
const EPSILON: f64 = 1e-8;

/// The running moments of a gradient: m ← β₁m + (1 − β₁)g and v ← β₂v + (1 − β₂)|g|².
#[derive(Debug)]
pub struct Adam<T: Scalar> {
    m: Array2<T>,
    v: Array2<T::Real>,
    steps: i32,
}

impl<T: Scalar> Adam<T> {
    /// Before the first step.
    pub fn new(dim: (usize, usize)) -> Self {
        Self { m: Array2::from_elem(dim, T::default()), v: Array2::from_elem(dim, T::Real::zero()), steps: 0 }
    }

    /// x ← x − rate·m̂/(√v̂ + ε), with m̂ and v̂ the moments without the bias of their start from 0. A
    /// complex coordinate is scaled as one number, so that its phase does not matter.
    pub fn step(&mut self, x: &mut Array2<T>, gradient: ArrayView2<'_, T>, rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let [beta_1, beta_2] = [BETA_1, BETA_2].map(T::Real::of);
        let [unbias_1, unbias_2] = [BETA_1, BETA_2].map(|beta| T::Real::of(1.0 / (1.0 - beta.powi(self.steps))));
        let [rest_1, rest_2, epsilon, rate] = [1.0 - BETA_1, 1.0 - BETA_2, EPSILON, rate].map(T::Real::of);
        Zip::from(x).and(&mut self.m).and(&mut self.v).and(gradient).for_each(|x, m, v, &g| {
            *m = m.scale(beta_1) + g.scale(rest_1);
            *v = *v * beta_2 + g.norm_sqr() * rest_2;
            *x -= m.scale(rate * unbias_1 / ((*v * unbias_2).sqrt() + epsilon));
        });
    }
}
