//! Ā against sixth-order differences of losses that no choice of phases changes, at fixed rank, in
//! f64.

use crate::numbers::{C, Matrix, adjoint, matrix};
use crate::oracle::{Decomposition, inner, times};
use crate::random::Rng;
use crate::run;
use eigengrad::{Cut, Engine, GradientForm, HermitianBatch, Options, Scalar, Triangle, eigh};
use ndarray::Array2;

/// h = 10⁻³ leaves h⁶ ≈ 10⁻¹⁸ of truncation, and of round-off ε/h ≈ 2·10⁻¹³ times the norms of A,
/// of the loss and of 1/gap.
pub const STEP: f64 = 1e-3;
const TOLERANCE: f64 = 1e-8;

/// d/dt f(A + tE) at 0.
pub fn difference(f: impl Fn(&Matrix) -> f64, a: &Matrix, e: &Matrix) -> f64 {
    let at = |k: f64| f(&(a + &e.mapv(|e| e * (k * STEP))));
    [(1.0, 45.0), (2.0, -9.0), (3.0, 1.0)].iter().map(|&(k, w)| w * (at(k) - at(-k))).sum::<f64>() / (60.0 * STEP)
}

#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Σ c log|λ| + 0.3 λ³.
    Values,
    /// Σ w |v|⁴.
    Quartic,
    /// Σ λ |vᴴt|².
    Overlap,
    /// tr(C Π) + Σ |Π|⁴, Π = V_K V_Kᴴ.
    Projector,
}

/// A loss with its weights, on the kept eigenpairs in their order.
pub struct Weighted {
    pub loss: Loss,
    pub c: Vec<f64>,
    pub w: Matrix,
    pub t: Matrix,
    pub hermitian: Matrix,
}

impl Weighted {
    pub fn new<T: Scalar>(loss: Loss, n: usize, rng: &mut Rng) -> Self {
        let (c, w, t) = (rng.vector(n), rng.matrix::<f64>(n, n), rng.matrix::<T>(n, n));
        Self { loss, c, w, t, hermitian: rng.hermitian::<T>(n) }
    }

    pub fn projector(d: &Decomposition) -> Matrix {
        let kept = Array2::from_shape_fn(d.v.dim(), |(i, k)| if d.kept[k] { d.v[[i, k]] } else { C::ZERO });
        times(&kept, &adjoint(&kept))
    }

    /// v_kᴴ t_k.
    pub fn overlap(&self, d: &Decomposition, k: usize) -> C {
        d.v.column(k).iter().zip(self.t.column(k)).map(|(v, t)| v.conj() * t).sum()
    }

    fn value(&self, d: &Decomposition) -> f64 {
        let kept = (0..d.n()).filter(|&k| d.kept[k]);
        match self.loss {
            Loss::Values => kept.map(|k| self.c[k] * d.lambda[k].abs().ln() + 0.3 * d.lambda[k].powi(3)).sum(),
            Loss::Quartic => kept
                .map(|k| d.v.column(k).iter().zip(self.w.column(k)).map(|(v, w)| w.re * v.norm_sqr().powi(2)).sum::<f64>())
                .sum(),
            Loss::Overlap => kept.map(|k| d.lambda[k] * self.overlap(d, k).norm_sqr()).sum(),
            Loss::Projector => {
                let p = Self::projector(d);
                inner(&self.hermitian, &p) + p.iter().map(|x| x.norm_sqr().powi(2)).sum::<f64>()
            }
        }
    }

    /// λ̄ and V̄.
    pub fn cotangents(&self, d: &Decomposition) -> (Vec<f64>, Matrix) {
        let n = d.n();
        let (mut lambda_bar, mut v_bar) = (vec![0.0; n], Array2::zeros((n, n)));
        match self.loss {
            Loss::Values => (0..n).for_each(|k| lambda_bar[k] = self.c[k] / d.lambda[k] + 0.9 * d.lambda[k].powi(2)),
            Loss::Quartic => v_bar = Array2::from_shape_fn((n, n), |ik| self.w[ik] * 4.0 * d.v[ik].norm_sqr() * d.v[ik]),
            Loss::Overlap => {
                for k in 0..n {
                    let q = self.overlap(d, k);
                    lambda_bar[k] = q.norm_sqr();
                    (0..n).for_each(|i| v_bar[[i, k]] = 2.0 * q.conj() * self.t[[i, k]] * d.lambda[k]);
                }
            }
            Loss::Projector => {
                let p = Self::projector(d);
                let p_bar = &self.hermitian + &p.mapv(|x| x * 4.0 * x.norm_sqr());
                v_bar = times(&p_bar, &d.v).mapv(|x| x * 2.0);
            }
        }
        (lambda_bar, v_bar)
    }
}

pub fn losses_of_kept_eigenpairs<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(13);
    for (n, r) in [(1, 1), (8, 3), (9, 1), (6, 6), (12, 5), (52, 3)] {
        for indefinite in [false, true] {
            let options = Options::default().with_cut(Cut::none().with_at_most(r));
            let a = rng.of_rank::<T>(n, r, indefinite);
            for loss in [Loss::Values, Loss::Quartic, Loss::Overlap, Loss::Projector] {
                let loss = Weighted::new::<T>(loss, n, &mut rng);
                let value = |a: &Matrix| {
                    loss.value(&Decomposition::of(&run::eigh::<T, B>(backend, n, std::slice::from_ref(a), &options).1, 0))
                };
                let (pairs, host) = run::eigh::<T, B>(backend, n, std::slice::from_ref(&a), &options);
                let (lambda_bar, v_bar) = loss.cotangents(&Decomposition::of(&host, 0));
                let gradient = run::backward(&pairs, Some(&[lambda_bar]), Some(std::slice::from_ref(&v_bar)));
                gradient.check().unwrap();
                let e = rng.hermitian::<T>(n).mapv(|x| x / (n as f64).sqrt());
                let (got, expected) = (inner(&matrix(gradient.a_bar(), 0), &e), difference(value, &a, &e));
                let scale = expected.abs().max(crate::numbers::largest(&v_bar)).max(1e-3);
                let error = (got - expected).abs() / scale;
                assert!(error <= TOLERANCE, "n = {n}, r = {r}, {:?}: {got} against {expected}: {error:e}", loss.loss);
            }
        }
    }
}

/// By the entries of one triangle: each real and imaginary part that is read moved by itself.
pub fn the_gradient_by_one_triangle<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(14);
    for (n, r) in [(4, 2), (67, 2)] {
        let a = rng.of_rank::<T>(n, r, true);
        let loss = Weighted::new::<T>(Loss::Overlap, n, &mut rng);
        for triangle in [Triangle::Lower, Triangle::Upper] {
            let gradient = GradientForm::Triangle(triangle);
            let options = Options::default().with_cut(Cut::none().with_at_most(r)).with_gradient(gradient);
            let decompose = |a: &Matrix| {
                let a = crate::numbers::stack::<T>(n, std::slice::from_ref(a));
                eigh(&HermitianBatch::<T, B>::from_triangle_on(backend, a.view(), triangle).unwrap(), &options).unwrap()
            };
            let value = |a: &Matrix| loss.value(&Decomposition::of(&decompose(a).to_host().unwrap(), 0));
            let pairs = decompose(&a);
            let (lambda_bar, v_bar) = loss.cotangents(&Decomposition::of(&pairs.to_host().unwrap(), 0));
            let a_bar = matrix(run::backward(&pairs, Some(&[lambda_bar]), Some(&[v_bar])).a_bar(), 0);
            let entries = [(0, 0), (1, 0), (0, 1), (3, 2), (2, 3), (3, 3), (n - 1, 1), (1, n - 1)];
            for (i, j) in entries {
                for unit in [C::ONE, C::I] {
                    let mut e = Array2::zeros((n, n));
                    e[[i, j]] = unit;
                    let expected = difference(value, &a, &e);
                    let got = inner(&a_bar, &e);
                    assert!(
                        (got - expected).abs() <= TOLERANCE * 10.0,
                        "n = {n}, {triangle:?}, ({i}, {j}): {got} against {expected}"
                    );
                    let read = if triangle == Triangle::Lower { i >= j } else { i <= j };
                    assert!(read || a_bar[[i, j]] == C::ZERO);
                }
            }
        }
    }
}

/// A group of three as a subspace with a mean eigenvalue, the loss that a tie leaves a gradient:
/// tr(C Π_g) + Σ |Π_g|⁴ + 0.7 λ̃_g².
pub fn a_tied_group_as_a_subspace<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(15);
    for n in [7, 69] {
        let mut lambda = vec![0.0; n];
        lambda[..5].copy_from_slice(&[4.0, 2.0, 2.0, 2.0, 1.0]);
        let a = rng.with_spectrum::<T>(&lambda);
        let c = rng.hermitian::<T>(n);
        let options = Options::default().with_cut(Cut::at_most(5));
        let group = n - 4..n - 1;
        let decompose = |a: &Matrix| run::eigh::<T, B>(backend, n, std::slice::from_ref(a), &options);
        let projector = |d: &Decomposition| {
            let v = d.v.slice(ndarray::s![.., group.clone()]).to_owned();
            times(&v, &adjoint(&v))
        };
        let mean = |d: &Decomposition| d.lambda[group.clone()].iter().sum::<f64>() / 3.0;
        let value = |a: &Matrix| {
            let d = Decomposition::of(&decompose(a).1, 0);
            let p = projector(&d);
            inner(&c, &p) + p.iter().map(|x| x.norm_sqr().powi(2)).sum::<f64>() + 0.7 * mean(&d).powi(2)
        };
        let (pairs, host) = decompose(&a);
        let d = Decomposition::of(&host, 0);
        let p = projector(&d);
        let p_bar = &c + &p.mapv(|x| x * 4.0 * x.norm_sqr());
        let in_group = |k: usize| if group.contains(&k) { 1.0 } else { 0.0 };
        let v_bar = times(&p_bar, &d.v);
        let v_bar = Array2::from_shape_fn((n, n), |(i, k)| v_bar[[i, k]] * 2.0 * in_group(k));
        let lambda_bar = (0..n).map(|k| 1.4 * mean(&d) / 3.0 * in_group(k)).collect();
        let gradient = run::backward(&pairs, Some(&[lambda_bar]), Some(&[v_bar]));
        assert_eq!(gradient.status()[0], eigengrad::Status::TIED);
        let e = rng.hermitian::<T>(n).mapv(|x| x / (n as f64).sqrt());
        let (got, expected) = (inner(&matrix(gradient.a_bar(), 0), &e), difference(value, &a, &e));
        assert!((got - expected).abs() <= TOLERANCE * expected.abs().max(1.0), "n = {n}: {got} against {expected}");
    }
}
