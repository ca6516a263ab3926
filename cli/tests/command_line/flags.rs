//! The flags that commands share, and the commands that take no matrices.

use crate::files::{Numbers, Place, c16, f8, npy, ratio};
use ndarray::arr2;
use num_complex::Complex;

/// The kept mask of diag(0, 1e-17, 1, −2, 3) under these flags.
fn kept(flags: &str) -> Vec<bool> {
    let place = Place::new();
    let mut a = vec![0.0; 25];
    [0.0, 1e-17, 1.0, -2.0, 3.0].into_iter().enumerate().for_each(|(i, x)| a[6 * i] = x);
    place.put("a.npy", f8(&[5, 5], &a));
    // the null ones tie across the cut
    place.run(&format!("eigh a.npy --out out {flags}")).warned();
    place.array::<bool>("out/kept.npy").into_raw_vec_and_offset().0
}

#[test]
fn the_cut() {
    assert_eq!(kept(""), [true, false, false, true, true]);
    assert_eq!(kept("--cut none"), [true; 5]);
    assert_eq!(kept("--rank 2"), [true, false, false, false, true]);
    assert_eq!(kept("--rank 0"), [false; 5]);
    assert_eq!(kept("--rank 99"), kept(""));
    assert_eq!(kept("--cut none --rank 4"), [true, false, true, true, true]);
    assert_eq!(kept("--atol 2"), [false, false, false, false, true]);
    // alone, of torch's matrix_rank
    assert_eq!(kept("--atol 1e-18"), [true, false, true, true, true]);
    assert_eq!(kept("--rtol 0.5"), [true, false, false, false, true]);
    assert_eq!(kept("--rtol 0"), [true, false, true, true, true]);
    assert_eq!(kept("--rtol 0 --atol 2e-17"), [true, false, false, true, true]);
}

#[test]
fn tolerances_that_are_none() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    let said = place.run("eigh a.npy --out out --atol -1").refused();
    assert_eq!(said, "eigengrad: atol must be a number that is not negative, got -1\n");
    assert!(place.run("eigh a.npy --out out --rtol nan").refused().contains("rtol must be a number"));
    place.run("eigh a.npy --out out --rtol x").misused();
    let said = place.run("eigh a.npy --out out --rank -1").misused();
    assert!(said.contains("'-1'") && !said.contains("-- -1"), "{said}");
    assert!(place.run("eigh a.npy --out out --cut none --atol 1").misused().contains("cannot be used with"));
    place.run("eigh a.npy --out out --cut some").misused();
}

#[test]
fn a_tie_across_the_cut_is_a_warning() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2], &[1.0, 0.0, 0.0, -1.0]));
    let said = place.run("eigh a.npy --out out --rank 1").warned();
    assert_eq!(said, "eigengrad: a.npy: warning: matrix 0: rank cut between λ and −λ (keep one more or one less)\n");
    place.put("b.npy", f8(&[3, 3], &[1.0, 0.0, 0.0, 0.0, 1.0 + f64::EPSILON, 0.0, 0.0, 0.0, 3.0]));
    let said = place.run("eigh b.npy --out b --atol 1").warned();
    assert!(said.starts_with("eigengrad: b.npy: warning: matrix 0: tie across the cut (move the cut into a gap"), "{said}");
}

/// Data of float32 in a file of float64: seen, and cut at their noise if so asked.
#[test]
fn the_precision_of_the_data() {
    let place = Place::new();
    let (mut numbers, n) = (Numbers(3), 12);
    let x: Vec<f32> = (0..4 * n).map(|_| numbers.next() as f32 / 3.0).collect();
    let entry = |i: usize, j: usize| (0..4).map(|k| x[4 * i + k] * x[4 * j + k]).sum::<f32>();
    let mut a: Vec<f64> = (0..n * n).map(|at| f64::from(entry(at / n, at % n))).collect();
    a[1] += f64::from(f32::EPSILON) / 4.0; // asymmetric by round-off of float32
    place.put("a.npy", f8(&[n, n], &a));
    assert!(place.run("eigh a.npy --out out").refused().contains("--computed-in"));
    let said = place.run("eigh a.npy --out wide --uplo lower").warned();
    assert!(said.contains("--computed-in float32"), "{said}");
    let rank = |out: &str| place.array::<bool>(&format!("{out}/kept.npy")).iter().filter(|&&kept| kept).count();
    place.run("eigh a.npy --out cut --computed-in float32").ok();
    assert_eq!((rank("wide"), rank("cut")), (n, 4));
    place.put("integers.npy", f8(&[2, 2], &[2.0, 1.0, 1.0, 7.0]));
    place.run("eigh integers.npy --out integers").ok();
}

#[test]
fn the_mean_of_both_triangles() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2], &[1.0, 3.0, 1.0, 1.0]));
    place.run("eigh a.npy --out out --symmetrise").ok();
    let values = place.array::<f64>("out/values.npy");
    assert!((values[[0]] + 1.0).abs() < 1e-14 && (values[[1]] - 3.0).abs() < 1e-14, "{values}");
    place.run("eigh a.npy --out out --symmetrise --uplo lower").misused();
}

#[test]
fn rules_for_ties() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2], &[1.0, 0.0, 0.0, 1.0]));
    place.put("v.npy", f8(&[2, 2], &[0.0, 1.0, 0.0, 0.0]));
    let run = |flags: &str| place.run(&format!("backward a.npy --vectors-bar v.npy --out g.npy --force {flags}"));
    assert!(run("--ties exact").warned().contains("gradient not finite"));
    assert!(run("--ties error").refused().contains("tied kept eigenvalues refused (take another rule for ties)"));
    assert!(run("--tie-rtol 0").table().contains("tied"));
    assert!(run("--tie-rtol=-1").refused().contains("tie_rtol must be"));
    place.put("l.npy", f8(&[2], &[1.0, 1.0]));
    place.run("backward a.npy --values-bar l.npy --out trace.npy").ok(); // exact, and no warning
}

#[test]
fn a_solver_is_for_gpus() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    assert!(place.run("eigh a.npy --out out --device cpu --solver jacobi").refused().contains("--solver"));
}

#[test]
fn one_triangle() {
    let place = Place::new();
    let i = Complex::<f64>::I;
    place.put("a.npy", npy("<c16", false, &arr2(&[[1.0 + i, 5.0 * i], [2.0 * i, 1.0 + 0.0 * i]]).into_dyn()));
    assert!(place.run("eigh a.npy --out out").refused().contains("matrix 0 has an imaginary diagonal: |2 Im A[0, 0]| = 2.000e0"));
    for (uplo, off) in [("lower", 2.0), ("upper", 5.0)] {
        let said = place.run(&format!("eigh a.npy --out {uplo} --uplo {uplo}")).ok();
        let values = place.array::<f64>(&format!("{uplo}/values.npy"));
        assert!((values[[0]] - (1.0 - off)).abs() < 1e-14 && (values[[1]] - (1.0 + off)).abs() < 1e-14, "{values}");
        assert!(ratio(&said, "‖AV − VΛ‖₁") < 10.0, "{said}");
    }
    place.run("eigh a.npy --out out --uplo both").misused();
}

#[test]
fn threads_make_no_difference() {
    let place = Place::new();
    place.put("a.npy", c16(&Numbers(9).hermitian(50, 9, 4)));
    for threads in [1, 2, 3] {
        let said = place.run(&format!("eigh a.npy --out {threads} --threads {threads}")).ok();
        assert!(said.contains(&format!("cpu, {threads} thread")), "{said}");
        assert_eq!(place.bytes(&format!("{threads}/vectors.npy")), place.bytes("1/vectors.npy"));
        let bar = format!("--vectors-bar 1/vectors.npy --out {threads}.npy --threads {threads}");
        place.run(&format!("backward a.npy {bar}")).ok();
        assert_eq!(place.bytes(&format!("{threads}.npy")), place.bytes("1.npy"));
    }
    place.run("eigh a.npy --out out --threads 0").misused();
    place.run("eigh a.npy --out out --threads 100000").misused();
}

#[test]
fn devices_by_name() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    place.run("eigh a.npy --out auto --device auto").ok();
    place.run("eigh a.npy --out cpu --device cpu").ok();
    for device in ["tpu", "cuda:", "cuda:x", "cuda:-1"] {
        let said = place.run(&format!("eigh a.npy --out out --device {device}")).misused();
        assert!(said.contains("expected auto, cpu, cuda or cuda:K"), "{said}");
    }
    let devices = place.run("devices").ok();
    assert!(devices.starts_with("cpu"), "{devices}");
    assert!(["libcuda", "libcusolver", "libcublas", "libnvrtc"].iter().all(|library| devices.contains(library)), "{devices}");
}

#[test]
fn cuda_is_never_replaced_by_another_device() {
    let place = Place::new();
    place.put("a.npy", f8(&[1, 1], &[1.0]));
    for device in ["cuda:99", "cuda:100"] {
        let said = place.run(&format!("eigh a.npy --out out --device {device}")).refused();
        assert!(said.contains(&format!("--device {device}: ")), "{said}");
        assert!(said.contains("not found: sought") || said.contains("device"), "{said}");
    }
    assert_eq!(place.names("."), ["a.npy"]);
}
