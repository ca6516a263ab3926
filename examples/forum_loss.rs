//! The loss of a question that forums keep asking: |v|² of the kept eigenvectors of predicted
//! against true matrices, on matrices with a null space, where automatic differentiation through an
//! eigensolver returns NaN.

use eigengrad::{Cotangents, Cut, HermitianBatch, Options, Result, eigh};
use ndarray::{Array3, Axis, Zip};

/// Σ over kept eigenvectors and components of (|v|² − |v*|²)², and its gradient by the predicted
/// matrices.
fn loss(predicted: &Array3<f64>, truth: &Array3<f64>) -> Result<(f64, Array3<f64>)> {
    let options = Options::default().with_cut(Cut::at_most(3));
    let pairs = eigh(&HermitianBatch::new(predicted.view())?, &options)?;
    let target = eigh(&HermitianBatch::new(truth.view())?, &options)?;
    let mut difference = &pairs.vectors() * &pairs.vectors() - &target.vectors() * &target.vectors();
    // Null eigenvectors, any basis of the null space, are not compared.
    Zip::from(difference.lanes_mut(Axis(1))).and(pairs.kept()).for_each(|mut d, &kept| d.map_inplace(|d| *d *= f64::from(kept)));
    let v_bar = &difference * &pairs.vectors() * 4.0;
    let gradient = pairs.backward(&Cotangents::new(&pairs, None, Some(v_bar.view()))?)?;
    gradient.check()?;
    Ok((difference.iter().map(|d| d * d).sum(), gradient.a_bar().to_owned()))
}

/// Two matrices B Bᵀ, B 6×3 with two rows of zeros: of rank 3, and with rows of zeros, thus with
/// bit-equal null eigenvalues.
fn matrices(shift: f64) -> Array3<f64> {
    let wave = |m: usize, i: usize, k: usize| (1.0 + m as f64 + 2.3 * i as f64 * (k as f64 + shift)).sin();
    let b = Array3::from_shape_fn((2, 6, 3), |(m, i, k)| if i < 4 { wave(m, i, k) } else { 0.0 });
    let mut a = Array3::zeros((2, 6, 6));
    Zip::from(a.outer_iter_mut()).and(b.outer_iter()).for_each(|mut a, b| a.assign(&b.dot(&b.t())));
    a
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<()> {
    let truth = matrices(0.0);
    let (value, gradient) = loss(&matrices(0.1), &truth)?;
    println!("loss       {value:.6}");
    println!("finite     {}", gradient.iter().all(|x| x.is_finite()));
    println!("Hermitian  {}", gradient == gradient.view().permuted_axes([0, 2, 1]));
    let h = 1e-6; // along a path of matrices of rank 3, so that what is kept stays kept
    let (above, below) = (matrices(0.1 + h), matrices(0.1 - h));
    println!("slope      {:.9} by the gradient", (&gradient * &(&above - &below)).sum() / (2.0 * h));
    println!("slope      {:.9} by a difference", (loss(&above, &truth)?.0 - loss(&below, &truth)?.0) / (2.0 * h));
    Ok(())
}
