//! Factors B: eigenpairs of B Bᴴ and B̄, against `eigh` of the product, 2ĀB, differences, and the
//! forward derivative.

use crate::numbers::{C, Matrix, adjoint, epsilon, largest, narrow, norm, rounded, same_bits, wide};
use crate::oracle::{self, Decomposition, inner, times};
use crate::random::Rng;
use crate::{THRESHOLD, backward};
use eigengrad::{
    Array, Cotangents, Cpu, Cut, Dropped, Element, Engine, Error, FactorBatch, FactorGradient, FactorPairs, FactorPlan, Options,
    Scalar, Status, TieRule, eigh_factor,
};
use ndarray::{Array2, Array3, Axis};

/// Orders and columns, from none to all, small and blocked.
const SHAPES: [(usize, usize); 13] =
    [(1, 0), (1, 1), (2, 1), (3, 3), (5, 0), (5, 1), (5, 2), (6, 5), (17, 9), (33, 4), (40, 39), (70, 21), (131, 3)];

fn stack<T: Element>(n: usize, r: usize, factors: &[Matrix]) -> Array3<T> {
    Array3::from_shape_fn((factors.len(), n, r), |(b, i, k)| narrow(factors[b][[i, k]]))
}

/// Zero, random, rank-deficient, tied, graded, and columns of zeros; as the library sees them.
fn factors<T: Element>(n: usize, r: usize, rng: &mut Rng) -> Vec<Matrix> {
    let random = rng.matrix::<T>(n, r);
    let inner = r.div_ceil(2);
    let deficient = times(&rng.matrix::<T>(n, inner), &rng.matrix::<T>(inner, r));
    let orthonormal = rng.unitary::<T>(n).slice(ndarray::s![.., ..r]).to_owned();
    let tied = times(&orthonormal, &rng.unitary::<T>(r)).mapv(|x| x * 1.5);
    let graded = Array2::from_shape_fn((n, r), |(i, k)| random[[i, k]] * 0.3f64.powi((i % 5 + k % 7) as i32));
    let mut empty_columns = random.clone();
    empty_columns.columns_mut().into_iter().step_by(2).for_each(|mut column| column.fill(C::ZERO));
    let equal_columns = Array2::from_shape_fn((n, r), |(i, k)| random[[i, k / 2]]);
    let large = random.mapv(|x| x * 2f64.powi(40));
    // A first entry whose square is subnormal, and a last column that is, beside other columns.
    let tiny = crate::numbers::range::<T>().0;
    let least = |at| match at {
        _ if r == 1 => 1.0,
        (0, 0) => 5.0 * tiny.sqrt(),
        (_, k) if k + 1 == r => 1e3 * tiny,
        _ => 1.0,
    };
    let tiny = Array2::from_shape_fn((n, r), |at| random[at] * least(at));
    let all = vec![Array2::zeros((n, r)), random, deficient, tied, graded, empty_columns, equal_columns, large, tiny];
    all.iter().map(rounded::<T>).collect()
}

fn decompose<T: Scalar, B: Engine<T>>(
    backend: &B,
    (n, r): (usize, usize),
    factors: &[Matrix],
    options: &Options,
) -> (FactorPairs<T, B>, FactorPairs<T, Cpu>) {
    let batch = FactorBatch::<T, B>::on(backend, stack::<T>(n, r, factors).view()).unwrap();
    let pairs = eigh_factor(&batch, options).unwrap();
    let host = pairs.to_host().unwrap();
    (pairs, host)
}

fn cotangents<T: Scalar, B: Engine<T>>(
    pairs: &FactorPairs<T, B>,
    lambda_bar: Option<&[Vec<f64>]>,
    v_bar: Option<&[Matrix]>,
) -> Cotangents<T, B> {
    let lambda_bar = lambda_bar.map(|x| crate::numbers::rows::<T::Real>(pairs.r(), x));
    let v_bar = v_bar.map(|x| stack::<T>(pairs.n(), pairs.r(), x));
    pairs.cotangents(lambda_bar.as_ref().map(|x| x.view()), v_bar.as_ref().map(|x| x.view())).unwrap()
}

fn gradient<T: Scalar, B: Engine<T>>(
    pairs: &FactorPairs<T, B>,
    lambda_bar: Option<&[Vec<f64>]>,
    v_bar: Option<&[Matrix]>,
) -> FactorGradient<T, Cpu> {
    pairs.backward(&cotangents(pairs, lambda_bar, v_bar)).unwrap().to_host().unwrap()
}

fn random_cotangents<T: Element>(n: usize, r: usize, count: usize, rng: &mut Rng) -> (Vec<Vec<f64>>, Vec<Matrix>) {
    let lambda_bar = (0..count).map(|_| (0..r).map(|_| f64::from(rng.normal() as f32)).collect()).collect();
    (lambda_bar, (0..count).map(|_| rounded::<T>(&rng.matrix::<T>(n, r))).collect())
}

/// The n eigenpairs of matrix `b`, those beside the range of B first: λ = 0 there, dropped, with
/// any basis.
fn completed<T: Element>(pairs: &FactorPairs<T, Cpu>, b: usize, rng: &mut Rng) -> Decomposition {
    let (n, r) = (pairs.n(), pairs.r());
    let v = pairs.vectors().index_axis_move(Axis(0), b).mapv(wide);
    let mut q: Vec<Vec<C>> = (0..r).map(|k| v.column(k).to_vec()).collect();
    while q.len() < n {
        let mut x: Vec<C> = (0..n).map(|_| rng.number::<T>()).collect();
        for other in q.iter().chain(&q) {
            let dot: C = other.iter().zip(&x).map(|(a, b)| a.conj() * b).sum();
            x.iter_mut().zip(other).for_each(|(x, &a)| *x -= a * dot);
        }
        let norm = x.iter().map(|x| x.norm_sqr()).sum::<f64>().sqrt();
        q.push(x.into_iter().map(|x| x / norm).collect());
    }
    q.rotate_left(r);
    let nulls = n - r;
    let lambda = (0..n).map(|k| if k < nulls { 0.0 } else { wide(pairs.values()[[b, k - nulls]]).re });
    Decomposition {
        lambda: lambda.collect(),
        v: Array2::from_shape_fn((n, n), |(i, k)| q[k][i]),
        kept: (0..n).map(|k| k >= nulls && pairs.kept()[[b, k - nulls]]).collect(),
    }
}

/// Residuals, orthonormality, ascending λ, K and gaps, against those of `eigh` of B Bᴴ.
pub fn pairs_of_the_product<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(60);
    for (n, r) in SHAPES {
        let factors = factors::<T>(n, r, &mut rng);
        let host = decompose::<T, B>(backend, (n, r), &factors, &Options::default()).1;
        host.check().unwrap();
        for (b, factor) in factors.iter().enumerate() {
            let (a, d) = (times(factor, &adjoint(factor)), completed(&host, b, &mut rng));
            let unit = n as f64 * epsilon::<T>();
            let scale = norm(&a).max(f64::MIN_POSITIVE);
            let scaled = Array2::from_shape_fn((n, n), |(i, k)| d.v[[i, k]] * d.lambda[k]);
            let residual = norm(&(times(&a, &d.v) - scaled)) / scale / unit;
            let v = d.v.slice(ndarray::s![.., n - r..]).to_owned();
            let orthogonality = norm(&(times(&adjoint(&v), &v) - Matrix::eye(r))) / unit;
            assert!(residual <= THRESHOLD && orthogonality <= THRESHOLD, "{n}×{r}, factor {b}: {residual}, {orthogonality}");
            assert!(host.values().row(b).iter().is_sorted_by(|x, y| x <= y), "{n}×{r}, factor {b}");
            let tau = n.max(10) as f64 * epsilon::<T>() * d.norm();
            let all = oracle::select(&d.lambda, Some(tau), n, 0.0);
            assert_eq!(d.kept, all.kept, "{n}×{r}, factor {b}");
            assert_eq!(host.rank()[b] as usize, all.rank);
            let gaps = (wide(host.spectrum.gap_kept()[b]).re, wide(host.spectrum.gap_dropped()[b]).re);
            let stored = |gap: f64| wide(narrow::<T::Real>(gap.into())).re;
            assert_eq!(gaps, (stored(all.gap_kept), stored(all.gap_dropped)), "{n}×{r}, factor {b}");
        }
    }
}

/// The same eigenvalues and projectors as of B Bᴴ.
pub fn as_eigh_of_the_product<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(61);
    for (n, r) in [(6, 2), (17, 9), (40, 12)] {
        let factors: Vec<_> = (0..5).map(|_| rounded::<T>(&rng.matrix::<T>(n, r))).collect();
        let products: Vec<_> = factors.iter().map(|b| times(b, &adjoint(b))).collect();
        let host = decompose::<T, B>(backend, (n, r), &factors, &Options::default()).1;
        let whole = crate::run::eigh::<T, B>(backend, n, &products, &Options::default()).1;
        for b in 0..factors.len() {
            let (d, e) = (completed(&host, b, &mut rng), Decomposition::of(&whole, b));
            assert_eq!(d.kept.iter().filter(|x| **x).count(), e.kept.iter().filter(|x| **x).count());
            let unit = THRESHOLD * n as f64 * epsilon::<T>() * d.norm();
            (0..n).for_each(|k| assert!((d.lambda[k] - e.lambda[k]).abs() <= unit, "{n}×{r}: λ {k}"));
            let projector = |d: &Decomposition| {
                let v = Array2::from_shape_fn((n, n), |(i, k)| if d.kept[k] { d.v[[i, k]] } else { C::ZERO });
                times(&v, &adjoint(&v))
            };
            let least = wide(host.spectrum.gap_dropped()[b]).re;
            assert!(largest(&(projector(&d) - projector(&e))) <= unit / least, "{n}×{r}: Π");
        }
    }
}

/// B̄ = 2ĀB with the naive Ā of all n pairs; λ̄ and V̄ together, alone, and NaN in what is outside K.
pub fn the_gradient_by_factors<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(62);
    let cuts = [Cut::default(), Cut::at_most(2)];
    for ((n, r), (cut, dropped)) in
        SHAPES.into_iter().flat_map(|shape| cuts.into_iter().zip([Dropped::AsComputed, Dropped::Zero]).map(move |x| (shape, x)))
    {
        let factors: Vec<_> = factors::<T>(n, r, &mut rng).into_iter().enumerate().filter(|x| x.0 != 3).map(|x| x.1).collect();
        let (pairs, host) = decompose::<T, B>(
            backend,
            (n, r),
            &factors,
            &Options::default().with_cut(cut).with_dropped(dropped).with_tie_rtol(0.0),
        );
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, r, factors.len(), &mut rng);
        let (mut dirty_lambda_bar, mut dirty_v_bar) = (lambda_bar.clone(), v_bar.clone());
        for ((b, k), _) in host.kept().indexed_iter().filter(|(_, kept)| !**kept) {
            dirty_lambda_bar[b][k] = f64::NAN;
            dirty_v_bar[b].column_mut(k).fill(C::new(f64::NAN, f64::INFINITY));
        }
        for (with_values, with_vectors) in [(true, true), (true, false), (false, true), (false, false)] {
            let (lambda_bar, v_bar) = (with_values.then_some(&*lambda_bar), with_vectors.then_some(&*v_bar));
            let got = gradient(&pairs, lambda_bar, v_bar);
            for (b, factor) in factors.iter().enumerate() {
                let d = completed(&host, b, &mut rng);
                let d = if dropped == Dropped::Zero { d.with_null_dropped() } else { d };
                let f = d.f(None);
                let wide_bar =
                    |x: &Matrix| Array2::from_shape_fn((n, n), |(i, k)| if k < n - r { C::ZERO } else { x[[i, k + r - n]] });
                let full_lambda_bar = lambda_bar.map(|x| [vec![0.0; n - r], x[b].clone()].concat());
                let full_v_bar = v_bar.map(|x| wide_bar(&x[b]));
                let a_bar = oracle::a_bar(&d, &f, full_lambda_bar.as_deref(), full_v_bar.as_ref());
                let expected = times(&a_bar, factor).mapv(|x| x * 2.0);
                let b_bar = got.b_bar().index_axis_move(Axis(0), b).mapv(wide);
                let scale = backward::scale(&d, &f, full_lambda_bar.as_deref(), full_v_bar.as_ref()) * d.norm().sqrt();
                let error = if r == 0 { 0.0 } else { largest(&(&b_bar - &expected)) };
                let ratio = if error == 0.0 { 0.0 } else { error / (n as f64 * epsilon::<T>() * scale) };
                assert!(ratio <= THRESHOLD, "{n}×{r}, factor {b}, λ̄ {with_values}, V̄ {with_vectors}, {dropped:?}: {ratio}");
                if let Some(v_bar) = &full_v_bar {
                    let expected = oracle::gauge_defect(&d, v_bar);
                    let rho = got.gauge_defect().row(b).mapv(|x| wide(x).re);
                    (0..r).for_each(|k| assert!((rho[k] - expected[n - r + k]).abs() <= 10.0 * n as f64 * epsilon::<T>()));
                }
            }
            let dirty = gradient(&pairs, with_values.then_some(&*dirty_lambda_bar), with_vectors.then_some(&*dirty_v_bar));
            assert_eq!(dirty.b_bar(), got.b_bar(), "{n}×{r}: what is outside K was read");
            assert_eq!((dirty.status(), dirty.gauge_defect()), (got.status(), got.gauge_defect()));
        }
    }
}

/// ⟨B̄, Ḃ⟩ = ⟨λ̄, λ̇⟩ + Re⟨V̄, V̇⟩ along Ȧ = Ḃ Bᴴ + B Ḃᴴ.
pub fn adjoint_to_the_derivative_by_factors<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(63);
    for (n, r) in [(1, 1), (5, 1), (6, 5), (9, 9), (33, 4)] {
        let factor = rounded::<T>(&rng.matrix::<T>(n, r));
        let (pairs, host) = decompose::<T, B>(backend, (n, r), std::slice::from_ref(&factor), &Options::default());
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, r, 1, &mut rng);
        let got = gradient(&pairs, Some(&lambda_bar), Some(&v_bar));
        let (d, b_dot) = (completed(&host, 0, &mut rng), rng.matrix::<T>(n, r));
        let half = times(&b_dot, &adjoint(&factor));
        let (lambda_dot, v_dot) = oracle::jvp(&d, &(&half + &adjoint(&half)));
        let v_dot = v_dot.slice(ndarray::s![.., n - r..]).to_owned();
        let values: f64 = lambda_bar[0].iter().zip(&lambda_dot[n - r..]).map(|(x, y)| x * y).sum();
        let (left, right) =
            (inner(&got.b_bar().index_axis_move(Axis(0), 0).mapv(wide), &b_dot), values + inner(&v_bar[0], &v_dot));
        let f = d.f(None).iter().fold(0.0, |m: f64, x| x.abs().max(m));
        let scale = (1.0 + f) * n as f64 * d.norm().sqrt() * largest(&b_dot) * r as f64;
        assert!((left - right).abs() <= THRESHOLD * n as f64 * epsilon::<T>() * scale, "{n}×{r}: {left} against {right}");
    }
}

/// λ, K, gaps and statuses, and B̄ of the loss Σ c_k λ_k + Σ w |v|⁴, on the CPU and on the backend.
#[cfg(feature = "cuda")]
pub fn factors_as_on_the_cpu<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(69);
    for (n, r) in [(3, 3), (6, 2), (33, 12), (150, 5)] {
        let options = Options::default().with_cut(Cut::at_most(r.max(2) - 1));
        // Eigenvalues that are well apart, so that both know the eigenvectors to round-off.
        let (left, right) = (rng.unitary::<T>(n), rng.unitary::<T>(r));
        let factor = |scale: f64| {
            let left = Array2::from_shape_fn((n, r), |(i, k)| left[[i, k]] * scale * (1.0 + k as f64));
            rounded::<T>(&times(&left, &right))
        };
        let factors =
            [factor(1.0), Array2::zeros((n, r)), factor(1e-3), rounded::<T>(&rng.matrix::<T>(n, r).mapv(|x| x * f64::NAN))];
        let (c, w) = (rng.vector(r), rng.matrix::<f64>(n, r));
        let got = quartic::<T, B>(backend, (n, r), &factors, &options, &c, &w);
        let expected = quartic::<T, Cpu>(&Cpu::default(), (n, r), &factors, &options, &c, &w);
        assert_eq!((got.0.kept(), got.0.rank(), got.0.status()), (expected.0.kept(), expected.0.rank(), expected.0.status()));
        assert_eq!(got.1.status(), expected.1.status(), "{n}×{r}");
        for (b, norm) in [(0, (r * r) as f64), (1, 0.0), (2, (r * r) as f64 * 1e-6)] {
            let unit = THRESHOLD * n as f64 * epsilon::<T>();
            let near = |x: T::Real, y: T::Real| {
                let (x, y) = (wide(x).re, wide(y).re);
                assert!(x == y || (x - y).abs() <= unit * norm, "{n}×{r}, factor {b}: {x} and {y}");
            };
            got.0.values().row(b).iter().zip(expected.0.values().row(b)).for_each(|(&x, &y)| near(x, y));
            near(got.0.spectrum.gap_kept()[b], expected.0.spectrum.gap_kept()[b]);
            near(got.0.spectrum.gap_dropped()[b], expected.0.spectrum.gap_dropped()[b]);
            let b_bar = |x: &FactorGradient<T, Cpu>| x.b_bar().index_axis_move(Axis(0), b).mapv(wide);
            let (got, expected) = (b_bar(&got.1), b_bar(&expected.1));
            // V̄ and F are of order 1 by those of the first factor; V, and B̄ with it, is known to
            // ε·‖A‖/gap.
            assert!(largest(&(&got - &expected)) <= unit * (r * r) as f64 * (1.0 + largest(&expected)), "{n}×{r}, factor {b}: B̄");
        }
    }
}

/// Decomposes factors, and B̄ of the loss Σ c_k λ_k + Σ w |v|⁴, which no phase changes.
fn quartic<T: Scalar, B: Engine<T>>(
    backend: &B,
    (n, r): (usize, usize),
    factors: &[Matrix],
    options: &Options,
    c: &[f64],
    w: &Matrix,
) -> (FactorPairs<T, Cpu>, FactorGradient<T, Cpu>) {
    let (pairs, host) = decompose::<T, B>(backend, (n, r), factors, options);
    let v_bar = |b| {
        let v = host.vectors().index_axis_move(Axis(0), b).mapv(wide);
        Array2::from_shape_fn((n, r), |at| v[at] * (4.0 * w[at].re * v[at].norm_sqr()))
    };
    let v_bar: Vec<_> = (0..factors.len()).map(v_bar).collect();
    let got = gradient(&pairs, Some(&vec![c.to_vec(); factors.len()]), Some(&v_bar));
    (host, got)
}

/// B̄ of a loss that no phase changes, Σ c_k λ_k + Σ w |v|⁴, against sixth-order differences, in
/// f64.
pub fn differences_by_factors<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(64);
    for (n, r) in [(4, 1), (7, 3), (6, 6), (40, 4)] {
        let (factor, e) = (rng.matrix::<T>(n, r), rng.matrix::<T>(n, r).mapv(|x| x / (n as f64)));
        let (c, w) = (rng.vector(r), rng.matrix::<f64>(n, r));
        let value = |b: &Matrix| {
            let host = decompose::<T, B>(backend, (n, r), std::slice::from_ref(b), &Options::default()).1;
            let values: f64 = host.values().iter().zip(&c).map(|(&x, c)| wide(x).re * c).sum();
            values + host.vectors().iter().zip(&w).map(|(&v, w)| wide(v).norm_sqr().powi(2) * w.re).sum::<f64>()
        };
        let got = quartic::<T, B>(backend, (n, r), std::slice::from_ref(&factor), &Options::default(), &c, &w).1;
        got.check().unwrap();
        let (got, expected) =
            (inner(&got.b_bar().index_axis_move(Axis(0), 0).mapv(wide), &e), crate::differences::difference(value, &factor, &e));
        assert!((got - expected).abs() <= 1e-8 * expected.abs().max(1.0), "{n}×{r}: {got} against {expected}");
    }
}

type Results<T> = (FactorPairs<T, Cpu>, FactorGradient<T, Cpu>);

/// Asserts that factor `b` of both has the same bits.
fn assert_same<T: Scalar>(x: &Results<T>, y: &Results<T>, b: usize) {
    let one = |x: ndarray::ArrayView3<'_, T>| x.index_axis_move(Axis(0), b).iter().copied().collect::<Vec<_>>();
    assert!(same_bits(one(x.0.vectors()), one(y.0.vectors())) && same_bits(one(x.1.b_bar()), one(y.1.b_bar())), "factor {b}");
    assert!(same_bits(x.0.values().row(b).to_vec(), y.0.values().row(b).to_vec()), "factor {b}");
    assert_eq!((x.0.kept().row(b), x.1.status()[b]), (y.0.kept().row(b), y.1.status()[b]));
}

/// From 256 rows on, threads share each factor, too.
pub fn factors_by_any_number_of_threads<T: Scalar, B: Engine<T>>(_: &B) {
    for (n, r, count) in [(33, 7, 9), (600, 40, 4), (400, 390, 3)] {
        let mut rng = Rng::new(71);
        let factors: Vec<_> = (0..count).map(|_| rounded::<T>(&rng.matrix::<T>(n, r))).collect();
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, r, count, &mut rng);
        let by = |threads| {
            let (pairs, host) = decompose::<T, Cpu>(&Cpu::with_threads(threads).unwrap(), (n, r), &factors, &Options::default());
            (host, gradient(&pairs, Some(&lambda_bar), Some(&v_bar)))
        };
        let expected = by(1);
        [2, 5].map(by).iter().for_each(|got| (0..count).for_each(|b| assert_same(&expected, got, b)));
    }
}

/// One factor that is not finite, or whose B Bᴴ overflows, leaves the others as they were; the same
/// bits alone, elsewhere, again.
pub fn factors_keep_to_themselves<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(65);
    for (n, r) in [(5, 2), (33, 7)] {
        let clean = factors::<T>(n, r, &mut rng);
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, r, clean.len(), &mut rng);
        let run = |factors: &[Matrix]| {
            let (pairs, host) = decompose::<T, B>(backend, (n, r), factors, &Options::default());
            (host, gradient(&pairs, Some(&lambda_bar[..factors.len()]), Some(&v_bar[..factors.len()])))
        };
        let whole = run(&clean);
        (0..clean.len()).for_each(|b| assert_same(&whole, &run(&clean), b));
        if crate::run::has_bits_of_its_own::<B>(usize::MAX) {
            (0..3).for_each(|b| assert_same(&whole, &run(&clean[..3]), b));
        }
        let mut dirty = clean.clone();
        dirty[2][[n - 1, 0]] = C::new(f64::NAN, 0.0);
        dirty[4][[0, r - 1]] = C::new(f64::INFINITY, 0.0);
        dirty[5] = clean[1].mapv(|x| x * crate::numbers::range::<T>().1.sqrt());
        let bad = run(&dirty);
        for b in 0..clean.len() {
            let expected = match b {
                2 | 4 => Status::NOT_FINITE,
                5 => Status::VALUES_OVERFLOW,
                _ => {
                    assert_same(&whole, &bad, b);
                    continue;
                }
            };
            assert_eq!((bad.0.status()[b], bad.1.status()[b], bad.0.rank()[b]), (expected, expected, 0));
            assert!(bad.0.values().row(b).iter().all(|&x| wide(x).re.is_nan()));
            assert!(bad.1.b_bar().index_axis_move(Axis(0), b).iter().all(|&x| wide(x).re.is_nan()));
            assert!(bad.1.gauge_defect().row(b).iter().all(|&x| wide(x).re == 0.0));
        }
        assert!(matches!(bad.0.check(), Err(Error::Matrices(found)) if found.len() == 3) && bad.1.check().is_err());
    }
}

/// Factors whose B Bᴴ underflows say so, and no others.
pub fn factors_that_underflow<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(67);
    let (n, r) = (6, 2);
    let size = if T::PRECISION == eigengrad::Precision::F32 { 1e-30 } else { 1e-200 };
    let b = rounded::<T>(&rng.matrix::<T>(n, r));
    let all = [b.mapv(|x| x * size), b.clone(), b.mapv(|x| x * 0.0)];
    let (_, host) = decompose::<T, B>(backend, (n, r), &all, &Options::default());
    assert_eq!(host.status().to_vec(), [Status::VALUES_UNDERFLOW, Status::OK, Status::OK]);
    host.check().unwrap_err();
}

/// Ties follow the rule; without a cut an eigenvalue as null as those beside it is a tie across the
/// cut.
pub fn ties_of_factors<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(66);
    let (n, r) = (7, 3);
    let tied = rounded::<T>(&factors::<T>(n, r, &mut rng)[3]);
    let (lambda_bar, v_bar) = random_cotangents::<T>(n, r, 1, &mut rng);
    let (pairs, _) = decompose::<T, B>(backend, (n, r), std::slice::from_ref(&tied), &Options::default());
    let got = gradient(&pairs, Some(&lambda_bar), Some(&v_bar));
    assert!(got.status()[0].intersects(Status::TIED) && wide(got.tie_defect()[0]).re > 0.1);
    let report = got.report(&pairs.to_host().unwrap()).unwrap().next().unwrap().tie_defect;
    assert_eq!(report, got.tie_defect()[0]);
    let (pairs, _) =
        decompose::<T, B>(backend, (n, r), std::slice::from_ref(&tied), &Options::default().with_ties(TieRule::Error));
    assert!(matches!(pairs.backward(&cotangents(&pairs, Some(&lambda_bar), None)), Err(Error::Matrices(_))));
    let singular = rounded::<T>(&factors::<T>(n, r, &mut rng)[2]);
    let none = Options::default().with_cut(Cut::none());
    let host = decompose::<T, B>(backend, (n, r), &[singular, tied], &none).1;
    assert_eq!((host.rank().to_vec(), host.status().to_vec()), (vec![3, 3], vec![Status::TIE_ACROSS_CUT, Status::OK]));
}

/// Every wrong shape named, and the same bits in memory of the caller's.
pub fn shapes_of_factors<T: Scalar, B: Engine<T>>(backend: &B) {
    let wide_factor = Array3::<T>::zeros((2, 3, 4));
    assert!(matches!(FactorBatch::<T, B>::on(backend, wide_factor.view()), Err(Error::Wide { n: 3, r: 4 })));
    let mut rng = Rng::new(67);
    let (n, r, count) = (6, 2, 9);
    let plan = FactorPlan::<T, B>::new(backend, count, n, r, &Options::default()).unwrap();
    let (mut pairs, mut gradient, workspace) =
        (plan.pairs::<T>().unwrap(), plan.gradient::<T>().unwrap(), plan.workspace().unwrap());
    for step in 0..3 {
        let mut factors = factors::<T>(n, r, &mut rng);
        factors.rotate_left(step);
        let batch = FactorBatch::<T, B>::on(backend, stack::<T>(n, r, &factors).view()).unwrap();
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, r, count, &mut rng);
        plan.eigh_into(batch.view(), pairs.view_mut(), &workspace).unwrap();
        let bars = cotangents(&pairs, (step != 1).then_some(&*lambda_bar), (step != 2).then_some(&*v_bar));
        plan.backward_into(pairs.view(), bars.view(), gradient.view_mut(), &workspace).unwrap();
        let fresh = eigh_factor(&batch, &Options::default()).unwrap();
        let expected = fresh.backward(&bars).unwrap().to_host().unwrap();
        assert!(same_bits(gradient.to_host().unwrap().b_bar().iter().copied(), expected.b_bar().iter().copied()));
        assert_eq!(gradient.to_host().unwrap().status(), expected.status());
    }
    let other = FactorPlan::<T, B>::new(backend, count, n, r + 1, &Options::default()).unwrap();
    let batch = FactorBatch::<T, B>::on(backend, Array3::zeros((count, n, r)).view()).unwrap();
    assert!(matches!(other.eigh_into(batch.view(), pairs.view_mut(), &workspace), Err(Error::Shape { what: "B", .. })));
    let wrong = other.workspace().unwrap();
    assert!(matches!(plan.eigh_into(batch.view(), pairs.view_mut(), &wrong), Err(Error::Workspace { .. })));
    let square = crate::run::eigh::<T, B>(backend, n, &vec![Matrix::eye(n); count], &Options::default()).0;
    let bars = Cotangents::vectors(&square, Array3::zeros((count, n, n)).view()).unwrap();
    assert!(matches!(pairs.backward(&bars), Err(Error::Shape { what: "V̄", .. })));
    let none = FactorBatch::<T, B>::on(backend, Array3::zeros((0, n, r)).view()).unwrap();
    assert_eq!(eigh_factor(&none, &Options::default()).unwrap().to_host().unwrap().values().dim(), (0, r));
}

/// Factors in halves are computed in f32 and come back in either.
pub fn factors_of_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let mut rng = Rng::new(68);
    let (n, r) = (9, 3);
    let factor = rounded::<T>(&rng.matrix::<T>(n, r));
    let batch = FactorBatch::<T, B>::on(backend, stack::<T>(n, r, std::slice::from_ref(&factor)).view()).unwrap();
    let exact = FactorBatch::<T::Scalar, B>::on(backend, stack::<T::Scalar>(n, r, std::slice::from_ref(&factor)).view()).unwrap();
    let expected = eigh_factor(&exact, &Options::default()).unwrap().to_host().unwrap();
    let got = eigh_factor(&batch, &Options::default()).unwrap().to_host().unwrap();
    assert_eq!((got.values(), got.vectors()), (expected.values(), expected.vectors()));
    let pairs = eigengrad::eigh_factor_as::<T, T, B>(&batch, &Options::default()).unwrap();
    let stored = pairs.to_host().unwrap();
    for (x, y) in stored.vectors().iter().zip(expected.vectors()) {
        assert_eq!(wide(*x), wide(narrow::<T>(wide(*y))));
    }
    // From the stored V and λ in f32, and then rounded once.
    let (lambda_bar, v_bar) = random_cotangents::<T>(n, r, 1, &mut rng);
    let bars = (crate::numbers::rows::<T::Real>(r, &lambda_bar), stack::<T>(n, r, &v_bar));
    let bars = pairs.cotangents(Some(bars.0.view()), Some(bars.1.view())).unwrap();
    let got = pairs.backward(&bars).unwrap().to_host().unwrap();
    let d = completed(&stored, 0, &mut rng);
    let zeros = |count| vec![0.0; count];
    let full_lambda_bar = [zeros(n - r), lambda_bar[0].clone()].concat();
    let full_v_bar = Array2::from_shape_fn((n, n), |(i, k)| if k < n - r { C::ZERO } else { v_bar[0][[i, k + r - n]] });
    let a_bar = oracle::a_bar(&d, &d.f(None), Some(&full_lambda_bar), Some(&full_v_bar));
    let b_bar = got.b_bar().index_axis_move(Axis(0), 0).mapv(wide);
    let expected = times(&a_bar, &factor).mapv(|x| x * 2.0);
    let scale = backward::scale(&d, &d.f(None), Some(&full_lambda_bar), Some(&full_v_bar)) * d.norm().sqrt();
    let error = largest(&(&b_bar - &expected)) / (n as f64 * T::PRECISION.epsilon() * scale);
    assert!(error <= THRESHOLD, "{error}");
}

/// Pairs in memory of another owner, without ranks and gaps, have the gradient of those they were
/// read from, to the bit; memory of another length is refused.
pub fn factors_of_another_owner<T: Scalar, B: Engine<T>>(backend: &B) {
    let (n, r) = (6, 3);
    let mut rng = Rng::new(171);
    let all = factors::<T>(n, r, &mut rng);
    let (pairs, host) = decompose::<T, B>(backend, (n, r), &all, &Options::default());
    let plan = FactorPlan::<T, B>::new(backend, all.len(), n, r, &Options::default()).unwrap();
    let bars = cotangents(&pairs, None, Some(&all));
    let workspace = plan.workspace().unwrap();
    let own = pairs.backward(&bars).unwrap().to_host().unwrap();
    let (of, lambda) = (&pairs.spectrum, &host.spectrum.values);
    // Written again, from host memory.
    let mut values = Array::<T::Real, B, 2>::zeros(backend, lambda.shape()).unwrap();
    values.view_mut().copy_from_host(backend, lambda).unwrap();
    assert!(matches!(values.view_mut().copy_from_host(backend, &lambda[1..]), Err(Error::Shape { .. })));
    let short = Array::<T, B, 3>::zeros(backend, [all.len(), r, n + 1]).unwrap();
    let view = |vectors| plan.pairs_view::<T>(values.view(), of.kept.view(), of.status.view(), vectors, pairs.projection.view());
    assert!(matches!(view(short.view()), Err(Error::Shape { what: "V", .. })));
    let mut gradient = plan.gradient::<T>().unwrap();
    plan.backward_into(view(pairs.vectors.view()).unwrap(), bars.view(), gradient.view_mut(), &workspace).unwrap();
    let (got, own) = (gradient.to_host().unwrap(), own);
    assert!(same_bits(got.b_bar.iter().copied(), own.b_bar.iter().copied()));
    assert_eq!(got.status.to_vec(), own.status.to_vec());
    let batch = FactorBatch::<T, B>::on(backend, stack::<T>(n, r, &all).view()).unwrap();
    let mut again = plan.pairs::<T>().unwrap();
    let FactorPairs { spectrum, vectors, projection, .. } = again.view_mut();
    plan.eigh_into(batch.view(), plan.pairs_of(spectrum, vectors, projection).unwrap(), &workspace).unwrap();
    assert!(same_bits(again.to_host().unwrap().vectors.iter().copied(), host.vectors.iter().copied()));
}
