//! Each solver in each type, what happens to matrices that it fails on, and the certificate.

use crate::gpu::device;
use crate::sample::matrices;
use eigengrad::cuda::{Algorithm, Cuda, Solver};
use eigengrad::{Engine, HermitianBatch, Options, Plan, Real, Scalar, Status, eigh, eigvalsh};
use num_complex::Complex;

/// ‖AV − VΛ‖ and ‖VᴴV − I‖, by the largest entry, in units of n·ε·‖A‖ and n·ε.
fn ratios<T: Scalar>(cuda: &Cuda, n: usize) -> (f64, f64)
where
    Cuda: Engine<T>,
{
    let a = matrices::<T>(6, n, 20);
    let batch = HermitianBatch::on(cuda, a.view()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap().to_host().unwrap();
    pairs.check().unwrap();
    let values = eigvalsh(&batch, &Options::default()).unwrap().to_host(cuda).unwrap();
    let size = |x: T| x.re().to_f64().hypot(x.im().to_f64());
    let (mut residual, mut orthogonality) = (0_f64, 0_f64);
    for (b, (a, v)) in a.outer_iter().zip(pairs.vectors().outer_iter()).enumerate() {
        let norm = pairs.values().row(b).iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
        let unit = n as f64 * T::PRECISION.epsilon();
        let (av, vv) = (a.dot(&v), v.t().mapv(Scalar::conj).dot(&v));
        for ((i, k), &x) in av.indexed_iter() {
            residual = residual.max(size(x - v[[i, k]].scale(pairs.values()[[b, k]])) / (unit * norm));
            let one = T::from_parts(T::Real::of(f64::from(i == k)), T::Real::of(0.0));
            orthogonality = orthogonality.max(size(vv[[i, k]] - one) / unit);
        }
        for (x, y) in values.values().row(b).iter().zip(pairs.values().row(b)) {
            assert!((x.to_f64() - y.to_f64()).abs() <= 10.0 * unit * norm);
        }
    }
    (residual, orthogonality)
}

fn accurate<T: Scalar>(cuda: &Cuda)
where
    Cuda: Engine<T>,
{
    let exact = Solver::Jacobi { tolerance: Some(T::PRECISION.epsilon()), sweeps: 30 };
    let syev = [Solver::Syev(Algorithm::Fastest), Solver::Syev(Algorithm::Consistent)];
    for solver in [Solver::Auto, Solver::JACOBI, exact].into_iter().chain(syev) {
        let cuda = cuda.clone().with_solver(solver).certified();
        for n in [1, 2, 3, 8, 31, 32, 33, 40] {
            let (residual, orthogonality) = ratios::<T>(&cuda, n);
            assert!(residual <= 10.0 && orthogonality <= 10.0, "{solver:?}, n = {n}: {residual}, {orthogonality}");
        }
    }
}

#[test]
fn all_solvers_in_all_types() {
    let Some(cuda) = device() else { return };
    accurate::<f32>(&cuda);
    accurate::<f64>(&cuda);
    accurate::<Complex<f32>>(&cuda);
    accurate::<Complex<f64>>(&cuda);
}

/// One sweep is enough for diagonal matrices, and for no others.
#[test]
fn matrices_that_do_not_converge() {
    let Some(cuda) = device() else { return };
    let cuda = cuda.with_solver(Solver::Jacobi { tolerance: None, sweeps: 1 });
    let mut a = matrices::<f64>(6, 12, 21);
    for b in [0, 3] {
        a.index_axis_mut(ndarray::Axis(0), b).assign(&ndarray::Array2::from_diag(&ndarray::Array1::range(1.0, 13.0, 1.0)));
    }
    let pairs = eigh(&HermitianBatch::on(&cuda, a.view()).unwrap(), &Options::default()).unwrap().to_host().unwrap();
    for b in 0..6 {
        let converges = [0, 3].contains(&b);
        assert_eq!(pairs.status()[b], if converges { Status::OK } else { Status::NOT_CONVERGED }, "matrix {b}");
        assert!(pairs.vectors().index_axis(ndarray::Axis(0), b).iter().all(|x| x.is_finite() == converges));
        assert!(pairs.values().row(b).iter().all(|x| x.is_finite() == converges));
        assert_eq!(pairs.rank()[b], if converges { 12 } else { 0 });
    }
}

#[test]
fn orders_beyond_the_kernels() {
    let Some(cuda) = device() else { return };
    let plan = Plan::<f32, Cuda>::new(&cuda, 1, 1 << 16, &Options::default()).unwrap();
    assert!(plan.workspace().unwrap_err().to_string().contains("65536×65536"));
}
