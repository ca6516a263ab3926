//! λ̇ and V̇ against the naive formula and the backward, along several directions at once.

use crate::backward::{ORDERS, mixed, random_cotangents};
use crate::calculus_oracle as oracle;
use crate::numbers::{C, Matrix, adjoint, epsilon, largest, matrix, norm, rounded, wide};
use crate::oracle::{Decomposition, inner, times};
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{Cut, Dropped, Eigenpairs, Engine, Error, Options, Plan, Scalar, Status, Tangents, TieRule, Triangle};
use ndarray::Array2;

/// Random Hermitian matrices, as the library will see them.
pub fn directions<T: Scalar>(n: usize, count: usize, rng: &mut Rng) -> Vec<Matrix> {
    (0..count).map(|_| rounded::<T>(&rng.hermitian::<T>(n))).collect()
}

/// λ̇ and V̇ on the host.
pub fn jvp<T: Scalar, B: Engine<T>>(pairs: &Eigenpairs<T, B>, backend: &B, a_dot: &[Matrix]) -> Tangents<T> {
    pairs.jvp(&run::hermitian::<T, B>(backend, pairs.n(), a_dot)).unwrap().to_host().unwrap()
}

/// What differs between matrices as the oracle is to see them: λ_D = 0 where it was declared.
pub fn decomposition<T: Scalar>(host: &Eigenpairs<T>, options: &Options, b: usize) -> Decomposition {
    let d = Decomposition::of(host, b);
    if options.dropped == Dropped::Zero { d.with_null_dropped() } else { d }
}

/// The largest |F|, or of any weights.
pub fn steepest(f: &Array2<f64>) -> f64 {
    f.iter().map(|x| x.abs()).fold(0.0, f64::max)
}

/// Asserts that an error is within the threshold of its unit, or none.
pub fn assert_ratio(error: f64, unit: f64, what: impl std::fmt::Display) {
    let ratio = if error == 0.0 { 0.0 } else { error / unit };
    assert!(ratio <= THRESHOLD, "{what}: {ratio}");
}

fn check<T: Scalar, B: Engine<T>>(backend: &B, n: usize, matrices: &[Matrix], options: &Options, rng: &mut Rng) {
    let (pairs, host) = run::eigh::<T, B>(backend, n, matrices, options);
    for count in [1, 3] {
        let a_dot = directions::<T>(n, count * matrices.len(), rng);
        let tangents = jvp(&pairs, backend, &a_dot);
        for (number, a_dot) in a_dot.iter().enumerate() {
            let d = decomposition(&host, options, number % matrices.len());
            let (values, vectors) = oracle::jvp(&d, &d.f(None), a_dot);
            let unit = n as f64 * epsilon::<T>() * norm(a_dot);
            let what = format!("n = {n}, {number} of {count} directions");
            for (k, value) in values.iter().enumerate() {
                let got = wide(tangents.values()[[number, k]]).re;
                assert_ratio((got - value).abs(), unit, &what);
                let column = matrix(tangents.vectors(), number);
                assert!(d.kept[k] || got == 0.0 && column.column(k).iter().all(|&x| x == C::ZERO), "{what}: not 0 outside K");
            }
            let error = largest(&(matrix(tangents.vectors(), number) - vectors));
            assert_ratio(error, unit * steepest(&d.f(None)), &what);
        }
    }
}

pub fn tangents_by_the_formula<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(61);
    for n in ORDERS {
        for count in if n < 48 { vec![1, 7, 17] } else { vec![8] } {
            let matrices = mixed::<T>(n, count, &mut rng);
            check::<T, B>(backend, n, &matrices, &Options::default(), &mut rng);
        }
    }
}

/// Kept ones cut out of a full spectrum, and dropped ones that are declared zero.
pub fn tangents_beside_what_is_dropped<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(62);
    for n in [4, 9, 17, 67] {
        let lambda: Vec<_> = (0..n).map(|k| if k % 3 == 0 { -1.0 } else { 1.0 } * (0.3 + k as f64)).collect();
        let matrices: Vec<_> = (0..7).map(|_| rng.with_spectrum::<T>(&lambda)).collect();
        for cut in [Cut::at_most(n / 3), Cut::relative(0.4), Cut::none()] {
            check::<T, B>(backend, n, &matrices, &Options::default().with_cut(cut), &mut rng);
        }
        let matrices: Vec<_> = (0..9).map(|b| rng.of_rank::<T>(n, b * n / 8, b % 2 == 1)).collect();
        let declared = Options::default().with_dropped(Dropped::Zero);
        check::<T, B>(backend, n, &matrices, &declared, &mut rng);
    }
}

/// ⟨Ā, Ȧ⟩ = ⟨λ̄, λ̇⟩ + Re⟨V̄, V̇⟩ with the library on both sides, ties and all.
pub fn tangents_adjoint_to_the_backward<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(63);
    for n in [2, 5, 16, 33, 67] {
        let mut matrices = mixed::<T>(n, 9, &mut rng);
        matrices.push(Array2::eye(n));
        for dropped in [Dropped::AsComputed, Dropped::Zero] {
            let options = Options::default().with_dropped(dropped);
            let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &options);
            let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
            let a_dot = directions::<T>(n, matrices.len(), &mut rng);
            let gradient = run::backward(&pairs, Some(&lambda_bar), Some(&v_bar));
            let tangents = jvp(&pairs, backend, &a_dot);
            for (b, a_dot) in a_dot.iter().enumerate() {
                let d = decomposition(&host, &options, b);
                let groups = d.groups(T::PRECISION.tie_cutoff(n) * d.norm());
                let of_values: f64 = (0..n).map(|k| lambda_bar[b][k] * wide(tangents.values()[[b, k]]).re).sum();
                let of_vectors = inner(&oracle::columns_of_k(&d, &v_bar[b]), &matrix(tangents.vectors(), b));
                let got = inner(&matrix(gradient.a_bar(), b), a_dot);
                let size = norm(a_dot) * n as f64 * (3.0 + steepest(&d.f(Some(&groups))) * norm(&v_bar[b]));
                assert_ratio(
                    (got - of_values - of_vectors).abs(),
                    n as f64 * epsilon::<T>() * size,
                    format!("n = {n}, matrix {b}"),
                );
            }
        }
    }
}

/// v_jᴴ v̇_j = 0, and V̇ᴴV + VᴴV̇ = 0 on K: parallel transport.
pub fn parallel_transport<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(64);
    for n in [3, 16, 67] {
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[rng.of_rank::<T>(n, n - 1, true)], &Options::default());
        let a_dot = directions::<T>(n, 1, &mut rng);
        let v_dot = matrix(jvp(&pairs, backend, &a_dot).vectors(), 0);
        let d = Decomposition::of(&host, 0);
        let x = times(&adjoint(&d.v), &v_dot);
        let sum = &x + &adjoint(&x);
        let size = n as f64 * epsilon::<T>() * steepest(&d.f(None)) * norm(&a_dot[0]);
        for i in (0..n).filter(|&i| d.kept[i]) {
            assert_ratio(x[[i, i]].norm(), size, format!("n = {n}, v̇ along v"));
            (0..n).filter(|&j| d.kept[j]).for_each(|j| assert_ratio(sum[[i, j]].norm(), size, format!("n = {n}, VᴴV")));
        }
    }
}

/// Only one triangle of Ȧ is read, and no imaginary part of its diagonal.
pub fn one_triangle_of_a_direction<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(65);
    for n in [3, 16, 67] {
        let matrices = mixed::<T>(n, 9, &mut rng);
        let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let a_dot = directions::<T>(n, 9, &mut rng);
        let expected = jvp(&pairs, backend, &a_dot);
        for triangle in [Triangle::Lower, Triangle::Upper] {
            let mut dirty = crate::numbers::stack::<T>(n, &a_dot);
            for ((_, i, j), x) in dirty.indexed_iter_mut() {
                if i == j {
                    *x = T::from_parts(x.re(), eigengrad::Real::of(f64::NAN));
                } else if (i > j) != (triangle == Triangle::Lower) {
                    *x = crate::numbers::narrow(C::new(f64::NAN, f64::INFINITY));
                }
            }
            let dirty = eigengrad::HermitianBatch::<T, B>::from_triangle_on(backend, dirty.view(), triangle).unwrap();
            let got = pairs.jvp(&dirty).unwrap().to_host().unwrap();
            assert_eq!((got.values(), got.vectors()), (expected.values(), expected.vectors()), "n = {n}, {triangle:?}");
        }
    }
}

/// F is 0 inside a tied group, 1/0 where the rule says exact; or the matrix is refused.
pub fn tangents_of_tied_pairs<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(66);
    for n in [5, 16, 67] {
        let mut lambda: Vec<_> = (0..n).map(|k| 1.0 + k as f64).collect();
        lambda[3] = lambda[2];
        let matrices = [crate::numbers::diagonal(&lambda), rng.of_rank::<T>(n, n - 1, false)];
        let a_dot = directions::<T>(n, 2, &mut rng);
        let of = |ties| {
            let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_ties(ties));
            (pairs.jvp(&run::hermitian::<T, B>(backend, n, &a_dot)), pairs, host)
        };
        let (tangents, _, host) = of(TieRule::ZeroAndReport);
        let tangents = tangents.unwrap().to_host().unwrap();
        assert_eq!(tangents.status().to_vec(), [Status::TIED | Status::TIE_DEFECT, Status::OK]);
        assert!(tangents.check().is_err());
        let d = Decomposition::of(&host, 0);
        let (_, expected) = oracle::jvp(&d, &d.f(Some(&d.groups(1e-6))), &a_dot[0]);
        let error = largest(&(matrix(tangents.vectors(), 0) - expected));
        assert_ratio(error, n as f64 * epsilon::<T>() * norm(&a_dot[0]), format!("n = {n}"));

        let (exact, ..) = of(TieRule::Exact);
        let exact = exact.unwrap().to_host().unwrap();
        assert!(exact.status()[0].intersects(Status::TIED) && exact.status()[0].intersects(Status::RESULT_NOT_FINITE));
        assert_eq!(exact.status()[1], Status::OK);

        let (refused, pairs, _) = of(TieRule::Error);
        match refused.map(drop) {
            Err(Error::Matrices(found)) => assert_eq!(found, [(0, Status::TIED | Status::TIES_REFUSED)]),
            other => panic!("{other:?}"),
        }
        let plan = Plan::<T, B>::new(backend, 2, n, &Options::default().with_ties(TieRule::Error)).unwrap();
        let mut tangents = plan.tangents::<T>(1).unwrap();
        let a_dot = run::hermitian::<T, B>(backend, n, &a_dot);
        plan.jvp_into(pairs.view(), a_dot.view(), tangents.view_mut(), &plan.scratch().unwrap()).unwrap();
        let tangents = tangents.to_host().unwrap();
        assert!(matrix(tangents.vectors(), 0).iter().all(|x| x.re.is_nan()));
        assert!(tangents.values().row(0).iter().all(|&x| wide(x).re.is_nan()));
        assert!(tangents.values().row(1).iter().all(|&x| wide(x).re.is_finite()));
    }
}
