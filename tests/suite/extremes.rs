//! The ends of the range: what is homogeneous is computed so, and errors are counted in units of
//! ε‖A‖, without a factor n.

use crate::numbers::{C, Matrix, adjoint, diagonal, epsilon, largest, matrix, norm, rounded, wide};
use crate::oracle::{Decomposition, times};
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{Cut, Engine, Function, Options, Precision, Scalar, Spectral, Status};
use ndarray::Array2;
use std::slice;

/// Nearly the largest number of the type, and a number near the smallest normal one.
fn ends<T: Scalar>() -> (f64, f64) {
    if T::PRECISION == Precision::F32 { (2e38, 1e-37) } else { (1.2e308, 1e-307) }
}

/// A function of the spectrum, made from the eigenpairs.
type Given<'a, T, B> = dyn Fn(&eigengrad::Eigenpairs<T, B>) -> Spectral<T, B> + 'a;

fn of(entries: &[f64]) -> Matrix {
    let n = (entries.len() as f64).sqrt() as usize;
    Array2::from_shape_fn((n, n), |(i, j)| C::new(entries[i * n + j], 0.0))
}

/// λ_j − λ_i overflows, Ā and V̇ do not.
pub fn gaps_that_overflow<T: Scalar, B: Engine<T>>(backend: &B) {
    let (x, _) = ends::<T>();
    for n in [2, 67] {
        let mut lambda = vec![0.0; n];
        (lambda[0], lambda[n - 1]) = (-x, x);
        let options = Options::default().with_cut(Cut::none());
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[diagonal(&lambda)], &options);
        assert!(wide(host.gap_kept()[0]).re.is_finite());
        let mut v_bar = Array2::zeros((n, n));
        v_bar[[n - 1, 0]] = C::new(x * 1e-8, 0.0);
        let sign = |k: usize| wide(host.vectors()[[0, if k == 0 { 0 } else { n - 1 }, k]]).re;
        let gradient = run::backward(&pairs, None, Some(&[v_bar]));
        let expected = -0.5 * 1e-8 / 2.0 * sign(0);
        let got = matrix(gradient.a_bar(), 0)[[n - 1, 0]].re;
        // A reciprocal near the smallest normal number loses three bits.
        let tolerance = THRESHOLD * epsilon::<T>() * expected.abs() * 8.0;
        assert!((got - expected).abs() <= tolerance, "n = {n}: {got} against {expected}, {}", gradient.status()[0]);
        let mut a_dot = Array2::zeros((n, n));
        (a_dot[[n - 1, 0]], a_dot[[0, n - 1]]) = (C::new(x * 1e-2, 0.0), C::new(x * 1e-2, 0.0));
        let tangents = pairs.jvp(&run::hermitian::<T, B>(backend, n, &[a_dot])).unwrap().to_host().unwrap();
        let got = matrix(tangents.vectors(), 0)[[n - 1, 0]].norm();
        assert!((got - 0.5e-2).abs() <= THRESHOLD * epsilon::<T>(), "n = {n}: {got}, {}", tangents.status()[0]);
    }
}

/// 1/(λ_j − λ_i) overflows, V̇ and Ā do not.
pub fn gaps_without_reciprocals<T: Scalar, B: Engine<T>>(backend: &B) {
    let (x, e) = if T::PRECISION == Precision::F32 { (1e-36, 1e-37) } else { (1e-307, 1e-307) };
    let narrowed = |x: f64| wide(crate::numbers::narrow::<T::Real>(C::new(x, 0.0))).re;
    let (low, high, e) = (narrowed(x), narrowed(x * 1.001), narrowed(e));
    for n in [2, 67] {
        let mut lambda = vec![0.0; n];
        (lambda[0], lambda[n - 1]) = (low, high);
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[diagonal(&lambda)], &Options::default());
        let [i, j] = [n - 2, n - 1];
        let gap = wide(host.values()[[0, j]]).re - wide(host.values()[[0, i]]).re;
        let tolerance = THRESHOLD * epsilon::<T>() * high / gap; // of λ, and of V
        let sign = |row: usize, k: usize| wide(host.vectors()[[0, row, k]]).re;
        let mut a_dot = Array2::zeros((n, n));
        (a_dot[[n - 1, 0]], a_dot[[0, n - 1]]) = (C::new(e, 0.0), C::new(e, 0.0));
        let tangents = pairs.jvp(&run::hermitian::<T, B>(backend, n, &[a_dot])).unwrap().to_host().unwrap();
        let (got, expected) = (matrix(tangents.vectors(), 0)[[0, j]].re, e / gap * sign(n - 1, j));
        assert!((got / expected - 1.0).abs() <= tolerance, "n = {n}: {got:e} against {expected:e}, {}", tangents.status()[0]);
        let mut v_bar = Array2::zeros((n, n));
        v_bar[[0, j]] = C::new(1e-5, 0.0);
        let gradient = run::backward(&pairs, None, Some(&[v_bar]));
        let (got, expected) = (matrix(gradient.a_bar(), 0)[[n - 1, 0]].re, 0.5e-5 / gap * sign(n - 1, j));
        assert!((got / expected - 1.0).abs() <= tolerance, "n = {n}: {got:e} against {expected:e}, {}", gradient.status()[0]);
    }
}

/// Gradients of sA from V̄: 1/s times those of A, wherever that is a number.
pub fn gradients_of_tiny_and_huge_matrices<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(101);
    let (huge, tiny) = ends::<T>();
    for n in [3, 16, 67] {
        let a = rng.of_rank::<T>(n, n / 2 + 1, true);
        let v_bar = rng.matrix::<T>(n, n);
        let (pairs, _) = run::eigh::<T, B>(backend, n, slice::from_ref(&a), &Options::default());
        let expected = matrix(run::backward(&pairs, None, Some(slice::from_ref(&v_bar))).a_bar(), 0);
        for s in [huge / 2f64.powi(10), tiny * 2f64.powi(10)] {
            let s = 2f64.powi(s.log2() as i32);
            let (pairs, _) = run::eigh::<T, B>(backend, n, &[a.mapv(|x| x * s)], &Options::default());
            let bar = s.clamp(1e-30, 1e30);
            let got = matrix(run::backward(&pairs, None, Some(&[v_bar.mapv(|x| x * bar)])).a_bar(), 0);
            let error = largest(&(got.mapv(|x| x / bar * s) - &expected));
            assert!(error <= THRESHOLD * n as f64 * epsilon::<T>() * norm(&expected), "n = {n}, s = {s:e}: {error}");
        }
    }
}

/// Divided differences of what overflows or has no gaps: λ¹, 1/√λ and pseudo-inverses near the
/// ends.
pub fn functions_at_the_ends_of_the_range<T: Scalar, B: Engine<T>>(backend: &B) {
    let (huge, _) = ends::<T>();
    let ones = of(&[1.0; 4]);
    let derivative = |a: &Matrix, function: &Given<'_, T, B>, e: &Matrix| {
        let (pairs, _) = run::eigh::<T, B>(backend, 2, slice::from_ref(a), &Options::default().with_cut(Cut::none()));
        let got = pairs.spectral_derivative(&function(&pairs), &run::hermitian::<T, B>(backend, 2, slice::from_ref(e))).unwrap();
        let got = got.to_host().unwrap();
        (matrix(got.data(), 0), got.status()[0])
    };
    let close = |got: (Matrix, Status), at: [usize; 2], expected: f64, what: &str| {
        let x = got.0[at].re;
        let error = (x - expected).abs() / expected.abs();
        assert!(error <= THRESHOLD * 8.0 * epsilon::<T>(), "{what}: {x:e} against {expected:e}, {}", got.1);
    };
    let named = |function: Function| move |_: &eigengrad::Eigenpairs<T, B>| function.into();
    let near = diagonal(&[huge * 0.8, huge * 0.9]);
    close(derivative(&near, &named(Function::Pow(1.0)), &ones), [0, 1], 1.0, "λ¹");
    let narrowed = |x: f64| wide(crate::numbers::narrow::<T::Real>(C::new(x, 0.0))).re;
    let (x, y) = (narrowed(huge * 0.8), narrowed(huge * 0.9));
    let xlogx = y.ln() + x / (y - x) * (y / x).ln();
    close(derivative(&near, &named(Function::XLogX), &ones), [0, 1], xlogx, "λ log λ");
    let opposite = diagonal(&[-huge, huge]);
    let given = |pairs: &eigengrad::Eigenpairs<T, B>| {
        let by = eigengrad::Real::of(1e-30);
        Spectral::of(pairs, |x: T::Real| x * by, |_| by).unwrap()
    };
    close(derivative(&opposite, &given, &ones), [0, 1], 1e-30, "f = 1e-30 λ");
    let small = if T::PRECISION == Precision::F32 { 1e-26 } else { 1e-220 };
    let tiny = diagonal(&[small, 2.0 * small]);
    let (a, b) = (narrowed(small), narrowed(2.0 * small));
    let e = if T::PRECISION == Precision::F32 { 1e-20 } else { 1e-100 };
    let rsqrt = -(narrowed(e) / (a.sqrt() * b.sqrt())) / (a.sqrt() + b.sqrt());
    close(derivative(&tiny, &named(Function::Rsqrt), &ones.mapv(|x| x * e)), [0, 1], rsqrt, "1/√λ");
}

/// f[a, b] of even powers where a ≈ −b, to a few ε.
pub fn even_powers_of_opposite_signs<T: Scalar, B: Engine<T>>(backend: &B) {
    for (n, p) in [(2, 2.0), (2, 4.0), (67, 2.0), (2, -2.0)] {
        if n > 2 && !run::on_the_cpu::<B>() {
            continue; // λ of a library's solver has round-off, of a diagonal matrix too
        }
        for apart in [0.0, 1.0, 64.0] {
            let b = -1.0 - apart * epsilon::<T>();
            let mut lambda = vec![3.0; n];
            (lambda[0], lambda[1]) = (b, 1.0);
            let (pairs, _) = run::eigh::<T, B>(backend, n, &[diagonal(&lambda)], &Options::default().with_cut(Cut::none()));
            let mut e = Array2::zeros((n, n));
            (e[[0, 1]], e[[1, 0]]) = (C::ONE, C::ONE);
            let e = run::hermitian::<T, B>(backend, n, &[e]);
            let got = pairs.spectral_derivative(&Function::Pow(p).into(), &e).unwrap().to_host().unwrap();
            let got = matrix(got.data(), 0)[[0, 1]].re;
            // (1 − |b|^p)/(1 + |b|), of which |b| is 1 + δ.
            let delta = apart * epsilon::<T>();
            let expected = -(p * delta.ln_1p()).exp_m1() / (2.0 + delta);
            assert!(
                (got - expected).abs() <= THRESHOLD * epsilon::<T>() * expected.abs(),
                "p = {p}, {apart}: {got:e} against {expected:e}"
            );
        }
    }
}

/// λ^1000, and slopes of λ^p for p next to 0, to a few ε.
pub fn steep_and_flat_powers<T: Scalar, B: Engine<T>>(backend: &B) {
    let small = if T::PRECISION == Precision::F32 { 1e-30 } else { 1e-290 };
    let x = wide(crate::numbers::narrow::<T::Real>(C::new(1.0 + 1.0 / 64.0, 0.0))).re;
    let y = wide(crate::numbers::narrow::<T::Real>(C::new(small, 0.0))).re;
    let (pairs, host) = run::eigh::<T, B>(backend, 1, &[of(&[x]), of(&[y])], &Options::default().with_cut(Cut::none()));
    assert_eq!((wide(host.values()[[0, 0]]).re, wide(host.values()[[1, 0]]).re), (x, y));
    let steep = pairs.spectral(&Function::Pow(1000.0).into()).unwrap().to_host().unwrap();
    let expected = (1000.0 * x.ln()).exp();
    let got = matrix(steep.data(), 0)[[0, 0]].re;
    assert!((got / expected - 1.0).abs() <= THRESHOLD * epsilon::<T>() + 1e-13, "{got:e} against {expected:e}");
    let p = 1e-3;
    let flat = pairs.trace_of(&Function::Pow(p).into()).unwrap().gradient.to_host().unwrap();
    let (got, expected) = (matrix(flat.data(), 1)[[0, 0]].re, p * (p * y.ln()).exp() / y);
    assert!((got / expected - 1.0).abs() <= THRESHOLD * epsilon::<T>(), "{got:e} against {expected:e}");
}

/// diag(1e-25 … 1) keeps every eigenvalue at every order, and blocks of such different sizes do
/// beyond the lanes, whose deflation takes ε‖A‖ for nothing.
pub fn graded_matrices_keep_their_small_eigenvalues<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(102);
    let options = Options::default().with_cut(Cut::none());
    for n in [9, 67, 140] {
        let lambda: Vec<f64> = (0..n).map(|k| 10f64.powf(-25.0 * (n - 1 - k) as f64 / (n - 1) as f64)).collect();
        let lambda: Vec<f64> = lambda.into_iter().map(|x| wide(crate::numbers::narrow::<T::Real>(x.into())).re).collect();
        let (_, host) = run::eigh::<T, B>(backend, n, &[diagonal(&lambda)], &options);
        for (k, &x) in lambda.iter().enumerate() {
            let got = wide(host.values()[[0, k]]).re;
            assert!((got / x - 1.0).abs() <= 4.0 * epsilon::<T>(), "n = {n}, {k}: {got:e} for {x:e}");
        }
    }
    let (n, half) = (140, 70);
    let block = |size: f64, rng: &mut Rng| rounded::<T>(&rng.of_rank::<T>(half, half, false).mapv(|x| x * size));
    let (one, other) = (block(1.0, &mut rng), block(2f64.powi(-83), &mut rng));
    let mut blocks = Array2::zeros((n, n));
    blocks.slice_mut(ndarray::s![..half, ..half]).assign(&other);
    blocks.slice_mut(ndarray::s![half.., half..]).assign(&one);
    let (_, host) = run::eigh::<T, B>(backend, n, &[blocks], &options);
    let (_, small) = run::eigh::<T, B>(backend, half, &[other], &options);
    for k in 0..half {
        let (got, expected) = (wide(host.values()[[0, k]]).re, wide(small.values()[[0, k]]).re);
        let unit = n as f64 * epsilon::<T>() * 2f64.powi(-82);
        assert!((got - expected).abs() <= THRESHOLD * unit, "{k}: {got:e} for {expected:e}");
    }
}

/// Of D B D with the large entries first, over twelve decades, Rayleigh quotients keep the digits
/// of small eigenvalues that QL's own λ loses: those have errors of 2.4e-8 at n = 8 and 1.2e-7 at n
/// = 16.
pub fn graded_spectra<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(104);
    for (n, bound) in [(8, 1e-11), (16, 5e-9)] {
        let matrices: Vec<Matrix> = (0..20)
            .map(|_| {
                let d = |i: usize| 10f64.powf(-6.0 * i as f64 / (n - 1) as f64);
                let b = Array2::from_shape_fn((n, n), |_| rng.uniform(-0.5, 0.5) / n as f64);
                Array2::from_shape_fn((n, n), |(i, j)| C::from((b[[i, j]] + b[[j, i]] + f64::from(i == j)) * d(i) * d(j)))
            })
            .collect();
        let options = Options::default().with_cut(Cut::none());
        let (_, host) = run::eigh::<T, B>(backend, n, &matrices, &options);
        for (b, a) in matrices.iter().enumerate() {
            for (k, expected) in by_jacobi(a).into_iter().enumerate() {
                let got = wide(host.values()[[b, k]]).re;
                assert!((got / expected - 1.0).abs() <= bound, "n = {n}, {k}: {got:e} for {expected:e}");
            }
        }
    }
}

/// Eigenvalues, ascending, of a real positive definite matrix by two-sided Jacobi rotations, each
/// to a few ε of itself (Demmel and Veselić, 1992).
fn by_jacobi(a: &Matrix) -> Vec<f64> {
    let (n, mut a) = (a.nrows(), a.mapv(|x| x.re));
    loop {
        let mut turned = false;
        for (p, q) in (0..n).flat_map(|q| (0..q).map(move |p| (p, q))) {
            if a[[p, q]].abs() <= 1e-17 * (a[[p, p]] * a[[q, q]]).sqrt() {
                continue;
            }
            turned = true;
            let zeta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
            let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
            let c = 1.0 / t.hypot(1.0);
            let (s, apq) = (c * t, a[[p, q]]);
            (a[[p, p]], a[[q, q]]) = (a[[p, p]] - t * apq, a[[q, q]] + t * apq);
            (a[[p, q]], a[[q, p]]) = (0.0, 0.0);
            for k in (0..n).filter(|&k| k != p && k != q) {
                let (x, y) = (a[[k, p]], a[[k, q]]);
                (a[[k, p]], a[[k, q]]) = (c * x - s * y, s * x + c * y);
                (a[[p, k]], a[[q, k]]) = (a[[k, p]], a[[k, q]]);
            }
        }
        if !turned {
            let mut lambda = a.diag().to_vec();
            lambda.sort_by(f64::total_cmp);
            return lambda;
        }
    }
}

/// Errors of λ, residuals and VᴴV − I in units of ε, whatever n: LAPACK's are 3 to 5 and 10 to 12.
pub fn errors_in_units_of_epsilon<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(103);
    let bounds = [10.0, 25.0, 25.0];
    for n in [16, 67, 128, 129, 256, 512] {
        // A known spectrum in a random basis; rounding to the type moves λ by about ε‖A‖√n/4 at
        // most, hence symmetric integers instead.
        let a = Array2::from_shape_fn((n, n), |_| C::new(rng.uniform(-8.0, 9.0).floor(), 0.0));
        let a = &a + &adjoint(&a);
        let options = Options::default().with_cut(Cut::none());
        let (_, host) = run::eigh::<T, B>(backend, n, slice::from_ref(&a), &options);
        let (_, exact) = run::eigh::<f64, eigengrad::Cpu>(&eigengrad::Cpu::default(), n, slice::from_ref(&a), &options);
        let (d, reference) = (Decomposition::of(&host, 0), Decomposition::of(&exact, 0));
        let unit = epsilon::<T>() * reference.norm();
        let of_values = d.lambda.iter().zip(&reference.lambda).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max) / unit;
        let scaled = Array2::from_shape_fn((n, n), |(i, k)| d.v[[i, k]] * d.lambda[k]);
        let residual = largest(&(times(&a, &d.v) - scaled)) / unit;
        let orthogonality = largest(&(times(&adjoint(&d.v), &d.v) - Array2::<C>::eye(n))) / epsilon::<T>();
        let got = [of_values, residual, orthogonality];
        assert!(got.iter().zip(bounds).all(|(got, bound)| *got <= bound), "n = {n}: {got:?} in units of ε, bounds {bounds:?}");
    }
}
