//! Halves are storage: computed in f32, results in f32 or in the storage type, overflow a status.

use crate::decomposition::ratios;
use crate::numbers::{C, Matrix, diagonal, epsilon, largest, matrix, narrow, rounded, stack, wide};
use crate::oracle::{self, Decomposition};
use crate::random::Rng;
use crate::{THRESHOLD, backward, run};
use eigengrad::{Cotangents, Element, Engine, HermitianBatch, Options, Precision, Scalar, Status, eigh, eigh_as};
use ndarray::Array2;

fn batch<T: Element, B: Engine<T::Scalar>>(backend: &B, n: usize, matrices: &[Matrix]) -> HermitianBatch<T, B> {
    HermitianBatch::on(backend, stack::<T>(n, matrices).view()).unwrap()
}

/// Of a batch in `T` the results in f32 are as good as those of f32.
pub fn computed_in_f32<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let mut rng = Rng::new(30);
    for n in [1, 2, 8, 33, 67] {
        let matrices: Vec<_> = (0..5).map(|_| rounded::<T>(&rng.hermitian::<T>(n))).collect();
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let (lambda_bar, v_bar) = backward::random_cotangents::<T::Scalar>(n, 5, &mut rng);
        let gradient = run::backward(&pairs, Some(&lambda_bar), Some(&v_bar));
        for (b, a) in matrices.iter().enumerate() {
            let d = Decomposition::of(&host, b);
            let (residual, orthogonality) = ratios::<T>(a, &d);
            assert!(residual <= THRESHOLD && orthogonality <= THRESHOLD, "n = {n}: {residual}, {orthogonality}");
            let groups = d.groups(T::PRECISION.tie_cutoff(n) * d.norm());
            let f = d.f(Some(&groups));
            let error = largest(&(matrix(gradient.a_bar(), b) - oracle::a_bar(&d, &f, Some(&lambda_bar[b]), Some(&v_bar[b]))));
            let unit = n as f64 * epsilon::<T>() * backward::scale(&d, &f, Some(&lambda_bar[b]), Some(&v_bar[b]));
            assert!(error <= THRESHOLD * unit, "n = {n}: {error}");
        }
    }
}

/// Results stored as `T` are those of f32, rounded; their own backward is computed in f32 from what
/// was stored.
pub fn stored_as_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let mut rng = Rng::new(31);
    for n in [2, 8, 67] {
        let matrices: Vec<_> = (0..9).map(|b| rng.of_rank::<T>(n, 1 + b % n, true)).collect();
        let a = batch::<T, B>(backend, n, &matrices);
        let exact = eigh(&a, &Options::default()).unwrap().to_host().unwrap();
        let pairs = eigh_as::<T, T, B>(&a, &Options::default()).unwrap();
        let host = pairs.to_host().unwrap();
        assert_eq!((host.kept(), host.rank(), host.status()), (exact.kept(), exact.rank(), exact.status()));
        assert!(host.values().iter().zip(exact.values()).all(|(&x, &y)| x == <T::Real as Element>::narrow(y)));
        assert!(host.vectors().iter().zip(exact.vectors()).all(|(&x, &y)| x == T::narrow(y)));
        assert_eq!(host.spectrum.gap_kept(), exact.spectrum.gap_kept());

        let v_bar: Vec<_> = (0..9).map(|_| rounded::<T>(&rng.matrix::<T>(n, n))).collect();
        let lambda_bar: Vec<_> = (0..9).map(|_| rng.vector(n)).collect();
        let lambda_bar = crate::numbers::rows::<T::Real>(n, &lambda_bar);
        let cotangents = Cotangents::new(&pairs, Some(lambda_bar.view()), Some(stack::<T>(n, &v_bar).view())).unwrap();
        let wide_gradient = pairs.backward_as::<T::Scalar>(&cotangents).unwrap().to_host().unwrap();
        let gradient = pairs.backward(&cotangents).unwrap().to_host().unwrap();
        for (b, v_bar) in v_bar.iter().enumerate() {
            let d = Decomposition::of(&host, b);
            let f = d.f(Some(&d.groups(T::PRECISION.tie_cutoff(n) * d.norm())));
            let lambda_bar: Vec<_> = lambda_bar.row(b).iter().map(|&x| wide(x).re).collect();
            let expected = oracle::a_bar(&d, &f, Some(&lambda_bar), Some(v_bar));
            let got = matrix(wide_gradient.a_bar(), b);
            let unit = n as f64 * epsilon::<T>() * backward::scale(&d, &f, Some(&lambda_bar), Some(v_bar));
            let error = largest(&(&got - &expected));
            assert!(error == 0.0 || error <= THRESHOLD * unit, "n = {n}, matrix {b}: {error}");
            for (&x, &y) in gradient.a_bar().index_axis(ndarray::Axis(0), b).iter().zip(&got) {
                assert_eq!(x, narrow::<T>(y));
            }
        }
    }
}

/// √n·ε of the storage type, by default; data of f32 stored in f32 keep more.
pub fn the_default_cut_of_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    for n in [4, 16, 64] {
        let cutoff = (n as f64).sqrt() * T::PRECISION.epsilon();
        let mut lambda = vec![1.0; n];
        let mut rank = |x: f64, options: &Options| {
            lambda[0] = x;
            let a = batch::<T, B>(backend, n, &[diagonal(&lambda)]);
            eigh(&a, options).unwrap().to_host().unwrap().rank()[0] as usize
        };
        assert_eq!(rank(cutoff * 0.97, &Options::default()), n - 1);
        assert_eq!(rank(cutoff * 1.03, &Options::default()), n);
        let options = Options::default().with_cut(eigengrad::Cut::default().with_computed_in(Precision::F32));
        assert_eq!(rank(cutoff * 0.03, &options), n);
    }
}

/// Eigenvalues tie within the cutoff of the type that they are stored in, however precisely the
/// data were computed.
pub fn ties_of_stored_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let cut = eigengrad::Cut::default().with_computed_in(Precision::F32);
    let options = Options::default().with_cut(cut);
    let a = batch::<T, B>(backend, 4, &[diagonal(&[1.0, 1.0 + 2.0 * T::PRECISION.epsilon(), 2.0, 3.0])]);
    let stored = eigh_as::<T, T, B>(&a, &options).unwrap();
    let gradient = stored.backward(&Cotangents::new(&stored, None, None).unwrap()).unwrap().to_host().unwrap();
    assert_eq!(gradient.status()[0], Status::TIED);
    let wide = eigh(&a, &options).unwrap();
    let gradient = wide.backward(&Cotangents::new(&wide, None, None).unwrap()).unwrap().to_host().unwrap();
    assert_eq!(gradient.status()[0], Status::OK);
}

/// An entry that overflows the storage type is a finding of its matrix alone; the same in f32 is
/// none.
pub fn a_gradient_that_overflows<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let largest_bar = if T::PRECISION == Precision::F16 { 60_000.0 } else { 3e38 };
    for n in [2, 67] {
        let mut v_bar = vec![Array2::<C>::zeros((n, n)); 3];
        let mut lambda = vec![0.0; n];
        (lambda[0], lambda[n - 1]) = (0.25, 0.5);
        let a = diagonal(&lambda);
        v_bar[1][[0, n - 1]] = largest_bar.into(); // ½ F = 2
        let pairs = eigh_as::<T, T, B>(&batch::<T, B>(backend, n, &[a.clone(), a.clone(), a]), &Options::default()).unwrap();
        let cotangents = Cotangents::new(&pairs, None, Some(stack::<T>(n, &v_bar).view())).unwrap();
        let gradient = pairs.backward(&cotangents).unwrap().to_host().unwrap();
        let status = gradient.status().to_vec();
        assert_eq!(status, [Status::OK, Status::GRADIENT_NOT_FINITE, Status::OK], "n = {n}");
        assert!(gradient.check().is_err());
        let finite = pairs.backward_as::<T::Scalar>(&cotangents).unwrap().to_host().unwrap();
        let overflows_f32 = T::PRECISION == Precision::Bf16;
        assert_eq!(finite.a_bar().iter().all(|x| x.finite()), !overflows_f32);
        assert_eq!(finite.check().is_ok(), !overflows_f32);
    }
}

/// Denormals, infinities and the ends of the range of halves pass through.
pub fn the_ends_of_the_range_of_halves<T: Element, B: Engine<T::Scalar>>(backend: &B) {
    let (tiny, huge) = if T::PRECISION == Precision::F16 { (5.96e-8, 65504.0) } else { (9.2e-41, 3.38e38) };
    let matrices = [[tiny, 2.0 * tiny], [-huge, huge], [f64::INFINITY, 0.0], [1.0, f64::NAN]].map(|x| diagonal(&x));
    let pairs = eigh(&batch::<T, B>(backend, 2, &matrices), &Options::default()).unwrap().to_host().unwrap();
    assert_eq!(pairs.status().to_vec(), [Status::OK, Status::OK, Status::NOT_FINITE, Status::NOT_FINITE]);
    // 2⁻²⁴ is within √2·2⁻²⁴, to which binary16 rounds.
    assert_eq!(pairs.rank().to_vec(), [if T::PRECISION == Precision::F16 { 1 } else { 2 }, 2, 0, 0]);
    // λ = 2·huge is beyond the storage type; in f32 it is beyond that of bfloat16, too.
    let ones = Array2::<C>::from_elem((2, 2), huge.into());
    let stored = eigh_as::<T, T, B>(&batch::<T, B>(backend, 2, &[ones]), &Options::default()).unwrap().to_host().unwrap();
    assert_eq!((stored.status()[0], stored.rank()[0]), (Status::VALUES_OVERFLOW, 0));
    for (b, a) in matrices.iter().enumerate().take(2) {
        for (&x, y) in pairs.values().row(b).iter().zip(a.diag()) {
            assert_eq!(wide(x), wide(narrow::<T>(*y)));
        }
    }
}
