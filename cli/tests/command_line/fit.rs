//! `fit` on parts of the data that come with the project.

use crate::files::{Numbers, Place, c16, f8};
use ndarray::{Array3, ArrayD, Axis, Ix3};
use ndarray_npy::read_npy;
use num_complex::Complex;

type C = Complex<f64>;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data");

/// Three of the cross-spectral matrices as c.npy: complex, rank 5 of 12.
fn spectra(place: &Place) -> Array3<C> {
    let all: Array3<C> = read_npy(format!("{DATA}/macro_cross_spectra.npy")).unwrap();
    let some = all.select(Axis(0), &[4, 8, 20]);
    place.put("c.npy", c16(&some));
    some
}

/// The covariance of the digit 8 as r.npy: real, bit-tied null rows, a gap of kept eigenvalues of
/// 1e-6 of the largest.
fn digits(place: &Place) {
    let all: Array3<f64> = read_npy(format!("{DATA}/digits_covariance.npy")).unwrap();
    let some: Vec<_> = all.index_axis(Axis(0), 8).iter().copied().collect();
    place.put("r.npy", f8(&[1, 64, 64], &some));
}

/// The number in a row of the closing table.
fn row(table: &str, name: &str) -> f64 {
    let found = table.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in\n{table}"));
    found.split_whitespace().next().unwrap().parse().unwrap()
}

fn converged(table: &str) {
    assert!(row(table, "max|Δλ|/max|λ|") <= 1e-6, "{table}");
    assert!(row(table, "projector error ‖Π − Π*‖") <= 1e-6, "{table}");
    assert_eq!(row(table, "gradients that were not finite"), 0.0);
}

fn distance(x: &ArrayD<C>, y: &Array3<C>) -> f64 {
    let square = |x: &mut dyn Iterator<Item = C>| x.map(|x| x.norm_sqr()).sum::<f64>().sqrt();
    square(&mut x.iter().zip(y).map(|(x, y)| x - y)) / square(&mut y.iter().copied())
}

#[test]
fn complex_matrices_are_found_from_a_tenth_away() {
    let place = Place::new();
    let target = spectra(&place);
    converged(&place.run("fit c.npy --steps 1000 --out out").ok());
    let fitted = place.array::<C>("out/fitted.npy");
    assert!(distance(&fitted, &target) < 1e-6);
    let picture = String::from_utf8(place.bytes("out/loss.svg")).unwrap();
    for words in ["fit of c.npy", "all 1000 steps were taken; converged: 3 of 3 matrices", "loss, mean over the matrices"] {
        assert!(picture.contains(words), "{words}");
    }
    assert_eq!(picture.matches("<circle").count(), 2); // where the curves end
    let fitted = fitted.into_dimensionality::<Ix3>().unwrap();
    assert_eq!(fitted, fitted.view().permuted_axes([0, 2, 1]).mapv(|x| x.conj()));
}

#[test]
fn real_matrices_with_tied_nulls_are_found() {
    let place = Place::new();
    digits(&place);
    converged(&place.run("fit r.npy --noise 1e-3 --steps 1000 --out out").ok());
}

#[test]
fn no_steps_write_the_start_and_a_seed_is_that_start() {
    let place = Place::new();
    let target = spectra(&place);
    place.run("fit c.npy --steps 0 --out a").ok();
    place.run("fit c.npy --steps 0 --seed 0 --noise 0.1 --out b").ok();
    place.run("fit c.npy --steps 0 --seed 1 --out c").ok();
    place.run("fit c.npy --steps 0 --noise 0 --out d").ok();
    assert_eq!(place.bytes("a/fitted.npy"), place.bytes("b/fitted.npy"));
    assert_ne!(place.bytes("a/fitted.npy"), place.bytes("c/fitted.npy"));
    assert!((0.01..1.0).contains(&distance(&place.array("a/fitted.npy"), &target)));
    assert!(distance(&place.array("d/fitted.npy"), &target) < 1e-13);
}

#[test]
fn the_same_seed_gives_the_same_bits_whatever_the_threads() {
    let place = Place::new();
    spectra(&place);
    let said = place.run("fit c.npy --steps 50 --seed 3 --out a").warned();
    assert!(said.contains("matrix 0 did not converge, loss ") && said.contains("more --steps may do"), "{said}");
    place.run("fit c.npy --steps 50 --seed 3 --out b --threads 1").warned();
    assert_eq!(place.bytes("a/fitted.npy"), place.bytes("b/fitted.npy"));
    assert_eq!(place.bytes("a/loss.svg"), place.bytes("b/loss.svg"));
}

#[test]
fn both_losses_fall_from_a_start_in_the_wrong_order() {
    let place = Place::new();
    spectra(&place);
    for loss in ["overlap", "intensity"] {
        let start = place.run(&format!("fit c.npy --loss {loss} --noise 1 --steps 0 --out {loss}-start")).ok();
        let end = place.run(&format!("fit c.npy --loss {loss} --noise 1 --steps 300 --out {loss}-end"));
        end.warned();
        let end = end.table();
        assert!(row(&end, "loss") < 0.01 * row(&start, "loss"), "{start}{end}");
    }
}

#[test]
fn the_rank_may_be_less_and_the_folder_is_named() {
    let place = Place::new();
    spectra(&place);
    let table = place.run("fit c.npy --rank 2 --steps 1000").ok();
    converged(&table);
    assert!(table.contains("2 in 3 matrices"), "{table}");
    assert_eq!(place.names("c-fit"), ["fitted.npy", "loss.svg"]);
    place.run("fit c.npy --rank 2 --steps 0").ok(); // once more in a folder of its own
    assert_eq!(place.names("c-fit-2"), ["fitted.npy", "loss.svg"]);
    assert!(place.run("fit c.npy --rank 2 --steps 0 --out c-fit").refused().contains("--force"));
}

#[test]
fn a_matrix_that_is_not_finite_is_left_out() {
    let place = Place::new();
    let mut target = spectra(&place);
    target[[1, 3, 3]] = f64::NAN.into();
    place.put("nan.npy", c16(&target));
    assert!(place.run("fit nan.npy --steps 20 --out out").warned().contains("matrix 1: not finite"));
    let fitted = place.array::<C>("out/fitted.npy").into_dimensionality::<Ix3>().unwrap();
    let nan: Vec<_> = fitted.outer_iter().map(|a| a.iter().all(|x| x.is_nan())).collect();
    assert_eq!(nan, [false, true, false]);
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let place = Place::new();
    place.put("indefinite.npy", f8(&[2, 2], &[1.0, 0.0, 0.0, -1.0]));
    assert!(place.run("fit indefinite.npy").refused().contains("matrix 0 has the kept eigenvalue -1.000e0"));
    place.put("c.npy", c16(&Numbers(1).hermitian(1, 3, 2)));
    for noise in ["-1", "nan", "inf"] {
        assert!(place.run(&format!("fit c.npy --noise={noise}")).refused().contains("--noise"));
    }
}

/// What is asked of the cut holds in the loop, and what cannot be fitted is told with a reason.
#[test]
fn the_cut_is_that_of_the_loop_and_failures_are_told() {
    let place = Place::new();
    let mut a = vec![0.0; 25];
    [1.0, 0.5, 1e-4, 1e-9, 1e-13].into_iter().enumerate().for_each(|(i, x)| a[6 * i] = x);
    place.put("graded.npy", f8(&[5, 5], &a));
    converged(&place.run("fit graded.npy --cut none --noise 1e-2 --out graded").ok());
    converged(&place.run("fit graded.npy --rtol 1e-16 --noise 1e-2 --out fine").ok());
    place.put("tied.npy", f8(&[3, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0]));
    let said = place.run("fit tied.npy --out tied").warned();
    assert!(said.contains("matrix 0 did not converge") && said.contains("eigenvalues of the target tie"), "{said}");
}

#[test]
fn nothing_to_fit_is_no_failure() {
    let place = Place::new();
    for (shape, numbers) in [(vec![0, 3, 3], 0), (vec![2, 0, 0], 0), (vec![1, 2, 2], 4)] {
        place.put("zero.npy", f8(&shape, &vec![0.0; numbers]));
        assert_eq!(row(&place.run("fit zero.npy --steps 2 --out out --force").ok(), "loss"), 0.0);
        assert_eq!(place.array::<f64>("out/fitted.npy").shape(), shape);
    }
}
