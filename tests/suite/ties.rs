//! Kept eigenvalues that tie: the groups, the three rules, and the defect that tells whether F = 0
//! was right.

use crate::backward::{random_cotangents, scale};
use crate::numbers::{Matrix, diagonal, epsilon, largest, matrix, rows, same_bits, stack, wide};
use crate::oracle::{self, Decomposition, times};
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{Cut, Engine, Error, Options, Plan, Precision, Scalar, Status, TieRule};
use ndarray::Array2;

/// Runs the default rule and compares Ā and the tie defect with the oracle's, for groups within
/// `tie_rtol`·‖A‖.
fn check<T: Scalar, B: Engine<T>>(backend: &B, n: usize, matrices: &[Matrix], cut: Cut, tie_rtol: Option<f64>, sizes: &[usize]) {
    let mut rng = Rng::new(16);
    let (pairs, host) = run::eigh::<T, B>(backend, n, matrices, &Options::default().with_cut(cut).with_tie_rtol(tie_rtol));
    let (lambda_bar, v_bar) = random_cotangents::<T>(n, matrices.len(), &mut rng);
    for (with_values, with_vectors) in [(true, true), (true, false), (false, true)] {
        let (lambda_bar, v_bar) = (with_values.then_some(&*lambda_bar), with_vectors.then_some(&*v_bar));
        let gradient = run::backward(&pairs, lambda_bar, v_bar);
        for b in 0..matrices.len() {
            let (lambda_bar, v_bar) = (lambda_bar.map(|x| &*x[b]), v_bar.map(|x| &x[b]));
            let d = Decomposition::of(&host, b);
            let groups = d.groups(tie_rtol.unwrap_or(T::PRECISION.tie_cutoff(n)) * d.norm());
            let group_sizes = (0..n).map(|g| groups.iter().filter(|x| **x == Some(g)).count());
            assert_eq!(group_sizes.max(), Some(sizes[b]), "matrix {b}: {:?}", d.lambda);
            let tied = gradient.status()[b].intersects(Status::TIED);
            assert_eq!(tied, sizes[b] > 1, "matrix {b}: {:?}", d.lambda);
            let f = d.f(Some(&groups));
            let expected = oracle::a_bar(&d, &f, lambda_bar, v_bar);
            let unit = n as f64 * epsilon::<T>();
            let error = largest(&(matrix(gradient.a_bar(), b) - expected));
            assert!(error <= THRESHOLD * unit * scale(&d, &f, lambda_bar, v_bar), "n = {n}, matrix {b}: {error}");
            let expected = oracle::tie_defect(&d, &groups, lambda_bar, v_bar);
            let got = wide(gradient.tie_defect()[b]).re;
            assert!((got - expected).abs() <= THRESHOLD * unit, "n = {n}, matrix {b}: defect {got}, expected {expected}");
            let random = THRESHOLD * unit;
            assert!(if sizes[b] == 1 { got == 0.0 } else { got > random }, "n = {n}, matrix {b}: {got}");
        }
    }
}

pub fn groups_are_chains<T: Scalar, B: Engine<T>>(backend: &B) {
    let lambda = [[0.0, 1.0, 1.05, 1.1, 1.15, 2.0], [0.0, 1.0, 1.2, 1.4, 1.6, 2.0], [-1.0, -1.0, 0.0, 1.0, 1.0, 1.0]];
    check::<T, B>(backend, 6, &lambda.map(|x| diagonal(&x)), Cut::default(), Some(0.03), &[4, 1, 3]);
    let lambda = [[1.0, 2.0, 4.0], [1.0, 2.5, 4.0], [-1.0, 0.0, 0.5]];
    // within is ≤
    check::<T, B>(backend, 3, &lambda.map(|x| diagonal(&x)), Cut::default(), Some(0.25), &[2, 1, 1]);
    check::<T, B>(backend, 3, &lambda.map(|x| diagonal(&x)), Cut::default(), Some(0.0), &[1, 1, 1]);
    // D ties with nothing, though it is as near: K = {1, 2}.
    check::<T, B>(backend, 3, &[diagonal(&[-0.9, 1.0, 2.0])], Cut::absolute(0.95), Some(2.0), &[2]);
    check::<T, B>(backend, 3, &[diagonal(&[0.9, 1.0, 3.0])], Cut::absolute(0.95), Some(0.1), &[1]);
}

pub fn ties_to_round_off<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(17);
    for n in [10, 16, 67] {
        let mut lambda = vec![0.0; n];
        lambda[..5].copy_from_slice(&[4.0, 2.0, 2.0, 2.0, 1.0]);
        let mut pair = lambda.clone();
        pair[..5].copy_from_slice(&[-4.0, -4.0, 2.0, 3.0, 1.0]);
        let matrices =
            [rng.with_spectrum::<T>(&lambda), rng.of_rank::<T>(n, 4, false), rng.with_spectrum::<T>(&pair), diagonal(&lambda)];
        check::<T, B>(backend, n, &matrices, Cut::default(), None, &[3, 1, 2, 3]);
    }
}

/// The tie cutoff is that of the precision in which the data were computed.
pub fn the_tie_cutoff_follows_the_precision<T: Scalar, B: Engine<T>>(backend: &B) {
    let (epsilon, coarse) = (T::PRECISION.epsilon(), Precision::F16.epsilon());
    let lambda = [1.0, 1.0 + 6.0 * epsilon, 1.5, 1.5 + 24.0 * epsilon];
    check::<T, B>(backend, 4, &[diagonal(&lambda)], Cut::default(), None, &[2]);
    let status = |lambda: &[f64; 4], cut: Cut| {
        let options = Options::default().with_cut(cut);
        let (pairs, _) = run::eigh::<T, B>(backend, 4, &[diagonal(lambda)], &options);
        run::backward(&pairs, None, None).status()[0]
    };
    let apart = [1.0, 1.0 + 1.9 * coarse, 2.0, 3.0];
    assert_eq!(status(&apart, Cut::default()), Status::OK);
    assert_eq!(status(&apart, Cut::default().with_computed_in(Precision::F16)), Status::TIED);
    assert_eq!(status(&apart, Cut::relative(0.1)), Status::OK); // rtol is the cut's alone
}

pub fn right_losses_have_no_defect<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(18);
    for n in [10, 67] {
        let mut lambda = vec![0.0; n];
        lambda[..5].copy_from_slice(&[4.0, 2.0, 2.0, 2.0, 1.0]);
        let (a, c) = (rng.with_spectrum::<T>(&lambda), rng.hermitian::<T>(n));
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[a], &Options::default());
        let in_group = |k: usize| if (n - 4..n - 1).contains(&k) { 1.0 } else { 0.0 };
        let cv = times(&c, &matrix(host.vectors(), 0));
        let v_bar = Array2::from_shape_fn((n, n), |(i, k)| cv[[i, k]] * in_group(k));
        let lambda_bar: Vec<_> = (0..n).map(|k| 0.5 * in_group(k)).collect();
        for loss_scale in [1e-3, 1.0, 1e6] {
            let v_bar = v_bar.mapv(|x| x * loss_scale);
            let lambda_bar: Vec<_> = lambda_bar.iter().map(|x| x * loss_scale).collect();
            let gradient = run::backward(&pairs, Some(&[lambda_bar]), Some(&[v_bar]));
            let defect = wide(gradient.tie_defect()[0]).re;
            assert!(defect <= THRESHOLD * n as f64 * epsilon::<T>(), "n = {n}: {defect}");
            assert_eq!(gradient.status()[0], Status::TIED);
            gradient.check().unwrap();
            assert_eq!(gradient.report(&host).unwrap().next().unwrap().tie_defect, gradient.tie_defect()[0]);
        }
        let mut uneven = lambda_bar.clone();
        uneven[n - 3] = 0.25;
        let gradient = run::backward(&pairs, Some(&[uneven]), None);
        assert_eq!(wide(gradient.tie_defect()[0]).re, 0.5);
        assert_eq!(gradient.status()[0], Status::TIED | Status::TIE_DEFECT);
        gradient.check().unwrap_err();
        let mut opposite = lambda_bar;
        opposite[n - 2] = -0.5;
        assert_eq!(wide(run::backward(&pairs, Some(&[opposite]), Some(&[v_bar])).tie_defect()[0]).re, 2.0);
    }
}

/// Under `Exact` a tie divides by zero, and it shows.
pub fn exact_ties_show<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(19);
    for n in [4, 67] {
        let matrices = [Array2::eye(n), rng.of_rank::<T>(n, n, false)];
        let (_, v_bar) = random_cotangents::<T>(n, 2, &mut rng);
        let gradient = |ties| {
            let (pairs, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_ties(ties));
            run::backward(&pairs, None, Some(&v_bar))
        };
        let (exact, zeroed) = (gradient(TieRule::Exact), gradient(TieRule::ZeroAndReport));
        assert!(matrix(exact.a_bar(), 0).iter().all(|x| !x.re.is_finite() || !x.im.is_finite()));
        assert_eq!(exact.status()[0], Status::TIED | Status::TIE_DEFECT | Status::GRADIENT_NOT_FINITE | phase_dependent::<T>());
        assert_eq!(exact.status()[1], phase_dependent::<T>());
        assert_eq!(wide(exact.tie_defect()[0]).re, 0.0);
        assert_eq!(exact.a_bar().index_axis(ndarray::Axis(0), 1), zeroed.a_bar().index_axis(ndarray::Axis(0), 1));
        assert!(largest(&matrix(zeroed.a_bar(), 0)) == 0.0, "all of it is one group: F = 0");
        assert!(exact.check().is_err());
    }
}

/// Random cotangents depend on the phases wherever there are any.
fn phase_dependent<T: Scalar>() -> Status {
    if T::COMPLEX { Status::PHASE_DEPENDENT } else { Status::OK }
}

/// Near ties under `Exact` are divided by as they are.
pub fn exact_near_ties_are_the_formula<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(20);
    for n in [4, 67] {
        let mut lambda: Vec<_> = (1..=n).map(|k| k as f64 / n as f64).collect();
        lambda[n - 2] = 1.0 - 4.0 * epsilon::<T>();
        let options = Options::default().with_ties(TieRule::Exact);
        let (pairs, host) = run::eigh::<T, B>(backend, n, &[diagonal(&lambda)], &options);
        let (_, v_bar) = random_cotangents::<T>(n, 1, &mut rng);
        let gradient = run::backward(&pairs, None, Some(&v_bar));
        let d = Decomposition::of(&host, 0);
        let f = d.f(None);
        let error = largest(&(matrix(gradient.a_bar(), 0) - oracle::a_bar(&d, &f, None, Some(&v_bar[0]))));
        assert!(error <= THRESHOLD * n as f64 * epsilon::<T>() * scale(&d, &f, None, Some(&v_bar[0])));
        assert!(gradient.status()[0].intersects(Status::TIED));
    }
}

/// Under `Error` the tied matrices are named, and `backward_into` gives them NaN; the others are as
/// they were.
pub fn tied_matrices_are_refused<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(21);
    for n in [5, 67] {
        let apart = rng.of_rank::<T>(n, n / 2, true);
        let matrices = [apart.clone(), Array2::eye(n), apart, diagonal(&vec![2.0; n])];
        let (lambda_bar, v_bar) = random_cotangents::<T>(n, 4, &mut rng);
        let refused = Status::TIED | Status::TIES_REFUSED;
        let options = Options::default().with_ties(TieRule::Error);
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &options);
        host.check().unwrap(); // a tie is no finding of the forward
        let cotangents = run::cotangents(&pairs, Some(&lambda_bar), Some(&v_bar));
        match pairs.backward(&cotangents) {
            Err(Error::Matrices(found)) => assert_eq!(found, [(1, refused), (3, refused)]),
            other => panic!("{other:?}"),
        }
        let plan = Plan::<T, B>::new(backend, 4, n, &options).unwrap();
        let (mut gradient, workspace) = (plan.gradient::<T>().unwrap(), plan.workspace().unwrap());
        plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace).unwrap();
        let gradient = gradient.to_host().unwrap();
        let (free, _) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let free = run::backward(&free, Some(&lambda_bar), Some(&v_bar));
        for b in 0..4 {
            let a_bar = gradient.a_bar().index_axis(ndarray::Axis(0), b).to_owned();
            let expected = free.a_bar().index_axis(ndarray::Axis(0), b).to_owned();
            if b % 2 == 1 {
                assert!(a_bar.iter().all(|&x| wide(x).re.is_nan()));
                assert!(gradient.gauge_defect().row(b).iter().all(|&rho| wide(rho).re == 0.0));
                assert_eq!(gradient.status()[b], refused);
            } else {
                assert!(same_bits(a_bar, expected));
                assert_eq!(gradient.status()[b], phase_dependent::<T>());
            }
        }
        let untied = run::eigh::<T, B>(backend, n, &matrices[..1], &options).0;
        let untied_bar = (rows::<T::Real>(n, &lambda_bar[..1]), stack::<T>(n, &v_bar[..1]));
        let cotangents = eigengrad::Cotangents::new(&untied, Some(untied_bar.0.view()), Some(untied_bar.1.view())).unwrap();
        untied.backward(&cotangents).unwrap();
    }
}

/// Every eigenvalue of the identity and, under `Cut::none`, of the zero matrix is kept and tied: Ā
/// of λ̄ alone, and finite.
pub fn the_identity_and_zero_without_a_cut<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in [3, 67] {
        let matrices = [Array2::eye(n), Array2::zeros((n, n)), Array2::from_elem((n, n), 1.0.into())];
        let sizes = [n, n, n - 1];
        check::<T, B>(backend, n, &matrices, Cut::none(), None, &sizes);
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default().with_cut(Cut::none()));
        assert!(host.rank().iter().all(|&rank| rank as usize == n));
        let gradient = run::backward(&pairs, Some(&vec![vec![1.0; n]; 3]), Some(&vec![Array2::zeros((n, n)); 3]));
        for b in 0..3 {
            let error = largest(&(matrix(gradient.a_bar(), b) - Array2::<crate::numbers::C>::eye(n)));
            assert!(error <= THRESHOLD * n as f64 * epsilon::<T>());
        }
    }
}
