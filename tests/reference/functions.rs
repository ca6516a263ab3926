//! Functions of the spectrum against 60 digits: tests/reference/make_function_fixtures.py.

use eigengrad::{Array, Cpu, Derivative, Function, HermitianBatch, Options, Plan, Precision, Real, Scalar, Spectral};
use eigengrad::{Element, SchurMultiplier, Status, Triangle};
use ndarray::{Array2, Array3, ArrayView2};
use ndarray_npy::read_npy;
use num_complex::Complex;
use std::path::Path;

type C = Complex<f64>;

const FUNCTIONS: [(&str, Function); 10] = [
    ("projector", Function::Projector),
    ("sqrt", Function::Sqrt),
    ("rsqrt", Function::Rsqrt),
    ("pinv", Function::Pinv),
    ("log", Function::Log),
    ("exp", Function::Exp),
    ("xlogx", Function::XLogX),
    ("pow_0.3", Function::Pow(0.3)),
    ("pow_-1.5", Function::Pow(-1.5)),
    ("pow_3", Function::Pow(3.0)),
];

/// What errors must not exceed, relative and in units of n·ε.
const RATIO: f64 = 100.0;

/// λ, f(λ) and the divided differences of one spectrum, 0 for what is dropped.
struct Exact {
    lambda: Vec<f64>,
    f: Vec<f64>,
    weights: Array2<f64>,
}

impl Exact {
    /// The spectrum of a fixture among `order` eigenvalues, of which the others are dropped zeros;
    /// ascending.
    fn among(fixture: ArrayView2<'_, f64>, order: usize) -> Self {
        let of = |k: Option<usize>, column: usize| k.map_or(0.0, |k| fixture[[k, column]]);
        let mut from: Vec<_> = (0..order).map(|k| (k < fixture.nrows()).then_some(k)).collect();
        from.sort_by(|&i, &j| of(i, 0).total_cmp(&of(j, 0)));
        let weight = |(i, j): (usize, usize)| match (from[i], from[j]) {
            (Some(i), Some(j)) => fixture[[i, 2 + j]],
            (Some(k), None) | (None, Some(k)) if fixture[[k, 0]] != 0.0 => fixture[[k, 1]] / fixture[[k, 0]],
            _ => 0.0,
        };
        let column = |column| from.iter().map(|&k| of(k, column)).collect();
        Self { lambda: column(0), f: column(1), weights: Array2::from_shape_fn((order, order), weight) }
    }
}

fn narrow<T: Scalar>(x: C) -> T {
    T::from_parts(Real::of(x.re), Real::of(x.im))
}

fn wide<T: Scalar>(x: T) -> C {
    C::new(x.re().to_f64(), x.im().to_f64())
}

/// I − 2vvᴴ/‖v‖² for some v, as `T` holds it.
fn reflection<T: Scalar>(n: usize) -> Array2<C> {
    let v: Vec<_> = (0..n).map(|k| C::new(1.0 + (k % 3) as f64, if T::COMPLEX { 0.5 * (k % 2) as f64 } else { 0.0 })).collect();
    let square: f64 = v.iter().map(|v| v.norm_sqr()).sum();
    Array2::from_shape_fn((n, n), |(i, j)| wide(narrow::<T>(C::from(f64::from(i == j)) - v[i] * v[j].conj() * 2.0 / square)))
}

fn adjoint(a: &Array2<C>) -> Array2<C> {
    a.t().mapv(|x| x.conj())
}

/// f(A), and the derivative of f applied to E, of one spectrum with these eigenvectors.
fn library<T: Scalar>(exact: &Exact, v: &Array2<C>, e: &Array2<C>, function: Function) -> [Array2<C>; 2] {
    let n = v.nrows();
    let values: Vec<T::Real> = exact.lambda.iter().map(|&x| Real::of(x)).collect();
    let kept: Vec<_> = exact.lambda.iter().map(|&x| x != 0.0).collect();
    let vectors: Vec<T> = v.t().iter().map(|&x| narrow(x)).collect();
    let e: Vec<T> = e.iter().map(|&x| narrow(x)).collect();
    let status = [Status::OK];
    let plan = Plan::<T>::new(&Cpu::default(), 1, n, &Options::default()).unwrap();
    let (kept, status) = (Array::from_view(&*kept, [1, n]).unwrap(), Array::from_view(&status[..], [1]).unwrap());
    let (values, vectors) = (Array::from_view(&*values, [1, n]).unwrap(), Array::from_view(&*vectors, [1, n, n]).unwrap());
    let pairs = plan.eigenpairs_view::<T>(values, kept, status, vectors).unwrap();
    let (mut value, mut map, scratch) = (plan.matrices::<T>().unwrap(), plan.matrices::<T>().unwrap(), plan.scratch().unwrap());
    let named = Spectral::Named(function);
    plan.spectral_into(pairs, named, Derivative::Zeroth, value.view_mut(), &scratch).unwrap();
    let e = HermitianBatch::of_view(&Cpu::default(), Array::from_view(&*e, [1, n, n]).unwrap(), Triangle::Lower).unwrap();
    plan.map_into(pairs, named, SchurMultiplier::Divided, e, None, map.view_mut(), &scratch).unwrap();
    [value, map].map(|matrices| {
        matrices.check().unwrap();
        let data: Array3<C> = matrices.data().mapv(wide);
        data.index_axis_move(ndarray::Axis(0), 0)
    })
}

/// Entry by entry with V = I and E of ones, where the results are diag f(λ) and the divided
/// differences themselves; then as matrices, with eigenvectors that mix everything.
fn check<T: Scalar>() {
    let precision = if T::PRECISION == Precision::F64 { "f64" } else { "f32" };
    for (name, function) in FUNCTIONS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/functions");
        let fixtures: Array3<f64> = read_npy(folder.join(format!("{name}_{precision}.npy"))).unwrap();
        for (case, fixture) in fixtures.outer_iter().enumerate() {
            for order in [fixture.nrows(), 70] {
                let exact = Exact::among(fixture, order);
                let unit = fixture.nrows() as f64 * <T::Real as Element>::PRECISION.epsilon();
                let diagonal = Array2::from_diag(&exact.f.iter().map(|&f| C::from(f)).collect::<ndarray::Array1<_>>());
                let weights = exact.weights.mapv(C::from);
                let got = library::<T>(&exact, &Array2::eye(order), &Array2::from_elem((order, order), C::ONE), function);
                for (what, got, expected) in [("f", &got[0], &diagonal), ("f¹", &got[1], &weights)] {
                    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
                        let error = (got - expected).norm();
                        let ratio = if error == 0.0 { 0.0 } else { error / expected.norm() / unit };
                        let (i, j) = (at / order, at % order);
                        let (a, b) = (exact.lambda[i], exact.lambda[j]);
                        assert!(ratio <= RATIO, "{name}, case {case} of {order}, {what}({a:e}, {b:e}): {ratio}");
                    }
                }
                let v = reflection::<T>(order);
                let e = Array2::from_shape_fn((order, order), |(i, j)| C::from(f64::from((1 + i * j + i + j) as u32 % 7) - 3.0));
                let product = &weights * &adjoint(&v).dot(&e).dot(&v);
                let expected = [v.dot(&diagonal).dot(&adjoint(&v)), v.dot(&product).dot(&adjoint(&v))];
                let scale = [&diagonal, &product].map(|x| x.iter().map(|x| x.norm()).fold(0.0, f64::max));
                for ((got, expected), scale) in library::<T>(&exact, &v, &e, function).iter().zip(&expected).zip(scale) {
                    let error = (got - expected).iter().map(|x| x.norm()).fold(0.0, f64::max);
                    assert!(error <= RATIO * unit * scale, "{name}, case {case} of {order}: {}", error / unit / scale);
                }
            }
        }
    }
}

#[test]
fn float32_functions() {
    check::<f32>();
}

#[test]
fn float64_functions() {
    check::<f64>();
}

#[test]
fn complex64_functions() {
    check::<Complex<f32>>();
}

#[test]
fn complex128_functions() {
    check::<Complex<f64>>();
}
