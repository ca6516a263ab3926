//! One test for each variant of `Error`, with its message.

use crate::random::Rng;
use eigengrad::{
    Backend, Cotangents, Cpu, Cut, Error, HermitianBatch, Options, Plan, Status, TieRule, Triangle, View, eigh, eigvalsh,
};
use ndarray::{Array1, Array2, Array3, Array4, array};
use num_complex::Complex;

fn message<T>(result: eigengrad::Result<T>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn dimensions() {
    let expected = |ndim| format!("expected [n, n] or [batch, n, n], got an array of {ndim} dimensions");
    assert_eq!(message(HermitianBatch::new(Array1::<f32>::zeros(4).view())), expected(1));
    assert_eq!(message(HermitianBatch::new(Array4::<f64>::zeros((1, 1, 2, 2)).view())), expected(4));
    assert_eq!(message(HermitianBatch::new(ndarray::arr0(1.0).view())), expected(0));
    assert_eq!(message(HermitianBatch::from_triangle(Array1::<f64>::zeros(0).view(), Triangle::Upper)), expected(1));
}

#[test]
fn not_square() {
    assert_eq!(message(HermitianBatch::new(Array2::<f64>::zeros((2, 3)).view())), "expected square matrices, got 2×3");
    let tall = Array3::<f64>::zeros((0, 3, 0));
    assert_eq!(message(HermitianBatch::from_triangle(tall.view(), Triangle::Lower)), "expected square matrices, got 3×0");
}

#[test]
fn not_hermitian() {
    let a = array![[[1.0, 2.0], [2.0, 1.0]], [[1.0, 2.0], [2.5, 1.0]]];
    let expected = "matrix 1 is not Hermitian: |A[1, 0] - conj A[0, 1]| = 5.000e-1 exceeds 8.882e-15";
    assert_eq!(message(HermitianBatch::new(a.view())), expected);
}

#[test]
fn not_contiguous() {
    let a = Array3::<f64>::zeros((2, 3, 3));
    let expected = "the array is not row-major and contiguous: HermitianBatch::new copies such a one";
    assert_eq!(message(HermitianBatch::borrowed(a.slice(ndarray::s![.., ..2, ..2]))), expected);
    assert_eq!(message(HermitianBatch::borrowed(Array3::<f64>::zeros((2, 3, 2)).view())), "expected square matrices, got 3×2");
}

#[test]
fn shape_of_the_values_bar() {
    let pairs = pairs(2, 3);
    let got = Cotangents::new(&pairs, Some(Array2::zeros((3, 2)).view()), None);
    assert_eq!(message(got), "λ̄: expected shape [2, 3], got [3, 2]");
}

#[test]
fn shape_of_the_vectors_bar() {
    let pairs = pairs(2, 3);
    let got = Cotangents::new(&pairs, None, Some(Array3::zeros((2, 3, 2)).view()));
    assert_eq!(message(got), "V̄: expected shape [2, 3, 3], got [2, 3, 2]");
}

#[test]
fn cotangents_of_other_pairs() {
    let (one, other) = (pairs(2, 3), pairs(3, 2));
    let cotangents = Cotangents::values(&one, Array2::zeros((2, 3)).view()).unwrap();
    assert_eq!(message(other.backward(&cotangents)), "λ̄: expected shape [3, 2], got [2, 3]");
}

#[test]
fn too_large() {
    let got = Plan::<f64>::new(&Cpu::default(), usize::MAX / 2, 3, &Options::default());
    assert_eq!(message(got), format!("a batch of {} matrices of 3×3 is too large to address", usize::MAX / 2));
    // isize::MAX bytes: as large as memory can be addressed
    let largest = isize::MAX as usize / 8;
    Plan::<f64>::new(&Cpu::default(), largest, 1, &Options::default()).unwrap();
    assert!(matches!(Plan::<f64>::new(&Cpu::default(), largest + 1, 1, &Options::default()), Err(Error::TooLarge { .. })));
    assert!(matches!(Plan::<f64>::new(&Cpu::default(), 2, usize::MAX, &Options::default()), Err(Error::TooLarge { .. })));
    assert!(matches!(Plan::<f64>::new(&Cpu::default(), 1, 1 << 32, &Options::default()), Err(Error::TooLarge { .. })));
}

#[test]
fn tolerance() {
    let a = HermitianBatch::new(Array2::<f64>::eye(2).view()).unwrap();
    let cut = |cut| eigh(&a, &Options::default().with_cut(cut));
    assert_eq!(message(cut(Cut::absolute(-1.0))), "atol must be a number that is not negative, got -1");
    assert_eq!(message(cut(Cut::relative(f64::NAN))), "rtol must be a number that is not negative, got NaN");
    let ties = Options::default().with_tie_rtol(-0.5);
    assert_eq!(message(eigvalsh(&a, &ties)), "tie_rtol must be a number that is not negative, got -0.5");
    cut(Cut::absolute(-0.0)).unwrap();
}

#[test]
fn matrices() {
    let mut a = Array3::<f64>::zeros((12, 2, 2));
    a[[3, 1, 0]] = f64::NAN;
    a[[5, 0, 0]] = f64::INFINITY;
    let pairs = eigh(&HermitianBatch::new(a.view()).unwrap(), &Options::default()).unwrap();
    assert_eq!(message(pairs.check()), "2 matrices (3, 5): not finite (remove NaN and infinity from the input)");
    assert_eq!(message(pairs.spectrum.check()), message(pairs.check()));
    a.fill(f64::NAN);
    let pairs = eigh(&HermitianBatch::new(a.view()).unwrap(), &Options::default()).unwrap();
    let text = message(pairs.check());
    assert_eq!(text, "12 matrices (0, 1, 2, 3, 4, 5, 6, 7, …): not finite (remove NaN and infinity from the input)");
    let options = Options::default().with_ties(TieRule::Error);
    let pairs = eigh(&HermitianBatch::new(Array2::<f64>::eye(2).view()).unwrap(), &options).unwrap();
    let cotangents = Cotangents::new(&pairs, None, None).unwrap();
    assert_eq!(
        message(pairs.backward(&cotangents)),
        "matrix 0: tied kept eigenvalues, tied kept eigenvalues refused (take another rule for ties)"
    );
}

#[test]
fn backend() {
    let text = message(Cpu::default().zeros::<f64>(usize::MAX));
    assert!(text.starts_with("cpu: "), "{text}");
}

#[test]
fn library() {
    let error = Error::Library { library: "libcusolver.so.12", reason: "no such file".into(), remedy: "install CUDA 13" };
    assert_eq!(error.to_string(), "libcusolver.so.12 not found: no such file; install CUDA 13");
}

#[test]
fn statuses_by_name() {
    assert_eq!(Status::OK.to_string(), "ok");
    assert_eq!(
        (Status::TIED | Status::PHASE_DEPENDENT).to_string(),
        "tied kept eigenvalues, loss depends on an eigenvector's phase"
    );
    assert_eq!(format!("{:?}", Status::NOT_CONVERGED), "Status(not converged)");
    assert!(Status::NOT_CONVERGED.failed() && Status::NOT_FINITE.failed());
    assert!(Status::TIED.passes() && Status::OK.passes() && !(Status::TIED | Status::TIE_DEFECT).passes());
    let others = [
        Status::TIED,
        Status::TIE_DEFECT,
        Status::TIES_REFUSED,
        Status::AMBIGUOUS_RANK,
        Status::TIE_ACROSS_CUT,
        Status::PHASE_DEPENDENT,
        Status::GRADIENT_NOT_FINITE,
    ];
    assert!(others.iter().all(|s| !s.failed() && !s.is_ok()));
}

fn pairs(batch: usize, n: usize) -> eigengrad::Eigenpairs<f64> {
    let mut rng = Rng::new(34);
    let matrices: Vec<_> = (0..batch).map(|_| rng.hermitian::<f64>(n)).collect();
    crate::run::eigh::<f64, Cpu>(&Cpu::default(), n, &matrices, &Options::default()).0
}

#[test]
fn not_hermitian_where_differences_overflow() {
    let huge = Complex::new(1.7e308, 1.7e308);
    let a = array![[Complex::new(1.0, 0.0), huge], [-huge.conj(), Complex::new(1.0, 0.0)]];
    assert!(message(HermitianBatch::new(a.view())).starts_with("matrix 0 is not Hermitian: |A[1, 0] - conj A[0, 1]| = inf"));
    let a = array![[Complex::new(1.0, 0.0), huge], [huge.conj(), Complex::new(1.0, 0.0)]];
    HermitianBatch::new(a.view()).unwrap();
}

#[test]
fn workspace_of_another_plan() {
    let plan = |n| Plan::<f64>::new(&Cpu::default(), 1, n, &Options::default()).unwrap();
    let a = HermitianBatch::new(Array2::<f64>::eye(3).view()).unwrap();
    let (mut pairs, mut spectrum) = (plan(3).eigenpairs::<f64>().unwrap(), plan(3).spectrum::<f64>().unwrap());
    let mut gradient = plan(3).gradient::<f64>().unwrap();
    let expected = "the workspace was made for another problem, or by another backend, than 1 matrices of 3×3";
    for n in [2, 4] {
        let workspace = plan(n).workspace().unwrap();
        assert_eq!(message(plan(3).eigh_into(a.view(), pairs.view_mut(), &workspace)), expected);
        assert_eq!(message(plan(3).eigvalsh_into(a.view(), spectrum.view_mut(), &workspace)), expected);
        let cotangents = Cotangents::new(&pairs, None, None).unwrap();
        let backward = plan(3).backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace);
        assert_eq!(message(backward), expected);
    }
}

#[test]
fn report_of_other_pairs() {
    let pairs = |n| eigh(&HermitianBatch::new(Array2::<f64>::eye(n).view()).unwrap(), &Options::default()).unwrap();
    let gradient = pairs(2).backward(&Cotangents::new(&pairs(2), None, None).unwrap()).unwrap();
    assert_eq!(message(gradient.report(&pairs(3)).map(drop)), "pairs: expected shape [1, 2], got [1, 3]");
}

#[test]
fn a_view_of_more_than_there_is() {
    let one = Array3::<f64>::zeros((1, 2, 2));
    let many = one.broadcast((1 << 60, 2, 2)).unwrap();
    assert_eq!(message(HermitianBatch::new(many)), "a batch of 1152921504606846976 matrices of 2×2 is too large to address");
}

/// The numbers of findings are promised, and what is unknown is refused.
#[test]
fn statuses_are_bits_with_names() {
    let numbered = [
        (Status::OK, 0),
        (Status::NOT_FINITE, 1),
        (Status::NOT_CONVERGED, 2),
        (Status::TIE_ACROSS_CUT, 4),
        (Status::TIED, 8),
        (Status::PHASE_DEPENDENT, 16),
        (Status::GRADIENT_NOT_FINITE, 32),
        (Status::VALUES_OVERFLOW, 64),
        (Status::NOT_ORTHONORMAL, 128),
        (Status::OUTSIDE_DOMAIN, 256),
        (Status::RESULT_NOT_FINITE, 512),
        (Status::AMBIGUOUS_RANK, 1024),
        (Status::TIE_DEFECT, 2048),
        (Status::TIES_REFUSED, 4096),
        (Status::VALUES_UNDERFLOW, 8192),
        (Status::LARGE_RESIDUAL, 16384),
    ];
    for (status, bits) in numbered {
        assert_eq!((status.bits(), Status::from_bits(bits)), (bits, Some(status)));
    }
    assert_eq!(Status::from_bits(1 << 15), None);
    let both = Status::TIED | Status::NOT_FINITE;
    let named: Vec<_> = both.iter_names().collect();
    assert_eq!(named, [("not finite", Status::NOT_FINITE), ("tied kept eigenvalues", Status::TIED)]);
    assert_eq!(both.to_string(), "not finite, tied kept eigenvalues");
}

/// V̄ that is used where it lies has one vector after the other; in another order it is refused, not
/// read wrong.
#[test]
fn cotangents_in_another_order() {
    let batch = HermitianBatch::new(array![[[2.0, 1.0], [1.0, 5.0]]].view()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap();
    let plan = Plan::<f64>::new(&Cpu::default(), 1, 2, &Options::default()).unwrap();
    let v_bar = pairs.vectors().mapv(|x| 3.0 * x * x * x); // in the order of V
    let by_rows = v_bar.as_standard_layout().into_owned();
    let gaps = v_bar.slice(ndarray::s![.., ..;2, ..]);
    assert_eq!(
        message(Cotangents::borrowed(None, Some(gaps))),
        "V̄ lies neither row by row nor column by column without gaps: Cotangents::new copies such an array"
    );
    let strided = array![[1.0, 9.0], [2.0, 9.0]];
    assert!(
        message(Cotangents::<f64, Cpu, View<'_>>::borrowed(Some(strided.slice(ndarray::s![.., ..1]).t()), None))
            .starts_with("λ̄ lies neither")
    );
    let (mut gradient, workspace) = (plan.gradient::<f64>().unwrap(), plan.workspace().unwrap());
    let copied = pairs.backward(&Cotangents::vectors(&pairs, by_rows.view()).unwrap()).unwrap();
    for v_bar in [v_bar.view(), by_rows.view()] {
        let borrowed = Cotangents::borrowed(None, Some(v_bar)).unwrap();
        plan.backward_into(pairs.view(), borrowed, gradient.view_mut(), &workspace).unwrap();
        assert_eq!(gradient.a_bar(), copied.a_bar());
    }
}

#[test]
fn cotangents_by_name() {
    let batch = HermitianBatch::new(array![[[2.0, 1.0], [1.0, 5.0]]].view()).unwrap();
    let pairs = eigh(&batch, &Options::default()).unwrap();
    let (l, v) = (array![[1.0, 2.0]], pairs.vectors().mapv(|x| 3.0 * x * x * x));
    let a_bar = |cotangents: eigengrad::Result<Cotangents<f64>>| {
        let gradient = pairs.backward(&cotangents.unwrap()).unwrap();
        gradient.a_bar().to_owned()
    };
    let [of_values, of_vectors, of_both] = [
        Cotangents::values(&pairs, l.view()),
        Cotangents::vectors(&pairs, v.view()),
        Cotangents::both(&pairs, l.view(), v.view()),
    ]
    .map(a_bar);
    assert_eq!(of_values, a_bar(Cotangents::new(&pairs, Some(l.view()), None)));
    assert_eq!(of_vectors, a_bar(Cotangents::new(&pairs, None, Some(v.view()))));
    assert_eq!(of_both, a_bar(Cotangents::new(&pairs, Some(l.view()), Some(v.view()))));
}
