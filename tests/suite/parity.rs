//! Every backend against the CPU, on what does not depend on the choice of eigenvectors.

use crate::THRESHOLD;
use crate::backward::{mixed, scale};
use crate::numbers::{Matrix, adjoint, epsilon, largest, matrix, rounded, wide};
use crate::oracle::{Decomposition, times};
use crate::random::Rng;
use crate::run;
use eigengrad::{Cpu, Cut, Engine, Options, Scalar};
use ndarray::Array2;

/// V_K V_Kᴴ.
fn projector(d: &Decomposition) -> Matrix {
    let v = Array2::from_shape_fn((d.n(), d.n()), |(i, k)| if d.kept[k] { d.v[[i, k]] } else { 0.0.into() });
    times(&v, &adjoint(&v))
}

/// λ, K, ranks, statuses and gaps of matrices of every kind.
pub fn spectra_as_on_the_cpu<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [1, 2, 5, 16, 33] {
        let matrices = mixed::<T>(n, 16, &mut Rng::new(51));
        let (_, got) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let (_, expected) = run::eigh::<T, Cpu>(&Cpu::default(), n, &matrices, &Options::default());
        assert_eq!((got.kept(), got.rank(), got.status()), (expected.kept(), expected.rank(), expected.status()), "n = {n}");
        for b in 0..matrices.len() {
            let (got_of, expected_of) = (Decomposition::of(&got, b), Decomposition::of(&expected, b));
            let unit = n as f64 * epsilon::<T>() * expected_of.norm();
            for (x, y) in got_of.lambda.iter().zip(&expected_of.lambda) {
                assert!((x - y).abs() <= THRESHOLD * unit, "n = {n}, matrix {b}: {x} and {y}");
            }
            let gaps = [(got.gap_kept()[b], expected.gap_kept()[b]), (got.gap_dropped()[b], expected.gap_dropped()[b])];
            for (x, y) in gaps.map(|(x, y)| (wide(x).re, wide(y).re)) {
                assert!(x == y || (x - y).abs() <= THRESHOLD * unit, "n = {n}, matrix {b}: gaps {x} and {y}");
            }
        }
    }
}

/// Projectors on K, and the gradient of a loss that any choice of phases sees alike: Σ W |V|⁴ + Σ c
/// λ. V is known to ε‖A‖/gap, Ā through it and through F to ε (‖A‖/gap)·(‖V̄‖/gap), on either side.
pub fn gradients_as_on_the_cpu<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(52);
    for n in [2, 3, 8, 17, 32, 67] {
        let lambda: Vec<_> = (0..n).map(|k| if k < n / 3 { 0.0 } else { 2.0 + k as f64 / n as f64 * 4.0 }).collect();
        let a = rounded::<T>(&rng.with_spectrum::<T>(&lambda));
        let (weights, bar) = (rng.matrix::<f64>(n, n), vec![rng.vector(n)]);
        let options = Options::default().with_cut(Cut::at_most(n - n / 3));
        let quartic = |v: &Matrix| Array2::from_shape_fn((n, n), |ik| weights[ik] * 4.0 * v[ik].norm_sqr() * v[ik]);
        let one = std::slice::from_ref(&a);
        let (pairs, host) = run::eigh::<T, B>(backend, n, one, &options);
        let (cpu_pairs, cpu_host) = run::eigh::<T, Cpu>(&Cpu::default(), n, one, &options);
        let (d, expected) = (Decomposition::of(&host, 0), Decomposition::of(&cpu_host, 0));
        let f = expected.f(None);
        let steepest = f.iter().map(|x| x.abs()).fold(0.0, f64::max) * expected.norm();
        let ratio = largest(&(projector(&d) - projector(&expected))) / (n as f64 * epsilon::<T>() * steepest);
        assert!(ratio <= THRESHOLD, "n = {n}, projectors: {ratio}");

        let v_bar = quartic(&expected.v);
        let got = matrix(run::backward(&pairs, Some(&bar), Some(&[quartic(&d.v)])).a_bar(), 0);
        let expected_a_bar = matrix(run::backward(&cpu_pairs, Some(&bar), Some(std::slice::from_ref(&v_bar))).a_bar(), 0);
        let unit = n as f64 * epsilon::<T>() * scale(&expected, &f, Some(&bar[0]), Some(&v_bar)) * steepest;
        let ratio = largest(&(&got - &expected_a_bar)) / unit;
        assert!(ratio <= THRESHOLD, "n = {n}, gradients: {ratio}");
    }
}
