//! Random numbers and matrices, the same on every machine.

use crate::numbers::{C, Matrix, adjoint};
use eigengrad::{Element, Scalar};
use ndarray::Array2;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform(f64::EPSILON, 1.0).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform(0.0, 1.0)).cos()
    }

    /// Standard normal, in both parts if `T` has two.
    pub fn number<T: Element>(&mut self) -> C {
        C::new(self.normal(), if T::Scalar::COMPLEX { self.normal() } else { 0.0 })
    }

    pub fn vector(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }

    pub fn matrix<T: Element>(&mut self, rows: usize, columns: usize) -> Matrix {
        Array2::from_shape_simple_fn((rows, columns), || self.number::<T>())
    }

    pub fn hermitian<T: Element>(&mut self, n: usize) -> Matrix {
        let x = self.matrix::<T>(n, n);
        (&x + &adjoint(&x)).mapv(|x| x * 0.5)
    }

    /// Orthonormal columns, by Gram and Schmidt, twice.
    pub fn unitary<T: Element>(&mut self, n: usize) -> Matrix {
        let mut q: Vec<Vec<C>> = Vec::new();
        while q.len() < n {
            let mut x: Vec<C> = (0..n).map(|_| self.number::<T>()).collect();
            for other in q.iter().chain(&q) {
                let dot: C = other.iter().zip(&x).map(|(a, b)| a.conj() * b).sum();
                x.iter_mut().zip(other).for_each(|(x, &a)| *x -= a * dot);
            }
            let norm = x.iter().map(|x| x.norm_sqr()).sum::<f64>().sqrt();
            q.push(x.into_iter().map(|x| x / norm).collect());
        }
        Array2::from_shape_fn((n, n), |(i, k)| q[k][i])
    }

    /// Q Λ Qᴴ with a random Q, Hermitian to the last bit.
    pub fn with_spectrum<T: Element>(&mut self, lambda: &[f64]) -> Matrix {
        let q = self.unitary::<T>(lambda.len());
        let mut scaled = q.clone();
        scaled.columns_mut().into_iter().zip(lambda).for_each(|(mut column, &x)| column.mapv_inplace(|q| q * x));
        let a = scaled.dot(&adjoint(&q));
        (&a + &adjoint(&a)).mapv(|x| x * 0.5)
    }

    /// Of rank r: eigenvalues 1 … 2 in steps, the others null to round-off; alternating in sign if
    /// `indefinite`.
    pub fn of_rank<T: Element>(&mut self, n: usize, r: usize, indefinite: bool) -> Matrix {
        let sign = |k: usize| if indefinite && k % 2 == 1 { -1.0 } else { 1.0 };
        let lambda: Vec<_> = (0..n).map(|k| if k < r { sign(k) * (1.0 + k as f64 / r as f64) } else { 0.0 }).collect();
        self.with_spectrum::<T>(&lambda)
    }
}
