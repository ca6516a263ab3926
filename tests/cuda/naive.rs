//! The formulas of docs/derivation.md §9 to §11 as they stand, in complex f64.

use eigengrad::SchurMultiplier;
use ndarray::Array2;
use num_complex::Complex;

pub type C = Complex<f64>;
pub type M = Array2<C>;

/// One matrix of the batch, wide.
pub struct Naive {
    pub lambda: Vec<f64>,
    pub kept: Vec<bool>,
    pub v: M,
    /// Ties are taken apart.
    pub exact: bool,
}

fn adjoint(x: &M) -> M {
    x.t().mapv(|x| x.conj())
}

fn herm(x: &M) -> M {
    (x + &adjoint(x)).mapv(|x| x * 0.5)
}

fn skew(x: &M) -> M {
    (x - &adjoint(x)).mapv(|x| x * 0.5)
}

impl Naive {
    fn n(&self) -> usize {
        self.lambda.len()
    }

    /// Σ over entries that are asked for; nothing else is computed.
    fn made(&self, of: impl Fn(usize, usize) -> C) -> M {
        Array2::from_shape_fn((self.n(), self.n()), |(i, j)| of(i, j))
    }

    fn f(&self, i: usize, j: usize) -> f64 {
        let (both, same) = (self.kept[i] && self.kept[j], self.lambda[i] == self.lambda[j]);
        if i == j || !(self.kept[i] || self.kept[j]) || (both && same && !self.exact) {
            0.0
        } else {
            1.0 / (self.lambda[j] - self.lambda[i])
        }
    }

    fn times_f(&self, x: &M) -> M {
        self.made(|i, j| if self.f(i, j) == 0.0 { C::default() } else { x[[i, j]] * self.f(i, j) })
    }

    fn on_kept(&self, x: &M) -> M {
        self.made(|i, j| if self.kept[j] { x[[i, j]] } else { C::default() })
    }

    pub fn diagonal(&self, x: &[f64]) -> M {
        self.made(|i, j| if i == j && self.kept[j] { C::from(x[j]) } else { C::default() })
    }

    fn in_basis(&self, x: &M) -> M {
        adjoint(&self.v).dot(x)
    }

    pub fn expand(&self, x: &M) -> M {
        self.v.dot(x).dot(&adjoint(&self.v))
    }

    pub fn jvp(&self, a_dot: &M) -> (Vec<f64>, M) {
        let p = self.in_basis(a_dot).dot(&self.v);
        let values = (0..self.n()).map(|k| if self.kept[k] { p[[k, k]].re } else { 0.0 }).collect();
        (values, self.v.dot(&self.on_kept(&self.times_f(&p))))
    }

    /// (Ā, λ̄̄, V̄̄).
    pub fn double(&self, (l, v_bar): (&[f64], &M), h: &M, (l_down, v_down): (&[f64], &M)) -> (M, Vec<f64>, M) {
        let q = self.in_basis(h).dot(&self.v);
        let x = self.in_basis(&self.on_kept(v_bar));
        let (fq, fx) = (self.times_f(&q), self.times_f(&x));
        let g = self.times_f(&skew(&x)) + self.diagonal(l);
        let m = q.dot(&g).mapv(|x| x * 2.0) - x.dot(&fq) + self.in_basis(&self.on_kept(v_down));
        let r = self.made(|i, j| C::from((q[[i, j]].conj() * x[[i, j]]).re));
        let ell: Vec<f64> = (0..self.n())
            .map(|k| l_down[k] + (0..self.n()).map(|i| self.f(i, k).powi(2) * (r[[k, i]] - r[[i, k]]).re).sum::<f64>())
            .collect();
        let dk = |x: &M| self.made(|i, j| if !self.kept[i] && self.kept[j] { x[[i, j]] } else { C::default() });
        let b = self.times_f(&skew(&m)) + self.diagonal(&ell) + herm(&dk(&fq).dot(&adjoint(&dk(&fx))));
        let values = (0..self.n()).map(|k| if self.kept[k] { q[[k, k]].re } else { 0.0 }).collect();
        (self.expand(&b), values, self.v.dot(&self.on_kept(&fq)))
    }

    pub fn tangent(&self, (l, v_bar): (&[f64], &M), a_dot: &M, (l_dot, v_bar_dot): (&[f64], &M)) -> M {
        let p = self.in_basis(a_dot).dot(&self.v);
        let omega = self.times_f(&p);
        let x = self.in_basis(&self.on_kept(v_bar));
        let x_dot = self.in_basis(&self.on_kept(v_bar_dot)) - omega.dot(&x);
        let g = self.times_f(&skew(&x)) + self.diagonal(l);
        let lambda_dot = |k: usize| if self.kept[k] { p[[k, k]].re } else { 0.0 };
        let y = self.made(|i, j| if self.kept[i] { C::default() } else { self.times_f(&x)[[i, j]] });
        let p_dd = self.made(|i, j| if self.kept[i] || self.kept[j] { C::default() } else { p[[i, j]] });
        let p_y = p_dd.dot(&y);
        let g_dot = self.made(|i, j| {
            let f = self.f(i, j);
            let (sx, sx_dot) = (skew(&x)[[i, j]], skew(&x_dot)[[i, j]]);
            let of = |i: usize, j: usize| (x_dot[[i, j]] - y[[i, j]] * lambda_dot(j) + p_y[[i, j]]) * 0.5;
            match (self.kept[i], self.kept[j]) {
                (true, true) if i == j => C::from(l_dot[j]),
                (false, false) => C::default(),
                _ if f == 0.0 => C::default(),
                (true, true) => sx_dot * f - sx * f * f * (lambda_dot(j) - lambda_dot(i)),
                (false, true) => of(i, j) * f,
                (true, false) => (of(j, i) * self.f(j, i)).conj(),
            }
        });
        let turned = omega.dot(&g);
        self.expand(&(&turned + &adjoint(&turned) + &g_dot))
    }

    pub fn map(&self, f: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64, weights: SchurMultiplier, e: &M) -> M {
        let q = self.in_basis(e).dot(&self.v);
        self.expand(&self.made(|i, j| {
            let (a, b) = (self.lambda[i], self.lambda[j]);
            let w = match (weights, self.kept[i], self.kept[j]) {
                (SchurMultiplier::Product, true, true) => f(a) * f(b),
                (SchurMultiplier::Divided, true, true) if a == b => slope(a),
                (SchurMultiplier::Divided, true, true) => (f(a) - f(b)) / (a - b),
                (SchurMultiplier::Divided, true, false) => f(a) / (a - b),
                (SchurMultiplier::Divided, false, true) => f(b) / (b - a),
                _ => 0.0,
            };
            if w == 0.0 { C::default() } else { q[[i, j]] * w }
        }))
    }
}
