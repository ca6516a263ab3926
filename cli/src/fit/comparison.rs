//! A fit against its target: the loss of a batch with its cotangents, and how far apart the two
//! are.

use super::loss::{self, Parts};
use crate::args::Loss;
use eigengrad::{Cpu, Eigenpairs, Real, Scalar};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use num_traits::{Float, Zero};

/// The comparison with a target, and the cotangents that the last one left.
#[derive(Debug)]
pub struct Comparison<'a, T: Scalar> {
    target: &'a Eigenpairs<T, Cpu>,
    loss: Loss,
    /// λ̄, `[batch, n]`.
    pub lambda_bar: Array2<T::Real>,
    /// V̄ in the order of memory, `[batch, k, i]`.
    pub v_bar: Array3<T>,
    /// The loss of each matrix.
    pub losses: Vec<Parts>,
}

impl<'a, T: Scalar> Comparison<'a, T> {
    /// With memory for the cotangents.
    pub fn new(target: &'a Eigenpairs<T, Cpu>, loss: Loss) -> Self {
        let (batch, n) = (target.batch(), target.n());
        let lambda_bar = Array2::from_elem((batch, n), T::Real::zero());
        Self {
            target,
            loss,
            lambda_bar,
            v_bar: Array3::from_elem((batch, n, n), T::default()),
            losses: vec![Parts::default(); batch],
        }
    }

    /// The loss, the mean over the batch, and the cotangents of each matrix by its own loss. Pairs
    /// are matched by index; one that the fit has not kept counts as if nothing of it were right.
    pub fn compare(&mut self, fit: &Eigenpairs<T, Cpu>) -> Parts {
        let mut sum = Parts::default();
        for b in 0..fit.batch() {
            self.losses[b] = self.compare_matrix(b, fit);
            sum += self.losses[b];
        }
        sum.scale(1.0 / fit.batch().max(1) as f64)
    }

    fn compare_matrix(&mut self, b: usize, fit: &Eigenpairs<T, Cpu>) -> Parts {
        let (n, r) = (fit.n(), self.target.rank()[b] as usize);
        let (target, fitted) = (matrix(self.target, b), matrix(fit, b));
        let (weight, mut sum) = (1.0 / r as f64, Parts::default());
        for k in n - r..n {
            sum += if fit.kept()[[b, k]] {
                let (values, lambda_bar) = loss::value(fit.values()[[b, k]], self.target.values()[[b, k]], weight);
                self.lambda_bar[[b, k]] = lambda_bar;
                let mut v_bar = self.v_bar.index_axis_mut(Axis(0), b);
                let vectors = loss::vector(self.loss, fitted.column(k), target.column(k), weight, v_bar.row_mut(k));
                Parts { values, vectors }
            } else {
                Parts { values: weight, vectors: weight }
            };
        }
        sum
    }
}

/// The loss from which a matrix counts as fitted: eigenvalues to some parts in a thousand.
const CONVERGED: f64 = 1e-5;

/// A line for each matrix whose fit is not its target, with the reason that is seen.
pub fn unconverged<T: Scalar>(target: &Eigenpairs<T, Cpu>, fit: &Eigenpairs<T, Cpu>, losses: &[Parts]) -> Vec<String> {
    let reached = |loss: &Parts| (0.0..=CONVERGED).contains(&loss.total()); // NaN is not
    let far = losses.iter().enumerate().filter(|(b, loss)| !target.status()[*b].failed() && !reached(loss));
    far.map(|(b, loss)| format!("matrix {b} did not converge, loss {:.3e}: {}", loss.total(), why(b, target, fit))).collect()
}

fn why<T: Scalar>(b: usize, target: &Eigenpairs<T, Cpu>, fit: &Eigenpairs<T, Cpu>) -> &'static str {
    let (n, kept) = (target.n(), |k: &usize| target.kept()[[b, *k]]);
    let norm = target.values().row(b).iter().fold(0.0, |norm: f64, x| norm.max(x.to_f64().abs()));
    if target.gap_kept()[b].to_f64() <= T::PRECISION.tie_cutoff(n) * norm {
        return "eigenvalues of the target tie, so that its eigenvectors mean nothing";
    }
    if (0..n).filter(kept).any(|k| !fit.kept()[[b, k]]) {
        return "the cut drops eigenvalues of the fit; a smaller --rtol or --cut none keeps them";
    }
    let (wanted, got) = (matrix(target, b), matrix(fit, b));
    let overlap =
        |k: usize| wanted.column(k).iter().zip(got.column(k)).fold(T::zero(), |sum, (&x, &y)| sum + x.conj() * y).norm_sqr();
    if (0..n).filter(kept).any(|k| overlap(k).to_f64() < 0.5) {
        return "eigenvalues crossed, and eigenvectors are in the wrong order; try a smaller --noise or another --seed";
    }
    let least = (0..n).filter(kept).fold(f64::INFINITY, |least, k| least.min(target.values()[[b, k]].to_f64()));
    if least <= 100.0 * T::PRECISION.epsilon() * norm {
        return "its smallest kept eigenvalue is round-off beside the largest; drop it by --rtol, or take a wider type";
    }
    "more --steps may do"
}

/// How far a fit is from its target.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// max|Δλ| / max|λ*| over K.
    pub values: f64,
    /// ‖Π − Π*‖ (Frobenius).
    pub projector: f64,
}

/// The distance of each matrix from the target's; none where that has no eigenpairs.
pub fn distances<T: Scalar>(target: &Eigenpairs<T, Cpu>, fit: &Eigenpairs<T, Cpu>) -> Vec<Option<Distance>> {
    let distance = |b| Distance { values: values_distance(b, target, fit), projector: projector_distance(b, target, fit) };
    target.status().iter().enumerate().map(|(b, status)| (!status.failed()).then(|| distance(b))).collect()
}

fn values_distance<T: Scalar>(b: usize, target: &Eigenpairs<T, Cpu>, fit: &Eigenpairs<T, Cpu>) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0f64);
    for k in (0..target.n()).filter(|&k| target.kept()[[b, k]]) {
        let (wanted, got) = (target.values()[[b, k]].to_f64(), fit.values()[[b, k]].to_f64());
        let by = (got - wanted).abs();
        difference = if by <= difference { difference } else { by }; // NaN stays
        norm = norm.max(wanted.abs());
    }
    if norm > 0.0 { difference / norm } else { 0.0 }
}

fn projector_distance<T: Scalar>(b: usize, target: &Eigenpairs<T, Cpu>, fit: &Eigenpairs<T, Cpu>) -> f64 {
    let (wanted, got) = (projector(b, target), projector(b, fit));
    let square = wanted.iter().zip(&got).fold(T::Real::zero(), |sum, (&x, &y)| sum + (x - y).norm_sqr());
    square.sqrt().to_f64()
}

/// Π = V_K V_Kᴴ of matrix b.
fn projector<T: Scalar>(b: usize, pairs: &Eigenpairs<T, Cpu>) -> Array2<T> {
    let kept: Vec<_> = (0..pairs.n()).filter(|&k| pairs.kept()[[b, k]]).collect();
    let v = matrix(pairs, b).select(Axis(1), &kept);
    v.dot(&v.t().mapv(T::conj))
}

/// V of matrix b, eigenvectors in columns.
fn matrix<T: Scalar>(pairs: &Eigenpairs<T, Cpu>, b: usize) -> ArrayView2<'_, T> {
    pairs.vectors().index_axis_move(Axis(0), b)
}
