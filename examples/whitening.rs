//! Whitening by a singular covariance, with its gradient: W = C^(−½) on the range of C and zero on
//! its null space, for data of six features of which two follow from the others.

use eigengrad::{Cut, Eigenpairs, Function, HermitianBatch, Options, Result, Triangle, eigh};
use ndarray::{Array2, ArrayView2, Axis};

/// Features.
const N: usize = 6;
/// Features that do not follow from others.
const RANK: usize = 4;
/// Samples.
const SAMPLES: usize = 40;

fn wave(i: usize, k: usize, t: f64) -> f64 {
    ((1.0 + i as f64) * (2.3 + k as f64) * (1.1 + t)).sin()
}

/// Samples `[SAMPLES, N]`; `t` changes how features are mixed.
fn samples(t: f64) -> Array2<f64> {
    let mixing = Array2::from_shape_fn((N, RANK), |(i, k)| wave(i, k, t) + f64::from(u8::from(i == k)));
    let sources = Array2::from_shape_fn((SAMPLES, RANK), |(s, k)| wave(s, k, 0.4).powi(3));
    sources.dot(&mixing.t())
}

fn of_one(matrix: ArrayView2<'_, f64>) -> Result<HermitianBatch<f64>> {
    HermitianBatch::from_triangle(matrix.insert_axis(Axis(0)), Triangle::Lower)
}

fn covariance(x: &Array2<f64>) -> Result<Eigenpairs<f64>> {
    let options = Options::default().with_cut(Cut::at_most(RANK));
    eigh(&of_one((x.t().dot(x) / SAMPLES as f64).view())?, &options)
}

/// Σ (W x)⁴ / samples, the fourth moment of whitened data, and its gradient by the covariance C,
/// with the samples as they are.
fn fourth_moment(c: &Eigenpairs<f64>, x: &Array2<f64>) -> Result<(f64, Array2<f64>)> {
    let whitening = c.spectral(&Function::Rsqrt.into())?;
    whitening.check()?;
    let w = whitening.data().index_axis(Axis(0), 0).to_owned();
    let y = x.dot(&w); // W is symmetric
    let w_bar = y.mapv(|y| 4.0 * y.powi(3)).t().dot(x) / SAMPLES as f64;
    let symmetric = (&w_bar + &w_bar.t()) * 0.5;
    let c_bar = c.spectral_derivative(&Function::Rsqrt.into(), &of_one(symmetric.view())?)?;
    c_bar.check()?;
    Ok((y.mapv(|y| y.powi(4)).sum() / SAMPLES as f64, c_bar.data().index_axis(Axis(0), 0).to_owned()))
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<()> {
    let x = samples(0.0);
    let c = covariance(&x)?;
    let whitening = c.spectral(&Function::Rsqrt.into())?;
    let y = x.dot(&whitening.data().index_axis(Axis(0), 0));
    let projector = c.spectral(&Function::Projector.into())?;
    let white = y.t().dot(&y) / SAMPLES as f64 - projector.data().index_axis(Axis(0), 0);
    println!("rank       {} of {N}", c.rank()[0]);
    println!("white      to {:.1e} on the range of the covariance", white.iter().fold(0.0, |m: f64, x| m.max(x.abs())));
    let (value, gradient) = fourth_moment(&c, &x)?;
    println!("moment     {value:.6}");
    let h = 1e-6; // along a path of covariances of this rank
    let (above, below) = (samples(h), samples(-h));
    let velocity = (above.t().dot(&above) - below.t().dot(&below)) / (2.0 * h * SAMPLES as f64);
    println!("slope      {:.7} by the gradient", (&gradient * &velocity).sum());
    let difference = fourth_moment(&covariance(&above)?, &x)?.0 - fourth_moment(&covariance(&below)?, &x)?.0;
    println!("slope      {:.7} by a difference", difference / (2.0 * h));
    Ok(())
}
