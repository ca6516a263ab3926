//! What `eigh` writes and says.

use crate::files::{Numbers, Place, c16, f8, ratio};
use ndarray::{Array2, Axis, s};
use num_complex::Complex;

#[test]
fn the_files_hold_the_eigenpairs_and_the_table_describes_them() {
    let place = Place::new();
    let a = Numbers(1).hermitian(3, 5, 2);
    place.put("a.npy", c16(&a));
    let said = place.run("eigh a.npy --out out").ok();
    for words in ["complex128", "[3, 5, 5]", "cpu, ", "2 in 3 matrices", "smallest gap, kept–dropped", "out/kept.npy"] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    assert_eq!(place.names("out"), ["kept.npy", "values.npy", "vectors.npy"]);
    let (values, vectors) = (place.array::<f64>("out/values.npy"), place.array::<Complex<f64>>("out/vectors.npy"));
    let kept = place.array::<bool>("out/kept.npy");
    assert_eq!((values.shape(), vectors.shape(), kept.shape()), (&[3, 5][..], &[3, 5, 5][..], &[3, 5][..]));
    for b in 0..3 {
        let lambda = values.slice(s![b, ..]);
        assert!(lambda.iter().is_sorted());
        let v: Array2<Complex<f64>> = vectors.slice(s![b, .., ..]).to_owned();
        let by_lambda = &v * &lambda.mapv(Complex::from).insert_axis(Axis(0));
        let residual = a.index_axis(Axis(0), b).dot(&v) - by_lambda;
        assert!(residual.iter().all(|x| x.norm() < 1e-13), "{residual}");
        assert_eq!(kept.slice(s![b, ..]).to_vec(), [false, false, false, true, true]);
    }
}

/// The picture has a disc for each eigenvalue that a logarithm has, and names the worst margins.
#[test]
fn the_picture_shows_the_cut() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2, 2], &[2.0, 0.0, 0.0, 1.0, 5.0, 0.0, 0.0, 1e-3]));
    let picture = |flags: &str, name: &str| {
        place.run(&format!("eigh a.npy --out out --force --svg {name} {flags}")).ok();
        String::from_utf8(place.bytes(name)).unwrap()
    };
    let svg = picture("--rtol 0.01", "a.svg");
    assert!(svg.contains("smallest kept 5.0e1 τ (matrix 0), largest dropped 2.0e-2 τ (matrix 1)"), "{svg}");
    assert_eq!(svg.matches("<circle").count(), 4);
    let svg = picture("--cut none", "none.svg");
    assert!(svg.contains("no cutoff") && svg.matches("<circle").count() == 4, "{svg}");
    assert!(place.run("eigh a.npy --out new --svg a.svg").refused().contains("a.svg: exists"));
    assert!(!place.path("new").exists());
    for (shape, circles) in [([0, 2, 2], 0), ([2, 0, 0], 0), ([1, 2, 2], 0)] {
        place.put("a.npy", f8(&shape, &vec![0.0; shape.iter().product()]));
        assert_eq!(picture("", "empty.svg").matches("<circle").count(), circles, "{shape:?}");
    }
}

#[test]
fn one_matrix_gives_results_without_a_batch() {
    let place = Place::new();
    place.put("a.npy", f8(&[2, 2], &[2.0, 0.0, 0.0, 1.0]));
    place.put("batch.npy", f8(&[1, 2, 2], &[2.0, 0.0, 0.0, 1.0]));
    place.run("eigh a.npy --out one").ok();
    place.run("eigh batch.npy --out batch").ok();
    assert_eq!(place.array::<f64>("one/values.npy"), ndarray::arr1(&[1.0, 2.0]).into_dyn());
    assert_eq!(place.array::<f64>("one/vectors.npy").shape(), [2, 2]);
    assert_eq!(place.array::<bool>("one/kept.npy").shape(), [2]);
    assert_eq!(place.array::<f64>("batch/values.npy").shape(), [1, 2]);
}

#[test]
fn empty_batches_empty_matrices_and_numbers_are_accepted() {
    let place = Place::new();
    for (name, shape, values) in
        [("empty", vec![0, 3, 3], 0), ("order0", vec![2, 0, 0], 0), ("one", vec![2, 1, 1], 2), ("nil", vec![0, 0], 0)]
    {
        place.put("a.npy", f8(&shape, &vec![-3.0; values]));
        place.run(&format!("eigh a.npy --out {name}")).ok();
        assert_eq!(place.array::<f64>(&format!("{name}/vectors.npy")).shape(), shape);
        assert_eq!(place.array::<f64>(&format!("{name}/values.npy")).shape(), &shape[..shape.len() - 1]);
        place.put("l.npy", f8(&shape[..shape.len() - 1], &vec![7.0; values]));
        place.run(&format!("backward a.npy --values-bar l.npy --vectors-bar {name}/vectors.npy --out {name}/a_bar.npy")).ok();
        let a_bar = place.array::<f64>(&format!("{name}/a_bar.npy"));
        assert_eq!((a_bar.shape(), a_bar.sum()), (&shape[..], 7.0 * values as f64));
    }
    assert_eq!(place.array::<f64>("one/values.npy").into_raw_vec_and_offset().0, [-3.0, -3.0]);
}

#[test]
fn a_matrix_that_is_not_finite_is_named_and_leaves_the_others_alone() {
    let place = Place::new();
    let mut a = Numbers(2).hermitian(4, 6, 6);
    place.put("clean.npy", c16(&a));
    a[[2, 4, 1]] = Complex::new(0.0, f64::INFINITY);
    place.put("a.npy", c16(&a));
    place.run("eigh clean.npy --out clean").ok();
    let warned = place.run("eigh a.npy --out out").warned();
    assert_eq!(warned, "eigengrad: a.npy: warning: matrix 2: not finite (remove NaN and infinity from the input)\n");
    let (clean, values) = (place.array::<f64>("clean/values.npy"), place.array::<f64>("out/values.npy"));
    let vectors = place.array::<Complex<f64>>("out/vectors.npy");
    let clean_vectors = place.array::<Complex<f64>>("clean/vectors.npy");
    for b in [0, 1, 3] {
        assert_eq!(values.slice(s![b, ..]), clean.slice(s![b, ..]));
        assert_eq!(vectors.slice(s![b, .., ..]), clean_vectors.slice(s![b, .., ..]));
    }
    assert!(values.slice(s![2, ..]).iter().all(|x| x.is_nan()));
    assert!(vectors.slice(s![2, .., ..]).iter().all(|x| x.is_nan()));
    assert!(place.array::<bool>("out/kept.npy").slice(s![2, ..]).iter().all(|&kept| !kept));

    place.run("backward clean.npy --vectors-bar clean/vectors.npy --out clean/a_bar.npy").ok();
    let warned = place.run("backward a.npy --vectors-bar clean/vectors.npy --out out/a_bar.npy").warned();
    assert!(warned.contains("matrix 2: not finite"), "{warned}");
    let (clean, a_bar) = (place.array::<Complex<f64>>("clean/a_bar.npy"), place.array::<Complex<f64>>("out/a_bar.npy"));
    for b in [0, 1, 3] {
        assert_eq!(a_bar.slice(s![b, .., ..]), clean.slice(s![b, .., ..]));
    }
    assert!(a_bar.slice(s![2, .., ..]).iter().all(|x| x.is_nan()));
}

#[test]
fn scales_from_denormal_to_the_largest_are_decomposed_alike() {
    let place = Place::new();
    for scale in [5e-324, 1e-310, 1e-300, 1.0, 1e300, 5e307] {
        place.put("a.npy", f8(&[2, 2], &[2.0 * scale, 0.0, 0.0, -scale]));
        let said = place.run("eigh a.npy --out out --force").ok();
        let values = place.array::<f64>("out/values.npy");
        assert!((values[[0]] / scale + 1.0).abs() < 1e-15 && (values[[1]] / scale - 2.0).abs() < 1e-15, "{scale:e}: {values}");
        assert!(ratio(&said, "‖AV − VΛ‖₁") < 10.0 && ratio(&said, "‖VᴴV − I‖₁") < 10.0, "{said}");
    }
}
