//! What is told of matrices, and what is refused.

use crate::{Kind, flat, random, scalar};
use candle_core::{D, DType, Device, Tensor, Var};
use eigengrad_candle::{
    Complex, Cut, Function, Matrices, Options, Status, TieRule, eigh, eigh_factor, eigvalsh, fidelity, spectral,
};

/// A matrix that is not finite is told, has NaN, and leaves the others alone.
#[test]
fn not_finite() {
    let a = random(&[3, 4, 2], 1.0).product();
    let alone = eigh(&a.narrow(0, 0, 1).unwrap(), &Options::default()).unwrap();
    let nan = a.narrow(0, 1, 1).unwrap().affine(f64::NAN, 0.0).unwrap();
    let a = Tensor::cat(&[&a.narrow(0, 0, 1).unwrap(), &nan, &a.narrow(0, 2, 1).unwrap()], 0).unwrap();
    let var = Var::from_tensor(&a).unwrap();
    let pairs = eigh(var.as_tensor(), &Options::default()).unwrap();
    let statuses = pairs.report.status.to_vec().unwrap();
    assert_eq!(statuses, [Status::OK, Status::NOT_FINITE, Status::OK]);
    assert_eq!(flat(&pairs.eigenvalues.get(0).unwrap()), flat(&alone.eigenvalues));
    assert!(flat(&pairs.eigenvalues.get(1).unwrap()).iter().all(|x| x.is_nan()));
    let text = pairs.report.check().unwrap_err().to_string();
    assert!(text.contains("matrix 1") && text.contains("finite"), "{text}");
    let loss = pairs.eigenvalues.sqr().unwrap().get(0).unwrap().sum_all().unwrap();
    let gradient = loss.backward().unwrap().get(&var).unwrap().clone();
    assert!(flat(&gradient.get(0).unwrap()).iter().all(|x| x.is_finite()));
    assert!(flat(&gradient.get(1).unwrap()).iter().all(|x| x.is_nan()));
}

/// A loss that depends on phases is told, once its backward has run.
#[test]
fn phases() {
    let var = Var::from_tensor(Complex::random(&[2, 4, 4], 1.0).product().tensor()).unwrap();
    let pairs = eigh(&Complex::from_interleaved(var.as_tensor().clone()).unwrap(), &Options::default()).unwrap();
    assert!(pairs.report.backward().is_none());
    pairs.eigenvectors.re().unwrap().sum_all().unwrap().backward().unwrap();
    let report = pairs.report.backward().unwrap();
    assert!(report.status.to_vec().unwrap().iter().all(|status| status.intersects(Status::PHASE_DEPENDENT)));
    assert!(flat(&report.gauge_defect).iter().any(|&x| x > 0.01));
    pairs.eigenvectors.abs_sqr().unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(pairs.report.backward().unwrap().status.to_vec().unwrap(), [Status::OK; 2]);
    pairs.report.check().unwrap();
}

/// Tied kept eigenvalues: refused where that is asked for.
#[test]
fn ties() {
    let a = Tensor::eye(3, DType::F64, &Device::Cpu).unwrap();
    let gradient = |ties, weights: &[f64]| {
        let var = Var::from_tensor(&a).unwrap();
        let pairs = eigh(var.as_tensor(), &Options::default().with_ties(ties)).unwrap();
        let weights = Tensor::new(weights, &Device::Cpu).unwrap();
        let loss = pairs.eigenvectors.sqr().unwrap().broadcast_mul(&weights).unwrap().sum_all().unwrap();
        let gradient = loss.backward().unwrap().get(&var).unwrap().clone();
        (flat(&gradient), pairs.report.backward().unwrap().status.to_vec().unwrap()[0])
    };
    let (zero, status) = gradient(TieRule::ZeroAndReport, &[1.0, 1.0, 1.0]);
    assert!(zero.iter().all(|x| x.abs() < 1e-14) && status.intersects(Status::TIED), "{zero:?} {status:?}");
    let (refused, status) = gradient(TieRule::Error, &[1.0, 1.0, 1.0]);
    assert!(refused.iter().all(|x| x.is_nan()) && status.intersects(Status::TIES_REFUSED), "{refused:?} {status:?}");
}

/// Where f is not defined, the matrix is told.
#[test]
fn outside_the_domain() {
    let a = Tensor::new(&[[[1.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, 2.0]]], &Device::Cpu).unwrap();
    let log = spectral(&a, Function::Log, &Options::default()).unwrap();
    let statuses = log.status.to_vec().unwrap();
    assert!(statuses[0].intersects(Status::OUTSIDE_DOMAIN) && statuses[1].is_ok(), "{statuses:?}");
    assert!(log.status.check().unwrap_err().to_string().contains("matrix 0"));
}

#[test]
fn refused() {
    let of = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    let options = Options::default();
    let text = |result: candle_core::Result<_>| {
        let error: candle_core::Error = result.map(|_: ()| ()).unwrap_err();
        error.to_string()
    };
    let refused = |a: &Tensor, options: &Options| text(eigh(a, options).map(|_| ()));
    for (text, part) in [
        (refused(&of(&[3], DType::F64), &options), "expected matrices [..., n, m], got [3]"),
        (refused(&of(&[2, 3, 4], DType::F64), &options), "expected square matrices [..., n, n], got [2, 3, 4]"),
        (refused(&of(&[3, 3], DType::U32), &options), "convert them to f32, f64, f16 or bf16"),
        (refused(&of(&[3, 3], DType::F64), &options.with_cut(Cut::relative(-1.0))), "rtol"),
        (text(eigh_factor(&of(&[2, 3], DType::F64), &options).map(|_| ())), "more columns than rows"),
        (text(fidelity(&of(&[2, 2], DType::F64), &of(&[2, 2], DType::F32), &options).map(|_| ())), "A is of F64, B of F32"),
        (text(fidelity(&of(&[2, 2], DType::F64), &of(&[3, 3], DType::F64), &options).map(|_| ())), "fidelity"),
        (text(Complex::from_interleaved(of(&[3, 3], DType::F64)).map(|_| ())), "[..., 2], got [3, 3]"),
    ] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

/// Halves are storage: the default cut knows of their round-off, as that of the caller does.
#[test]
fn cut_of_halves() {
    let b = random(&[6, 2], 1.0);
    let exact = b.product();
    for dtype in [DType::F16, DType::BF16] {
        let rounded = exact.to_dtype(dtype).unwrap();
        let rank = |options: &Options| scalar(&eigh(&rounded, options).unwrap().report.rank);
        assert_eq!(rank(&Options::default()), 2.0, "{dtype:?}");
        let in_f32 = Options::default().with_cut(Cut::default().with_computed_in(eigengrad::Precision::F32));
        assert!(rank(&in_f32) > 2.0, "{dtype:?}: what rounding has added is above the round-off of f32");
        let values = eigvalsh(&rounded, &Options::default()).unwrap();
        assert_eq!(values.eigenvalues.dtype(), DType::F32);
        assert_eq!(scalar(&values.kept.to_dtype(DType::F32).unwrap().sum(D::Minus1).unwrap()), 2.0);
    }
}
