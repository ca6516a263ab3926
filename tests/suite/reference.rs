//! The library against fixtures that the reference implementation made:
//! tests/reference/make_fixtures.py.

use eigengrad::{Array, Cotangents, Cpu, Dropped, HermitianBatch, Options, Plan, Scalar, Status, View, eigh};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis};
use ndarray_npy::{ReadableElement, read_npy};
use num_complex::Complex;
use std::path::Path;

#[path = "../reference/functions.rs"]
mod functions;

const CASES: [&str; 5] = ["random", "rank_deficient", "tied_null", "ragged", "badly_scaled"];

/// What the library owes the reference, relative to max|Ā| of each matrix: both are off by some
/// n·ε·κ ≈ 10⁻¹⁴.
const TOLERANCE: f64 = 1e-12;

struct Fixture<T> {
    a: Array3<T>,
    values: Array2<f64>,
    vectors: Array3<T>,
    kept: Array2<bool>,
    values_bar: Array2<f64>,
    vectors_bar: Array3<T>,
    a_bar: Array3<T>,
    weights: Array3<f64>,
    a_bar_weighted: Array3<T>,
}

impl<T: ReadableElement> Fixture<T> {
    fn read(case: &str, dtype: &str) -> Self {
        let path = |what: &str| {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
            directory.join(format!("{case}_{dtype}_{what}.npy"))
        };
        Self {
            a: read_npy(path("a")).unwrap(),
            values: read_npy(path("values")).unwrap(),
            vectors: read_npy(path("vectors")).unwrap(),
            kept: read_npy(path("kept")).unwrap(),
            values_bar: read_npy(path("values_bar")).unwrap(),
            vectors_bar: read_npy(path("vectors_bar")).unwrap(),
            a_bar: read_npy(path("a_bar")).unwrap(),
            weights: read_npy(path("weights")).unwrap(),
            a_bar_weighted: read_npy(path("a_bar_weighted")).unwrap(),
        }
    }
}

fn assert_close<T: Scalar<Real = f64>>(got: ArrayView3<'_, T>, expected: ArrayView3<'_, T>, case: &str) {
    let size = |x: ArrayView2<'_, T>| x.iter().map(|x| x.re().hypot(x.im())).fold(0.0, f64::max);
    for (b, (got, expected)) in got.outer_iter().zip(expected.outer_iter()).enumerate() {
        let difference = Array2::from_shape_fn(got.dim(), |ij| got[ij] - expected[ij]);
        let (error, scale) = (size(difference.view()), size(expected));
        assert!(error <= TOLERANCE * scale, "{case}, matrix {b}: {:e}", error / scale);
        assert!(difference.iter().all(|x| x.finite()), "{case}, matrix {b}");
    }
}

/// λ, K and Ā from the matrices alone, for a loss that no choice of phases changes.
fn from_matrices<T: Scalar<Real = f64> + ReadableElement>(dtype: &str) {
    for case in CASES {
        let fixture = Fixture::<T>::read(case, dtype);
        let batch = HermitianBatch::new(fixture.a.view()).unwrap();
        for dropped in [Dropped::AsComputed, Dropped::Zero] {
            let pairs = eigh(&batch, &Options::default().with_dropped(dropped)).unwrap().to_host().unwrap();
            assert_eq!(pairs.kept(), fixture.kept, "{case}");
            for (got, expected) in pairs.values().outer_iter().zip(fixture.values.outer_iter()) {
                let norm = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                assert!(got.iter().zip(expected).all(|(x, y)| (x - y).abs() <= TOLERANCE * norm), "{case}");
            }
            let v = pairs.vectors();
            let vectors_bar = Array3::from_shape_fn(v.dim(), |at| v[at].scale(2.0 * fixture.weights[at]));
            let cotangents = Cotangents::new(&pairs, Some(fixture.values_bar.view()), Some(vectors_bar.view())).unwrap();
            let gradient = pairs.backward(&cotangents).unwrap().to_host().unwrap();
            gradient.check().unwrap();
            assert_close(gradient.a_bar(), fixture.a_bar_weighted.view(), case);
        }
    }
}

/// Ā from numpy's very eigenpairs, for random cotangents.
fn from_eigenpairs<T: Scalar<Real = f64> + ReadableElement>(dtype: &str) {
    for case in CASES {
        let fixture = Fixture::<T>::read(case, dtype);
        let (batch, n) = fixture.values.dim();
        let one_vector_after_the_other = |x: &Array3<T>| x.view().permuted_axes([0, 2, 1]).iter().copied().collect::<Vec<_>>();
        let (vectors, vectors_bar) =
            (one_vector_after_the_other(&fixture.vectors), one_vector_after_the_other(&fixture.vectors_bar));
        let status = vec![Status::OK; batch];
        let plan = Plan::<T>::new(&Cpu::default(), batch, n, &Options::default()).unwrap();
        let rows = |x| Array::from_view(as_stored(x), [batch, n]).unwrap();
        let kept = Array::from_view(fixture.kept.as_slice().unwrap(), [batch, n]).unwrap();
        let status = Array::from_view(&*status, [batch]).unwrap();
        let pairs = plan.eigenpairs_view::<T>(rows(&fixture.values), kept, status, columns(&vectors, [batch, n, n])).unwrap();
        let cotangents = Cotangents::from_columns(Some(rows(&fixture.values_bar)), Some(columns(&vectors_bar, [batch, n, n])));
        let mut gradient = plan.gradient::<T>().unwrap();
        plan.backward_into(pairs, cotangents, gradient.view_mut(), &plan.workspace().unwrap()).unwrap();
        let gradient = gradient.to_host().unwrap();
        assert_close(gradient.a_bar(), fixture.a_bar.view(), case);
        for (b, kept) in fixture.kept.outer_iter().enumerate() {
            let null = gradient.a_bar().index_axis_move(Axis(0), b).iter().all(|x| x.norm_sqr() == 0.0);
            assert_eq!(null, !kept.iter().any(|&kept| kept), "{case}, matrix {b}");
        }
    }
}

fn columns<T: Scalar>(x: &[T], shape: [usize; 3]) -> Array<T, Cpu, 3, View<'_>> {
    Array::from_view(x, shape).unwrap()
}

fn as_stored(x: &Array2<f64>) -> &[f64] {
    x.as_slice().unwrap()
}

#[test]
fn complex128_from_matrices() {
    from_matrices::<Complex<f64>>("c128");
}

#[test]
fn float64_from_matrices() {
    from_matrices::<f64>("f64");
}

#[test]
fn complex128_from_eigenpairs() {
    from_eigenpairs::<Complex<f64>>("c128");
}

#[test]
fn float64_from_eigenpairs() {
    from_eigenpairs::<f64>("f64");
}
