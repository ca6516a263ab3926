//! Derivatives beyond the gradient and functions of the spectrum against naive formulas in complex
//! f64, for every stored type.

use crate::gpu::device;
use crate::naive::{C, M, Naive};
use crate::sample::numbers;
use eigengrad::cuda::Cuda;
use eigengrad::{
    Array, Cotangents, Cpu, Derivative, Dropped, Eigenpairs, Element, ElementOf, Engine, Function, HermitianBatch,
    HermitianResult, Options, Plan, Real, Scalar, SchurMultiplier, Spectral, Spectrum, Status, TieRule, Triangle, eigh,
};
use half::{bf16, f16};
use ndarray::{Array2, ArrayView2, Axis};
use num_complex::Complex;

/// Beyond this many n·ε·max|result| it is no round-off.
const THRESHOLD: f64 = 30.0;
const MATRICES: usize = 7;
const FAILED: usize = 5;

/// λ, whole numbers in ascending order, or eighths that keep e^λ in range, and which are kept.
fn spectrum(matrix: usize, n: usize) -> Vec<(f64, bool)> {
    let half = (n / 2) as f64;
    let of = |k: usize| match matrix {
        0 => (k as f64 + 1.0, true),
        1 => (0.0, false),
        2 => (if k + 1 < n { 0.0 } else { 3.0 }, k + 1 == n),
        // of both signs; what is dropped is not all zero
        3 => (k as f64 - half, k < n / 3 || k > n / 2),
        4 => ((k / 3) as f64, k >= 3), // in groups of three
        _ => ((k as f64 - half).max(0.0), k as f64 > half),
    };
    let unit = if n > 40 { 0.125 } else { 1.0 };
    (0..n).map(of).map(|(lambda, kept)| (lambda * unit, kept)).collect()
}

/// The operands of all operations, on the host as they are stored.
struct Sample<O: Element> {
    n: usize,
    vectors: Vec<O>,
    matrices: [Vec<O>; 2],
    bars: [Vec<O>; 2],
    values_bars: [Vec<O::Real>; 2],
    triangle: Triangle,
}

fn wide<O: Element>(x: O) -> C {
    let x = x.widen();
    C::new(x.re().to_f64(), x.im().to_f64())
}

impl<O: Element> Sample<O> {
    fn new(n: usize, triangle: Triangle) -> Self {
        let a = numbers::<O::Scalar>((MATRICES, n, n), 2);
        let vectors = eigh(&HermitianBatch::from_triangle(a.view(), Triangle::Lower).unwrap(), &Options::default()).unwrap();
        let vectors = vectors.vectors().permuted_axes([0, 2, 1]).iter().map(|&x| O::narrow(x)).collect();
        let nan = O::narrow(O::Scalar::from_parts(Real::of(f64::NAN), Real::of(f64::NAN)));
        let read = |i, j| i == j || (i > j) == (triangle == Triangle::Lower);
        let matrices = [3, 4].map(|seed| {
            let all = numbers::<O>((MATRICES, n, n), seed);
            all.indexed_iter().map(|((_, i, j), &x)| if read(i, j) { x } else { nan }).collect()
        });
        let kept: Vec<_> = (0..MATRICES).flat_map(|b| spectrum(b, n)).map(|(_, kept)| kept).collect();
        let bars = [5, 6].map(|seed| {
            let all = numbers::<O>((MATRICES, n, n), seed);
            all.iter().enumerate().map(|(e, &x)| if kept[e / n] { x } else { nan }).collect()
        });
        let real_nan = <O::Real as Element>::narrow(Real::of(f64::NAN));
        let values_bars = [7, 8].map(|seed| {
            let all = numbers::<O::Real>((1, MATRICES, n), seed);
            all.iter().enumerate().map(|(e, &x)| if kept[e] { x } else { real_nan }).collect()
        });
        Self { n, vectors, matrices, bars, values_bars, triangle }
    }

    fn matrix(&self, of: &[O], b: usize) -> M {
        let n = self.n;
        let at = |i: usize, j: usize| wide(of[(b * n + i) * n + j]);
        Array2::from_shape_fn((n, n), |(i, j)| match i == j {
            true => C::from(at(i, i).re),
            false if (i > j) == (self.triangle == Triangle::Lower) => at(i, j),
            false => at(j, i).conj(),
        })
    }

    /// Columns that lie one after the other.
    fn columns(&self, of: &[O], b: usize) -> M {
        Array2::from_shape_fn((self.n, self.n), |(i, k)| wide(of[(b * self.n + k) * self.n + i]))
    }

    fn reals(&self, of: &[O::Real], b: usize) -> Vec<f64> {
        of[b * self.n..][..self.n].iter().map(|x| x.widen().to_f64()).collect()
    }

    fn naive(&self, b: usize, options: &Options) -> Naive {
        let (lambda, kept): (Vec<_>, Vec<_>) = spectrum(b, self.n).into_iter().unzip();
        let zero = options.dropped == Dropped::Zero;
        let lambda = lambda.into_iter().zip(&kept).map(|(x, &kept)| if kept || !zero { x } else { 0.0 }).collect();
        Naive { lambda, kept, v: self.columns(&self.vectors, b), exact: options.ties == TieRule::Exact }
    }

    fn pairs(&self, cuda: &Cuda, options: &Options) -> Eigenpairs<O, Cuda>
    where
        Cuda: Engine<O::Scalar>,
    {
        let all: Vec<_> = (0..MATRICES).flat_map(|b| spectrum(b, self.n)).collect();
        let failed = |b| if b == FAILED { Status::NOT_CONVERGED } else { Status::OK };
        let (rows, narrow) = ([MATRICES, self.n], |x: f64| <O::Real as Element>::narrow(Real::of(x)));
        let spectrum = Spectrum {
            values: Array::from_host(cuda, all.iter().map(|(x, _)| narrow(*x)).collect(), rows).unwrap(),
            kept: Array::from_host(cuda, all.iter().map(|(_, kept)| *kept).collect(), rows).unwrap(),
            rank: Array::zeros(cuda, [MATRICES]).unwrap(),
            gap_kept: Array::zeros(cuda, [MATRICES]).unwrap(),
            gap_dropped: Array::zeros(cuda, [MATRICES]).unwrap(),
            status: Array::from_host(cuda, (0..MATRICES).map(failed).collect(), [MATRICES]).unwrap(),
        };
        let plan = Plan::<O, Cuda>::new(cuda, MATRICES, self.n, options).unwrap();
        let vectors = Array::from_host(cuda, self.vectors.clone(), [MATRICES, self.n, self.n]).unwrap();
        plan.eigenpairs_of(spectrum, vectors).unwrap()
    }
}

/// Whether there is to be a result; where there is none all is NaN.
fn is_tied(b: usize, n: usize) -> bool {
    let kept: Vec<_> = spectrum(b, n).into_iter().filter(|(_, kept)| *kept).collect();
    kept.windows(2).any(|pair| pair[0].0 == pair[1].0)
}

/// Directions are random, and split every tied group.
fn expected_status(b: usize, tied: bool, ties: TieRule) -> Status {
    let status = if b == FAILED { Status::NOT_CONVERGED } else { Status::OK };
    match ties {
        _ if !tied => status,
        TieRule::Error => status | Status::TIED | Status::TIES_REFUSED,
        TieRule::ZeroAndReport if b == FAILED => status | Status::TIED,
        _ => status | Status::TIED | Status::TIE_DEFECT,
    }
}

/// Compares a matrix in units of n·ε·max, or with NaN.
fn close(case: &str, got: impl Fn(usize, usize) -> C, expected: Option<&M>, (n, epsilon): (usize, f64)) {
    let Some(expected) = expected else {
        (0..n * n).for_each(|e| assert!(got(e / n, e % n).re.is_nan(), "{case}: a number where there is none"));
        return;
    };
    let largest = expected.iter().map(|x| x.norm()).fold(0.0, f64::max);
    for ((i, j), &x) in expected.indexed_iter() {
        let error = (got(i, j) - x).norm();
        assert!(error <= THRESHOLD * n as f64 * epsilon * largest, "{case} [{i}, {j}]: {} for {x}, {error:e}", got(i, j));
    }
}

fn hermitian<O: Element>(case: &str, got: ArrayView2<'_, O>) {
    for ((i, j), &x) in got.indexed_iter() {
        let (x, y) = (wide(x), wide(got[[j, i]]).conj());
        assert!(x == y || x.re.is_nan(), "{case}: {x} and {y} at [{i}, {j}]");
    }
}

fn matrices<O: Element>(
    case: &str,
    got: &HermitianResult<O, Cpu>,
    expected: impl Fn(usize) -> Option<M>,
    statuses: impl Fn(usize) -> Status,
) {
    let n = got.data().len_of(Axis(1));
    for b in 0..MATRICES {
        let (case, of) = (format!("{case}, matrix {b}"), got.data().index_axis_move(Axis(0), b));
        assert_eq!(got.status()[b], statuses(b), "{case}");
        close(&case, |i, j| wide(of[[i, j]]), expected(b).as_ref(), (n, O::PRECISION.epsilon()));
        hermitian(&case, of);
    }
}

pub fn derivatives<T: Scalar, O: ElementOf<T>>(orders: impl IntoIterator<Item = usize>)
where
    Cuda: Engine<T>,
{
    let Some(cuda) = device() else { return };
    for n in orders {
        let triangle = if n % 2 == 0 { Triangle::Lower } else { Triangle::Upper };
        let sample = Sample::<O>::new(n, triangle);
        let unit = (n, O::PRECISION.epsilon());
        let rules = [TieRule::ZeroAndReport, TieRule::Error, TieRule::Exact];
        for (which, ties) in rules.into_iter().enumerate().take(if n > 66 { 1 } else { 3 }) {
            for dropped in [Dropped::AsComputed, Dropped::Zero] {
                let options = Options::default().with_dropped(dropped).with_ties(ties);
                let case = format!("n = {n}, {dropped:?}, {ties:?}");
                let (plan, pairs) = (Plan::<O, Cuda>::new(&cuda, MATRICES, n, &options).unwrap(), sample.pairs(&cuda, &options));
                let scratch = plan.scratch().unwrap();
                // Tied matrices have no numbers to compare under the other rules.
                let none = |b: usize| b == FAILED || (is_tied(b, n) && ties != TieRule::ZeroAndReport);
                let status = |b: usize| expected_status(b, is_tied(b, n), ties);
                // A random direction splits a group by less than what rounding to halves does, now
                // and then.
                let is_half = O::PRECISION != T::PRECISION;
                let expected = |got: Status, b: usize| got == status(b) || is_half && got | Status::TIE_DEFECT == status(b);
                // whether F is finite
                let known = |b: usize| !(is_tied(b, n) && ties == TieRule::Exact);
                let one = |x: &Vec<O>| Array::from_host(&cuda, x.clone(), [MATRICES, n, n]).unwrap();
                let real = |x: &Vec<O::Real>| Array::from_host(&cuda, x.clone(), [MATRICES, n]).unwrap();

                let directions = [&*sample.matrices[0], &*sample.matrices[1]].concat();
                let directions = Array::from_host(&cuda, directions, [2 * MATRICES, n, n]).unwrap();
                let mut tangents = plan.tangents::<O>(2).unwrap();
                let a_dot = HermitianBatch::of_view(directions.backend(), directions.view(), triangle).unwrap();
                plan.jvp_into(pairs.view(), a_dot, tangents.view_mut(), &scratch).unwrap();
                let tangents = tangents.to_host().unwrap();
                for (d, b) in (0..2).flat_map(|d| (0..MATRICES).map(move |b| (d, b))).filter(|&(_, b)| known(b)) {
                    let (case, at) = (format!("{case}, jvp {d}, matrix {b}"), d * MATRICES + b);
                    assert!(expected(tangents.status()[at], b), "{case}: {}", tangents.status()[at]);
                    let (values, vectors) = sample.naive(b, &options).jvp(&sample.matrix(&sample.matrices[d], b));
                    let values = Array2::from_shape_fn((n, n), |(i, _)| C::from(values[i]));
                    let got = tangents.vectors().index_axis_move(Axis(0), at);
                    close(&case, |i, k| wide(got[[i, k]]), (!none(b)).then_some(&vectors), unit);
                    let got = tangents.values().row(at).to_owned();
                    close(&case, |i, _| C::from(got[i].widen().to_f64()), (!none(b)).then_some(&values), unit);
                }

                let h = HermitianBatch::of(one(&sample.matrices[0]), triangle).unwrap();
                for with in 0..8 {
                    let (case, with) = (format!("{case}, with {with:03b}"), [with & 1 != 0, with & 2 != 0, with & 4 != 0]);
                    if ((which + n) % 3 != 0 || n > 66) && with != [true; 3] {
                        continue;
                    }
                    let cotangents = |of: usize, values: bool, vectors: bool| {
                        let (values, vectors) =
                            (values.then(|| real(&sample.values_bars[of])), vectors.then(|| one(&sample.bars[of])));
                        Cotangents::from_columns(values, vectors)
                    };
                    let given = |of: usize, b: usize, values: bool, vectors: bool| {
                        let reals = if values { sample.reals(&sample.values_bars[of], b) } else { vec![0.0; n] };
                        (reals, if vectors { sample.columns(&sample.bars[of], b) } else { Array2::default((n, n)) })
                    };
                    let (first, second) = (cotangents(0, with[0], with[1]), cotangents(1, true, with[2]));
                    let mut double = plan.double_gradient::<O>().unwrap();
                    plan.double_backward_into(pairs.view(), first.view(), h.view(), second.view(), double.view_mut(), &scratch)
                        .unwrap();
                    let mut tangent = plan.matrices::<O>().unwrap();
                    plan.backward_jvp_into(pairs.view(), first.view(), h.view(), second.view(), tangent.view_mut(), &scratch)
                        .unwrap();
                    let (double, tangent) = (double.to_host().unwrap(), tangent.to_host().unwrap());
                    for b in (0..MATRICES).filter(|&b| known(b)) {
                        let (naive, case) = (sample.naive(b, &options), format!("{case}, matrix {b}"));
                        let (first, second) = (given(0, b, with[0], with[1]), given(1, b, true, with[2]));
                        let (first, second) = ((&*first.0, &first.1), (&*second.0, &second.1));
                        let h = sample.matrix(&sample.matrices[0], b);
                        let (a_bar, values, vectors) = naive.double(first, &h, second);
                        let values = Array2::from_shape_fn((n, n), |(i, _)| C::from(values[i]));
                        assert!(
                            expected(double.status()[b], b) && expected(tangent.status()[b], b),
                            "{case}: {}",
                            double.status()[b]
                        );
                        let got = double.a_bar().index_axis_move(Axis(0), b);
                        close(&format!("{case}, Ā"), |i, j| wide(got[[i, j]]), (!none(b)).then_some(&a_bar), unit);
                        hermitian(&case, got);
                        let got = double.vectors_bar_bar().index_axis_move(Axis(0), b);
                        close(&format!("{case}, V̄̄"), |i, k| wide(got[[i, k]]), (!none(b)).then_some(&vectors), unit);
                        let got = double.values_bar_bar().row(b).to_owned();
                        close(
                            &format!("{case}, λ̄̄"),
                            |i, _| C::from(got[i].widen().to_f64()),
                            (!none(b)).then_some(&values),
                            unit,
                        );
                        let got = tangent.data().index_axis_move(Axis(0), b);
                        let expected = naive.tangent(first, &h, second);
                        close(&format!("{case}, Ā̇"), |i, j| wide(got[[i, j]]), (!none(b)).then_some(&expected), unit);
                        hermitian(&case, got);
                    }
                }
            }
        }
    }
}

const FUNCTIONS: [Function; 13] = [
    Function::Projector,
    Function::Sqrt,
    Function::Rsqrt,
    Function::Pinv,
    Function::Log,
    Function::Exp,
    Function::XLogX,
    Function::Pow(2.0),
    Function::Pow(3.0),
    Function::Pow(0.3),
    Function::Pow(-1.5),
    Function::Pow(-2.0),
    Function::Pow(0.0),
];

pub fn functions<T: Scalar, O: ElementOf<T>>(orders: impl IntoIterator<Item = usize>)
where
    Cuda: Engine<T>,
{
    let Some(cuda) = device() else { return };
    for n in orders {
        let triangle = if n % 2 == 0 { Triangle::Lower } else { Triangle::Upper };
        let sample = Sample::<O>::new(n, triangle);
        let options = Options::default().with_dropped(if n % 3 == 0 { Dropped::Zero } else { Dropped::AsComputed });
        let (plan, pairs) = (Plan::<O, Cuda>::new(&cuda, MATRICES, n, &options).unwrap(), sample.pairs(&cuda, &options));
        let scratch = plan.scratch().unwrap();
        let scales: Vec<T::Real> = (0..MATRICES).map(|b| Real::of(b as f64 + 0.5)).collect();
        let scale = Array::from_host(&cuda, scales, [MATRICES]).unwrap();
        let e = Array::from_host(&cuda, sample.matrices[1].clone(), [MATRICES, n, n]).unwrap();
        let e = HermitianBatch::of(e, triangle).unwrap();
        let all: Vec<f64> = (0..MATRICES).flat_map(|b| spectrum(b, n)).map(|(x, _)| x).collect();
        let given = || {
            let at = |f: fn(f64) -> f64| all.iter().map(|&x| Element::narrow(Real::of(f(x)))).collect();
            let array = |f| Array::from_host(&cuda, at(f), [MATRICES, n]).unwrap();
            Spectral::<O, Cuda>::Given { values: array(f64::sin), slopes: array(f64::cos) }
        };
        for function in FUNCTIONS.into_iter().map(Some).chain([None]) {
            let case = format!("n = {n}, {function:?}");
            let f = |x: f64| {
                function.map_or_else(|| <O::Real as Element>::narrow(Real::of(x.sin())).widen().to_f64(), |f| f.value(x))
            };
            let slope = |x: f64| {
                function.map_or_else(|| <O::Real as Element>::narrow(Real::of(x.cos())).widen().to_f64(), |f| f.slope(x))
            };
            let outside = |b: usize| {
                let naive = sample.naive(b, &options);
                (0..n).any(|k| naive.kept[k] && !function.is_none_or(|f| f.defined_at(naive.lambda[k])))
            };
            let status = |b: usize| match b {
                FAILED => Status::NOT_CONVERGED,
                b if outside(b) => Status::OUTSIDE_DOMAIN,
                _ => Status::OK,
            };
            let with = |b: usize, of: &dyn Fn(&Naive) -> M| (status(b).is_ok()).then(|| of(&sample.naive(b, &options)));
            let kind = function.map_or_else(given, Spectral::from);
            for of in [Derivative::Zeroth, Derivative::First] {
                let mut out = plan.matrices::<O>().unwrap();
                plan.spectral_into(pairs.view(), kind.view(), of, out.view_mut(), &scratch).unwrap();
                let expected = |naive: &Naive| {
                    let of: Vec<f64> =
                        naive.lambda.iter().map(|&x| if of == Derivative::Zeroth { f(x) } else { slope(x) }).collect();
                    naive.expand(&naive.diagonal(&of))
                };
                matrices(&format!("{case}, {of:?}"), &out.to_host().unwrap(), |b| with(b, &expected), status);
            }
            for (weights, scaled) in
                [(SchurMultiplier::Divided, false), (SchurMultiplier::Divided, true), (SchurMultiplier::Product, false)]
            {
                let mut out = plan.matrices::<O>().unwrap();
                plan.map_into(
                    pairs.view(),
                    kind.view(),
                    weights,
                    e.view(),
                    scaled.then(|| scale.view()),
                    out.view_mut(),
                    &scratch,
                )
                .unwrap();
                let expected = |b: usize| {
                    let by = if scaled { b as f64 + 0.5 } else { 1.0 };
                    with(b, &|naive| naive.map(f, slope, weights, &sample.matrix(&sample.matrices[1], b)).mapv(|x| x * by))
                };
                matrices(&format!("{case}, {weights:?}"), &out.to_host().unwrap(), expected, status);
            }
            let mut total = Array::<T::Real, _, 1>::zeros(&cuda, [MATRICES]).unwrap();
            let mut statuses = Array::zeros(&cuda, [MATRICES]).unwrap();
            plan.trace_into(pairs.view(), kind.view(), total.view_mut(), statuses.view_mut()).unwrap();
            let (total, statuses) = (total.to_host().unwrap(), statuses.to_host().unwrap());
            for b in 0..MATRICES {
                assert_eq!(statuses[b], status(b), "{case}, tr, matrix {b}");
                let naive = sample.naive(b, &options);
                let terms = || (0..n).filter(|&k| naive.kept[k]).map(|k| f(naive.lambda[k]));
                let (sum, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                let error = (total[b].to_f64() - sum).abs();
                let fine = if status(b).is_ok() { error <= THRESHOLD * T::PRECISION.epsilon() * size } else { error.is_nan() };
                assert!(fine, "{case}, tr, matrix {b}: {:?} for {sum}", total[b]);
            }
        }
    }
}

macro_rules! of_types {
    ($($name:ident = $t:ty, $o:ty: $derivatives:expr, $functions:expr;)*) => { $(mod $name {
        #[allow(unused_imports)] // the primitive types need none
        use super::*;
        #[test]
        fn derivatives() {
            super::derivatives::<$t, $o>($derivatives);
        }
        #[test]
        fn functions() {
            super::functions::<$t, $o>($functions);
        }
    })* };
}
// Up to the largest that go in one kernel, and beyond.
of_types! {
    float32 = f32, f32: [0, 1, 2, 5, 8, 13, 33, 64, 65], [0, 1, 4, 9, 33, 64, 65];
    float64 = f64, f64: [0, 1, 3, 16, 65], [0, 5, 32, 65];
    complex64 = Complex<f32>, Complex<f32>: [2, 7, 9, 65], [3, 8, 65];
    complex128 = Complex<f64>, Complex<f64>: [1, 2, 3, 4, 5, 8, 17, 48, 65], [1, 2, 7, 33, 65];
    float16 = f32, f16: [1, 3, 8], [1, 4];
    bfloat16 = f32, bf16: [1, 4, 7], [1, 4];
    complex_float16 = Complex<f32>, Complex<f16>: [2, 5, 6, 65], [2, 5];
    complex_bfloat16 = Complex<f32>, Complex<bf16>: [3, 4, 8], [3, 8];
}

/// Orders between those above: each has kernels that are compiled for it.
#[test]
#[ignore = "takes long: .ci/scheduled"]
fn every_order() {
    derivatives::<f64, f64>([2, 6, 35]);
    derivatives::<Complex<f32>, Complex<f32>>([1, 4, 32]);
    derivatives::<Complex<f64>, Complex<f64>>([6, 7, 12, 34, 49]);
    functions::<f64, f64>([1, 12]);
    functions::<Complex<f32>, Complex<f32>>([1, 31]);
    functions::<Complex<f64>, Complex<f64>>([16, 64]);
}
