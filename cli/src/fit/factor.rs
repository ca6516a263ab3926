//! The factor B of one matrix, B = C diag(√λ*): what is learnt is C, whose columns have about unit
//! length.

use super::adam::Adam;
use eigengrad::{Real, Scalar};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2};
use num_traits::Float;
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::StandardNormal;

/// C, √λ* and the state of the optimiser.
///
/// In C both losses are without units and every eigenvalue is as easy to move as the largest:
/// dλ_k/λ_k = 2 Re C̃_kk, where C̃ is the change of C in the basis of eigenvectors.
#[derive(Debug)]
pub struct Factor<T: Scalar> {
    c: Array2<T>,
    scale: Array1<T::Real>,
    adam: Adam<T>,
}

impl<T: Scalar> Factor<T> {
    /// B*∘(1 + σN), B* = V √Λ from the eigenpairs `[r]`, `[n, r]` to be matched; N is standard
    /// normal, complex where B is.
    pub fn start(values: ArrayView1<'_, T::Real>, vectors: ArrayView2<'_, T>, sigma: f64, random: &mut StdRng) -> Self {
        let c = vectors.mapv(|v| v * (T::from_parts(Real::of(1.0), Real::of(0.0)) + gaussian::<T>(sigma, random)));
        Self { adam: Adam::new(c.dim()), c, scale: values.mapv(Float::sqrt) }
    }

    /// B, `[n, r]`.
    fn b(&self) -> Array2<T> {
        scaled(self.c.clone(), &self.scale)
    }

    /// A = B Bᴴ.
    pub fn product_into(&self, mut a: ArrayViewMut2<'_, T>) {
        let b = self.b();
        general_mat_mul(T::one(), &b, &b.t().mapv(T::conj), T::zero(), &mut a);
    }

    /// One step against the gradient Ā of the loss: B̄ = 2 Ā B, as dL = Re tr(Āᴴ (dB Bᴴ + B dBᴴ))
    /// with Ā Hermitian, and C̄ = B̄ diag(√λ*). A gradient that is not finite changes nothing;
    /// returns whether it was.
    pub fn step(&mut self, a_bar: ArrayView2<'_, T>, rate: f64) -> bool {
        let b_bar = a_bar.dot(&self.b()).mapv(|x| x + x);
        let c_bar = scaled(b_bar, &self.scale);
        let finite = c_bar.iter().all(|x| x.finite());
        if finite {
            self.adam.step(&mut self.c, c_bar.view(), rate);
        }
        finite
    }
}

/// X diag(s).
fn scaled<T: Scalar>(mut x: Array2<T>, s: &Array1<T::Real>) -> Array2<T> {
    x.rows_mut().into_iter().for_each(|mut row| row.zip_mut_with(s, |x, &s| *x = x.scale(s)));
    x
}

/// A normal number of mean 0 and mean square σ².
fn gaussian<T: Scalar>(sigma: f64, random: &mut StdRng) -> T {
    let mut normal = |sigma: f64| Real::of(sigma * random.sample::<f64, _>(StandardNormal));
    if T::COMPLEX {
        let sigma = sigma * std::f64::consts::FRAC_1_SQRT_2;
        T::from_parts(normal(sigma), normal(sigma))
    } else {
        T::from_parts(normal(sigma), Real::of(0.0))
    }
}
