//! A matrix's result is its own: the same bits wherever it stands, whoever stands beside it,
//! however many threads there are.

use crate::backward::{mixed, random_cotangents};
use crate::numbers::{C, Matrix, matrix, same_bits, stack, wide};
use crate::random::Rng;
use crate::run;
use eigengrad::{Cpu, Eigenpairs, Engine, Error, Gradient, HermitianBatch, Options, Scalar, Status, Triangle, eigh, eigvalsh};

type Results<T> = (Eigenpairs<T, Cpu>, Gradient<T, Cpu>);

fn results<T: Scalar, B: Engine<T>>(
    backend: &B,
    n: usize,
    a: &[Matrix],
    lambda_bar: &[Vec<f64>],
    v_bar: &[Matrix],
) -> Results<T> {
    let (pairs, host) = run::eigh::<T, B>(backend, n, a, &Options::default());
    let gradient = run::backward(&pairs, Some(lambda_bar), Some(v_bar));
    (host, gradient)
}

/// Asserts that matrix `b` of one run and matrix `c` of another have the same bits.
fn assert_same<T: Scalar>(one: &Results<T>, b: usize, other: &Results<T>, c: usize) {
    let ((pairs, gradient), (other_pairs, other_gradient)) = (one, other);
    let row = |x: ndarray::ArrayView2<'_, T::Real>, b| x.row(b).to_vec();
    let square = |x: ndarray::ArrayView3<'_, T>, b| x.index_axis(ndarray::Axis(0), b).iter().copied().collect::<Vec<_>>();
    assert!(same_bits(row(pairs.values(), b), row(other_pairs.values(), c)), "λ of {b} and {c}");
    assert!(same_bits(square(pairs.vectors(), b), square(other_pairs.vectors(), c)), "V of {b} and {c}");
    assert!(same_bits(square(gradient.a_bar(), b), square(other_gradient.a_bar(), c)), "Ā of {b} and {c}");
    assert!(same_bits(row(gradient.gauge_defect(), b), row(other_gradient.gauge_defect(), c)), "ρ of {b} and {c}");
    assert_eq!(pairs.kept().row(b), other_pairs.kept().row(c));
    assert_eq!(gradient.tie_defect()[b], other_gradient.tie_defect()[c]);
    assert_eq!(gradient.status()[b], other_gradient.status()[c]);
}

fn problem<T: Scalar>(n: usize, count: usize, seed: u64) -> (Vec<Matrix>, Vec<Vec<f64>>, Vec<Matrix>) {
    let mut rng = Rng::new(seed);
    let matrices = mixed::<T>(n, count, &mut rng);
    let (lambda_bar, v_bar) = random_cotangents::<T>(n, count, &mut rng);
    (matrices, lambda_bar, v_bar)
}

/// Orders, and one that the CPU takes to faer, which is too many for an emulated GPU.
fn orders<B: 'static>(orders: &[usize]) -> Vec<usize> {
    orders.iter().copied().chain(run::on_the_cpu::<B>().then_some(130)).collect()
}

pub fn the_same_bits_again_elsewhere_and_alone<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in orders::<B>(&[1, 3, 16, 33, 67]) {
        let count = 17;
        let (matrices, lambda_bar, v_bar) = problem::<T>(n, count, 26);
        let all = results::<T, B>(backend, n, &matrices, &lambda_bar, &v_bar);
        let again = results::<T, B>(backend, n, &matrices, &lambda_bar, &v_bar);
        let reversed = |x: &[Matrix]| x.iter().rev().cloned().collect::<Vec<_>>();
        let reversed_bar: Vec<_> = lambda_bar.iter().rev().cloned().collect();
        let reversed = results::<T, B>(backend, n, &reversed(&matrices), &reversed_bar, &reversed(&v_bar));
        let some = results::<T, B>(backend, n, &matrices[3..10], &lambda_bar[3..10], &v_bar[3..10]);
        for b in 0..count {
            assert_same(&all, b, &again, b);
            assert_same(&all, b, &reversed, count - 1 - b);
            if !run::has_bits_of_its_own::<B>(n) {
                continue;
            }
            if (3..10).contains(&b) {
                assert_same(&all, b, &some, b - 3);
            }
            let alone = results::<T, B>(backend, n, &matrices[b..=b], &lambda_bar[b..=b], &v_bar[b..=b]);
            assert_same(&all, b, &alone, 0);
        }
    }
}

/// NaN and infinities, in one triangle or the other, on the diagonal or as an imaginary part.
pub fn matrices_that_are_not_finite<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in orders::<B>(&[2, 5, 16, 67]) {
        let (mut matrices, lambda_bar, v_bar) = problem::<T>(n, 17, 27);
        matrices.iter_mut().for_each(|a| *a = crate::numbers::rounded::<T>(a));
        let clean = results::<T, B>(backend, n, &matrices, &lambda_bar, &v_bar);
        let nan = C::new(f64::NAN, 0.0);
        matrices[1][[n - 1, 0]] = nan;
        matrices[4][[0, n - 1]] = nan; // the triangle that is not read
        matrices[7][[n - 1, n - 1]] = C::new(f64::INFINITY, 0.0);
        matrices[12][[0, 1]] = if T::COMPLEX { C::new(0.0, f64::NEG_INFINITY) } else { C::new(f64::NEG_INFINITY, 0.0) };
        let bad = [1, 4, 7, 12];
        let dirty = results::<T, B>(backend, n, &matrices, &lambda_bar, &v_bar);
        let (pairs, gradient) = &dirty;
        for b in 0..17 {
            if !bad.contains(&b) {
                assert_same(&clean, b, &dirty, b);
                continue;
            }
            assert!(pairs.values().row(b).iter().all(|&x| wide(x).re.is_nan()));
            let has_nan = |x: C| x.re.is_nan() && (!T::COMPLEX || x.im.is_nan());
            assert!(matrix(pairs.vectors(), b).iter().all(|&x| has_nan(x)));
            assert!(matrix(gradient.a_bar(), b).iter().all(|&x| has_nan(x)));
            assert!(pairs.kept().row(b).iter().all(|kept| !kept));
            assert_eq!((pairs.rank()[b], pairs.status()[b], gradient.status()[b]), (0, Status::NOT_FINITE, Status::NOT_FINITE));
            assert!(pairs.status()[b].failed());
            assert_eq!(wide(pairs.spectrum.gap_kept()[b]).re, f64::INFINITY);
            assert_eq!(wide(pairs.spectrum.gap_dropped()[b]).re, f64::INFINITY);
            assert!(gradient.gauge_defect().row(b).iter().all(|&rho| wide(rho).re == 0.0));
            assert_eq!(wide(gradient.tie_defect()[b]).re, 0.0);
        }
        match pairs.check() {
            Err(Error::Matrices(found)) => assert_eq!(found, bad.map(|b| (b, Status::NOT_FINITE))),
            other => panic!("{other:?}"),
        }
        assert!(gradient.check().is_err());
        let values_bar_only = run::backward(&run::eigh::<T, B>(backend, n, &matrices, &Options::default()).0, None, None);
        assert!(matrix(values_bar_only.a_bar(), 1).iter().all(|x| x.re.is_nan()));
        let spectrum =
            eigvalsh(&HermitianBatch::<T, B>::on(backend, stack::<T>(n, &matrices).view()).unwrap(), &Options::default());
        let spectrum = spectrum.unwrap().to_host().unwrap();
        assert_eq!(spectrum.status(), pairs.status());
        assert!(spectrum.values().row(4).iter().all(|&x| wide(x).re.is_nan()));
    }
}

/// Of one triangle, only what is in it can be wrong: not the other, nor the imaginary part of the
/// diagonal.
pub fn what_is_not_read_cannot_be_wrong<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [3, 16, 67] {
        let (matrices, ..) = problem::<T>(n, 9, 28);
        let clean = run::eigh::<T, B>(backend, n, &matrices, &Options::default()).1;
        for triangle in [Triangle::Lower, Triangle::Upper] {
            let mut a = stack::<T>(n, &matrices);
            for ((_, i, j), x) in a.indexed_iter_mut() {
                let read = if triangle == Triangle::Lower { i > j } else { i < j };
                if i == j {
                    *x = T::from_parts(x.re(), eigengrad::Real::of(f64::NAN));
                } else if !read {
                    *x = crate::numbers::narrow(C::new(f64::NAN, f64::INFINITY));
                }
            }
            let batch = HermitianBatch::<T, B>::from_triangle_on(backend, a.view(), triangle).unwrap();
            let pairs = eigh(&batch, &Options::default()).unwrap().to_host().unwrap();
            pairs.check().unwrap();
            assert_eq!(pairs.values(), clean.values(), "n = {n}, {triangle:?}");
            assert_eq!(pairs.vectors(), clean.vectors(), "n = {n}, {triangle:?}");

            let (i, j) = if triangle == Triangle::Lower { (n - 1, 0) } else { (0, n - 1) };
            a[[2, i, j]] = crate::numbers::narrow(if T::COMPLEX { C::new(0.0, f64::INFINITY) } else { f64::INFINITY.into() });
            let batch = HermitianBatch::<T, B>::from_triangle_on(backend, a.view(), triangle).unwrap();
            let pairs = eigh(&batch, &Options::default()).unwrap().to_host().unwrap();
            assert_eq!(pairs.status()[2], Status::NOT_FINITE, "n = {n}, {triangle:?}");
        }
    }
}

/// One thread or several, of a pool of its own or of another: the same bits.
pub fn any_number_of_threads<T: Scalar, B: Engine<T>>(backend: &B) {
    // From n = 256 on, threads share each matrix, too.
    for (n, count) in [(3, 61), (16, 61), (67, 61), (130, 61), (400, 3)] {
        let (matrices, lambda_bar, v_bar) = problem::<T>(n, count, 29);
        let expected = results::<T, B>(backend, n, &matrices, &lambda_bar, &v_bar);
        for threads in [1, 2, 5] {
            let cpu = Cpu::with_threads(threads).unwrap();
            assert_eq!(cpu.threads(), threads);
            let got = || results::<T, Cpu>(&cpu, n, &matrices, &lambda_bar, &v_bar);
            let got = std::thread::scope(|scope| [scope.spawn(got), scope.spawn(got)].map(|caller| caller.join().unwrap()));
            got.iter().for_each(|got| (0..count).for_each(|b| assert_same(&expected, b, got, b)));
        }
        let alone = results::<T, B>(backend, n, &matrices[1..2], &lambda_bar[1..2], &v_bar[1..2]);
        assert_same(&expected, 1, &alone, 0);
    }
}
