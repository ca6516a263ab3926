//! Each solver in each type, what happens to matrices that it fails on, and the certificate.

use crate::gpu::{device, is_emulated};
use crate::sample::matrices;
use eigengrad::cuda::{Algorithm, Cuda, Solver};
use eigengrad::{Cut, Engine, Error, HermitianBatch, Options, Plan, Real, Scalar, Status, eigh, eigvalsh};
use num_complex::Complex;

/// ‖AV − VΛ‖ and ‖VᴴV − I‖, by the largest entry, in units of n·ε·‖A‖ and n·ε.
pub fn ratios<T: Scalar>(cuda: &Cuda, n: usize) -> (f64, f64)
where
    Cuda: Engine<T>,
{
    let a = matrices::<T>(6, n, 20);
    let batch = HermitianBatch::on(cuda, a.view()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap().to_host().unwrap();
    pairs.check().unwrap();
    let values = eigvalsh(&batch, &Options::default()).unwrap().to_host().unwrap();
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

/// The largest |λ| and no more are kept.
pub fn at_most<T: Scalar>(cuda: &Cuda, n: usize)
where
    Cuda: Engine<T>,
{
    let batch = HermitianBatch::on(cuda, matrices::<T>(6, n, 21).view()).unwrap();
    let options = Options::default().with_cut(Cut::none().with_at_most(n / 3));
    let pairs = eigh(&batch, &options).unwrap().to_host().unwrap();
    for b in 0..6 {
        let size = |k: usize| pairs.values()[[b, k]].to_f64().abs();
        let mut largest: Vec<_> = (0..n).collect();
        largest.sort_by(|&i, &j| size(j).total_cmp(&size(i)));
        let kept: Vec<_> = (0..n).map(|k| largest[..n / 3].contains(&k)).collect();
        assert_eq!(pairs.kept().row(b).to_vec(), kept, "n = {n}, matrix {b}");
        assert_eq!(pairs.rank()[b], (n / 3) as u32, "n = {n}, matrix {b}");
    }
}

fn accurate<T: Scalar>(cuda: &Cuda)
where
    Cuda: Engine<T>,
{
    let exact = Solver::Jacobi { tolerance: Some(10.0 * T::PRECISION.epsilon()), sweeps: 30 };
    let syev = [Solver::SYEV, Solver::Syev(Algorithm::Consistent)];
    for solver in [Solver::Auto, Solver::OnChip, Solver::Ql, Solver::JACOBI, exact].into_iter().chain(syev) {
        let cuda = cuda.clone().with_solver(solver).certified();
        if solver == syev[1] && !is_known(&cuda) {
            continue;
        }
        let more: &[usize] = if solver == Solver::Ql { &[100, 128, 129] } else { &[] };
        for &n in [1, 2, 3, 8, 31, 32, 33, 40, 49, 65].iter().chain(more) {
            if solver == Solver::OnChip && 2 * n * n * size_of::<T>() > most_shared(&cuda) {
                let refused = Plan::<T, Cuda>::new(&cuda, 1, n, &Options::default()).and_then(|plan| plan.workspace().map(drop));
                assert!(refused.unwrap_err().to_string().contains("do not fit in shared memory"), "n = {n}");
                continue;
            }
            if solver == Solver::Ql && !ql_takes::<T>(&cuda, n) {
                let refused = Plan::<T, Cuda>::new(&cuda, 1, n, &Options::default()).and_then(|plan| plan.workspace().map(drop));
                assert!(refused.unwrap_err().to_string().contains("do not fit in registers"), "n = {n}");
                continue;
            }
            let (residual, orthogonality) = ratios::<T>(&cuda, n);
            assert!(residual <= 10.0 && orthogonality <= 10.0, "{solver:?}, n = {n}: {residual}, {orthogonality}");
        }
    }
}

/// Whether Householder and QL take matrices of this order: in registers, and beyond n = 64 with Z in
/// shared memory for once, beside a little.
fn ql_takes<T: Scalar>(cuda: &Cuda, n: usize) -> bool {
    let (real, rows) = (size_of::<T::Real>(), n.next_multiple_of(16));
    n <= if real == 8 { 64 } else { 128 } && (n <= 64 || rows * (rows + 1) * real + (8 << 10) <= most_shared(cuda))
}

/// The most shared memory that a block may have, in bytes: CUDA's programming guide, by compute
/// capability.
fn most_shared(cuda: &Cuda) -> usize {
    let kibibytes = match cuda.info().unwrap().capability {
        (7, 5) => 64,
        (8, 0 | 7) => 163,
        (8 | 12, _) => 99,
        _ => 227,
    };
    kibibytes * 1024
}

/// cuSOLVER 12.0.4 documents an algorithm that it refuses.
fn is_known(cuda: &Cuda) -> bool {
    match Plan::<f32, Cuda>::new(cuda, 1, 3, &Options::default()).unwrap().workspace() {
        Ok(_) => true,
        Err(e) if e.to_string().contains("cusolverDnSetAdvOptions") => false,
        Err(e) => panic!("{e}"),
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

#[test]
fn the_largest_are_kept() {
    let Some(cuda) = device() else { return };
    let ql = cuda.clone().with_solver(Solver::Ql);
    for n in [7, 16, 45, 70] {
        at_most::<f32>(&ql, n);
        at_most::<Complex<f32>>(&ql, n);
        at_most::<Complex<f32>>(&cuda, n);
    }
}

/// A workspace has the solver that it was made with: the plan of a backend with another refuses it.
#[test]
fn workspaces_of_another_solver_are_refused() {
    let Some(cuda) = device() else { return };
    let plan = |solver| Plan::<f64, Cuda>::new(&cuda.clone().with_solver(solver), 2, 5, &Options::default()).unwrap();
    let (own, other) = (plan(Solver::OnChip), plan(Solver::JACOBI));
    let a = HermitianBatch::on(&cuda, matrices::<f64>(2, 5, 3).view()).unwrap();
    let mut pairs = own.eigenpairs::<f64>().unwrap();
    own.eigh_into(a.view(), pairs.view_mut(), &own.workspace().unwrap()).unwrap();
    let refused = own.eigh_into(a.view(), pairs.view_mut(), &other.workspace().unwrap());
    assert!(matches!(refused, Err(Error::Workspace { batch: 2, n: 5 })));
}

/// The per-thread default stream is another one in each thread, and memory goes from thread to
/// thread.
#[test]
fn the_per_thread_default_stream_is_refused() {
    let Some(cuda) = device() else { return };
    let refused = Cuda::from_stream(cuda.stream().context().per_thread_stream());
    assert!(refused.unwrap_err().to_string().contains("it is another stream in each thread"));
    Cuda::from_stream(cuda.stream().context().default_stream()).unwrap();
}

/// Ours takes every order of which one matrix fits, whatever shared memory a block has.
#[test]
fn every_order_that_fits_on_chip() {
    let Some(cuda) = device() else { return };
    let cuda = cuda.with_solver(Solver::OnChip);
    for n in 1..=25 {
        let a = HermitianBatch::on(&cuda, matrices::<Complex<f64>>(3, n, 4).view()).unwrap();
        eigh(&a, &Options::default()).unwrap().to_host().unwrap().check().unwrap();
    }
}

/// One sweep is enough for no matrix but diagonal ones. cuSOLVER 12.0.4 has said 0 of others and
/// n + 1 of those: what it says is passed on.
#[test]
fn matrices_that_do_not_converge() {
    let Some(cuda) = device() else { return };
    let cuda = cuda.with_solver(Solver::Jacobi { tolerance: Some(f64::EPSILON), sweeps: 1 });
    let mut a = matrices::<f64>(6, 12, 21);
    for b in [0, 3] {
        a.index_axis_mut(ndarray::Axis(0), b).assign(&ndarray::Array2::from_diag(&ndarray::Array1::range(1.0, 13.0, 1.0)));
    }
    let pairs = eigh(&HermitianBatch::on(&cuda, a.view()).unwrap(), &Options::default()).unwrap().to_host().unwrap();
    for b in 0..6 {
        let converges = pairs.status()[b] == Status::OK;
        assert!(converges || pairs.status()[b] == Status::NOT_CONVERGED, "matrix {b}");
        assert!([0, 3].contains(&b) == converges || !is_emulated(), "matrix {b}");
        assert!(pairs.vectors().index_axis(ndarray::Axis(0), b).iter().all(|x| x.is_finite() == converges));
        assert!(pairs.values().row(b).iter().all(|x| x.is_finite() == converges));
        assert_eq!(pairs.rank()[b], if converges { 12 } else { 0 });
    }
}

/// A = D B D with D from 1 to 10⁻⁴ and B well conditioned: our rotations keep a relative accuracy,
/// docs/derivation.md §13.
#[test]
fn small_eigenvalues_of_graded_matrices() {
    let Some(cuda) = device() else { return };
    for n in [5, 8, 20] {
        let random = matrices::<Complex<f32>>(4, n, 22);
        let grade = |i: usize| 1e-4_f32.powf(i as f32 / (n - 1) as f32);
        let a = ndarray::Array3::from_shape_fn((4, n, n), |(b, i, j)| {
            let x = (random[[b, i, j]] + random[[b, j, i]].conj()) * (0.05 / n as f32) * (grade(i) * grade(j));
            if i == j { x + grade(i) * grade(i) } else { x }
        });
        let wide = a.mapv(|x| Complex::new(f64::from(x.re), f64::from(x.im)));
        let expected = eigvalsh(&HermitianBatch::new(wide.view()).unwrap(), &Options::default()).unwrap();
        for solver in [Solver::Auto, Solver::OnChip] {
            let cuda = cuda.clone().with_solver(solver);
            let batch = HermitianBatch::on(&cuda, a.view()).unwrap();
            let values = eigvalsh(&batch, &Options::default()).unwrap().to_host().unwrap();
            let pairs = eigh(&batch, &Options::default()).unwrap().to_host().unwrap();
            for values in [values.values(), pairs.values()] {
                for (&x, &y) in values.iter().zip(expected.values()) {
                    assert!((f64::from(x) - y).abs() <= 10.0 * n as f64 * f64::from(f32::EPSILON) * y, "n = {n}: {x} for {y}");
                }
            }
        }
    }
}

#[test]
fn orders_beyond_the_kernels() {
    let Some(cuda) = device() else { return };
    let plan = Plan::<f32, Cuda>::new(&cuda, 1, 1 << 16, &Options::default()).unwrap();
    assert!(plan.workspace().unwrap_err().to_string().contains("65536×65536"));
}
