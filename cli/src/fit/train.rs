//! The training loop: A = B Bᴴ → eigenpairs → loss → Ā → B̄ → a step, for all matrices of the batch
//! at once.

use super::comparison::Comparison;
use super::factor::Factor;
use super::loss::Parts;
use crate::args::Loss;
use eigengrad::{
    Cotangents, Cpu, Cut, Eigenpairs, ElementOf, Engine, Gradient, HermitianBatch, Options, Plan, Result, Scalar, Triangle,
};
use ndarray::{Array3, Axis, Slice};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// What the user may choose.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What of the eigenvectors is matched.
    pub loss: Loss,
    /// σ of the start B*∘(1 + σN).
    pub sigma: f64,
    /// The number of steps.
    pub steps: usize,
    /// The seed of N.
    pub seed: u64,
    /// The cut of the target, and of the fit.
    pub cut: Cut,
}

/// What the training came to.
#[derive(Debug)]
pub struct Outcome<T: Scalar> {
    /// The loss before each step and after the last.
    pub history: Vec<Parts>,
    /// B Bᴴ, `[batch, n, n]`.
    pub fitted: Array3<T>,
    /// Its eigenpairs.
    pub pairs: Eigenpairs<T, Cpu>,
    /// The loss of each matrix.
    pub losses: Vec<Parts>,
    /// How many gradients, one a matrix and step, were not finite.
    pub not_finite: usize,
}

/// Learns a factor for each matrix whose eigenpairs are given, all λ_K > 0; `watch` is told the
/// loss at every step.
///
/// # Errors
/// Those of the backend.
pub fn train<T: Scalar + ElementOf<T>, B: Engine<T>>(
    backend: &B,
    target: &Eigenpairs<T, Cpu>,
    settings: &Settings,
    mut watch: impl FnMut(Parts),
) -> Result<Outcome<T>> {
    let (batch, n) = (target.batch(), target.n());
    let mut comparison = Comparison::new(target, settings.loss);
    let mut factors = start(target, settings);
    // B has r columns, so A has rank r: beyond it there is only round-off.
    let cut = settings.cut.with_at_most(target.rank().iter().copied().max().unwrap_or(0) as usize);
    let plan = Plan::<T, B>::new(backend, batch, n, &Options::default().with_cut(cut))?;
    let (workspace, mut pairs, mut gradient) = (plan.workspace()?, plan.eigenpairs::<T>()?, plan.gradient::<T>()?);
    let (mut history, mut not_finite, mut fitted) = (Vec::new(), 0, Array3::from_elem((batch, n, n), T::default()));
    for step in 0.. {
        factors.iter().zip(fitted.outer_iter_mut()).for_each(|(factor, a)| factor.product_into(a));
        let a = HermitianBatch::from_triangle_on(backend, fitted.view(), Triangle::Lower)?;
        plan.eigh_into(a.view(), pairs.view_mut(), &workspace)?;
        let loss = comparison.compare(&pairs.to_host()?);
        history.push(loss);
        watch(loss);
        if step == settings.steps {
            break;
        }
        let v_bar = comparison.v_bar.view().permuted_axes([0, 2, 1]);
        let cotangents = Cotangents::new(&pairs, Some(comparison.lambda_bar.view()), Some(v_bar))?;
        plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace)?;
        not_finite += descend(&mut factors, &gradient.to_host()?, rate(settings, n, step));
    }
    let losses = comparison.losses;
    Ok(Outcome { history, fitted, pairs: pairs.to_host()?, losses, not_finite })
}

/// B*∘(1 + σN) of every matrix. What is kept are the largest eigenvalues, thus the last r.
fn start<T: Scalar>(target: &Eigenpairs<T, Cpu>, settings: &Settings) -> Vec<Factor<T>> {
    let mut random = StdRng::seed_from_u64(settings.seed);
    let (values, vectors) = (target.values(), target.vectors());
    let pairs = values.outer_iter().zip(vectors.outer_iter()).zip(target.rank());
    let factors = pairs.map(|((values, vectors), &r)| {
        let last = Slice::from(target.n() - r as usize..);
        Factor::start(values.slice_axis(Axis(0), last), vectors.slice_axis(Axis(1), last), settings.sigma, &mut random)
    });
    factors.collect()
}

/// A step of every factor; returns how many gradients were not finite.
fn descend<T: Scalar>(factors: &mut [Factor<T>], gradient: &Gradient<T, Cpu>, rate: f64) -> usize {
    let a_bar = gradient.a_bar();
    factors.iter_mut().zip(a_bar.outer_iter()).map(|(factor, a_bar)| usize::from(!factor.step(a_bar, rate))).sum()
}

/// The length of step t of N in each coordinate, σ/10 · n^(−½) · ½(1 + cos πt/N).
///
/// Adam's steps have the length of the rate whatever the gradient's: it has to be a fraction of the
/// way to go, which is σ times a coordinate's size, n^(−½), and has to end at 0 for the iterates to
/// come to rest.
fn rate(settings: &Settings, n: usize, step: usize) -> f64 {
    let phase = std::f64::consts::PI * step as f64 / settings.steps as f64;
    0.1 * settings.sigma.min(1.0) / (n.max(1) as f64).sqrt() * 0.5 * (1.0 + phase.cos())
}
