//! Ā against the naive formula, the JVP and itself.

use crate::numbers::{C, Matrix, adjoint, diagonal, epsilon, largest, matrix, rounded, wide};
use crate::oracle::{self, Decomposition};
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{Cut, Dropped, Engine, Gradient, GradientForm, Options, Scalar, Triangle};
use ndarray::Array2;

/// Lanes and products, below and above the order where one gives way to the other.
pub const ORDERS: [usize; 11] = [1, 2, 3, 5, 8, 16, 31, 48, 49, 64, 65];

/// Null matrices and low ranks, PSD and indefinite, zero-padded, bit-tied and full-rank ones.
pub fn mixed<T: Scalar>(n: usize, count: usize, rng: &mut Rng) -> Vec<Matrix> {
    (0..count)
        .map(|b| match b % 8 {
            0 => rng.of_rank::<T>(n, n.div_ceil(2), false),
            1 => rng.hermitian::<T>(n),
            2 => rng.of_rank::<T>(n, n.div_ceil(4), true),
            3 => padded(n, &rng.of_rank::<T>(n.div_ceil(3), n.div_ceil(3), false)),
            4 => rng.of_rank::<T>(n, n - 1, true),
            5 => Array2::zeros((n, n)),
            6 => Array2::from_elem((n, n), C::new(1.0, 0.0)),
            _ => rng.of_rank::<T>(n, n, false),
        })
        .collect()
}

/// The block in the upper left corner of zeros.
fn padded(n: usize, block: &Matrix) -> Matrix {
    let mut a = Array2::zeros((n, n));
    a.slice_mut(ndarray::s![..block.nrows(), ..block.nrows()]).assign(block);
    a
}

/// Cotangents λ̄ and V̄ for a batch, V̄ as the library will see it.
pub fn random_cotangents<T: Scalar>(n: usize, count: usize, rng: &mut Rng) -> (Vec<Vec<f64>>, Vec<Matrix>) {
    let lambda_bar = (0..count).map(|_| (0..n).map(|_| f64::from(rng.normal() as f32)).collect()).collect();
    (lambda_bar, (0..count).map(|_| rounded::<T>(&rng.matrix::<T>(n, n))).collect())
}

/// |Ā|'s natural size: λ̄ + ‖V̄_k‖·|F|, over K.
pub fn scale(d: &Decomposition, f: &Array2<f64>, lambda_bar: Option<&[f64]>, v_bar: Option<&Matrix>) -> f64 {
    let of_values = lambda_bar.map_or(0.0, |x| (0..d.n()).filter(|&k| d.kept[k]).map(|k| x[k].abs()).fold(0.0, f64::max));
    let of_vectors = v_bar.map_or(0.0, |v_bar| {
        oracle::norms(d, v_bar).into_iter().fold(0.0, f64::max) * f.iter().map(|x| x.abs()).fold(0.0, f64::max)
    });
    of_values + of_vectors
}

/// Asserts that Ā is Hermitian to the last bit.
pub fn assert_hermitian<T: Scalar>(gradient: &Gradient<T, eigengrad::Cpu>) {
    for a_bar in gradient.a_bar().outer_iter() {
        for ((i, j), &x) in a_bar.indexed_iter() {
            let (x, y) = (wide(x), wide(a_bar[[j, i]]));
            assert!(x == y.conj(), "Ā[{i}, {j}] = {x}, Ā[{j}, {i}] = {y}");
        }
    }
}

/// Runs the backward on matrices and compares it with the oracle: λ̄ and V̄ together, alone, and NaN
/// in all of D.
fn check<T: Scalar, B: Engine<T>>(backend: &B, n: usize, matrices: &[Matrix], options: &Options, rng: &mut Rng) {
    let (pairs, host) = run::eigh::<T, B>(backend, n, matrices, options);
    let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), rng);
    let (mut dirty_lambda_bar, mut dirty_v_bar) = (lambda_bar.clone(), v_bar.clone());
    for ((b, k), _) in host.kept().indexed_iter().filter(|(_, kept)| !**kept) {
        dirty_lambda_bar[b][k] = f64::NAN;
        dirty_v_bar[b].column_mut(k).fill(C::new(f64::NAN, f64::INFINITY));
    }
    for (with_values, with_vectors) in [(true, true), (true, false), (false, true), (false, false)] {
        let (lambda_bar, v_bar) = (with_values.then_some(&*lambda_bar), with_vectors.then_some(&*v_bar));
        let gradient = run::backward(&pairs, lambda_bar, v_bar);
        assert_hermitian(&gradient);
        for b in 0..matrices.len() {
            let (lambda_bar, v_bar) = (lambda_bar.map(|x| &*x[b]), v_bar.map(|x| &x[b]));
            let d = Decomposition::of(&host, b);
            let d = if options.dropped == Dropped::Zero { d.with_null_dropped() } else { d };
            let f = d.f(None);
            let expected = oracle::a_bar(&d, &f, lambda_bar, v_bar);
            let got = matrix(gradient.a_bar(), b);
            let error = largest(&(&got - &expected));
            let unit = n as f64 * epsilon::<T>() * scale(&d, &f, lambda_bar, v_bar);
            let ratio = if error == 0.0 { 0.0 } else { error / unit };
            assert!(ratio <= THRESHOLD, "n = {n}, matrix {b}, λ̄ {with_values}, V̄ {with_vectors}, {:?}: {ratio}", options.dropped);
            if !d.kept.contains(&true) {
                assert!(got.iter().all(|&x| x == C::ZERO), "n = {n}, matrix {b}: an empty K has a gradient");
            }
        }
        let dirty = run::backward(&pairs, with_values.then_some(&*dirty_lambda_bar), with_vectors.then_some(&*dirty_v_bar));
        assert_eq!(dirty.a_bar(), gradient.a_bar(), "n = {n}: what is outside K was read");
        assert_eq!(dirty.gauge_defect(), gradient.gauge_defect());
        assert_eq!(dirty.tie_defect(), gradient.tie_defect());
        assert_eq!(dirty.status(), gradient.status());
    }
}

pub fn the_formula<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(5);
    for n in ORDERS {
        for count in if n < 48 { vec![1, 7, 17] } else { vec![8] } {
            let matrices = mixed::<T>(n, count, &mut rng);
            check::<T, B>(backend, n, &matrices, &Options::default(), &mut rng);
        }
    }
}

/// Kept ones cut by number and by size out of a full spectrum, so that D is not null.
pub fn a_dropped_part_that_is_not_zero<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(6);
    for n in [4, 9, 17, 67] {
        let lambda: Vec<_> = (0..n).map(|k| if k % 3 == 0 { -1.0 } else { 1.0 } * (0.3 + k as f64)).collect();
        let matrices: Vec<_> = (0..7).map(|_| rng.with_spectrum::<T>(&lambda)).collect();
        for cut in [Cut::at_most(n / 3), Cut::relative(0.4), Cut::absolute(2.0), Cut::none()] {
            check::<T, B>(backend, n, &matrices, &Options::default().with_cut(cut), &mut rng);
        }
    }
}

/// The kept-block form, where λ_D = 0 is declared: equal to the full one where it is true.
pub fn dropped_eigenvalues_declared_zero<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(7);
    let options = Options::default().with_dropped(Dropped::Zero);
    for n in ORDERS {
        let matrices: Vec<_> = (0..9).map(|b| rng.of_rank::<T>(n, b * n / 8, b % 2 == 1)).collect();
        check::<T, B>(backend, n, &matrices, &options, &mut rng);
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let (declared, _) = run::eigh::<T, B>(backend, n, &matrices, &options);
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
        let full = run::backward(&pairs, Some(&lambda_bar), Some(&v_bar));
        let kept_block = run::backward(&declared, Some(&lambda_bar), Some(&v_bar));
        for b in 0..matrices.len() {
            let d = Decomposition::of(&host, b).with_null_dropped();
            // λ_D is round-off of THRESHOLD·ε·‖A‖ at most, a change of F by that times |F|²
            let f = d.f(None);
            let steepest = f.iter().map(|x| x.abs()).fold(1.0 / d.norm().max(1.0), f64::max) * d.norm();
            let scale = scale(&d, &f, Some(&lambda_bar[b]), Some(&v_bar[b])) * steepest.max(1.0);
            let error = largest(&(matrix(full.a_bar(), b) - matrix(kept_block.a_bar(), b)));
            assert!(error <= THRESHOLD * n as f64 * epsilon::<T>() * scale, "n = {n}, matrix {b}: {error}");
        }
    }
}

/// Where all is kept there is nothing to declare zero, and no division by an eigenvalue that may be
/// 0.
pub fn nothing_to_declare_zero<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(9);
    for n in [8, 67] {
        let lambda: Vec<_> = (0..n).map(|k| k as f64).collect();
        let matrices = [rng.with_spectrum::<T>(&lambda)];
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, 1, &mut rng);
        let a_bar = |dropped| {
            let options = Options::default().with_cut(Cut::none()).with_dropped(dropped);
            let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &options);
            run::backward(&pairs, Some(&lambda_bar), Some(&v_bar)).a_bar().to_owned()
        };
        assert_eq!(a_bar(Dropped::Zero), a_bar(Dropped::AsComputed), "n = {n}");
    }
}

/// Declared zero and not so: 1/λ_j in the place of 1/(λ_j − λ_i), wrong by up to max|λ_D| /
/// min|λ_K| and no more.
pub fn a_wrong_declaration_is_wrong_as_documented<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(8);
    for n in [8, 67] {
        let (r, size_dropped) = (n / 4, 0.2);
        let lambda: Vec<_> = (0..n).map(|k| if k < r { 1.0 + k as f64 } else { size_dropped }).collect();
        let matrices = [rng.with_spectrum::<T>(&lambda)];
        let cut = Cut::at_most(r);
        let (_, v_bar) = random_cotangents::<T>(n, 1, &mut rng);
        let a_bar = |dropped| {
            let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_cut(cut).with_dropped(dropped));
            matrix(run::backward(&pairs, None, Some(&v_bar)).a_bar(), 0)
        };
        let (right, wrong) = (a_bar(Dropped::AsComputed), a_bar(Dropped::Zero));
        let frobenius = |a: &Matrix| oracle::inner(a, a).sqrt();
        let error = frobenius(&(&wrong - &right)) / frobenius(&right);
        assert!(error > 0.1 * size_dropped && error <= size_dropped, "n = {n}: {error}");
        check::<T, B>(backend, n, &matrices, &Options::default().with_cut(cut).with_dropped(Dropped::Zero), &mut rng);
    }
}

/// ⟨Ā, Ȧ⟩ = ⟨λ̄, λ̇⟩ + Re⟨V̄, V̇⟩.
pub fn adjoint_to_the_jvp<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(9);
    for n in ORDERS {
        let matrices = mixed::<T>(n, 9, &mut rng);
        for cut in [Cut::default(), Cut::at_most(n.div_ceil(3))] {
            let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_cut(cut));
            let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
            let gradient = run::backward(&pairs, Some(&lambda_bar), Some(&v_bar));
            for b in 0..matrices.len() {
                let d = Decomposition::of(&host, b);
                let a_dot = rng.hermitian::<T>(n);
                let (lambda_dot, v_dot) = oracle::jvp(&d, &a_dot);
                let kept = |k: &usize| d.kept[*k];
                let of_values: f64 = (0..n).filter(kept).map(|k| lambda_bar[b][k] * lambda_dot[k]).sum();
                let expected = of_values + oracle::inner(&v_bar[b], &v_dot);
                let got = oracle::inner(&matrix(gradient.a_bar(), b), &a_dot);
                let scale = scale(&d, &d.f(None), Some(&lambda_bar[b]), Some(&v_bar[b])) * crate::numbers::norm(&a_dot);
                let ratio = if got == expected { 0.0 } else { (got - expected).abs() / (n as f64 * epsilon::<T>() * scale) };
                assert!(ratio <= THRESHOLD, "n = {n}, matrix {b}: {got} against {expected}, ratio {ratio}");
            }
        }
    }
}

/// Bit-equal null eigenvalues, where others divide by zero: finite, and what the formula says.
pub fn bit_tied_nulls<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(10);
    for n in [2, 7, 16, 52] {
        let mut null_rows = rng.of_rank::<T>(n, n / 2, true);
        for i in 0..n / 2 {
            null_rows.row_mut(2 * i).fill(C::ZERO);
            null_rows.column_mut(2 * i).fill(C::ZERO);
        }
        let every_other: Vec<_> = (0..n).map(|k| if k % 2 == 0 { 0.0 } else { 1.0 + k as f64 }).collect();
        let matrices = [
            Array2::zeros((n, n)),
            padded(n, &rng.hermitian::<T>(n.div_ceil(2))),
            null_rows,
            diagonal(&every_other),
            Array2::from_elem((n, n), C::new(1.0, 0.0)),
        ];
        check::<T, B>(backend, n, &matrices, &Options::default(), &mut rng);
        let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
        let gradient = run::backward(&pairs, Some(&lambda_bar), Some(&v_bar));
        assert!(gradient.a_bar().iter().all(|&x| x.finite()));
        assert!(matrix(gradient.a_bar(), 0).iter().all(|&x| x == C::ZERO));
    }
}

/// By one triangle: twice the Hermitian Ā off the diagonal, nothing in the other triangle.
pub fn the_form_of_one_triangle<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(35);
    for n in [1, 5, 33, 67] {
        let matrices = mixed::<T>(n, 9, &mut rng);
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
        let of = |gradient| {
            let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_gradient(gradient));
            run::backward(&pairs, Some(&lambda_bar), Some(&v_bar))
        };
        let hermitian = of(GradientForm::Hermitian);
        for triangle in [Triangle::Lower, Triangle::Upper] {
            for ((b, i, j), &x) in of(GradientForm::Triangle(triangle)).a_bar().indexed_iter() {
                let read = if triangle == Triangle::Lower { i >= j } else { i <= j };
                let times = if !read {
                    0.0
                } else if i == j {
                    1.0
                } else {
                    2.0
                };
                assert_eq!(wide(x), wide(hermitian.a_bar()[[b, i, j]]) * times, "n = {n}, {triangle:?}");
            }
        }
    }
}

/// A ↦ sA gives V Λ ↦ V sΛ and, of cotangents λ̄/s and V̄, Ā ↦ Ā/s; bit for bit under powers of two.
pub fn homogeneous_in_a<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(11);
    for n in [6, 20, 67] {
        let matrices = mixed::<T>(n, 8, &mut rng);
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
        let of = |s: f64| {
            let matrices: Vec<_> = matrices.iter().map(|a| rounded::<T>(a).mapv(|x| x * s)).collect();
            let lambda_bar: Vec<Vec<_>> = lambda_bar.iter().map(|x| x.iter().map(|x| x / s).collect()).collect();
            let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
            (run::backward(&pairs, Some(&lambda_bar), Some(&v_bar)), host, lambda_bar)
        };
        let (gradient, host, _) = of(1.0);
        for exponent in [-40, -7, 1, 27] {
            let s = 2f64.powi(exponent);
            let (other, other_host, _) = of(s);
            assert_eq!(other_host.vectors(), host.vectors());
            assert_eq!(other_host.kept(), host.kept());
            for (&x, &y) in other_host.values().iter().zip(host.values()) {
                assert_eq!(wide(x), wide(y) * s);
            }
            for (&x, &y) in other.a_bar().iter().zip(gradient.a_bar()) {
                assert_eq!(wide(x), wide(y) / s, "n = {n}, s = {s}");
            }
            assert_eq!(other.gauge_defect(), gradient.gauge_defect());
        }
        for s in [1e-12, 1e-6, 1e-3, 1e3, 1e8] {
            let (other, other_host, lambda_bar) = of(s);
            for b in 0..matrices.len() {
                let d = Decomposition::of(&other_host, b);
                let f = d.f(None);
                let error = largest(&(matrix(other.a_bar(), b) - oracle::a_bar(&d, &f, Some(&lambda_bar[b]), Some(&v_bar[b]))));
                let scale = scale(&d, &f, Some(&lambda_bar[b]), Some(&v_bar[b]));
                assert!(error <= THRESHOLD * n as f64 * epsilon::<T>() * scale, "n = {n}, s = {s}, matrix {b}: {error}");
            }
        }
    }
}

/// The answer in `T` against that in twice the precision, for a loss that any choice of phases sees
/// alike: Σ W |V|⁴ + Σ c λ.
///
/// V is known to ε‖A‖/gap, Ā through it and through F to ε (‖A‖/gap)·(‖V̄‖/gap).
pub fn close_to_the_answer_in_f64<T: Scalar, B: Engine<T> + Engine<f64> + Engine<num_complex::Complex<f64>>>(backend: &B) {
    let mut rng = Rng::new(12);
    for n in [3, 12, 67] {
        let lambda: Vec<_> = (0..n).map(|k| if k < n / 3 { 0.0 } else { 2.0 + k as f64 / n as f64 * 4.0 }).collect();
        let a = rounded::<T>(&rng.with_spectrum::<T>(&lambda));
        let (weights, bar) = (rng.matrix::<f64>(n, n), vec![rng.vector(n)]);
        let cut = Cut::at_most(n - n / 3);
        let options = Options::default().with_cut(cut);
        let quartic = |v: &Matrix| Array2::from_shape_fn((n, n), |ik| weights[ik] * 4.0 * v[ik].norm_sqr() * v[ik]);
        let (pairs, host) = run::eigh::<T, B>(backend, n, std::slice::from_ref(&a), &options);
        let got = matrix(run::backward(&pairs, Some(&bar), Some(&[quartic(&matrix(host.vectors(), 0))])).a_bar(), 0);
        let (wide_pairs, wide_host) = run::eigh::<num_complex::Complex<f64>, B>(backend, n, &[a], &options);
        let v_bar = quartic(&matrix(wide_host.vectors(), 0));
        let gradient = run::backward(&wide_pairs, Some(&bar), Some(std::slice::from_ref(&v_bar)));
        let expected = matrix(gradient.a_bar(), 0);
        let d = Decomposition::of(&wide_host, 0);
        let f = d.f(None);
        let steepest = f.iter().map(|x| x.abs()).fold(0.0, f64::max) * d.norm();
        let unit = n as f64 * epsilon::<T>() * scale(&d, &f, Some(&bar[0]), Some(&v_bar)) * steepest;
        let ratio = largest(&(&got - &expected)) / unit;
        assert!(ratio <= THRESHOLD, "n = {n}: {ratio}");
        assert!(largest(&(&expected - &adjoint(&expected))) == 0.0);
    }
}
