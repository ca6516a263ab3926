//! Training: it gets somewhere, and twice to the same bits.

use crate::{flat, random, scalar};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap, linear};
use eigengrad_candle::{Options, eigh, projector};

/// Trains a network whose factors B of 2 columns are to have the eigenvalues and the spaces of
/// given matrices; returns the losses and the weights.
fn train(steps: usize) -> (Vec<f64>, Vec<f64>) {
    let (batch, n, rank) = (16, 6, 2);
    let weights = VarMap::new();
    let build = VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu);
    let layers = [linear(8, 32, build.pp("in")).unwrap(), linear(32, n * rank, build.pp("out")).unwrap()];
    // candle's own start is random: ours is not.
    let mut names: Vec<_> = weights.data().lock().unwrap().keys().cloned().collect();
    names.sort();
    for (seed, name) in names.iter().enumerate() {
        let var = weights.data().lock().unwrap()[name].clone();
        var.set(&(random(var.dims(), seed as f64).to_dtype(DType::F32).unwrap() * 0.3).unwrap()).unwrap();
    }
    let features = random(&[batch, 8], 1.0).to_dtype(DType::F32).unwrap();
    let truth = random(&[batch, n, rank], 2.0).to_dtype(DType::F32).unwrap();
    let gram = |b: &Tensor| b.matmul(&b.transpose(1, 2).unwrap().contiguous().unwrap());
    let truth = gram(&truth).unwrap();
    let options = Options::default();
    let (space, values) = (projector(&truth, &options).unwrap().value, eigh(&truth, &options).unwrap().eigenvalues);
    let mut optimiser = AdamW::new_lr(weights.all_vars(), 0.01).unwrap();
    let losses = (0..steps).map(|_| {
        let b = layers[1].forward(&layers[0].forward(&features).unwrap().tanh().unwrap()).unwrap();
        let pairs = eigh(&gram(&b.reshape((batch, n, rank)).unwrap()).unwrap(), &options).unwrap();
        let kept = pairs.kept.to_dtype(DType::F32).unwrap();
        let of_values = (&pairs.eigenvalues - &values).unwrap().mul(&kept).unwrap().sqr().unwrap().mean_all().unwrap();
        let of_spaces = (pairs.projector().unwrap().value - &space).unwrap().sqr().unwrap().sum(D::Minus1).unwrap();
        let loss = (of_values + of_spaces.mean_all().unwrap()).unwrap();
        optimiser.backward_step(&loss).unwrap();
        pairs.report.check().unwrap();
        scalar(&loss)
    });
    let losses = losses.collect();
    (losses, names.iter().flat_map(|name| flat(weights.data().lock().unwrap()[name].as_tensor())).collect())
}

#[test]
fn twice_the_same_bits() {
    let (losses, weights) = train(60);
    assert_eq!((&losses, &weights), (&train(60).0, &train(60).1));
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
}
