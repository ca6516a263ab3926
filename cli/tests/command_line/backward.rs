//! The gradient that `backward` writes, against the formula evaluated naively on what `eigh` wrote.

use crate::files::{Numbers, Place, c16, f8, npy};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, Ix2, Ix3};
use num_complex::Complex;

type C = Complex<f64>;

/// Ā = V (diag λ̄ + F ∘ skew(Vᴴ V̄)) Vᴴ, K×K and K×D only.
fn naive(lambda: &Array1<f64>, v: &Array2<C>, kept: &[bool], lambda_bar: &Array1<f64>, v_bar: &Array2<C>) -> Array2<C> {
    let (n, adjoint) = (kept.len(), v.t().mapv(|x| x.conj()));
    let v_bar = Array2::from_shape_fn((n, n), |(i, k)| if kept[k] { v_bar[[i, k]] } else { C::ZERO });
    let x = adjoint.dot(&v_bar);
    let g = Array2::from_shape_fn((n, n), |(i, j)| match (i == j, kept[i] || kept[j]) {
        (true, true) => lambda_bar[j].into(),
        (false, true) => (x[[i, j]] - x[[j, i]].conj()) / 2.0 / (lambda[j] - lambda[i]),
        (_, false) => C::ZERO,
    });
    v.dot(&g).dot(&adjoint)
}

/// Runs `eigh` and `backward` on `a` and compares, for a cotangent v̄ = w ∘ v and any λ̄.
fn check(a: &Array3<C>, flags: &str) {
    let place = Place::new();
    let (batch, n, _) = a.dim();
    place.put("a.npy", c16(a));
    place.run(&format!("eigh a.npy --out out {flags}")).ok();
    let v = place.array::<C>("out/vectors.npy").into_dimensionality::<Ix3>().unwrap();
    let mut numbers = Numbers(7);
    let v_bar = v.mapv(|v| v * (numbers.next() + 1.0));
    let lambda_bar: Vec<_> = (0..batch * n).map(|_| numbers.next()).collect();
    place.put("v.npy", c16(&v_bar));
    place.put("l.npy", f8(&[batch, n], &lambda_bar));
    let said = place.run(&format!("backward a.npy --values-bar l.npy --vectors-bar v.npy --out a_bar.npy {flags}")).ok();
    assert!(said.contains("worst gauge defect") && said.contains(&format!("ok in {batch} matrices")), "{said}");
    let a_bar = place.array::<C>("a_bar.npy").into_dimensionality::<Ix3>().unwrap();
    let values = place.array::<f64>("out/values.npy").into_dimensionality::<Ix2>().unwrap();
    let kept = place.array::<bool>("out/kept.npy").into_dimensionality::<Ix2>().unwrap();
    let lambda_bar = Array2::from_shape_vec((batch, n), lambda_bar).unwrap();
    for b in 0..batch {
        let at = Axis(0);
        let (v, v_bar) = (v.index_axis(at, b).to_owned(), v_bar.index_axis(at, b).to_owned());
        let expected = naive(&values.row(b).to_owned(), &v, &kept.row(b).to_vec(), &lambda_bar.row(b).to_owned(), &v_bar);
        let scale = expected.iter().map(|x| x.norm()).fold(0.0, f64::max);
        let error = (&expected - &a_bar.index_axis(at, b)).iter().map(|x| x.norm()).fold(0.0, f64::max);
        assert!(error <= 1e-12 * scale, "matrix {b}: {error:e} of {scale:e}");
    }
}

#[test]
fn full_rank() {
    check(&Numbers(3).hermitian(3, 7, 7), "");
}

#[test]
fn null_spaces() {
    check(&Numbers(4).hermitian(3, 7, 3), "");
}

#[test]
fn a_chosen_rank() {
    check(&Numbers(5).hermitian(3, 7, 7), "--rank 2");
}

#[test]
fn either_cotangent_may_be_absent() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2], &[3.0, 0.0, 0.0, 1.0]));
    place.put("l.npy", f8(&[2], &[10.0, 20.0]));
    place.put("v.npy", f8(&[2, 2], &[0.0, 0.0, 1.0, 0.0]));
    place.run("eigh a.npy --out out").ok();
    place.run("backward a.npy --values-bar l.npy --out a.bar.npy").ok();
    assert_eq!(place.array::<f64>("a.bar.npy"), ndarray::arr2(&[[20.0, 0.0], [0.0, 10.0]]).into_dyn());
    place.run("backward a.npy --vectors-bar v.npy --out v.bar.npy").ok();
    assert_eq!(place.array::<f64>("v.bar.npy"), ndarray::arr2(&[[0.0; 2]; 2]).into_dyn());
    let said = place.run("backward a.npy --out none.npy").misused();
    assert!(said.contains("--values-bar") && said.contains("--vectors-bar"), "{said}");
}

#[test]
fn cotangents_of_another_shape_or_type_are_refused() {
    let place = Place::new();
    place.put("a.npy", c16(&Numbers(6).hermitian(2, 3, 3)));
    let zeros = |shape: &[usize]| ArrayD::<C>::zeros(shape);
    for (flag, file, expected, got) in [
        ("values", npy("<f8", false, &zeros(&[2, 4])), "float64 [2, 3]", "float64 [2, 4]"),
        ("values", npy("<f8", false, &zeros(&[3])), "float64 [2, 3]", "float64 [3]"),
        ("values", npy("<f4", false, &zeros(&[2, 3])), "float64 [2, 3]", "float32 [2, 3]"),
        ("values", npy("<c16", false, &zeros(&[2, 3])), "float64 [2, 3]", "complex128 [2, 3]"),
        ("vectors", npy("<c16", false, &zeros(&[3, 3])), "complex128 [2, 3, 3]", "complex128 [3, 3]"),
        ("vectors", npy("<c8", false, &zeros(&[2, 3, 3])), "complex128 [2, 3, 3]", "complex64 [2, 3, 3]"),
        ("vectors", npy("<f8", false, &zeros(&[2, 3, 3])), "complex128 [2, 3, 3]", "float64 [2, 3, 3]"),
    ] {
        place.put("bar.npy", file);
        let said = place.run(&format!("backward a.npy --{flag}-bar bar.npy --out a_bar.npy")).refused();
        assert_eq!(said, format!("eigengrad: bar.npy: expected {expected}, got {got}\n"));
    }
    assert_eq!(place.names("."), ["a.npy", "bar.npy"]);
}

#[test]
fn a_loss_that_depends_on_phases_is_reported() {
    let place = Place::new();
    let a = Numbers(8).hermitian(2, 3, 3);
    place.put("a.npy", c16(&a));
    place.run("eigh a.npy --out out").ok();
    let v = place.array::<C>("out/vectors.npy").mapv(|v| v * C::I);
    place.put("v.npy", npy("<c16", false, &v));
    let run = place.run("backward a.npy --vectors-bar v.npy --out a_bar.npy");
    assert!(
        run.warned().contains("2 matrices (0, 1): loss depends on an eigenvector's phase (use |v|², v vᴴ or the projector)"),
        "{}",
        run.warned()
    );
}

#[test]
fn ties_and_overflow_are_reported() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2], &[1.0, 0.0, 0.0, 1.0]));
    place.put("v.npy", f8(&[2, 2], &[0.0, 1.0, 0.0, 0.0]));
    let said = place.run("backward a.npy --vectors-bar v.npy --out a_bar.npy").warned();
    assert!(said.contains("matrix 0: tied kept eigenvalues, loss depends on the basis of tied eigenvectors"), "{said}");
    place.put("h.npy", npy("<f2", false, &ndarray::arr2(&[[1.25, 0.0], [0.0, 1.0]]).mapv(C::from).into_dyn()));
    place.put("hv.npy", npy("<f2", false, &ndarray::arr2(&[[6e4, 0.0], [0.0, 0.0]]).mapv(C::from).into_dyn()));
    let said = place.run("backward h.npy --vectors-bar hv.npy --out h_bar.npy").warned();
    assert!(said.contains("matrix 0: gradient not finite"), "{said}");
}
