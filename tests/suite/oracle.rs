//! The mathematics, naively: one matrix, plain loops in f64, every mask written out. Shares nothing
//! with the library.

use crate::numbers::{C, Matrix, adjoint};
use eigengrad::{Cpu, Eigenpairs, Element};
use ndarray::Array2;

/// λ, V and K of one matrix.
#[derive(Clone, Debug)]
pub struct Decomposition {
    pub lambda: Vec<f64>,
    pub v: Matrix,
    pub kept: Vec<bool>,
}

impl Decomposition {
    pub fn of<O: Element>(pairs: &Eigenpairs<O, Cpu>, b: usize) -> Self {
        Self {
            lambda: pairs.values().row(b).iter().map(|&x| crate::numbers::wide(x).re).collect(),
            v: crate::numbers::matrix(pairs.vectors(), b),
            kept: pairs.kept().row(b).to_vec(),
        }
    }

    pub fn n(&self) -> usize {
        self.lambda.len()
    }

    /// The spectrum with λ_D = 0 exactly.
    pub fn with_null_dropped(mut self) -> Self {
        for (x, &kept) in self.lambda.iter_mut().zip(&self.kept) {
            *x = if kept { *x } else { 0.0 };
        }
        self
    }

    pub fn norm(&self) -> f64 {
        self.lambda.iter().fold(0.0, |m, x| x.abs().max(m))
    }

    /// The tied groups: chains of consecutive kept eigenvalues, each within `within` of the next; D
    /// is no group.
    pub fn groups(&self, within: f64) -> Vec<Option<usize>> {
        let kept: Vec<_> = (0..self.n()).filter(|&k| self.kept[k]).collect();
        let mut group = vec![None; self.n()];
        for (at, &k) in kept.iter().enumerate() {
            let joins = at > 0 && self.lambda[k] - self.lambda[kept[at - 1]] <= within;
            group[k] = Some(if joins { group[kept[at - 1]].unwrap() } else { k });
        }
        group
    }

    /// F_ij = 1/(λ_j − λ_i), but 0 on the diagonal, on D×D and inside a group.
    pub fn f(&self, groups: Option<&[Option<usize>]>) -> Array2<f64> {
        Array2::from_shape_fn((self.n(), self.n()), |(i, j)| {
            let both_dropped = !self.kept[i] && !self.kept[j];
            let one_group = groups.is_some_and(|g| g[i].is_some() && g[i] == g[j]);
            if i == j || both_dropped || one_group { 0.0 } else { 1.0 / (self.lambda[j] - self.lambda[i]) }
        })
    }
}

/// The columns of V̄ outside K taken as 0, whatever they hold.
fn masked(d: &Decomposition, v_bar: &Matrix) -> Matrix {
    Array2::from_shape_fn(v_bar.dim(), |(i, k)| if d.kept[k] { v_bar[[i, k]] } else { C::ZERO })
}

/// A B.
pub fn times(a: &Matrix, b: &Matrix) -> Matrix {
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    for (mut row, of_a) in c.rows_mut().into_iter().zip(a.rows()) {
        for (&x, of_b) in of_a.iter().zip(b.rows()) {
            for (sum, &y) in row.iter_mut().zip(of_b) {
                *sum += x * y;
            }
        }
    }
    c
}

/// X = Vᴴ V̄.
pub fn x(d: &Decomposition, v_bar: &Matrix) -> Matrix {
    times(&adjoint(&d.v), &masked(d, v_bar))
}

/// Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ.
pub fn a_bar(d: &Decomposition, f: &Array2<f64>, lambda_bar: Option<&[f64]>, v_bar: Option<&Matrix>) -> Matrix {
    let n = d.n();
    let mut g = Array2::zeros((n, n));
    if let Some(v_bar) = v_bar {
        let x = x(d, v_bar);
        for i in 0..n {
            for j in 0..n {
                g[[i, j]] = f[[i, j]] * 0.5 * (x[[i, j]] - x[[j, i]].conj());
            }
        }
    }
    if let Some(lambda_bar) = lambda_bar {
        for k in (0..n).filter(|&k| d.kept[k]) {
            g[[k, k]] += lambda_bar[k];
        }
    }
    times(&times(&d.v, &g), &adjoint(&d.v))
}

/// λ̇ and V̇ along Ȧ.
pub fn jvp(d: &Decomposition, a_dot: &Matrix) -> (Vec<f64>, Matrix) {
    let p = times(&times(&adjoint(&d.v), a_dot), &d.v);
    let f = d.f(None);
    let lambda_dot = (0..d.n()).map(|k| if d.kept[k] { p[[k, k]].re } else { 0.0 }).collect();
    let fp = Array2::from_shape_fn(p.dim(), |(i, j)| p[[i, j]] * f[[i, j]]);
    (lambda_dot, masked(d, &times(&d.v, &fp)))
}

/// Re tr(Xᴴ Y).
pub fn inner(x: &Matrix, y: &Matrix) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x.conj() * y).re).sum()
}

/// ‖V̄_k‖ on K, 0 outside.
pub fn norms(d: &Decomposition, v_bar: &Matrix) -> Vec<f64> {
    let norm = |k: usize| v_bar.column(k).iter().map(|x| x.norm_sqr()).sum::<f64>().sqrt();
    (0..d.n()).map(|k| if d.kept[k] { norm(k) } else { 0.0 }).collect()
}

/// ρ_k = |Im X_kk| / ‖V̄_k‖.
pub fn gauge_defect(d: &Decomposition, v_bar: &Matrix) -> Vec<f64> {
    let (x, norms) = (x(d, v_bar), norms(d, v_bar));
    (0..d.n()).map(|k| if norms[k] > 0.0 { x[[k, k]].im.abs() / norms[k] } else { 0.0 }).collect()
}

/// The largest |skew(X)_ij| / max(‖V̄_i‖, ‖V̄_j‖), and spread of λ̄ relative to the largest |λ̄| of K,
/// in any group.
pub fn tie_defect(d: &Decomposition, groups: &[Option<usize>], lambda_bar: Option<&[f64]>, v_bar: Option<&Matrix>) -> f64 {
    let mut worst = 0f64;
    let of_vectors = v_bar.map(|v_bar| (x(d, v_bar), norms(d, v_bar)));
    for i in 0..d.n() {
        for j in (0..d.n()).filter(|&j| j != i && groups[i].is_some() && groups[i] == groups[j]) {
            if let Some((x, norms)) = &of_vectors {
                let norm = norms[i].max(norms[j]);
                if norm > 0.0 {
                    worst = worst.max(0.5 * (x[[i, j]] - x[[j, i]].conj()).norm() / norm);
                }
            }
            if let Some(bar) = lambda_bar {
                let scale = (0..d.n()).filter(|&k| d.kept[k]).map(|k| bar[k].abs()).fold(0.0, f64::max);
                if bar[i] != bar[j] {
                    worst = worst.max((bar[i] - bar[j]).abs() / scale);
                }
            }
        }
    }
    worst
}

/// K, rank, the two gaps and what ties, of a spectrum and τ.
pub struct Selected {
    pub kept: Vec<bool>,
    pub rank: usize,
    pub gap_kept: f64,
    pub gap_dropped: f64,
    pub tie_across: bool,
    /// Whether "at most" chose between two of opposite signs.
    pub ambiguous: bool,
}

/// |λ| > τ (τ absent keeps all), of them the `at_most` largest; ties of |λ| go to the later index.
pub fn select(lambda: &[f64], tau: Option<f64>, at_most: usize, within: f64) -> Selected {
    let mut by_size: Vec<_> = (0..lambda.len()).filter(|&k| tau.is_none_or(|tau| lambda[k].abs() > tau)).collect();
    by_size.sort_by(|&i, &j| lambda[j].abs().total_cmp(&lambda[i].abs()).then(j.cmp(&i)));
    let ambiguous = by_size.get(at_most).is_some_and(|&dropped| {
        let of_other_sign = |k: &&usize| (lambda[**k] < 0.0) != (lambda[dropped] < 0.0);
        let alike =
            |k: &usize| lambda[*k].abs() - lambda[dropped].abs() <= within && (lambda[*k] - lambda[dropped]).abs() > within;
        by_size[..at_most].iter().filter(of_other_sign).any(alike)
    });
    by_size.truncate(at_most);
    let kept: Vec<_> = (0..lambda.len()).map(|k| by_size.contains(&k)).collect();
    let (mut gap_kept, mut gap_dropped) = (f64::INFINITY, f64::INFINITY);
    for i in 0..lambda.len() {
        for j in (0..lambda.len()).filter(|&j| j != i && kept[j]) {
            let gap = if kept[i] { &mut gap_kept } else { &mut gap_dropped };
            *gap = gap.min((lambda[j] - lambda[i]).abs());
        }
    }
    let tie_across = gap_dropped.is_finite() && gap_dropped <= within;
    Selected { rank: by_size.len(), kept, gap_kept, gap_dropped, tie_across, ambiguous }
}
