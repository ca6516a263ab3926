//! A V = V Λ, Vᴴ V = I and the order of λ, in LAPACK's ratios over the catalogue.

use crate::numbers::{Matrix, adjoint, epsilon, largest, ldexp, matrix, norm, range, rounded, stack, wide};
use crate::oracle::Decomposition;
use crate::random::Rng;
use crate::spectra::catalogue;
use crate::{THRESHOLD, run};
use eigengrad::{Cut, Dropped, Element, Engine, GradientForm, HermitianBatch, Options, Scalar, Triangle, eigvalsh};
use ndarray::{Array2, Array3};

const ORDERS: [usize; 14] = [0, 1, 2, 3, 5, 8, 16, 20, 31, 32, 33, 64, 65, 128];

/// |A V − V Λ| / (|A| n ε) and |I − VᴴV| / (n ε) in the 1-norm, A and Λ scaled by a power of two to
/// the middle of the range.
///
/// Where A is subnormal so is λ, which then is only known to the smallest subnormal: it takes the
/// place of |A| ε.
pub fn ratios<T: Element>(a: &Matrix, d: &Decomposition) -> (f64, f64) {
    let n = d.n();
    let size = largest(a);
    let exponent = if size > 0.0 { -(size.log2().floor() as i32) } else { 0 };
    let a = a.mapv(|x| crate::numbers::C::new(ldexp(x.re, exponent), ldexp(x.im, exponent)));
    let mut v_lambda = d.v.clone();
    for (mut column, &x) in v_lambda.columns_mut().into_iter().zip(&d.lambda) {
        column.mapv_inplace(|v| v * ldexp(x, exponent));
    }
    let unit = epsilon::<T>() * n.max(1) as f64;
    let floor = ldexp(range::<T>().0, exponent) * n.max(1) as f64;
    let residual = norm(&(a.dot(&d.v) - v_lambda));
    let orthogonality = norm(&(adjoint(&d.v).dot(&d.v) - Array2::<crate::numbers::C>::eye(n)));
    let residual = if residual == 0.0 { 0.0 } else { residual / (norm(&a) * unit).max(floor) };
    (residual, orthogonality / unit)
}

fn check<T: Scalar, B: Engine<T>>(backend: &B, n: usize, matrices: &[(&'static str, Matrix)]) {
    let (names, matrices): (Vec<_>, Vec<_>) = matrices.iter().map(|(name, a)| (*name, rounded::<T>(a))).unzip();
    let (_, pairs) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
    pairs.check().unwrap();
    let batch = HermitianBatch::<T, B>::on(backend, stack::<T>(n, &matrices).view()).unwrap();
    let values = eigvalsh(&batch, &Options::default()).unwrap().to_host().unwrap();
    for (b, (name, a)) in names.iter().zip(&matrices).enumerate() {
        let d = Decomposition::of(&pairs, b);
        let (residual, orthogonality) = ratios::<T>(a, &d);
        assert!(residual <= THRESHOLD, "{name}, n = {n}: |AV − VΛ| / (|A| n ε) = {residual}");
        assert!(orthogonality <= THRESHOLD, "{name}, n = {n}: |I − VᴴV| / (n ε) = {orthogonality}");
        assert!(d.lambda.is_sorted(), "{name}, n = {n}: {:?}", d.lambda);
        let unit = (d.norm() * epsilon::<T>()).max(range::<T>().0) * n as f64;
        for (&x, &y) in values.values().row(b).iter().zip(&d.lambda) {
            let ratio = (wide(x).re - y).abs() / unit;
            assert!(x == crate::numbers::narrow(y.into()) || ratio <= THRESHOLD, "{name}, n = {n}: eigvalsh differs by {ratio}");
        }
        assert!(values.values().row(b).iter().map(|&x| wide(x).re).is_sorted(), "{name}, n = {n}");
    }
}

pub fn the_catalogue_of_spectra<T: Scalar, B: Engine<T>>(backend: &B) {
    for n in ORDERS {
        check::<T, B>(backend, n, &catalogue::<T>(n, &mut Rng::new(n as u64)));
    }
}

/// Of orders that the CPU takes to faer, alone and shared by threads; on an emulated GPU they would
/// take too long.
pub fn the_catalogue_by_faer<T: Scalar, B: Engine<T>>(backend: &B) {
    if run::on_the_cpu::<B>() {
        for n in [130, 257] {
            check::<T, B>(backend, n, &catalogue::<T>(n, &mut Rng::new(n as u64)));
        }
    }
}

pub fn large_matrices<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(1);
    for n in [256, 512] {
        check::<T, B>(backend, n, &[("random", rng.hermitian::<T>(n))]);
    }
    check::<T, B>(backend, 256, &[("quarter rank", rng.of_rank::<T>(256, 64, false))]);
}

pub fn the_spectrum_of_eigvalsh_is_cut_as_that_of_eigh<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(2);
    let n = 12;
    let matrices: Vec<_> = (0..=n).map(|r| rng.of_rank::<T>(n, r, true)).collect();
    let options = Options::default().with_cut(Cut::at_most(7));
    let (_, pairs) = run::eigh::<T, B>(backend, n, &matrices, &options);
    let batch = HermitianBatch::<T, B>::on(backend, stack::<T>(n, &matrices).view()).unwrap();
    let spectrum = eigvalsh(&batch, &options).unwrap().to_host().unwrap();
    assert_eq!(spectrum.kept(), pairs.kept());
    assert_eq!(spectrum.rank(), pairs.rank());
    assert_eq!(spectrum.status(), pairs.status());
    spectrum.check().unwrap();
}

pub fn no_matrices_and_matrices_of_no_order<T: Scalar, B: Engine<T>>(backend: &B) {
    for (batch, n) in [(0, 0), (0, 3), (3, 0), (0, 64)] {
        let a = HermitianBatch::<T, B>::on(backend, Array3::<T>::zeros((batch, n, n)).view()).unwrap();
        assert_eq!((a.batch(), a.n()), (batch, n));
        let pairs = eigengrad::eigh(&a, &Options::default()).unwrap();
        let host = pairs.to_host().unwrap();
        assert_eq!((host.batch(), host.n()), (batch, n));
        assert_eq!((host.values().dim(), host.vectors().dim()), ((batch, n), (batch, n, n)));
        assert!(host.rank().iter().all(|&rank| rank == 0) && host.rank().len() == batch);
        assert!(host.spectrum.gap_kept().iter().all(|&gap| wide(gap).re == f64::INFINITY));
        host.check().unwrap();
        let gradient = run::backward(&pairs, Some(&vec![vec![]; batch]), Some(&vec![Array2::zeros((n, n)); batch]));
        assert_eq!(gradient.a_bar().dim(), (batch, n, n));
        gradient.check().unwrap();
        assert_eq!(gradient.report(&host).unwrap().len(), batch);
        let options = Options::default().with_gradient(GradientForm::Triangle(Triangle::Lower)).with_dropped(Dropped::Zero);
        let pairs = eigengrad::eigh(&a, &options).unwrap();
        let gradient = run::backward(&pairs, None, Some(&vec![Array2::zeros((n, n)); batch]));
        assert_eq!(gradient.a_bar().dim(), (batch, n, n));
    }
}

/// Of order 1: λ = A, |V| = 1, Ā = λ̄.
pub fn matrices_of_order_one<T: Scalar, B: Engine<T>>(backend: &B) {
    let matrices: Vec<_> = [-2.0, 0.0, 3.0].iter().map(|&x| Array2::from_elem((1, 1), x.into())).collect();
    let (pairs, host) = run::eigh::<T, B>(backend, 1, &matrices, &Options::default());
    assert_eq!(host.kept().iter().copied().collect::<Vec<_>>(), [true, false, true]);
    for (b, a) in matrices.iter().enumerate() {
        assert_eq!(wide(host.values()[[b, 0]]), a[[0, 0]]);
        assert_eq!(wide(host.vectors()[[b, 0, 0]]).norm(), 1.0);
    }
    let v_bar: Vec<_> = (0..3).map(|b| matrix(host.vectors(), b)).collect();
    let gradient = run::backward(&pairs, Some(&vec![vec![0.5]; 3]), Some(&v_bar));
    assert_eq!(gradient.a_bar().iter().map(|&x| wide(x).re).collect::<Vec<_>>(), [0.5, 0.0, 0.5]);
}
