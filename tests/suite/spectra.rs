//! The catalogue of matrices: LAPACK TESTING/EIG's, and what a batch of low-rank matrices adds to
//! it.

use crate::numbers::{C, Matrix, diagonal, epsilon, range};
use crate::random::Rng;
use eigengrad::Element;
use ndarray::Array2;

fn scaled(a: Matrix, by: f64) -> Matrix {
    a.mapv(|x| x * by)
}

/// The catalogue at order n, by name.
pub fn catalogue<T: Element>(n: usize, rng: &mut Rng) -> Vec<(&'static str, Matrix)> {
    let (epsilon, (tiny, huge)) = (epsilon::<T>(), range::<T>());
    let spectrum = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { (0..n).map(|k| f(k as f64)).collect() };
    let last = (n.max(2) - 1) as f64;
    let alternating = |k: f64| if k % 2.0 == 0.0 { 1.0 } else { -1.0 };
    let even = spectrum(&|k| alternating(k) * (1.0 + k) / (1.0 + last));
    let geometric = spectrum(&|k| alternating(k) * epsilon.powf(k / last));
    let one_large = spectrum(&|k| if k == 0.0 { 1.0 } else { epsilon });
    let one_small = spectrum(&|k| if k == 0.0 { epsilon } else { 1.0 });
    let cluster = spectrum(&|k| 1.0 + k * epsilon);
    let pairs = spectrum(&|k| alternating(k) * (1.0 + (k / 2.0).floor()));
    let half_rank = spectrum(&|k| if k < (n / 2) as f64 { 1.0 + k } else { 0.0 });
    let rank_one = spectrum(&|k| if k == 0.0 { 1.0 } else { 0.0 });
    let mut padded = Array2::zeros((n, n));
    let block = rng.hermitian::<T>(n.div_ceil(2));
    padded.slice_mut(ndarray::s![..block.nrows(), ..block.nrows()]).assign(&block);
    let random = rng.hermitian::<T>(n);
    let grade = |i: usize| 1e-12f64.max(epsilon * epsilon).powf(i as f64 / last);
    let graded = Array2::from_shape_fn((n, n), |(i, j)| random[[i, j]] * grade(i) * grade(j));
    let second_difference = Array2::from_shape_fn((n, n), |(i, j)| match i.abs_diff(j) {
        0 => C::new(2.0, 0.0),
        1 => C::new(-1.0, 0.0),
        _ => C::ZERO,
    });
    let largest_entry = huge / 4.0 / n.max(1) as f64;
    vec![
        ("zero", Array2::zeros((n, n))),
        ("identity", Array2::eye(n)),
        ("diagonal", diagonal(&rng.vector(n))),
        ("diagonal with ties", diagonal(&pairs)),
        ("evenly spaced", rng.with_spectrum::<T>(&even)),
        ("geometric", rng.with_spectrum::<T>(&geometric)),
        ("one large", rng.with_spectrum::<T>(&one_large)),
        ("one small", rng.with_spectrum::<T>(&one_small)),
        ("cluster", rng.with_spectrum::<T>(&cluster)),
        ("± pairs", rng.with_spectrum::<T>(&pairs)),
        ("half rank", rng.with_spectrum::<T>(&half_rank)),
        ("rank one", rng.with_spectrum::<T>(&rank_one)),
        ("all ones", Array2::from_elem((n, n), C::new(1.0, 0.0))),
        ("zero-padded", padded),
        ("random", random.clone()),
        ("graded", graded),
        ("second difference", second_difference),
        ("× √overflow", scaled(random.clone(), huge.sqrt())),
        ("× √underflow", scaled(random.clone(), tiny.sqrt())),
        ("× overflow", scaled(random.mapv(|x| x / 8.0), largest_entry)),
        ("subnormal", scaled(random, tiny * 64.0)),
    ]
}
