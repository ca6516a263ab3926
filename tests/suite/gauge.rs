//! ρ: whether the loss depends on the phases of the eigenvectors, at any scale of the loss.

use crate::backward::{mixed, random_cotangents};
use crate::numbers::{C, Matrix, epsilon, matrix, wide};
use crate::oracle::{Decomposition, gauge_defect};
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{Engine, Options, Scalar, Status};
use ndarray::Array2;

/// Scales of the loss, to the ends of the range: ρ is relative.
fn scales<T: Scalar>() -> Vec<f64> {
    let mut scales = vec![1e-30, 1e-3, 1.0, 1e6, 1e30];
    if epsilon::<T>() < 1e-10 {
        scales.extend([1e-290, 1e290]);
    }
    scales
}

pub fn the_defect_is_relative<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(22);
    for n in [1, 2, 5, 16, 67] {
        let matrices = mixed::<T>(n, 7, &mut rng);
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let (_, mut v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
        v_bar[0].column_mut(n - 1).fill(C::ZERO);
        for loss_scale in scales::<T>() {
            let v_bar: Vec<_> = v_bar.iter().map(|x| x.mapv(|x| x * loss_scale)).collect();
            let gradient = run::backward(&pairs, None, Some(&v_bar));
            for (b, v_bar) in v_bar.iter().enumerate() {
                let d = Decomposition::of(&host, b);
                let unscaled = v_bar.mapv(|x| x / loss_scale);
                let expected = gauge_defect(&d, &unscaled);
                for (k, &rho) in gradient.gauge_defect().row(b).iter().enumerate() {
                    let rho = wide(rho).re;
                    assert!((rho - expected[k]).abs() <= THRESHOLD * n as f64 * epsilon::<T>(), "{rho} against {}", expected[k]);
                    assert!(T::COMPLEX && d.kept[k] || rho == 0.0);
                }
                let dependent = T::COMPLEX && d.kept.iter().zip(&expected).any(|(&kept, &rho)| kept && rho > 0.01);
                assert_eq!(
                    gradient.status()[b].intersects(Status::PHASE_DEPENDENT),
                    dependent,
                    "n = {n}, matrix {b}, × {loss_scale}"
                );
            }
        }
    }
}

/// Σ w |v|², invariant, against Re Σ v, which is not: no false alarm and no miss, whatever the loss
/// is multiplied by.
pub fn invariant_losses_and_others<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(23);
    for n in [3, 8, 33, 67] {
        let matrices: Vec<_> = (0..5).map(|b| rng.of_rank::<T>(n, n - b % n, true)).collect();
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let weights = rng.matrix::<f64>(n, n);
        for loss_scale in scales::<T>() {
            let weigh = |b| {
                let v: Matrix = matrix(host.vectors(), b);
                Array2::from_shape_fn((n, n), |ik| weights[ik] * 2.0 * v[ik] * loss_scale)
            };
            let invariant: Vec<_> = (0..matrices.len()).map(weigh).collect();
            let gradient = run::backward(&pairs, None, Some(&invariant));
            for (b, status) in gradient.status().iter().enumerate() {
                assert!(!status.intersects(Status::PHASE_DEPENDENT), "n = {n}, matrix {b}, × {loss_scale}: {status}");
            }
            let sum = vec![Array2::from_elem((n, n), C::new(loss_scale, 0.0)); matrices.len()];
            let gradient = run::backward(&pairs, None, Some(&sum));
            for (b, status) in gradient.status().iter().enumerate() {
                assert_eq!(
                    status.intersects(Status::PHASE_DEPENDENT),
                    T::COMPLEX,
                    "n = {n}, matrix {b}, × {loss_scale}: {status}"
                );
            }
        }
    }
}

/// V̄ = V(1 + iδ) has ρ = δ: 8·√n·ε is where it becomes a finding.
pub fn the_threshold_of_the_finding<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(24);
    for n in [16, 64] {
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[rng.of_rank::<T>(n, 3, false)], &Options::default());
        let v = matrix(host.vectors(), 0);
        let finding = (n as f64).sqrt() * epsilon::<T>() * 8.0;
        for (factor, found) in [(0.8, false), (1.25, T::COMPLEX)] {
            let v_bar = v.mapv(|x| x * C::new(1.0, finding * factor));
            let gradient = run::backward(&pairs, None, Some(&[v_bar]));
            assert_eq!(gradient.status()[0].intersects(Status::PHASE_DEPENDENT), found, "n = {n}, × {factor}");
        }
    }
}

/// i Im diag(VᴴV̄) taken out of V̄, the part that ρ measures, changes nothing: F is 0 on the
/// diagonal.
pub fn the_phase_dependent_part_is_ignored<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(25);
    for n in [6, 67] {
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[rng.of_rank::<T>(n, n / 2, false)], &Options::default());
        let v = matrix(host.vectors(), 0);
        let weights = rng.matrix::<f64>(n, n);
        let v_bar = Array2::from_shape_fn((n, n), |ik| weights[ik] * v[ik]);
        let phases = rng.vector(n);
        let turned = Array2::from_shape_fn((n, n), |(i, k)| v_bar[[i, k]] + C::new(0.0, phases[k]) * v[[i, k]]);
        let a_bar = |v_bar| matrix(run::backward(&pairs, None, Some(&[v_bar])).a_bar(), 0);
        let error = crate::numbers::largest(&(a_bar(turned) - a_bar(v_bar)));
        // |F| = r of `of_rank`, |V̄| of order 1
        let size = THRESHOLD * n as f64 * epsilon::<T>() * n as f64;
        assert!(error <= size, "n = {n}: {error}");
    }
}
