//! The backward of every order that has a kernel of its own, and of those behind, against the CPU's
//! from the same eigenpairs.

use crate::gpu::device;
use crate::sample::numbers;
use eigengrad::cuda::Cuda;
use eigengrad::{
    Array, Cotangents, Cpu, Dropped, Eigenpairs, Engine, Gradient, GradientForm, HermitianBatch, Options, Plan, Real, Scalar,
    Spectrum, Status, TieRule, Triangle, eigh,
};
use ndarray::{Array3, Axis};
use num_complex::Complex;

/// Beyond this many n·ε·max|Ā| it is no round-off.
const THRESHOLD: f64 = 30.0;

/// λ, whole numbers in ascending order, some of them zero or tied, and which are kept.
fn spectrum(matrix: usize, n: usize) -> Vec<(f64, bool)> {
    let half = (n / 2) as f64;
    let of = |k: usize| match matrix % KINDS {
        0 => (k as f64 + 1.0, true),
        1 => (0.0, false),
        2 => (if k + 1 < n { 0.0 } else { 3.0 }, k + 1 == n),
        // of both signs; what is dropped is not all zero
        3 => (k as f64 - half, k < n / 3 || k > n / 2),
        4 => ((k / 3) as f64, k >= 3), // in groups of three
        5 => ((k as f64 - half).max(0.0), k as f64 > half),
        _ => (2.0, true), // one group
    };
    (0..n).map(of).collect()
}
const KINDS: usize = 7;

/// Eigenpairs with those spectra; the last kind but one has failed.
fn pairs<T: Scalar, B: Engine<T>>(backend: &B, vectors: &Array3<T>, options: &Options) -> Eigenpairs<T, B> {
    let (batch, n) = (vectors.len_of(Axis(0)), vectors.len_of(Axis(1)));
    let all: Vec<_> = (0..batch).flat_map(|b| spectrum(b, n)).collect();
    let failed = |b| if b % KINDS == KINDS - 2 { Status::NOT_CONVERGED } else { Status::OK };
    let rows = [batch, n];
    let spectrum = Spectrum {
        values: Array::from_host(backend, all.iter().map(|(x, _)| T::Real::of(*x)).collect(), rows).unwrap(),
        kept: Array::from_host(backend, all.iter().map(|(_, kept)| *kept).collect(), rows).unwrap(),
        rank: Array::zeros(backend, [batch]).unwrap(),
        gap_kept: Array::zeros(backend, [batch]).unwrap(),
        gap_dropped: Array::zeros(backend, [batch]).unwrap(),
        status: Array::from_host(backend, (0..batch).map(failed).collect(), [batch]).unwrap(),
    };
    let vectors = vectors.clone().permuted_axes([0, 2, 1]).iter().copied().collect();
    let plan = Plan::<T, B>::new(backend, batch, n, options).unwrap();
    plan.eigenpairs_of(spectrum, Array::from_host(backend, vectors, [batch, n, n]).unwrap()).unwrap()
}

/// Ā with λ̄, with V̄, or with both.
fn gradient<T: Scalar, B: Engine<T>>(
    backend: &B,
    vectors: &Array3<T>,
    options: &Options,
    with: (bool, bool),
) -> Gradient<T, Cpu> {
    let (batch, n) = (vectors.len_of(Axis(0)), vectors.len_of(Axis(1)));
    let pairs = pairs(backend, vectors, options);
    let mut v_bar = numbers::<T>((batch, n, n), 3);
    let mut lambda_bar = numbers::<T::Real>((1, batch, n), 4).remove_axis(Axis(0));
    let nan = T::Real::of(f64::NAN);
    for (b, k) in (0..batch).flat_map(|b| (0..n).map(move |k| (b, k))) {
        let (lambda, kept) = spectrum(b, n)[k];
        if !kept {
            lambda_bar[[b, k]] = nan; // what is dropped does not matter
            v_bar.index_axis_mut(Axis(0), b).column_mut(k).fill(T::from_parts(nan, nan));
        }
        if b == 0 && lambda == 2.0 {
            v_bar.index_axis_mut(Axis(0), b).column_mut(k).fill(T::default());
        }
    }
    let cotangents = Cotangents::new(&pairs, with.0.then_some(lambda_bar.view()), with.1.then_some(v_bar.view())).unwrap();
    let plan = Plan::<T, B>::new(backend, batch, n, options).unwrap();
    let mut out = plan.gradient::<T>().unwrap();
    plan.backward_into(pairs.view(), cotangents.view(), out.view_mut(), &plan.workspace().unwrap()).unwrap();
    out.to_host().unwrap()
}

fn close(what: &str, got: impl Real, expected: impl Real, unit: f64) {
    let (x, y) = (got.to_f64(), expected.to_f64());
    assert!(x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= unit, "{what}: {x:e} for {y:e}, unit {unit:e}");
}

pub fn as_on_the_cpu<T: Scalar>(orders: impl IntoIterator<Item = usize>)
where
    Cuda: Engine<T>,
{
    batches_as_on_the_cpu::<T>(KINDS, orders);
}

fn batches_as_on_the_cpu<T: Scalar>(batch: usize, orders: impl IntoIterator<Item = usize>)
where
    Cuda: Engine<T>,
{
    let Some(cuda) = device() else { return };
    for n in orders {
        let a = HermitianBatch::from_triangle(numbers::<T>((batch, n, n), 2).view(), Triangle::Lower).unwrap();
        let vectors = eigh(&a, &Options::default()).unwrap().vectors().to_owned();
        let ties = [TieRule::ZeroAndReport, TieRule::Error, TieRule::Exact];
        let forms = [GradientForm::Hermitian, GradientForm::Triangle(Triangle::Lower), GradientForm::Triangle(Triangle::Upper)];
        let cotangents = [(true, true), (true, false), (false, true)];
        for (dropped, which) in [Dropped::AsComputed, Dropped::Zero].into_iter().flat_map(|d| (0..3).map(move |w| (d, w))) {
            let options = Options::default().with_dropped(dropped).with_ties(ties[which]).with_gradient(forms[(which + n) % 3]);
            for with in cotangents {
                let got = gradient(&cuda, &vectors, &options, with);
                let expected = gradient(&Cpu::default(), &vectors, &options, with);
                let case = format!("n = {n}, {dropped:?}, {:?}, {with:?}", ties[which]);
                assert_eq!(got.status(), expected.status(), "{case}");
                for b in 0..batch {
                    let of = |g: &Gradient<T, Cpu>| g.a_bar().index_axis(Axis(0), b).to_owned();
                    let (got_a, expected_a) = (of(&got), of(&expected));
                    let size = |x: &T| x.re().to_f64().abs().max(x.im().to_f64().abs());
                    let largest = expected_a.iter().map(size).filter(|x| x.is_finite()).fold(1.0, f64::max);
                    let unit = THRESHOLD * n as f64 * T::PRECISION.epsilon();
                    let case = format!("{case}, matrix {b}");
                    if !(which == 2 && got.status()[b].intersects(Status::GRADIENT_NOT_FINITE)) {
                        for (x, y) in got_a.iter().zip(&expected_a) {
                            close(&case, x.re(), y.re(), unit * largest);
                            close(&case, x.im(), y.im(), unit * largest);
                        }
                    }
                    close(&case, got.tie_defect()[b], expected.tie_defect()[b], unit);
                    let defects = got.gauge_defect().row(b).to_vec().into_iter().zip(expected.gauge_defect().row(b).to_vec());
                    defects.for_each(|(x, y)| close(&case, x, y, unit));
                }
            }
        }
    }
}

#[test]
fn float32() {
    as_on_the_cpu::<f32>([1, 2, 4, 7, 8, 16, 17, 32, 33, 64, 65, 96, 130, 153]);
}

#[test]
fn float64() {
    as_on_the_cpu::<f64>([1, 3, 6, 16, 20, 33, 64, 80, 89]);
}

#[test]
fn complex64() {
    as_on_the_cpu::<Complex<f32>>([2, 5, 9, 16, 28, 32, 65, 97, 109]);
}

#[test]
fn complex128() {
    as_on_the_cpu::<Complex<f64>>([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 24, 31, 32, 33, 61, 76, 77]);
}

/// More matrices than a device takes at once, where a block has two buffers.
#[test]
fn group_after_group() {
    let Some(cuda) = device() else { return };
    let count = cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
    let multiprocessors = cuda.stream().context().attribute(count).unwrap() as usize;
    batches_as_on_the_cpu::<f64>(3 * multiprocessors + 1, [66]);
    batches_as_on_the_cpu::<Complex<f32>>(10 * multiprocessors + 1, [36]);
}

/// Each order has a kernel that is compiled for it.
#[test]
#[ignore = "takes long: .ci/scheduled"]
fn every_order() {
    as_on_the_cpu::<f32>((1..=33).chain([50, 64, 152]));
    as_on_the_cpu::<f64>((1..=33).chain([47, 88]));
    as_on_the_cpu::<Complex<f32>>((1..=33).chain([35, 48, 64, 108]));
    as_on_the_cpu::<Complex<f64>>((1..=33).chain([44, 64]));
}
