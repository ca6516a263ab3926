//! Matrices whose largest eigenvalue is exactly twofold, with entries that are exact: A = Q D Q
//! with integers D and products Q of reflections I − ½uuᴴ, u of four entries of modulus 1.
//! Eigenvectors, and so every right value, are known without an eigensolver.

use crate::numbers::{C, Matrix, adjoint, diagonal, epsilon, largest, matrix, norm};
use crate::oracle::times;
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{Cut, Engine, Options, Scalar, Status};
use ndarray::Array2;
use std::slice;

/// Each type's matrices on the CPU; EIGENGRAD_TIES asks for more, as scripts/ties does.
fn count<B: 'static>() -> usize {
    let asked = std::env::var("EIGENGRAD_TIES").ok().and_then(|count| count.parse().ok());
    if run::on_the_cpu::<B>() { asked.unwrap_or(5000) } else { 60 }
}

/// How many matrices are decomposed at a time.
const BATCH: usize = 100;

struct Tied {
    a: Matrix,
    q: Matrix,
    lambda: Vec<f64>,
    /// The two columns of the tied pair.
    pair: [usize; 2],
}

impl Tied {
    fn new<T: Scalar>(n: usize, rng: &mut Rng) -> Self {
        let mut below = |most: f64| rng.uniform(0.0, most).floor();
        let mut lambda: Vec<_> = (0..n).map(|_| below(13.0) - 6.0).collect();
        let pair = [0, 1].map(|at| at * (n - 1));
        let top = if below(2.0) == 0.0 { 8.0 } else { -8.0 };
        pair.iter().for_each(|&k| lambda[k] = top);
        let mut q: Matrix = Array2::eye(n);
        for _ in 0..2 {
            let mut u = vec![C::ZERO; n];
            while u.iter().filter(|x| x.norm() > 0.0).count() < n.min(4) / 2 * 2 {
                let unit = [C::ONE, -C::ONE, C::I, -C::I][below(if T::COMPLEX { 4.0 } else { 2.0 }) as usize];
                u[below(n as f64) as usize] = unit;
            }
            let square: f64 = u.iter().map(|x| x.norm_sqr()).sum();
            let reflection = Array2::from_shape_fn((n, n), |(i, j)| {
                C::new(f64::from(u8::from(i == j)), 0.0) - u[i] * u[j].conj() * (2.0 / square)
            });
            q = times(&q, &reflection);
        }
        let a = times(&times(&q, &diagonal(&lambda)), &adjoint(&q));
        Self { a, q, lambda, pair }
    }

    fn is_tied(&self, k: usize) -> bool {
        self.pair.contains(&k)
    }

    /// Q (W ∘ QᴴCQ) Qᴴ, W_ij = 1/(λ_j − λ_i) between the tied pair and the others: the gradient of
    /// tr(CΠ), and Π̇ along C.
    fn turned(&self, c: &Matrix) -> Matrix {
        let x = times(&times(&adjoint(&self.q), c), &self.q);
        let w = Array2::from_shape_fn(x.dim(), |(i, j)| match (self.is_tied(i), self.is_tied(j)) {
            (false, true) => x[[i, j]] / (self.lambda[j] - self.lambda[i]),
            (true, false) => x[[i, j]] / (self.lambda[i] - self.lambda[j]),
            _ => C::ZERO,
        });
        times(&times(&self.q, &w), &adjoint(&self.q))
    }
}

/// Every tie is told, passes the check, and has the right gradient and tangent of the projector.
pub fn exact_ties_are_told_and_right<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(95);
    for round in 0..count::<B>().div_ceil(BATCH) {
        let n = 2 + round % 15;
        let all: Vec<_> = (0..BATCH).map(|_| Tied::new::<T>(n, &mut rng)).collect();
        let matrices: Vec<_> = all.iter().map(|tied| tied.a.clone()).collect();
        // Of most of them the pair is all that is kept: "at most 2" must not part it.
        let cut = if round % 2 == 0 { Cut::none() } else { Cut::at_most(2) };
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_cut(cut));
        let c: Vec<_> = all.iter().map(|_| rng.hermitian::<T>(n)).collect();
        // The pair's columns in the order of λ.
        let columns = |tied: &Tied| if tied.lambda[tied.pair[0]] > 0.0 { n - 2..n } else { 0..2 };
        let v_bar: Vec<_> = (0..BATCH)
            .map(|b| {
                let cv = times(&c[b], &matrix(host.vectors(), b));
                Array2::from_shape_fn((n, n), |(i, k)| if columns(&all[b]).contains(&k) { 2.0 * cv[[i, k]] } else { C::ZERO })
            })
            .collect();
        let gradient = run::backward(&pairs, None, Some(&v_bar));
        let tangents = pairs.jvp(&run::hermitian::<T, B>(backend, n, &c)).unwrap().to_host().unwrap();
        gradient.check().unwrap();
        for (b, tied) in all.iter().enumerate() {
            let case = format!("n = {n}, matrix {b} of round {round}: {:?}", host.values().row(b));
            assert!(gradient.status()[b].intersects(Status::TIED), "{case}");
            assert!(tangents.status()[b].intersects(Status::TIED), "{case}");
            // The pair is at least 2 from the others, of which eigenvectors err by ε‖A‖ over that.
            let unit = n as f64 * epsilon::<T>() * norm(&c[b]) * 8.0;
            let expected = tied.turned(&c[b]);
            let error = largest(&(matrix(gradient.a_bar(), b) - &expected));
            assert!(error <= THRESHOLD * unit, "{case}: the gradient is off by {error:.2e}");
            let k: Vec<_> = columns(tied).collect();
            let (v, v_dot) = (
                matrix(host.vectors(), b).select(ndarray::Axis(1), &k),
                matrix(tangents.vectors(), b).select(ndarray::Axis(1), &k),
            );
            let half = times(&v_dot, &adjoint(&v));
            let error = largest(&(&half + &adjoint(&half) - &expected));
            assert!(error <= THRESHOLD * unit, "{case}: the tangent is off by {error:.2e}");
        }
    }
}

/// Along a direction that leaves the pair tied second derivatives are told to be right, along one
/// that splits it not.
pub fn directions_that_split_ties_are_told<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(96);
    for n in [2, 5, 16, 67] {
        let tied = Tied::new::<T>(n, &mut rng);
        let options = Options::default().with_cut(Cut::at_most(2));
        let (pairs, _) = run::eigh::<T, B>(backend, n, slice::from_ref(&tied.a), &options);
        let p = rng.hermitian::<T>(n);
        let direction = |keeps: bool| {
            let mut x = p.clone();
            if keeps {
                let [i, j] = tied.pair;
                (x[[i, j]], x[[j, i]], x[[j, j]]) = (C::ZERO, C::ZERO, x[[i, i]]);
            }
            times(&times(&tied.q, &x), &adjoint(&tied.q))
        };
        let zero = eigengrad::Cotangents::new(&pairs, None, None).unwrap();
        for keeps in [true, false] {
            let h = run::hermitian::<T, B>(backend, n, &[crate::numbers::rounded::<T>(&direction(keeps))]);
            let expected = if keeps { Status::TIED } else { Status::TIED | Status::TIE_DEFECT };
            let tangents = pairs.jvp(&h).unwrap().to_host().unwrap();
            assert_eq!(tangents.status()[0], expected, "n = {n}, {keeps}");
            assert_eq!(tangents.check().is_ok(), keeps);
            assert_eq!(pairs.double_backward(&zero, &h, None).unwrap().to_host().unwrap().status()[0], expected, "n = {n}");
            assert_eq!(pairs.backward_jvp(&zero, &h, &zero).unwrap().to_host().unwrap().status()[0], expected, "n = {n}");
        }
    }
}

/// L = tr A and L = ‖A‖² have exact gradients wherever eigenvalues tie, null ones too, and pass; a
/// wrong λ̄ at I does not.
pub fn losses_of_values_at_ties<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(97);
    for n in [3, 16, 67] {
        let matrices = [Array2::eye(n), rng.of_rank::<T>(n, n / 2, false), Array2::zeros((n, n)), Tied::new::<T>(n, &mut rng).a];
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_cut(Cut::none()));
        let gradient = run::backward(&pairs, Some(&vec![vec![1.0; n]; 4]), None);
        gradient.check().unwrap();
        for b in 0..4 {
            let error = largest(&(matrix(gradient.a_bar(), b) - Array2::<C>::eye(n)));
            assert!(error <= THRESHOLD * n as f64 * epsilon::<T>(), "n = {n}, matrix {b}: {error}");
        }
        let twice: Vec<Vec<_>> =
            (0..4).map(|b| host.values().row(b).iter().map(|&x| 2.0 * crate::numbers::wide(x).re).collect()).collect();
        let gradient = run::backward(&pairs, Some(&twice), None);
        gradient.check().unwrap();
        for (b, a) in matrices.iter().enumerate() {
            let error = largest(&(matrix(gradient.a_bar(), b) - a.mapv(|x| x * 2.0)));
            assert!(error <= THRESHOLD * n as f64 * epsilon::<T>() * norm(a).max(1.0), "n = {n}, matrix {b}: {error}");
        }
        let uneven: Vec<f64> = (0..n).map(|k| 1.0 + k as f64).collect();
        let gradient = run::backward(&pairs, Some(&vec![uneven; 4]), None);
        assert!(gradient.status()[0].intersects(Status::TIE_DEFECT) && gradient.check().is_err());
    }
}
