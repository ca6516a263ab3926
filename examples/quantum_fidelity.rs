//! The fidelity of quantum states of rank 2, on four levels, and its gradient: finite, where √ has
//! an infinite slope at the null eigenvalues of either.

use eigengrad::{Cut, HermitianBatch, Options, Result, fidelity};
use ndarray::{Array2, Array3, Axis};
use num_complex::Complex;

type C = Complex<f64>;

/// A state p |a⟩⟨a| + (1 − p) |b⟩⟨b|, of vectors that turn with t.
fn state(p: f64, t: f64) -> Array3<C> {
    let wave = |i: usize, k: usize| C::cis((1.3 + t) * (i * (k + 1)) as f64) * (1.0 + i as f64 * (0.3 + 0.2 * t)).cos();
    let unit = |k: usize| {
        let v = Array2::from_shape_fn((4, 1), |(i, _)| wave(i, k));
        let norm = v.iter().map(C::norm_sqr).sum::<f64>().sqrt();
        v / C::from(norm)
    };
    let (a, b) = (unit(1), unit(2));
    let rho = a.dot(&a.t().mapv(|x| x.conj())) * C::from(p) + b.dot(&b.t().mapv(|x| x.conj())) * C::from(1.0 - p);
    rho.insert_axis(Axis(0))
}

/// F(ρ, σ) and its gradient by ρ.
fn of(rho: &Array3<C>, sigma: &Array3<C>) -> Result<(f64, Array3<C>)> {
    let options = Options::default().with_cut(Cut::at_most(2));
    let found = fidelity(&HermitianBatch::new(rho.view())?, &HermitianBatch::new(sigma.view())?, &options)?;
    found.a_bar.check()?;
    Ok((found.root[0].powi(2), found.a_bar.data().to_owned()))
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<()> {
    let (rho, sigma) = (state(0.7, 0.0), state(0.6, 0.2));
    println!("F(ρ, ρ)    {:.12}", of(&rho, &rho)?.0);
    let (value, gradient) = of(&rho, &sigma)?;
    println!("F(ρ, σ)    {value:.12}, and {:.12} with the two exchanged", of(&sigma, &rho)?.0);
    println!("finite     {}", gradient.iter().all(|x| x.is_finite()));
    let h = 1e-6; // along a path of states of rank 2
    let (above, below) = (state(0.7, h), state(0.7, -h));
    let slope: f64 = gradient.iter().zip(&(&above - &below)).map(|(g, d)| (g.conj() * d).re).sum();
    println!("slope      {:.9} by the gradient", slope / (2.0 * h));
    println!("slope      {:.9} by a difference", (of(&above, &sigma)?.0 - of(&below, &sigma)?.0) / (2.0 * h));
    Ok(())
}
