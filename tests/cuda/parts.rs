//! A batch that is worked on in parts has the bits of one that is not, whatever is stored as what.

use crate::gpu::{device, is_emulated};
use crate::sample::{Results, assert_same, matrices, run};
use eigengrad::cuda::{Cuda, Solver};
use eigengrad::{Array, Cut, Dropped, Element, ElementOf, Engine, HermitianBatch, Options, Plan, Real, Scalar, Status, eigvalsh};
use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayView2};
use num_complex::Complex;

/// Asserts what is left of the same bits where sums have another order: statuses, and λ but for
/// round-off.
pub fn assert_near<O: Element>(status: [ArrayView1<'_, Status>; 2], [values, others]: [ArrayView2<'_, O>; 2]) {
    assert_eq!(status[0], status[1]);
    for (row, other) in values.outer_iter().zip(others.outer_iter()) {
        let [row, other] = [row, other].map(|row| row.mapv(|x| x.widen().re().to_f64()));
        let tolerance = 10.0 * O::PRECISION.cutoff(row.len()) * row.fold(0.0, |largest: f64, x| largest.max(x.abs()));
        row.iter().zip(&other).for_each(|(x, y)| assert!((x - y).abs() <= tolerance || x.is_nan() && y.is_nan(), "{x} for {y}"));
    }
}

fn in_parts<T: Element, O: ElementOf<T::Scalar>>(cuda: &Cuda, solver: Solver, (batch, n): (usize, usize))
where
    Cuda: Engine<T::Scalar> + Engine<O::Scalar>,
{
    for dropped in [Dropped::AsComputed, Dropped::Zero] {
        let options = Options::default().with_dropped(dropped).with_cut(Cut::relative(1e-2));
        let mut a = matrices::<T>(batch, n, 5);
        a[[batch - 3, 1, 1]] = T::narrow(Scalar::from_parts(Real::of(f64::NAN), Real::of(0.0)));
        let whole = cuda.clone().with_solver(solver);
        let expected: Results<O> = run(&whole, &a, &options);
        assert!(expected.0.status()[batch - 3].failed());
        for limit in [0, batch * n * n * 100] {
            let got = run(&whole.clone().with_workspace_limit(limit), &a, &options);
            if n <= 48 || is_emulated() {
                assert_same(&expected, &got);
            } else {
                assert_near([&expected, &got].map(|x| x.0.status()), [&expected, &got].map(|x| x.0.values()));
            }
        }
    }
}

#[test]
fn jacobi() {
    let Some(cuda) = device() else { return };
    in_parts::<f32, f32>(&cuda, Solver::JACOBI, (23, 6));
    in_parts::<Complex<f64>, Complex<f64>>(&cuda, Solver::JACOBI, (23, 6));
    in_parts::<f16, f16>(&cuda, Solver::JACOBI, (23, 6));
    in_parts::<Complex<bf16>, Complex<f16>>(&cuda, Solver::JACOBI, (23, 6));
}

#[test]
fn syev() {
    let Some(cuda) = device() else { return };
    in_parts::<f64, f64>(&cuda, Solver::SYEV, (23, 6));
    in_parts::<Complex<f32>, Complex<f32>>(&cuda, Solver::SYEV, (23, 6));
    in_parts::<bf16, f32>(&cuda, Solver::SYEV, (23, 6));
    in_parts::<f32, f16>(&cuda, Solver::SYEV, (23, 6));
}

/// Where the backward goes by `inner` and `outer`.
#[test]
fn of_large_matrices() {
    let Some(cuda) = device() else { return };
    in_parts::<f64, f64>(&cuda, Solver::SYEV, (5, 90));
    in_parts::<Complex<f64>, Complex<f64>>(&cuda, Solver::SYEV, (4, 77));
    in_parts::<f16, f32>(&cuda, Solver::SYEV, (3, 153));
}

/// What the caller's memory held before does not matter, even where there is no eigenvalue to
/// write.
#[test]
fn matrices_of_no_order_in_used_memory() {
    let Some(cuda) = device() else { return };
    let plan = Plan::<f64, Cuda>::new(&cuda, 3, 0, &Options::default()).unwrap();
    let mut pairs = plan.eigenpairs::<f64>().unwrap();
    let used = cuda.adopt(cuda.stream().clone_htod(&[u32::MAX; 3]).unwrap()).unwrap();
    pairs.spectrum.status = Array::from_buffer(&cuda, used, [3]).unwrap();
    let batch = HermitianBatch::on(&cuda, ndarray::Array3::<f64>::zeros((3, 0, 0)).view()).unwrap();
    plan.eigh_into(batch.view(), pairs.view_mut(), &plan.workspace().unwrap()).unwrap();
    pairs.to_host().unwrap().check().unwrap();
}

/// More matrices than the Jacobi routines take at a time: 2,047,171 of order 4.
#[test]
fn three_million_matrices() {
    let Some(cuda) = device() else { return };
    let cuda = cuda.with_solver(Solver::JACOBI);
    let few = matrices::<f32>(1000, 4, 6);
    let many = ndarray::Array3::from_shape_fn((3_000_000, 4, 4), |(b, i, j)| few[[b % 1000, i, j]]);
    let values = |a: &ndarray::Array3<f32>| {
        let batch = HermitianBatch::on(&cuda, a.view()).unwrap();
        eigvalsh(&batch, &Options::default()).unwrap().to_host().unwrap()
    };
    let (few, many) = (values(&few), values(&many));
    many.check().unwrap();
    for (b, row) in many.values().outer_iter().enumerate() {
        assert_eq!(row, few.values().row(b % 1000), "matrix {b}");
    }
}
