//! Functions of the spectrum and their derivatives against the naive formulas, differences, and
//! what they must be by themselves.

use crate::backward::{ORDERS, mixed};
use crate::calculus_oracle as oracle;
use crate::differences::difference;
use crate::numbers::{C, Matrix, diagonal, epsilon, largest, matrix, norm, range, rounded, wide};
use crate::oracle::{Decomposition, inner, times};
use crate::random::Rng;
use crate::run;
use crate::tangents::{assert_ratio, decomposition, directions, steepest};
use eigengrad::{
    Array, Cut, Dropped, Eigenpairs, Engine, Function, HermitianBatch, HermitianResult, Options, Plan, Real, Scalar,
    SchurMultiplier, Spectral, Status, TieRule,
};
use ndarray::Array2;
use num_traits::Float;

/// Of spectra of either sign.
const ANY: [Function; 8] = [
    Function::Projector,
    Function::Exp,
    Function::Pinv,
    Function::Pow(0.0),
    Function::Pow(1.0),
    Function::Pow(2.0),
    Function::Pow(3.0),
    Function::Pow(-1.0),
];

/// Of positive spectra.
const POSITIVE: [Function; 10] = [
    Function::Sqrt,
    Function::Rsqrt,
    Function::Log,
    Function::XLogX,
    Function::Pow(0.5),
    Function::Pow(-0.7),
    Function::Pow(2.5),
    Function::Pow(0.01),
    Function::Pow(-2.0),
    Function::Pow(12.0),
];

fn derivative<T: Scalar, B: Engine<T>>(
    backend: &B,
    pairs: &Eigenpairs<T, B>,
    function: &Spectral<T, B>,
    e: &[Matrix],
) -> HermitianResult<T> {
    let e = run::hermitian::<T, B>(backend, pairs.n(), e);
    pairs.spectral_derivative(function, &e).unwrap().to_host().unwrap()
}

/// f(A) E f(A), times s.
fn product<T: Scalar, B: Engine<T>>(
    backend: &B,
    pairs: &Eigenpairs<T, B>,
    options: &Options,
    function: Function,
    e: &[Matrix],
    scale: &[f64],
) -> HermitianResult<T> {
    let plan = Plan::<T, B>::new(backend, e.len(), pairs.n(), options).unwrap();
    let (mut out, e) = (plan.matrices::<T>().unwrap(), run::hermitian::<T, B>(backend, pairs.n(), e));
    let scale = Array::from_host(backend, scale.iter().map(|&x| T::Real::of(x)).collect(), [scale.len()]).unwrap();
    let (function, scratch) = (Spectral::from(function), &plan.scratch().unwrap());
    plan.map_into(pairs.view(), function.view(), SchurMultiplier::Product, e.view(), Some(scale.view()), out.view_mut(), scratch)
        .unwrap();
    out.to_host().unwrap()
}

fn check<T: Scalar, B: Engine<T>>(
    backend: &B,
    n: usize,
    matrices: &[Matrix],
    options: &Options,
    functions: &[Function],
    rng: &mut Rng,
) {
    let (pairs, host) = run::eigh::<T, B>(backend, n, matrices, options);
    let e = directions::<T>(n, matrices.len(), rng);
    let scale: Vec<f64> = (0..matrices.len()).map(|_| f64::from(rng.normal() as f32)).collect();
    for &function in functions {
        let values = pairs.spectral(&function.into()).unwrap().to_host().unwrap();
        let derivative = derivative(backend, &pairs, &function.into(), &e);
        let product = product(backend, &pairs, options, function, &e, &scale);
        let traces = pairs.trace_of(&function.into()).unwrap();
        let (traces, slopes) = (traces.values.to_host().unwrap(), traces.gradient.to_host().unwrap());
        for b in 0..matrices.len() {
            let d = decomposition(&host, options, b);
            let what = |x| format!("{x} of {function:?}, n = {n}, matrix {b}, {:?}", options.dropped);
            let kept = || (0..n).filter(|&k| d.kept[k]).map(|k| d.lambda[k]);
            let size = |f: fn(Function, f64) -> f64| kept().map(|x| f(function, x).abs()).fold(0.0, f64::max);
            let eps = n as f64 * epsilon::<T>();
            let expected = oracle::spectral(&d, |x| oracle::value(function, x));
            assert_ratio(largest(&(matrix(values.data(), b) - expected)), eps * size(oracle::value), what("f(A)"));
            let expected = oracle::spectral(&d, |x| oracle::slope(function, x));
            assert_ratio(largest(&(matrix(slopes.data(), b) - expected)), eps * size(oracle::slope), what("f′(A)"));
            let expected: f64 = kept().map(|x| oracle::value(function, x)).sum();
            assert_ratio((wide(traces[b]).re - expected).abs(), eps * n as f64 * size(oracle::value), what("tr f(A)"));
            let w = oracle::weights(&d, function, SchurMultiplier::Divided);
            let error = largest(&(matrix(derivative.data(), b) - oracle::map(&d, &w, &e[b])));
            assert_ratio(error, eps * steepest(&w) * norm(&e[b]), what("the derivative"));
            for x in [values.data(), derivative.data(), slopes.data()].map(|x| matrix(x, b)) {
                assert!(x == crate::numbers::adjoint(&x), "{}", what("not Hermitian"));
            }
            let (w, got, (tiny, most)) =
                (oracle::weights(&d, function, SchurMultiplier::Product), matrix(product.data(), b), range::<T>());
            // A product that overflows may be brought back by a factor, or is told.
            if steepest(&w) > most && product.status()[b] == host.status()[b] | Status::RESULT_NOT_FINITE {
                continue;
            }
            let w = w.mapv(|w| w * scale[b]);
            let unit = eps * steepest(&w) + n as f64 * tiny; // f(a)·f(b) may be next to nothing
            assert_ratio(largest(&(&got - &oracle::map(&d, &w, &e[b]))), unit * norm(&e[b]), what("the product"));
            assert!(got == crate::numbers::adjoint(&got), "{}", what("not Hermitian, the product"));
        }
    }
}

/// Positive matrices of every rank, padded and bit-tied ones among them.
fn positive<T: Scalar>(n: usize, count: usize, rng: &mut Rng) -> Vec<Matrix> {
    let square = |a: Matrix| times(&a, &a);
    let mut matrices: Vec<_> = (0..count).map(|b| rng.of_rank::<T>(n, b * n / count, false)).collect();
    matrices.push(square(diagonal(&(0..n).map(|k| (k / 2 % 6) as f64).collect::<Vec<_>>())));
    matrices.push(Array2::eye(n));
    matrices
}

pub fn functions_by_the_formulas<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(81);
    for n in ORDERS {
        let matrices = mixed::<T>(n, if n < 16 { 17 } else { 8 }, &mut rng);
        check::<T, B>(backend, n, &matrices, &Options::default(), &ANY[..if n < 16 { 8 } else { 3 }], &mut rng);
        let matrices = positive::<T>(n, if n < 16 { 9 } else { 3 }, &mut rng);
        check::<T, B>(backend, n, &matrices, &Options::default(), &POSITIVE[..if n < 16 { 10 } else { 5 }], &mut rng);
    }
}

/// Kept ones cut out of a full spectrum, dropped ones that are declared zero, and no cut at all.
pub fn functions_beside_what_is_dropped<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(82);
    for n in [4, 9, 67] {
        let lambda: Vec<_> = (0..n).map(|k| 0.3 + 2.0 * k as f64 / n as f64).collect();
        let matrices: Vec<_> = (0..3).map(|_| rng.with_spectrum::<T>(&lambda)).collect();
        for cut in [Cut::at_most(n / 3), Cut::relative(0.4), Cut::none()] {
            let options = Options::default().with_cut(cut);
            check::<T, B>(backend, n, &matrices, &options, &POSITIVE[..5], &mut rng);
            check::<T, B>(backend, n, &matrices, &options, &ANY[..3], &mut rng);
        }
        let declared = Options::default().with_dropped(Dropped::Zero);
        check::<T, B>(backend, n, &positive::<T>(n, 5, &mut rng), &declared, &POSITIVE[..5], &mut rng);
        check::<T, B>(backend, n, &mixed::<T>(n, 8, &mut rng), &declared, &ANY[..3], &mut rng);
    }
}

/// The divided differences one by one: those of a diagonal matrix, whose V is a permutation, are
/// the derivative along all ones. The spectra are clustered, tied, wide, and everything between.
/// Where f is so small that the type has not all digits of it, f(a) and f(b) err by its smallest
/// number, and a slope p·λ^(p−1) by p of it.
pub fn every_divided_difference<T: Scalar, B: Engine<T>>(backend: &B) {
    let (eps, (tiny, _)) = (epsilon::<T>(), range::<T>());
    let spectra: [Vec<f64>; 6] = [
        (0..12).map(|k| 1.0 + k as f64 * eps * 4.0).collect(),
        (0..12).map(|k| 1.5 - (eps * 2.0).powf(k as f64 / 12.0)).collect(),
        (0..12).map(|k| 1.3f64.powi(k)).collect(),
        vec![0.25, 0.25, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0],
        (0..12).map(|k| 1e-2 + k as f64 * 0.9).collect(),
        (0..12).map(|k| eps.powf(0.9 * k as f64 / 12.0)).collect(),
    ];
    let ones = Array2::from_elem((12, 12), C::new(1.0, 0.0));
    for (which, lambda) in spectra.iter().enumerate() {
        for sign in [1.0, -1.0] {
            let a = rounded::<T>(&diagonal(&lambda.iter().map(|x| x * sign).collect::<Vec<_>>()));
            let (pairs, host) =
                run::eigh::<T, B>(backend, 12, std::slice::from_ref(&a), &Options::default().with_cut(Cut::none()));
            let d = Decomposition::of(&host, 0);
            for function in ANY.iter().chain(if sign > 0.0 { &POSITIVE[..] } else { &[] }) {
                let got = matrix(derivative(backend, &pairs, &(*function).into(), std::slice::from_ref(&ones)).data(), 0);
                let w = oracle::weights(&d, *function, SchurMultiplier::Divided);
                let expected = oracle::map(&d, &w, &ones);
                for (ij, &x) in got.indexed_iter() {
                    let (x, y) = (x.re, expected[ij].re);
                    // x log x has a divided difference of 0 near 1/e; the others keep their sign
                    let size = if *function == Function::XLogX { y.abs().max(1.0) } else { y.abs() };
                    let gap = (a[[ij.0, ij.0]] - a[[ij.1, ij.1]]).norm();
                    let finest = tiny * if gap > 0.0 { 2.0 / gap } else { 12.0 };
                    assert!(
                        (x - y).abs() <= DIVIDED * eps * size + finest,
                        "{function:?}, spectrum {which}, {ij:?}: {x} against {y}"
                    );
                }
            }
        }
    }
}

/// What a divided difference may err by, relative to itself in ε: logarithms differ by as little as
/// log 2 where they are as large as log 1/ε.
const DIVIDED: f64 = 100.0;

/// ⟨x, L y⟩ = ⟨L x, y⟩ of derivatives and products, named functions and others.
pub fn maps_are_their_own_adjoints<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(83);
    for n in [1, 2, 5, 16, 67] {
        let matrices = positive::<T>(n, 6, &mut rng);
        let options = Options::default();
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &options);
        let (x, y) = (directions::<T>(n, matrices.len(), &mut rng), directions::<T>(n, matrices.len(), &mut rng));
        let ones = vec![1.0; matrices.len()];
        for function in POSITIVE.iter().chain(&ANY) {
            let spectral: Spectral<T, B> = (*function).into();
            for kind in [SchurMultiplier::Divided, SchurMultiplier::Product] {
                let map = |e: &[Matrix]| match kind {
                    SchurMultiplier::Divided => derivative(backend, &pairs, &spectral, e),
                    SchurMultiplier::Product => product(backend, &pairs, &options, *function, e, &ones),
                };
                let (of_x, of_y) = (map(&x), map(&y));
                for b in 0..matrices.len() {
                    let w = steepest(&oracle::weights(&Decomposition::of(&host, b), *function, kind));
                    let difference = inner(&x[b], &matrix(of_y.data(), b)) - inner(&matrix(of_x.data(), b), &y[b]);
                    let unit = n as f64 * epsilon::<T>() * w * norm(&x[b]) * norm(&y[b]);
                    assert_ratio(difference.abs(), unit, format!("{function:?}, {kind:?}, n = {n}, matrix {b}"));
                }
            }
        }
    }
}

/// A function of the user's: by its values and slopes, with what is outside K not read.
pub fn functions_that_are_given<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(84);
    for n in [3, 16, 67] {
        let mut matrices = positive::<T>(n, 7, &mut rng);
        matrices.truncate(8); // without the identity and other ties
        let options = Options::default();
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &options);
        let e = directions::<T>(n, matrices.len(), &mut rng);
        let nan = |x: T::Real, f: T::Real| if x > T::Real::of(0.1) { f } else { T::Real::of(f64::NAN) };
        let given = Spectral::of(&pairs, |x| nan(x, Float::sin(x)), |x| nan(x, Float::cos(x))).unwrap();
        let values = pairs.spectral(&given).unwrap().to_host().unwrap();
        let derivative = derivative(backend, &pairs, &given, &e);
        let traces = pairs.trace_of(&given).unwrap();
        let (sums, slopes) = (traces.values.to_host().unwrap(), traces.gradient.to_host().unwrap());
        for b in 0..matrices.len() {
            let d = Decomposition::of(&host, b);
            let within = T::PRECISION.tie_cutoff(n) * d.norm();
            let w = Array2::from_shape_fn((n, n), |(i, j)| {
                let (a, b) = (d.lambda[i], d.lambda[j]);
                let f = |k: usize| if d.kept[k] { d.lambda[k].sin() } else { 0.0 };
                match d.kept[i] as usize + d.kept[j] as usize {
                    0 => 0.0,
                    2 if (a - b).abs() <= within => 0.5 * (a.cos() + b.cos()),
                    _ => (f(i) - f(j)) / (a - b),
                }
            });
            // a quotient errs by ε/(a − b)
            let unit = n as f64 * epsilon::<T>();
            let error = largest(&(matrix(derivative.data(), b) - oracle::map(&d, &w, &e[b])));
            assert_ratio(error, unit * (1.0 + steepest(&d.f(Some(&d.groups(within))))) * norm(&e[b]), format!("n = {n}, {b}"));
            assert_ratio(largest(&(matrix(values.data(), b) - oracle::spectral(&d, f64::sin))), unit, format!("n = {n}, {b}"));
            assert_ratio(largest(&(matrix(slopes.data(), b) - oracle::spectral(&d, f64::cos))), unit, format!("n = {n}, {b}"));
            let sum: f64 = (0..n).filter(|&k| d.kept[k]).map(|k| d.lambda[k].sin()).sum();
            assert_ratio((wide(sums[b]).re - sum).abs(), unit * n as f64, format!("n = {n}, {b}"));
        }
        for status in [values.status(), derivative.status(), slopes.status()] {
            assert!(status.iter().all(|status| status.is_ok()), "{status:?}");
        }
    }
}

/// Ties as they are, whatever the rule for eigenpairs: a given function by its slopes within the
/// cutoff, and not beyond.
pub fn ties_of_functions<T: Scalar, B: Engine<T>>(backend: &B) {
    let ones = [Array2::from_elem((4, 4), C::new(1.0, 0.0))];
    let a = [diagonal(&[1.0, 1.0 + 1e-3, 2.0, 2.0])];
    for ties in [TieRule::Error, TieRule::Exact, TieRule::ZeroAndReport] {
        for (tie_rtol, tied) in [(1e-2, true), (1e-4, false)] {
            let options = Options::default().with_ties(ties).with_tie_rtol(tie_rtol);
            let (pairs, _) = run::eigh::<T, B>(backend, 4, &a, &options);
            let given = Spectral::of(&pairs, |x| x, |_| T::Real::of(5.0)).unwrap();
            let got = derivative(backend, &pairs, &given, &ones);
            assert_eq!(got.status()[0], Status::OK);
            let got = matrix(got.data(), 0);
            assert!((got[[0, 1]].re - if tied { 5.0 } else { 1.0 }).abs() < 1e-2, "{got}");
            assert!(
                (got[[2, 3]].re - 5.0).abs() < 1e-5 && (got[[0, 2]].re - 1.0).abs() < 1e-5 && (got[[1, 1]].re - 5.0).abs() < 1e-5
            );
            let named = derivative(backend, &pairs, &Function::Sqrt.into(), &ones);
            assert_eq!(named.status()[0], Status::OK);
            assert!((wide(named.data()[[0, 2, 3]]).re - 0.125f64.sqrt()).abs() < 1e-6);
        }
    }
}

/// A kept eigenvalue outside the domain makes that matrix NaN, and no other.
pub fn domains<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [3, 67] {
        let with = |first: f64| diagonal(&(0..n).map(|k| if k == 0 { first } else { 1.0 + k as f64 }).collect::<Vec<_>>());
        let matrices = [with(0.5), with(-0.5), with(0.0)];
        let options = Options::default().with_cut(Cut::none());
        let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &options);
        let alone = run::eigh::<T, B>(backend, n, &matrices[..1], &options).0;
        let e = vec![Array2::eye(n); 3];
        // at −0.5 and at 0
        let cases = [
            (Function::Projector, [false, false]),
            (Function::Exp, [false, false]),
            (Function::Sqrt, [true, false]),
            (Function::XLogX, [true, false]),
            (Function::Rsqrt, [true, true]),
            (Function::Log, [true, true]),
            (Function::Pinv, [false, true]),
            (Function::Pow(2.0), [false, false]),
            (Function::Pow(-2.0), [false, true]),
            (Function::Pow(0.5), [true, false]),
            (Function::Pow(-0.5), [true, true]),
            (Function::Pow(0.0), [false, false]),
        ];
        for (function, outside) in cases {
            let values = pairs.spectral(&function.into()).unwrap().to_host().unwrap();
            let traces = pairs.trace_of(&function.into()).unwrap();
            let sums = traces.values.to_host().unwrap();
            let derivative = derivative(backend, &pairs, &function.into(), &e);
            let slopes = traces.gradient.to_host().unwrap();
            for (b, outside) in [false, outside[0], outside[1]].into_iter().enumerate() {
                let what = format!("{function:?}, n = {n}, matrix {b}");
                let nan =
                    |x: &HermitianResult<T>| matrix(x.data(), b).iter().all(|x| x.re.is_nan() && (!T::COMPLEX || x.im.is_nan()));
                for x in [&values, &derivative, &slopes] {
                    assert_eq!(x.status()[b].intersects(Status::OUTSIDE_DOMAIN), outside, "{what}");
                    assert!(!outside || nan(x), "{what}");
                    assert!(!outside || !x.status()[b].intersects(Status::RESULT_NOT_FINITE), "{what}");
                }
                assert_eq!(wide(sums[b]).re.is_nan(), outside, "{what}");
                assert!(outside || values.status()[b].is_ok(), "{what}: {}", values.status()[b]);
            }
            let expected = alone.spectral(&function.into()).unwrap().to_host().unwrap();
            assert_eq!(matrix(values.data(), 0), matrix(expected.data(), 0), "{function:?}, n = {n}");
            assert_eq!(values.check().is_ok(), !(outside[0] || outside[1]));
        }
        // √ and x log x have no slope at 0
        let slopes = pairs.trace_of(&Function::Sqrt.into()).unwrap().gradient.to_host().unwrap();
        assert_eq!(slopes.status()[2], Status::RESULT_NOT_FINITE);
    }
}

/// The trace of a function that overflows, and one of pairs that failed.
pub fn traces_and_failures<T: Scalar, B: Engine<T>>(backend: &B) {
    let n = 3;
    let mut nan = Array2::eye(n);
    nan[[1, 1]] = f64::NAN.into();
    let matrices = [diagonal(&[1.0, 2.0, 3.0]), nan, diagonal(&[1.0, 2.0, 1e4])];
    let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
    let plan = Plan::<T, B>::new(backend, 3, n, &Options::default()).unwrap();
    let (mut sums, mut status) = (Array::zeros(backend, [3]).unwrap(), Array::zeros(backend, [3]).unwrap());
    let function = Spectral::from(Function::Exp);
    plan.trace_into(pairs.view(), function.view(), sums.view_mut(), status.view_mut()).unwrap();
    let (sums, status) = (sums.to_host().unwrap(), status.to_host().unwrap());
    assert_eq!(status[..], [Status::OK, Status::NOT_FINITE, Status::RESULT_NOT_FINITE]);
    assert!((wide(sums[0]).re - (1f64.exp() + 2f64.exp() + 3f64.exp())).abs() < 1e-4);
    assert!(wide(sums[1]).re.is_nan() && wide(sums[2]).re == f64::INFINITY);
    let values = pairs.spectral(&Function::Exp.into()).unwrap().to_host().unwrap();
    assert_eq!(values.status().to_vec(), *status);
    assert!(matrix(values.data(), 1).iter().all(|x| x.re.is_nan()));
}

/// The derivative of each named function against sixth-order differences of its value, at fixed
/// rank, in f64.
pub fn functions_by_differences<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(85);
    for (n, r) in [(1, 1), (6, 2), (7, 7), (68, 3)] {
        let options = Options::default().with_cut(Cut::none().with_at_most(r));
        for function in POSITIVE.iter().chain(&ANY) {
            let a = rng.of_rank::<T>(n, r, ANY.contains(function));
            let weight = rng.hermitian::<T>(n);
            let value = |a: &Matrix| {
                let (pairs, _) = run::eigh::<T, B>(backend, n, std::slice::from_ref(a), &options);
                inner(&weight, &matrix(pairs.spectral(&(*function).into()).unwrap().to_host().unwrap().data(), 0))
            };
            let (pairs, host) = run::eigh::<T, B>(backend, n, std::slice::from_ref(&a), &options);
            let e = rng.hermitian::<T>(n).mapv(|x| x / (n as f64).sqrt());
            let got =
                inner(&matrix(derivative(backend, &pairs, &(*function).into(), std::slice::from_ref(&weight)).data(), 0), &e);
            let expected = difference(value, &a, &e);
            let w = steepest(&oracle::weights(&Decomposition::of(&host, 0), *function, SchurMultiplier::Divided));
            let scale = (w * norm(&weight)).max(1.0);
            assert!((got - expected).abs() <= 1e-9 * scale, "{function:?}, n = {n}, r = {r}: {got} against {expected}");
        }
    }
}

/// f(sA) and its derivative of powers and logarithms, from 1e-12 to 1e8.
pub fn functions_at_every_scale<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(86);
    let functions = [&POSITIVE[..7], &ANY[2..7], &[Function::Projector]].concat();
    for n in [5, 67] {
        let matrices = positive::<T>(n, 5, &mut rng);
        for s in [1e-12, 1e-6, 1e3, 1e8] {
            let matrices: Vec<_> = matrices.iter().map(|a| rounded::<T>(&a.mapv(|x| x * s))).collect();
            check::<T, B>(backend, n, &matrices, &Options::default(), &functions, &mut rng);
        }
    }
}

/// The answers in `T` against those in twice the precision.
pub fn functions_as_in_f64<T: Scalar, B: Engine<T> + Engine<f64> + Engine<num_complex::Complex<f64>>>(backend: &B) {
    let mut rng = Rng::new(87);
    for n in [3, 12, 67] {
        let lambda: Vec<_> = (0..n).map(|k| if k < n / 3 { 0.0 } else { 1.0 + k as f64 / n as f64 }).collect();
        let a = [rounded::<T>(&rng.with_spectrum::<T>(&lambda))];
        let e = directions::<T>(n, 1, &mut rng);
        let options = Options::default().with_cut(Cut::at_most(n - n / 3));
        let (pairs, _) = run::eigh::<T, B>(backend, n, &a, &options);
        let (wide_pairs, wide_host) = run::eigh::<num_complex::Complex<f64>, B>(backend, n, &a, &options);
        for function in POSITIVE.iter().chain(&ANY) {
            let got = matrix(derivative(backend, &pairs, &(*function).into(), &e).data(), 0);
            let expected = matrix(derivative(backend, &wide_pairs, &(*function).into(), &e).data(), 0);
            let w = steepest(&oracle::weights(&Decomposition::of(&wide_host, 0), *function, SchurMultiplier::Divided));
            // V moves by ε/gap, and the projector on K only by that of K and D
            let unit = n as f64 * epsilon::<T>() * w * norm(&e[0]) * 4.0;
            assert_ratio(largest(&(got - expected)), unit, format!("{function:?}, n = {n}"));
        }
    }
}

/// A batch of no matrices, and of matrices of no order.
pub fn nothing_to_take_functions_of<T: Scalar, B: Engine<T>>(backend: &B) {
    for (batch, n) in [(0, 3), (2, 0), (0, 0)] {
        let none = HermitianBatch::<T, B>::on(backend, ndarray::Array3::<T>::zeros((batch, n, n)).view()).unwrap();
        let pairs = eigengrad::eigh(&none, &Options::default()).unwrap();
        let function = Spectral::from(Function::Sqrt);
        let values = pairs.spectral(&function).unwrap().to_host().unwrap();
        assert_eq!(values.data().dim(), (batch, n, n));
        assert!(values.status().iter().all(|status| status.is_ok()) && values.status().len() == batch);
        assert_eq!(pairs.spectral_derivative(&function, &none).unwrap().batch(), batch);
        assert_eq!(pairs.jvp(&none).unwrap().to_host().unwrap().status().len(), batch);
        let bars = eigengrad::Cotangents::new(&pairs, None, None).unwrap();
        pairs.double_backward(&bars, &none, None).unwrap().to_host().unwrap().check().unwrap();
        pairs.backward_jvp(&bars, &none, &bars).unwrap().to_host().unwrap().check().unwrap();
        let sums = pairs.trace_of(&function).unwrap().values.to_host().unwrap();
        assert!(sums.len() == batch && sums.iter().all(|&x| wide(x) == C::ZERO));
    }
}
