//! Newton's method for a loss of kept eigenpairs alone: steps from Hessian-vector products by
//! conjugate gradients, among the directions that keep the rank to first order, and back to that
//! rank after each step.

use eigengrad::{Cotangents, Cut, Eigenpairs, Function, HermitianBatch, Options, Result, Tangents, Triangle, eigh};
use ndarray::{Array2, Array3, Axis, Zip};

const N: usize = 6;
const RANK: usize = 2;

/// A matrix of rank 2; `t` moves it.
fn matrix(t: f64) -> Array2<f64> {
    let b = Array2::from_shape_fn((N, RANK), |(i, k)| ((1.0 + i as f64) * (1.3 + k as f64) + t * (i * k) as f64).sin());
    b.dot(&b.t())
}

fn decompose(a: &Array2<f64>) -> Result<Eigenpairs<f64>> {
    let options = Options::default().with_cut(Cut::at_most(RANK));
    eigh(&batch(a)?, &options)
}

fn batch(a: &Array2<f64>) -> Result<HermitianBatch<f64>> {
    HermitianBatch::from_triangle(a.view().insert_axis(Axis(0)), Triangle::Lower)
}

/// V_K f(Λ_K) V_Kᵀ.
fn of_spectrum(pairs: &Eigenpairs<f64>, f: Function) -> Result<Array2<f64>> {
    Ok(pairs.spectral(&f.into())?.data().index_axis(Axis(0), 0).to_owned())
}

/// L = Σ_K ½(λ_k − λ*_k)² + 1 − (v_k*ᵀ v_k)², of pairs and of the true ones.
struct Loss(Eigenpairs<f64>);

impl Loss {
    /// v*ᵀ x for the kept columns of x, 0 for the others.
    fn overlaps(&self, x: &Array3<f64>) -> Array2<f64> {
        let mut q = (&self.0.vectors() * x).sum_axis(Axis(1));
        Zip::from(&mut q).and(self.0.kept()).for_each(|q, &kept| *q *= f64::from(kept));
        q
    }

    fn value(&self, pairs: &Eigenpairs<f64>) -> f64 {
        let q = self.overlaps(&pairs.vectors().to_owned());
        let values = (&pairs.values() - &self.0.values()).mapv(|d| 0.5 * d * d);
        let of_pair = |(((value, q), _), _)| value + 1.0 - q * q;
        values.iter().zip(&q).zip(self.0.kept()).zip(pairs.kept()).filter(|((_, a), b)| **a && **b).map(of_pair).sum()
    }

    fn cotangents(&self, pairs: &Eigenpairs<f64>) -> Result<Cotangents<f64>> {
        let v_bar = self.vectors_bar(&pairs.vectors().to_owned());
        Cotangents::new(pairs, Some((&pairs.values() - &self.0.values()).view()), Some(v_bar.view()))
    }

    /// The tangents of the cotangents along λ̇ and V̇.
    fn cotangents_dot(&self, pairs: &Eigenpairs<f64>, along: &Tangents<f64>) -> Result<Cotangents<f64>> {
        let v_bar_dot = self.vectors_bar(&along.vectors().to_owned());
        Cotangents::new(pairs, Some(along.values()), Some(v_bar_dot.view()))
    }

    /// −2 v* (v*ᵀ x): V̄ for x = V, and since it is linear, its tangent for x = V̇.
    fn vectors_bar(&self, x: &Array3<f64>) -> Array3<f64> {
        &self.0.vectors() * &self.overlaps(x).insert_axis(Axis(1)) * -2.0
    }
}

/// x with H x = −g by conjugate gradients, and the number of products with H.
fn solve(mut product: impl FnMut(&Array2<f64>) -> Result<Array2<f64>>, g: &Array2<f64>) -> Result<(Array2<f64>, usize)> {
    let dot = |x: &Array2<f64>, y: &Array2<f64>| (x * y).sum();
    let (mut x, mut residual, mut steps) = (Array2::zeros((N, N)), -g, 0);
    let (mut p, mut square) = (residual.clone(), dot(g, g));
    let enough = 1e-20 * square;
    while square > enough && steps < N * N {
        let of_p = product(&p)?;
        let step = square / dot(&p, &of_p);
        x.scaled_add(step, &p);
        residual.scaled_add(-step, &of_p);
        let next = dot(&residual, &residual);
        p = &residual + &(p * (next / square));
        (square, steps) = (next, steps + 1);
    }
    Ok((x, steps))
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<()> {
    let loss = Loss(decompose(&matrix(0.0))?);
    let mut a = matrix(0.02);
    for step in 0..5 {
        let pairs = decompose(&a)?;
        let cotangents = loss.cotangents(&pairs)?;
        let gradient = pairs.backward(&cotangents)?;
        gradient.check()?;
        let g = gradient.a_bar().index_axis(Axis(0), 0).to_owned();
        let null = Array2::eye(N) - of_spectrum(&pairs, Function::Projector)?;
        let hessian = |x: &Array2<f64>| {
            let of_x = pairs.hvp(&cotangents, &batch(x)?, |along| loss.cotangents_dot(&pairs, along))?;
            let of_x = of_x.data().index_axis(Axis(0), 0).to_owned();
            // a step within the null space would change the rank
            Ok(&of_x - null.dot(&of_x).dot(&null))
        };
        let (direction, products) = solve(hessian, &g)?;
        let norm = g.iter().map(|x| x * x).sum::<f64>().sqrt();
        println!("step {step}: loss {:.3e}, gradient {norm:.3e}, {products} products with the Hessian", loss.value(&pairs));
        a = of_spectrum(&decompose(&(a + direction))?, Function::Pow(1.0))?;
    }
    Ok(())
}
