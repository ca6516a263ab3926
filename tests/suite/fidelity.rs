//! Entropy and fidelity of states: closed forms, and differences at fixed rank.

use crate::differences::difference;
use crate::numbers::{C, Matrix, adjoint, diagonal, epsilon, largest, matrix, norm, wide};
use crate::oracle::{inner, times};
use crate::random::Rng;
use crate::run;
use eigengrad::{Engine, Options, Scalar, Status, fidelity};
use ndarray::Array2;
use std::slice;

/// √F, and the gradients by both.
fn fidelities<T: Scalar, B: Engine<T>>(backend: &B, a: &[Matrix], b: &[Matrix]) -> (Vec<f64>, Vec<Matrix>, Vec<Matrix>) {
    let n = a[0].nrows();
    let (one, other) = (run::hermitian::<T, B>(backend, n, a), run::hermitian::<T, B>(backend, n, b));
    let got = fidelity(&one, &other, &Options::default()).unwrap();
    let root = got.root.to_host().unwrap().iter().map(|&x| wide(x).re).collect();
    let (a_bar, b_bar) = (got.a_bar.to_host().unwrap(), got.b_bar.to_host().unwrap());
    a_bar.check().unwrap();
    b_bar.check().unwrap();
    let all = |x: &eigengrad::HermitianResult<T>| (0..a.len()).map(|b| matrix(x.data(), b)).collect();
    (root, all(&a_bar), all(&b_bar))
}

/// X Xᴴ / tr.
fn state(x: &Matrix) -> Matrix {
    let a = times(x, &adjoint(x));
    let trace: f64 = a.diag().iter().map(|x| x.re).sum();
    let a = a.mapv(|x| x / trace);
    (&a + &adjoint(&a)).mapv(|x| x * 0.5)
}

/// Commuting states: √F = Σ √(p q), and the gradients √F √(q/p) and √F √(p/q) where neither is 0.
pub fn fidelity_of_commuting_states<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(91);
    for n in [1, 2, 6, 67] {
        let of = |rng: &mut Rng, null: usize| -> Vec<f64> {
            let p: Vec<_> = (0..n).map(|k| if k % 3 == null && n > 2 { 0.0 } else { rng.uniform(0.5, 1.0) }).collect();
            let sum: f64 = p.iter().sum();
            p.into_iter().map(|x| x / sum).collect()
        };
        let (p, q) = (of(&mut rng, 1), of(&mut rng, 2));
        let u = rng.unitary::<T>(n);
        let turned = |p: &[f64]| {
            let a = times(&times(&u, &diagonal(p)), &adjoint(&u));
            (&a + &adjoint(&a)).mapv(|x| x * 0.5)
        };
        let (root, a_bar, b_bar) = fidelities::<T, B>(backend, &[turned(&p)], &[turned(&q)]);
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| (p * q).sqrt()).sum();
        let tolerance = 1e3 * n as f64 * epsilon::<T>();
        assert!((root[0] - expected).abs() <= tolerance, "n = {n}: {} against {expected}", root[0]);
        let ratio = |p: &[f64], q: &[f64]| -> Vec<f64> {
            p.iter().zip(q).map(|(p, q)| if p * q == 0.0 { 0.0 } else { expected * (p / q).sqrt() }).collect()
        };
        for (bar, expected) in [(&a_bar[0], turned(&ratio(&q, &p))), (&b_bar[0], turned(&ratio(&p, &q)))] {
            assert!(largest(&(bar - &expected)) <= tolerance, "n = {n}: {}", largest(&(bar - &expected)));
        }
    }
}

/// Pure states: F = |⟨a, b⟩|².
pub fn fidelity_of_pure_states<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(92);
    for n in [2, 5, 67] {
        let (x, y) = (rng.matrix::<T>(n, 1), rng.matrix::<T>(n, 1));
        let (root, ..) = fidelities::<T, B>(backend, &[state(&x), state(&x)], &[state(&y), state(&x)]);
        let overlap: C = x.iter().zip(&y).map(|(x, y)| x.conj() * y).sum();
        let square = |x: &Matrix| x.iter().map(|x| x.norm_sqr()).sum::<f64>();
        let expected = overlap.norm() / (square(&x) * square(&y)).sqrt();
        let tolerance = 1e2 * n as f64 * epsilon::<T>();
        assert!((root[0] - expected).abs() <= tolerance / expected, "n = {n}: {} against {expected}", root[0]);
        assert!((root[1] - 1.0).abs() <= tolerance, "n = {n}: {}", root[1]);
    }
}

/// √F of states of any overlap, to n·ε: orthogonal ones have 0, with clear statuses.
pub fn fidelity_of_little_overlap<T: Scalar, B: Engine<T>>(backend: &B) {
    let unit = |n: usize, k: usize| Array2::from_shape_fn((n, 1), |(i, _)| C::new(f64::from(u8::from(i == k)), 0.0));
    let square = |x: &Matrix| times(x, &adjoint(x));
    let (root, a_bar, b_bar) = fidelities::<T, B>(backend, &[square(&unit(2, 0))], &[square(&unit(2, 1))]);
    assert_eq!(root[0], 0.0);
    assert_eq!((largest(&a_bar[0]), largest(&b_bar[0])), (0.0, 0.0)); // as documented
    let a = square(&unit(4, 0)) + square(&unit(4, 1));
    for t in [0.0, 1e-14, 1e-10, 1e-7, 1e-5, 1e-3, 0.1, 1.0] {
        let t: f64 = t;
        let x = unit(4, 0).mapv(|x| x * t.sin()) + unit(4, 3).mapv(|x| x * t.cos());
        let b = (square(&x) + square(&unit(4, 2))).mapv(|x| 0.5 * x);
        let (one, other) = (run::hermitian::<T, B>(backend, 4, slice::from_ref(&a)), run::hermitian::<T, B>(backend, 4, &[b]));
        let got = fidelity(&one, &other, &Options::default()).unwrap();
        let (root, status) = (got.root.to_host().unwrap(), got.status.to_host().unwrap());
        let (expected, got) = (t.sin() / 2f64.sqrt(), wide(root[0]).re);
        assert!(
            (got - expected).abs() <= crate::THRESHOLD * 4.0 * epsilon::<T>(),
            "t = {t}: {got} against {expected}, {status:?}"
        );
    }
}

/// √F of sA and sB is s·√F of A and B, and gradients are s times as large, as far as the type
/// reaches.
pub fn fidelity_at_every_scale<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(98);
    let (x, y) = (rng.matrix::<T>(6, 3), rng.matrix::<T>(6, 2));
    let (x, y) = (state(&x), state(&y));
    let (root, a_bar, b_bar) = fidelities::<T, B>(backend, slice::from_ref(&x), slice::from_ref(&y));
    let least = if T::PRECISION == eigengrad::Precision::F32 { 1e-18 } else { 1e-150 };
    for s in [1e-6, 1e6, least, 1.0 / least] {
        let scaled = |x: &Matrix| [x.mapv(|x| x * s)];
        let got = fidelities::<T, B>(backend, &scaled(&x), &scaled(&y));
        // rounding sA moves eigenvectors by ε over their gaps
        let unit = crate::THRESHOLD * 6.0 * epsilon::<T>() * 10.0;
        assert!((got.0[0] / s - root[0]).abs() <= unit, "s = {s}: {} against {}", got.0[0] / s, root[0]);
        for (got, expected) in [(&got.1[0], &a_bar[0]), (&got.2[0], &b_bar[0])] {
            assert!(largest(&(got.mapv(|x| x / s) - expected)) <= unit * largest(expected) * 10.0, "s = {s}");
        }
    }
}

/// A matrix with a negative eigenvalue is told, and one that is not finite; the others are as they
/// were.
pub fn fidelity_of_what_is_no_state<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(99);
    let good = state(&rng.matrix::<T>(3, 3));
    let nan = good.mapv(|x| if x == good[[2, 2]] { C::new(f64::NAN, 0.0) } else { x });
    let a = [good.clone(), diagonal(&[-1.0, 0.5, 1.0]), good.clone(), nan];
    let b = [good.clone(), good.clone(), diagonal(&[-1.0, 0.5, 1.0]), good.clone()];
    let got =
        fidelity(&run::hermitian::<T, B>(backend, 3, &a), &run::hermitian::<T, B>(backend, 3, &b), &Options::default()).unwrap();
    let status = got.status.to_host().unwrap();
    assert_eq!(status[..], [Status::OK, Status::OUTSIDE_DOMAIN, Status::OUTSIDE_DOMAIN, Status::NOT_FINITE]);
    let root = got.root.to_host().unwrap();
    assert!(root.iter().zip(&status).all(|(&x, s)| wide(x).re.is_finite() == s.is_ok()));
    assert_eq!(got.a_bar.to_host().unwrap().status().to_vec(), *status);
}

/// Gradients by differences along directions that keep the rank, of states of rank 2 and of full
/// rank, in f64.
pub fn fidelity_by_differences<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(93);
    for (n, ranks) in [(4, [2, 2]), (5, [2, 5]), (5, [5, 2]), (3, [3, 3]), (66, [2, 2])] {
        let (x, y) = (rng.matrix::<T>(n, ranks[0]), rng.matrix::<T>(n, ranks[1]));
        let (x_dot, y_dot) = (rng.matrix::<T>(n, ranks[0]), rng.matrix::<T>(n, ranks[1]));
        let size = (n as f64).sqrt();
        let square = |x: &Matrix| times(x, &adjoint(x)).mapv(|x| x / n as f64);
        let fidelity = |x: &Matrix, y: &Matrix| fidelities::<T, B>(backend, &[square(x)], &[square(y)]).0[0].powi(2);
        let (_, a_bar, b_bar) = fidelities::<T, B>(backend, &[square(&x)], &[square(&y)]);
        let along = |x: &Matrix, x_dot: &Matrix| {
            let a = times(x_dot, &adjoint(x));
            (&a + &adjoint(&a)).mapv(|a| a / n as f64 / size)
        };
        let (x_step, y_step) = (x_dot.mapv(|x| x / size), y_dot.mapv(|x| x / size));
        for (got, expected) in [
            (inner(&a_bar[0], &along(&x, &x_dot)), difference(|x| fidelity(x, &y), &x, &x_step)),
            (inner(&b_bar[0], &along(&y, &y_dot)), difference(|y| fidelity(&x, y), &y, &y_step)),
        ] {
            assert!((got - expected).abs() <= 1e-8 * expected.abs().max(1.0), "n = {n}, {ranks:?}: {got} against {expected}");
        }
    }
}

/// tr(A log A) and its gradient log A + 1 on the kept space, of states of every rank.
pub fn entropy_of_states<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(94);
    for n in [1, 4, 67] {
        let p: Vec<_> = (0..n).map(|k| if k % 2 == 1 { 0.0 } else { rng.uniform(0.5, 1.0) / n as f64 }).collect();
        let u = rng.unitary::<T>(n);
        let turned = |p: &[f64]| {
            let a = times(&times(&u, &diagonal(p)), &adjoint(&u));
            (&a + &adjoint(&a)).mapv(|x| x * 0.5)
        };
        let (pairs, _) = run::eigh::<T, B>(backend, n, &[turned(&p), Array2::zeros((n, n))], &Options::default());
        let got = pairs.negentropy().unwrap();
        let (sums, gradient) = (got.values.to_host().unwrap(), got.gradient.to_host().unwrap());
        gradient.check().unwrap();
        let expected: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum();
        let tolerance = 10.0 * n as f64 * epsilon::<T>() * (1.0 + (n as f64).ln());
        assert!((wide(sums[0]).re - expected).abs() <= tolerance * n as f64, "n = {n}");
        assert_eq!(wide(sums[1]), C::ZERO);
        let slopes: Vec<_> = p.iter().map(|&p| if p > 0.0 { p.ln() + 1.0 } else { 0.0 }).collect();
        let expected = turned(&slopes);
        assert!(largest(&(matrix(gradient.data(), 0) - &expected)) <= tolerance * 10.0 * norm(&expected), "n = {n}");
        assert!(matrix(gradient.data(), 1).iter().all(|&x| x == C::ZERO));
    }
}
