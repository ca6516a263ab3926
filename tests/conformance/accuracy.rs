//! Residuals, orthogonality and the noise of null eigenvalues, as LAPACK's ratios: recorded,
//! asserted only loosely.

use crate::fact::fact;
use crate::gpu::{Gpu, gpu};
use crate::matrices::{Matrices, ascending, ratios};
use crate::number::Number;
use crate::solver::{JACOBI, Job, Routine};
use num_complex::Complex;

const SIZES: [usize; 11] = [1, 2, 3, 4, 5, 8, 16, 31, 32, 33, 64];
/// In units of n ε |A|. A sound routine stays below 10; the measurement shall be delivered for one
/// that does not, too.
const LOOSE: f64 = 1000.0;

fn settings(epsilon: f64) -> Vec<(&'static str, Routine)> {
    let jacobi = |tolerance| Routine::Jacobi { tolerance: Some(tolerance), sweeps: None, sort: true };
    let others = Routine::all().into_iter().filter(|routine| *routine != JACOBI).map(|routine| ("", routine));
    [("default", JACOBI), ("eps", jacobi(epsilon)), ("0.1 eps", jacobi(0.1 * epsilon))].into_iter().chain(others).collect()
}

fn measure<T: Number>(gpu: &Gpu) {
    for (tolerance, routine) in settings(T::EPSILON) {
        let mut worst = [0.0f64; 2];
        for n in SIZES {
            let (count, rank) = (if n > 16 { 3 } else { 20 }, n.div_ceil(2));
            let (full, low) = (Matrices::<T>::random(n, count, 11), Matrices::<T>::of_rank(n, count, rank, 12));
            let job = Job::new(routine, n, count);
            let (x, y) = match (job.run(gpu, &full), job.run(gpu, &low)) {
                (Ok(x), Ok(y)) => (x, y),
                (x, y) => {
                    let status = [x.err(), y.err()].into_iter().flatten().next().unwrap_or(0);
                    fact!("refused", routine: routine.name(), dtype: T::NAME, n: n, batch: count, status: status);
                    continue;
                }
            };
            let [r, o] = ratios(&full, &x.w, &x.v);
            let [r_low, o_low] = ratios(&low, &y.w, &y.v);
            let null = y.w.chunks(n).flat_map(|w| {
                let largest: f64 = w[n - 1].into();
                w[..n - rank].iter().map(move |w| {
                    let w: f64 = (*w).into();
                    w.abs() / largest
                })
            });
            let noise = null.fold(0.0, f64::max) / T::EPSILON;
            let failed = x.info[..count].iter().chain(&y.info[..count]).filter(|info| **info != 0).count();
            fact!(
                "accuracy", routine: routine.name(), dtype: T::NAME, n: n, tolerance: tolerance, residual: r, orthogonality: o,
                residual_low_rank: r_low, orthogonality_low_rank: o_low, null_noise_eps: noise, not_converged: failed,
            );
            assert!(ascending(&x.w, n) && ascending(&y.w, n), "{routine:?} {} n = {n}", T::NAME);
            worst = [worst[0].max(r).max(r_low), worst[1].max(o).max(o_low)];
            assert!(!(r + r_low + o + o_low).is_nan(), "{routine:?} {} n = {n}", T::NAME);
        }
        assert!(worst[0] <= LOOSE && worst[1] <= LOOSE, "{routine:?} {}: {worst:?}", T::NAME);
    }
}

/// A = VΛVᴴ, VᴴV = I, λ ascending, in float. Reported: 9e-9 residuals of heevjBatched in complex128
/// at the default tolerance.
#[test]
fn decompositions_are_accurate_in_f32() {
    if let Some(gpu) = gpu("decompositions_are_accurate_in_f32") {
        measure::<f32>(&gpu);
    }
}

/// As above, in double.
#[test]
fn decompositions_are_accurate_in_f64() {
    if let Some(gpu) = gpu("decompositions_are_accurate_in_f64") {
        measure::<f64>(&gpu);
    }
}

/// As above, in cuComplex. Reported: non-orthonormal vectors of XsyevBatched before cuSOLVER 11.7.3
/// (pytorch/pytorch#192483).
#[test]
fn decompositions_are_accurate_in_c64() {
    if let Some(gpu) = gpu("decompositions_are_accurate_in_c64") {
        measure::<Complex<f32>>(&gpu);
    }
}

/// As above, in cuDoubleComplex.
#[test]
fn decompositions_are_accurate_in_c128() {
    if let Some(gpu) = gpu("decompositions_are_accurate_in_c128") {
        measure::<Complex<f64>>(&gpu);
    }
}

fn spectra<T: Number>(gpu: &Gpu) {
    let (n, count) = (8, 4);
    let diagonal = |value: fn(usize) -> f64| {
        Matrices::<T>::from_fn(n, count, move |_, i, j| if i == j { value(i).into() } else { 0.0.into() })
    };
    let largest: f64 = if T::EPSILON > 1e-10 { 1e38 } else { 1e308 };
    let scaled = |scale: f64| {
        let gaussian = Matrices::<Complex<f64>>::random(n, count, 5);
        Matrices::<T>::from_fn(n, count, |k, i, j| gaussian.at(k, i, j) * scale)
    };
    let [huge, tiny] = [1e-3 * largest, 1e3 / largest];
    let cases = [
        ("zero", diagonal(|_| 0.0), true),
        ("identity", diagonal(|_| 1.0), true),
        ("descending diagonal", diagonal(|i| -(i as f64)), true),
        ("clustered", diagonal(|i| 1.0 + 1e-12 * i as f64), true),
        ("scaled up to the square root of overflow", scaled(largest.sqrt() * 1e-3), true),
        ("scaled down to the square root of underflow", scaled(1e3 / largest.sqrt()), true),
        ("scaled up to overflow", scaled(huge), false),
        ("scaled down to underflow", scaled(tiny), false),
    ];
    for routine in Routine::all() {
        for (name, a, sound) in &cases {
            let outcome = Job::new(routine, n, count).run(gpu, a).expect("the call succeeds");
            let [r, o] = ratios(a, &outcome.w, &outcome.v);
            let failed = outcome.info[..count].iter().filter(|info| **info != 0).count();
            fact!("spectrum", routine: routine.name(), dtype: T::NAME, n: n, matrix: *name, residual: r, orthogonality: o, not_converged: failed);
            assert!(!sound || (r <= LOOSE && o <= LOOSE), "{} {} {name}", routine.name(), T::NAME);
        }
    }
}

/// Zero, identity, clustered, scaled: LAPACK's testing matrices. At the very ends of the range
/// nothing is promised: recorded.
#[test]
fn special_spectra_are_decomposed() {
    let Some(gpu) = gpu("special_spectra_are_decomposed") else { return };
    spectra::<f32>(&gpu);
    spectra::<f64>(&gpu);
    spectra::<Complex<f32>>(&gpu);
    spectra::<Complex<f64>>(&gpu);
}
