//! Tensors of any strides, leading axes, empty batches.

use crate::{flat, loss, random};
use candle_core::{D, DType, Device, Tensor, Var};
use eigengrad_candle::{Complex, Matrices, Options, eigh, eigh_factor, fidelity, projector};

fn product(shape: &[usize]) -> Tensor {
    let b = random(shape, 1.0);
    b.matmul(&b.transpose(D::Minus1, D::Minus2).unwrap().contiguous().unwrap()).unwrap()
}

fn gradient(a: &Tensor, lie: impl Fn(&Tensor) -> Tensor) -> (Vec<f64>, Vec<f64>) {
    let var = Var::from_tensor(a).unwrap();
    let pairs = eigh(&lie(var.as_tensor()), &Options::default()).unwrap();
    let gradient = loss(&pairs).unwrap().backward().unwrap().get(&var).unwrap().clone();
    (flat(&pairs.eigenvalues), flat(&gradient))
}

/// However the matrices lie, it is the same: transposed, part of a larger tensor, behind an offset.
#[test]
fn strides() {
    let a = product(&[3, 4, 2]);
    let expected = gradient(&a, Clone::clone);
    assert_eq!(gradient(&a, |a| a.transpose(1, 2).unwrap()).0, expected.0);
    let wide = Tensor::cat(&[&random(&[2, 4, 4], 9.0), &a, &random(&[1, 4, 4], 9.0)], 0).unwrap();
    let (values, of_wide) = gradient(&wide, |wide| wide.narrow(0, 2, 3).unwrap());
    assert_eq!((values, &of_wide[2 * 16..5 * 16]), (expected.0.clone(), &expected.1[..]));
    let padded = a.pad_with_zeros(2, 1, 2).unwrap().pad_with_zeros(1, 0, 1).unwrap();
    let (values, of_padded) = gradient(&padded, |padded| padded.narrow(2, 1, 4).unwrap().narrow(1, 0, 4).unwrap());
    assert_eq!(values, expected.0);
    assert_eq!(of_padded.iter().filter(|&&x| x != 0.0).count(), expected.1.iter().filter(|&&x| x != 0.0).count());
}

/// Of matrices that are not symmetric to the bit the mean of both triangles counts, and Ā is
/// symmetric.
#[test]
fn both_triangles() {
    let a = random(&[2, 4, 4], 1.0);
    let mean = ((&a + a.transpose(1, 2).unwrap()).unwrap() * 0.5).unwrap();
    let (ours, expected) = (gradient(&a, Clone::clone), gradient(&mean, Clone::clone));
    assert_eq!(ours, expected);
    let of_transposed = gradient(&a.transpose(1, 2).unwrap().contiguous().unwrap(), Clone::clone);
    assert_eq!(of_transposed, expected);
}

#[test]
fn leading_axes() {
    let a = product(&[6, 4, 2]);
    let flat_batch = gradient(&a, Clone::clone);
    let pairs = eigh(&a.reshape(&[2, 1, 3, 4, 4]).unwrap(), &Options::default()).unwrap();
    assert_eq!(pairs.eigenvalues.dims(), [2, 1, 3, 4]);
    assert_eq!(pairs.eigenvectors.dims(), [2, 1, 3, 4, 4]);
    assert_eq!(pairs.kept.dims(), [2, 1, 3, 4]);
    assert_eq!(pairs.kept.dtype(), DType::U8);
    assert_eq!(pairs.report.rank.dims(), [2, 1, 3]);
    assert_eq!(flat(&pairs.eigenvalues), flat_batch.0);
    let one = eigh(&a.get(0).unwrap(), &Options::default()).unwrap();
    assert_eq!(one.report.rank.dims(), [0_usize; 0]);
    assert_eq!(flat(&one.eigenvalues), flat_batch.0[..4]);
    // A matrix that is repeated by a stride of zero: its gradient is the sum.
    let repeated = gradient(&a.get(0).unwrap(), |a| a.broadcast_as((3, 4, 4)).unwrap());
    assert_eq!(repeated.0, [&flat_batch.0[..4], &flat_batch.0[..4], &flat_batch.0[..4]].concat());
}

#[test]
fn nothing() {
    for shape in [vec![0, 3, 3], vec![2, 0, 0], vec![0, 0, 0]] {
        let a = Var::zeros(shape.clone(), DType::F64, &Device::Cpu).unwrap();
        let pairs = eigh(a.as_tensor(), &Options::default()).unwrap();
        assert_eq!(pairs.eigenvectors.dims(), shape);
        let gradients = pairs.eigenvalues.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&a).unwrap().dims(), shape);
        assert_eq!(projector(a.as_tensor(), &Options::default()).unwrap().value.dims(), shape);
        assert_eq!(fidelity(a.as_tensor(), a.as_tensor(), &Options::default()).unwrap().value.dims(), &shape[..1]);
    }
    let b = Tensor::zeros((2, 4, 0), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(eigh_factor(&b, &Options::default()).unwrap().eigenvectors.dims(), [2, 4, 0]);
}

/// Real and imaginary parts, of whatever strides.
#[test]
fn complex_parts() {
    let (re, im) = (random(&[2, 3, 3], 1.0), random(&[2, 3, 3], 2.0));
    let z = Complex::new(&re, &im).unwrap();
    assert_eq!(flat(&z.re().unwrap()), flat(&re));
    assert_eq!(flat(&z.adjoint().unwrap().im().unwrap()), flat(&im.transpose(1, 2).unwrap().neg().unwrap()));
    let a = z.matmul(&z.adjoint().unwrap()).unwrap();
    let apart = a.tensor().permute((3, 0, 1, 2)).unwrap().contiguous().unwrap().permute((1, 2, 3, 0)).unwrap();
    let [ours, theirs] = [a, Complex::from_interleaved(apart).unwrap()].map(|a| eigh(&a, &Options::default()).unwrap());
    assert_eq!(flat(&ours.eigenvalues), flat(&theirs.eigenvalues));
    assert!(Complex::from_interleaved(re).is_err(), "three are no parts");
}
