//! Second derivatives and functions of the spectrum, naively: docs/derivation.md §9 to §11 by plain
//! loops in f64.

use crate::numbers::{C, Matrix, adjoint};
use crate::oracle::{Decomposition, times};
use eigengrad::{Function, SchurMultiplier};
use ndarray::Array2;

fn entrywise(f: &Array2<f64>, x: &Matrix) -> Matrix {
    Array2::from_shape_fn(x.dim(), |ij| x[ij] * f[ij])
}

fn skew(x: &Matrix) -> Matrix {
    (x - &adjoint(x)).mapv(|x| x * 0.5)
}

/// The columns outside K as 0.
pub fn columns_of_k(d: &Decomposition, x: &Matrix) -> Matrix {
    Array2::from_shape_fn(x.dim(), |(i, k)| if d.kept[k] { x[[i, k]] } else { C::ZERO })
}

fn on_k(d: &Decomposition, x: &[f64]) -> Matrix {
    crate::numbers::diagonal(&(0..d.n()).map(|k| if d.kept[k] { x[k] } else { 0.0 }).collect::<Vec<_>>())
}

/// VᴴAV.
pub fn in_basis(d: &Decomposition, a: &Matrix) -> Matrix {
    times(&times(&adjoint(&d.v), a), &d.v)
}

/// VMVᴴ.
pub fn out_of_basis(d: &Decomposition, m: &Matrix) -> Matrix {
    times(&times(&d.v, m), &adjoint(&d.v))
}

/// λ̇ and V̇ along Ȧ, with F as given.
pub fn jvp(d: &Decomposition, f: &Array2<f64>, a_dot: &Matrix) -> (Vec<f64>, Matrix) {
    let p = in_basis(d, a_dot);
    let values = (0..d.n()).map(|k| if d.kept[k] { p[[k, k]].re } else { 0.0 }).collect();
    (values, columns_of_k(d, &times(&d.v, &entrywise(f, &p))))
}

/// The cotangents λ̄ and V̄, or their tangents, or what comes from downstream.
#[derive(Clone, Debug)]
pub struct Bars {
    pub values: Vec<f64>,
    pub vectors: Matrix,
}

impl Bars {
    pub fn zeros(n: usize) -> Self {
        Self { values: vec![0.0; n], vectors: Array2::zeros((n, n)) }
    }
}

/// Ā̄, λ̄̄ and V̄̄ of a cotangent H of Ā.
pub fn double_backward(
    d: &Decomposition,
    f: &Array2<f64>,
    bars: &Bars,
    h: &Matrix,
    downstream: &Bars,
) -> (Matrix, Vec<f64>, Matrix) {
    let (n, v_bar, vh) = (d.n(), columns_of_k(d, &bars.vectors), adjoint(&d.v));
    let (q, x) = (in_basis(d, h), times(&vh, &v_bar));
    let g = entrywise(f, &skew(&x)) + on_k(d, &bars.values);
    let (fq, fx) = (entrywise(f, &q), entrywise(f, &x));
    let values = (0..n).map(|k| if d.kept[k] { q[[k, k]].re } else { 0.0 }).collect();
    let vectors = columns_of_k(d, &times(&d.v, &fq));
    let v_bar_total = times(&times(h, &d.v), &g).mapv(|x| x * 2.0) - times(&v_bar, &fq) + columns_of_k(d, &downstream.vectors);
    let mut b = entrywise(f, &skew(&times(&vh, &v_bar_total)));
    for k in (0..n).filter(|&k| d.kept[k]) {
        let r = |i: usize, j: usize| (q[[i, j]].conj() * x[[i, j]]).re;
        let ell: f64 = (0..n).map(|i| f[[i, k]].powi(2) * (r(k, i) - r(i, k))).sum();
        b[[k, k]] = C::from(ell + downstream.values[k]);
    }
    for i in (0..n).filter(|&i| !d.kept[i]) {
        for j in (0..n).filter(|&j| !d.kept[j]) {
            let of_k = (0..n).filter(|&k| d.kept[k]);
            b[[i, j]] = of_k.map(|k| (fq[[i, k]] * fx[[j, k]].conj() + fx[[i, k]] * fq[[j, k]].conj()) * 0.5).sum();
        }
    }
    (out_of_basis(d, &b), values, vectors)
}

/// The tangent of Ā along Ȧ, λ̄̇ and V̄̇.
pub fn backward_jvp(d: &Decomposition, f: &Array2<f64>, bars: &Bars, a_dot: &Matrix, dot: &Bars) -> Matrix {
    let (n, vh) = (d.n(), adjoint(&d.v));
    let p = in_basis(d, a_dot);
    let omega = entrywise(f, &p);
    let x = times(&vh, &columns_of_k(d, &bars.vectors));
    let x_dot = times(&vh, &columns_of_k(d, &dot.vectors)) - times(&omega, &x);
    let g = entrywise(f, &skew(&x)) + on_k(d, &bars.values);
    let y = entrywise(f, &x);
    let mut g_dot = on_k(d, &dot.values);
    for j in (0..n).filter(|&j| d.kept[j]) {
        for i in 0..n {
            if d.kept[i] {
                let rate = f[[i, j]].powi(2) * (p[[j, j]].re - p[[i, i]].re);
                g_dot[[i, j]] += f[[i, j]] * skew(&x_dot)[[i, j]] - rate * skew(&x)[[i, j]];
            } else {
                let turned: C = (0..n).filter(|&k| !d.kept[k]).map(|k| p[[i, k]] * y[[k, j]]).sum();
                g_dot[[i, j]] = 0.5 * f[[i, j]] * (x_dot[[i, j]] - y[[i, j]] * p[[j, j]].re + turned);
                g_dot[[j, i]] = g_dot[[i, j]].conj();
            }
        }
    }
    out_of_basis(d, &(times(&omega, &g) - times(&g, &omega) + g_dot))
}

/// f(λ), by the functions of std.
pub fn value(function: Function, x: f64) -> f64 {
    match function {
        Function::Projector => 1.0,
        Function::Sqrt => x.sqrt(),
        Function::Rsqrt => x.powf(-0.5),
        Function::Pinv => x.recip(),
        Function::Log => x.ln(),
        Function::Exp => x.exp(),
        Function::XLogX => {
            if x == 0.0 {
                0.0
            } else {
                x * x.ln()
            }
        }
        Function::Pow(p) => x.abs().powf(p) * if x < 0.0 && p.rem_euclid(2.0) == 1.0 { -1.0 } else { 1.0 },
        other => panic!("{other:?}"),
    }
}

/// f′(λ).
pub fn slope(function: Function, x: f64) -> f64 {
    match function {
        Function::Projector => 0.0,
        Function::Sqrt => 0.5 * x.powf(-0.5),
        Function::Rsqrt => -0.5 * x.powf(-1.5),
        Function::Pinv => -x.powi(-2),
        Function::Log => x.recip(),
        Function::Exp => x.exp(),
        Function::XLogX => 1.0 + x.ln(),
        Function::Pow(p) => p * value(Function::Pow(p - 1.0), x),
        other => panic!("{other:?}"),
    }
}

/// f[a, b] with a > b, stably: by expm1 and log1p of std.
fn divided(function: Function, a: f64, b: f64) -> f64 {
    let delta = (a - b) / b;
    match function {
        Function::Projector => 0.0,
        Function::Sqrt => 1.0 / (a.sqrt() + b.sqrt()),
        Function::Rsqrt => -1.0 / (a.sqrt() * b.sqrt() * (a.sqrt() + b.sqrt())),
        Function::Pinv => -1.0 / a / b,
        Function::Log => delta.ln_1p() / (a - b),
        Function::Exp => a.exp() * -(b - a).exp_m1() / (a - b),
        Function::XLogX if b == 0.0 => a.ln(),
        Function::XLogX => a.ln() + delta.ln_1p() / delta,
        Function::Pow(p) if a.signum() == b.signum() && b != 0.0 => {
            // 1 + δ ≥ 1 has all its digits
            let (a, b) = if a.abs() < b.abs() { (b, a) } else { (a, b) };
            let t = p * ((a - b) / b).ln_1p();
            let near = value(Function::Pow(p), b) * t.exp_m1();
            (if t.abs() < 1.0 { near } else { value(function, a) - value(function, b) }) / (a - b)
        }
        Function::Pow(_) => (value(function, a) - value(function, b)) / (a - b),
        other => panic!("{other:?}"),
    }
}

/// The weights of the map E ↦ V (W ∘ VᴴEV) Vᴴ.
pub fn weights(d: &Decomposition, function: Function, kind: SchurMultiplier) -> Array2<f64> {
    Array2::from_shape_fn((d.n(), d.n()), |(i, j)| {
        let (a, b) = (d.lambda[i].max(d.lambda[j]), d.lambda[i].min(d.lambda[j]));
        match (kind, d.kept[i], d.kept[j]) {
            (_, false, false) => 0.0,
            (SchurMultiplier::Product, true, true) => value(function, a) * value(function, b),
            (SchurMultiplier::Product, ..) => 0.0,
            (_, true, true) if a == b => slope(function, a),
            (_, true, true) => divided(function, a, b),
            (_, true, false) => value(function, d.lambda[i]) / (d.lambda[i] - d.lambda[j]),
            (_, false, true) => value(function, d.lambda[j]) / (d.lambda[j] - d.lambda[i]),
        }
    })
}

/// V (W ∘ VᴴEV) Vᴴ.
pub fn map(d: &Decomposition, w: &Array2<f64>, e: &Matrix) -> Matrix {
    out_of_basis(d, &entrywise(w, &in_basis(d, e)))
}

/// V_K f(Λ_K) V_Kᴴ.
pub fn spectral(d: &Decomposition, f: impl Fn(f64) -> f64) -> Matrix {
    let values: Vec<_> = (0..d.n()).map(|k| if d.kept[k] { f(d.lambda[k]) } else { 0.0 }).collect();
    out_of_basis(d, &crate::numbers::diagonal(&values))
}
