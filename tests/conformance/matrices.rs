//! Hermitian matrices to decompose, and LAPACK's ratios of what comes out. Naive, in double
//! precision.

use crate::number::Number;
use num_complex::Complex;

/// `count` matrices of order n, column-major, one after the other.
#[derive(Clone)]
pub struct Matrices<T> {
    pub n: usize,
    pub count: usize,
    pub data: Vec<T>,
}

impl<T: Number> Matrices<T> {
    /// A_k(i, j), made equal to conj(A_k(j, i)).
    pub fn from_fn(n: usize, count: usize, mut value: impl FnMut(usize, usize, usize) -> Complex<f64>) -> Self {
        let mut data = vec![T::default(); n * n * count];
        for k in 0..count {
            for j in 0..n {
                for i in j..n {
                    let mut x = value(k, i, j);
                    x.im = if i == j || !T::COMPLEX { 0.0 } else { x.im };
                    data[(k * n + j) * n + i] = T::of(x);
                    data[(k * n + i) * n + j] = T::of(x.conj());
                }
            }
        }
        Self { n, count, data }
    }

    /// Gaussian entries.
    pub fn random(n: usize, count: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self::from_fn(n, count, |_, _, _| gaussian(&mut random))
    }

    /// XXᴴ/n, X of `rank` columns with Gaussian entries.
    pub fn of_rank(n: usize, count: usize, rank: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let x: Vec<Complex<f64>> = (0..n * rank * count).map(|_| gaussian(&mut random)).collect();
        let x: Vec<Complex<f64>> = x.into_iter().map(|x| if T::COMPLEX { x } else { x.re.into() }).collect();
        let row = |k: usize, i: usize| &x[(k * n + i) * rank..][..rank];
        Self::from_fn(n, count, |k, i, j| {
            row(k, i).iter().zip(row(k, j)).map(|(x, y)| x * y.conj()).sum::<Complex<f64>>() / n as f64
        })
    }

    pub fn at(&self, k: usize, i: usize, j: usize) -> Complex<f64> {
        self.data[(k * self.n + j) * self.n + i].wide()
    }

    pub fn set(&mut self, k: usize, i: usize, j: usize, value: Complex<f64>) {
        self.data[(k * self.n + j) * self.n + i] = T::of(value);
    }
}

fn gaussian(random: &mut fastrand::Rng) -> Complex<f64> {
    let (radius, angle) = ((-2.0 * (1.0 - random.f64()).ln()).sqrt(), std::f64::consts::TAU * random.f64());
    Complex::from_polar(radius, angle)
}

/// The larger of each over the batch: max_j Σ_i |AV − VΛ|_ij / (|A| n ε), |VᴴV − I| / (n ε), |A| =
/// max |λ|; NaN if anything is.
pub fn ratios<T: Number>(a: &Matrices<T>, w: &[T::Real], v: &Matrices<T>) -> [f64; 2] {
    let n = a.n;
    let scale = n as f64 * T::EPSILON;
    let mut worst = [0.0, 0.0];
    for k in 0..a.count {
        let lambda: Vec<f64> = w[k * n..][..n].iter().map(|w| (*w).into()).collect();
        let norm = lambda.iter().fold(0.0, |norm: f64, lambda| norm.max(lambda.abs()));
        let columns = |entry: &dyn Fn(usize, usize) -> Complex<f64>| {
            (0..n).map(|j| (0..n).map(|i| entry(i, j).norm()).sum::<f64>()).fold(0.0, nan_max)
        };
        let residual =
            columns(&|i, j| (0..n).map(|l| a.at(k, i, l) * v.at(k, l, j)).sum::<Complex<f64>>() - v.at(k, i, j) * lambda[j]);
        let unit = |i, j| Complex::from(if i == j { 1.0 } else { 0.0 });
        let orthogonality =
            columns(&|i, j| (0..n).map(|l| v.at(k, l, i).conj() * v.at(k, l, j)).sum::<Complex<f64>>() - unit(i, j));
        let relative = if residual == 0.0 { 0.0 } else { residual / (norm * scale) };
        worst = [nan_max(worst[0], relative), nan_max(worst[1], orthogonality / scale)];
    }
    worst
}

fn nan_max(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { x.max(y) }
}

/// Whether λ of every matrix ascends.
pub fn ascending<R: Copy + Into<f64>>(w: &[R], n: usize) -> bool {
    w.chunks(n.max(1)).all(|w| w.windows(2).all(|pair| pair[0].into() <= pair[1].into()))
}
