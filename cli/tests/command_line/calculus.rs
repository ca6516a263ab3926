//! `jvp`, `double-backward`, `spectral` and `projector`: shapes, files, warnings, and each against
//! what another command or a difference says.

use crate::files::{Numbers, Place, c16, f8, npy};
use ndarray::{Array3, ArrayD, Axis, Ix3, Ix4, stack};
use num_complex::Complex;

type C = Complex<f64>;

const N: usize = 5;

fn scaled(a: &Array3<C>, by: f64) -> Array3<C> {
    a.mapv(|x| x * by)
}

/// Re Σ conj(x) y over all matrices.
fn inner(x: &Array3<C>, y: &Array3<C>) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x.conj() * y).re).sum()
}

fn near(x: &ArrayD<C>, y: &ArrayD<C>, within: f64) {
    assert_eq!(x.shape(), y.shape());
    let far = x.iter().zip(y).map(|(x, y)| (x - y).norm()).fold(0.0, f64::max);
    assert!(far <= within, "{far:e}: {x} and {y}");
}

fn matrices(place: &Place, name: &str) -> Array3<C> {
    place.array::<C>(name).into_dimensionality::<Ix3>().unwrap()
}

/// A product matrix by matrix.
fn times(x: &Array3<C>, y: &Array3<C>) -> Array3<C> {
    let products: Vec<_> = x.outer_iter().zip(y.outer_iter()).map(|(x, y)| x.dot(&y)).collect();
    stack(Axis(0), &products.iter().map(|x| x.view()).collect::<Vec<_>>()).unwrap()
}

/// Two matrices of rank 3 and two directions for each.
fn place() -> (Place, Array3<C>, [Array3<C>; 2]) {
    let (place, mut numbers) = (Place::new(), Numbers(31));
    let (a, e) = (numbers.hermitian(2, N, 3), [(); 2].map(|()| numbers.hermitian(2, N, N)));
    place.put("a.npy", c16(&a));
    place.put("e.npy", c16(&e[0]));
    (place, a, e)
}

#[test]
fn tangents_of_one_direction_and_of_several() {
    let (place, a, e) = place();
    let both = stack(Axis(0), &[e[0].view(), e[1].view()]).unwrap().into_dyn();
    place.put("both.npy", npy("<c16", true, &both));
    place.put("second.npy", c16(&e[1]));
    let said = place.run("jvp a.npy --tangent both.npy --out both").ok();
    assert!(said.lines().any(|line| line.starts_with("directions") && line.ends_with(" 2")), "{said}");
    for (direction, file) in ["e", "second"].into_iter().enumerate() {
        place.run(&format!("jvp a.npy --tangent {file}.npy --out {file}")).ok();
        let (values, vectors) = (place.array::<f64>("both/values_dot.npy"), place.array::<C>("both/vectors_dot.npy"));
        assert_eq!(values.index_axis(Axis(0), direction), place.array::<f64>(&format!("{file}/values_dot.npy")));
        assert_eq!(vectors.index_axis(Axis(0), direction), place.array::<C>(&format!("{file}/vectors_dot.npy")));
    }
    // A tangent commutes with the Hermitian projection only if it is projected: V Λ Vᴴ moves by Ȧ
    // on K×K.
    place.run("eigh a.npy --out out").ok();
    let (v, kept) = (matrices(&place, "out/vectors.npy"), place.array::<bool>("out/kept.npy"));
    let values_dot = place.array::<f64>("e/values_dot.npy");
    for (b, k) in (0..2).flat_map(|b| (0..N).map(move |k| (b, k))) {
        let (v, e) = (v.index_axis(Axis(0), b), e[0].index_axis(Axis(0), b));
        let expected: C = (0..N).flat_map(|i| (0..N).map(move |j| v[[i, k]].conj() * e[[i, j]] * v[[j, k]])).sum();
        let expected = expected.re;
        let expected = if kept[[b, k]] { expected } else { 0.0 };
        assert!((values_dot[[b, k]] - expected).abs() < 1e-13);
    }
    assert_eq!(place.array::<C>("both/vectors_dot.npy").into_dimensionality::<Ix4>().unwrap().dim(), (2, a.dim().0, N, N));
}

/// The names that commands had do what they did; the one that misled says so.
#[test]
fn commands_by_the_names_they_had() {
    let (place, _, _) = place();
    place.put("l.npy", f8(&[2, N], &[1.0; 2 * N]));
    for (now, before) in [("eigh", "decompose"), ("backward", "vjp"), ("double-backward", "hvp")] {
        let arguments = match now {
            "eigh" => "a.npy",
            "backward" => "a.npy --values-bar l.npy",
            _ => "a.npy --values-bar l.npy --cotangent e.npy",
        };
        let file = |name: &str| if now == "backward" { format!("{name}.npy") } else { format!("{name}/values.npy") };
        place.run(&format!("{now} {arguments} --out {}", if now == "backward" { "now.npy" } else { now })).ok();
        let out = if now == "backward" { "before.npy" } else { before };
        let said = place.run(&format!("{before} {arguments} --out {out}")).warned();
        assert_eq!(said.contains("double-backward"), now == "double-backward", "{said}");
        match now {
            "eigh" => assert_eq!(place.array::<f64>(&file(now)), place.array::<f64>(&file(before))),
            "backward" => assert_eq!(place.array::<C>("now.npy"), place.array::<C>("before.npy")),
            _ => assert_eq!(place.array::<C>(&format!("{now}/a_bar.npy")), place.array::<C>(&format!("{before}/a_bar.npy"))),
        }
    }
}

#[test]
fn the_double_backward_is_a_tangent_and_a_difference() {
    let (place, a, [h, e]) = place();
    place.run("eigh a.npy --out out").ok();
    let v = matrices(&place, "out/vectors.npy");
    let lambda_bar: Vec<_> = (0..2 * N).map(|k| 1.0 + k as f64).collect();
    place.put("l.npy", f8(&[2, N], &lambda_bar));
    place.put("v.npy", c16(&scaled(&v, 2.0)));
    place.run("double-backward a.npy --values-bar l.npy --vectors-bar v.npy --cotangent e.npy --out hvp").ok();
    place.run("jvp a.npy --tangent e.npy --out jvp").ok();
    near(&place.array::<C>("hvp/vectors_bar_bar.npy"), &place.array::<C>("jvp/vectors_dot.npy"), 1e-13);
    let (x, y) = (place.array::<f64>("hvp/values_bar_bar.npy"), place.array::<f64>("jvp/values_dot.npy"));
    assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 1e-13));
    // ⟨H, Ā⟩ of λ̄ alone, along directions that keep the range and so the rank.
    place.run("double-backward a.npy --values-bar l.npy --cotangent e.npy --out hvp --force").ok();
    place.run("projector a.npy --out p").ok();
    let p = matrices(&place, "p/value.npy");
    let (within, step) = (times(&times(&p, &e), &p), 1e-5);
    let at = |step: f64| {
        place.put("moved.npy", c16(&(&a + &scaled(&within, step))));
        place.run("backward moved.npy --values-bar l.npy --uplo lower --out moved_bar.npy --force").ok();
        inner(&h, &matrices(&place, "moved_bar.npy"))
    };
    let difference = (at(step) - at(-step)) / (2.0 * step);
    let derivative = inner(&matrices(&place, "hvp/a_bar.npy"), &within);
    assert!((derivative - difference).abs() < 1e-6 * difference.abs(), "{derivative} and {difference}");
}

#[test]
fn functions_compose_and_have_slopes() {
    let (place, a, [h, e]) = place();
    place.run("projector a.npy --out p").ok();
    let p = matrices(&place, "p/value.npy");
    near(&times(&p, &p).into_dyn(), &p.clone().into_dyn(), 1e-14);
    assert_eq!(place.names("p"), ["value.npy"]);
    for (function, inverse) in [("sqrt", "pow:2"), ("exp", "log"), ("pinv", "pinv"), ("pow:-0.5", "pow:-2")] {
        place.run(&format!("spectral a.npy --function {function} --out f --force")).ok();
        place.run(&format!("spectral f/value.npy --function {inverse} --uplo lower --out g --force")).ok();
        near(&place.array::<C>("g/value.npy"), &a.clone().into_dyn(), 1e-11);
    }
    // Along directions that keep the range and so the rank.
    let (within, step) = (times(&times(&p, &e), &p), 1e-5);
    for function in ["sqrt", "rsqrt", "pinv", "log", "exp", "xlogx", "pow:1.5"] {
        let at = |step: f64| {
            place.put("moved.npy", c16(&(&a + &scaled(&within, step))));
            place.run(&format!("spectral moved.npy --function {function} --uplo lower --out moved --force")).ok();
            inner(&h, &matrices(&place, "moved/value.npy"))
        };
        let difference = (at(step) - at(-step)) / (2.0 * step);
        place.run(&format!("spectral a.npy --function {function} --bar e.npy --out f --force")).ok();
        let derivative = inner(&matrices(&place, "f/a_bar.npy"), &within);
        assert!((derivative - difference).abs() < 1e-5 * difference.abs(), "{function}: {derivative} and {difference}");
    }
}

#[test]
fn what_is_not_hermitian_is_projected_with_a_warning() {
    let (place, _, [e, skewed]) = place();
    let skew = skewed.mapv(|x| x * C::I);
    place.put("far.npy", c16(&(&e + &skew)));
    place.put("l.npy", f8(&[2, N], &[1.0; 2 * N]));
    for (command, file) in [
        ("jvp a.npy --tangent", "vectors_dot.npy"),
        ("double-backward a.npy --values-bar l.npy --cotangent", "a_bar.npy"),
        ("spectral a.npy --function sqrt --bar", "a_bar.npy"),
        ("projector a.npy --bar", "a_bar.npy"),
    ] {
        place.run(&format!("{command} e.npy --out near --force")).ok();
        let said = place.run(&format!("{command} far.npy --out far --force")).warned();
        assert!(said.starts_with("eigengrad: far.npy: warning: matrix ") && said.contains("½(E + Eᴴ) is taken"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        near(&place.array::<C>(&format!("near/{file}")), &place.array::<C>(&format!("far/{file}")), 1e-12);
    }
}

#[test]
fn findings_and_misuse() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2, 2], &[1.0, 0.0, 0.0, -2.0, 4.0, 0.0, 0.0, 9.0]));
    let said = place.run("spectral a.npy --function sqrt --out f").warned();
    assert!(said.contains("matrix 0: a kept eigenvalue outside the function's domain"), "{said}");
    let value = place.array::<f64>("f/value.npy");
    assert!(value.index_axis(Axis(0), 0).iter().all(|x| x.is_nan()));
    assert_eq!(value.index_axis(Axis(0), 1), ndarray::arr2(&[[2.0, 0.0], [0.0, 3.0]]).into_dyn());
    for function in ["cbrt", "pow", "pow:", "pow:x", "pow:inf"] {
        let said = place.run(&format!("spectral a.npy --function {function} --out g")).misused();
        assert!(said.contains("expected sqrt, rsqrt, pinv, log, exp, xlogx or pow:P"), "{said}");
    }
    assert!(place.run("spectral a.npy --function exp --out f").refused().contains("--force"), "nothing is overwritten unasked");
    place.put("wrong.npy", f8(&[3, 2, 2], &[0.0; 12]));
    for command in ["jvp a.npy --tangent", "double-backward a.npy --values-bar l.npy --cotangent", "projector a.npy --bar"] {
        place.put("l.npy", f8(&[2, 2], &[1.0; 4]));
        let said = place.run(&format!("{command} wrong.npy --out h")).refused();
        assert_eq!(said, "eigengrad: wrong.npy: expected float64 [2, 2, 2], got float64 [3, 2, 2]\n");
    }
    assert!(!place.names(".").iter().any(|name| ["g", "h"].contains(&name.as_str())));
}
