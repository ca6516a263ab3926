//! The same bits as the library, in every type, forward and backward.

use crate::{Kind, numbers};
use candle_core::{DType, Device, Tensor, Var};
use eigengrad::half::{bf16, f16};
use eigengrad::num_complex;
use eigengrad::{Array, Cpu, Element, HermitianBatch, Read};
use eigengrad_candle::{Complex, Options, eigh, eigvalsh};

const BATCH: usize = 5;

/// Parts of numbers, one after the other, as f64, which holds each.
trait Parts: Element {
    fn of_parts(parts: &[f64]) -> Vec<Self>;
    fn parts(all: &[Self]) -> Vec<f64>;
}

macro_rules! parts {
    ($($real:ty: $from:expr, $to:expr;)*) => { $(
        impl Parts for $real {
            fn of_parts(parts: &[f64]) -> Vec<Self> {
                parts.iter().map(|&x| $from(x)).collect()
            }

            fn parts(all: &[Self]) -> Vec<f64> {
                all.iter().map(|&x| $to(x)).collect()
            }
        }

        impl Parts for num_complex::Complex<$real> {
            fn of_parts(parts: &[f64]) -> Vec<Self> {
                parts.chunks(2).map(|x| Self::new($from(x[0]), $from(x[1]))).collect()
            }

            fn parts(all: &[Self]) -> Vec<f64> {
                all.iter().flat_map(|x| [$to(x.re), $to(x.im)]).collect()
            }
        }
    )* };
}
parts! {
    f16: |x| f16::from_f32(x as f32), f16::to_f64; // `from_f64` does not round to nearest
    bf16: |x| bf16::from_f32(x as f32), bf16::to_f64;
    f32: |x| x as f32, f64::from;
    f64: |x| x, |x| x;
}

/// A batch of ranks 0, 1 and 2, a matrix whose eigenvalues tie, and one that is padded with zeros,
/// in numbers that `dtype` holds.
fn ragged<M: Kind>(n: usize, dtype: DType) -> Tensor {
    let zeros = M::random(&[n, n], 0.0).tensor().zeros_like().unwrap();
    let product = |n: usize, rank: usize| M::random(&[n, rank], (n + rank) as f64).product().tensor().clone();
    let mut diagonal = vec![0.0; zeros.elem_count()];
    diagonal.iter_mut().step_by((n + 1) * (zeros.elem_count() / n / n)).for_each(|x| *x = 3.0);
    let tied = Tensor::from_vec(diagonal, zeros.dims(), &Device::Cpu).unwrap();
    let half = n.div_ceil(2);
    let padded = product(half, half).pad_with_zeros(0, 0, n - half).unwrap().pad_with_zeros(1, 0, n - half).unwrap();
    let matrices = [zeros, product(n, 1), product(n, 2.min(n)), tied, padded];
    let rounded = matrices.map(|a| a.to_dtype(dtype).unwrap().to_dtype(DType::F64).unwrap());
    Tensor::stack(&rounded, 0).unwrap()
}

fn same<M: Kind, T: Parts + Element<Scalar: Parts, Real: Parts>>(dtype: DType)
where
    <T::Scalar as Element>::Real: Parts,
{
    for n in [1, 2, 5, 33, 140] {
        let a = ragged::<M>(n, dtype);
        let parts = a.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let cpu = Cpu::default();
        let data = Array::from_host(&cpu, T::of_parts(&parts), [BATCH, n, n]).unwrap();
        let theirs = eigengrad::eigh(&HermitianBatch::of(data, Read::Mean).unwrap(), &Options::default()).unwrap();
        let var = Var::from_tensor(&a.to_dtype(dtype).unwrap()).unwrap();
        let ours = eigh(&M::of(var.as_tensor().clone()), &Options::default()).unwrap();
        let name = format!("{dtype:?}, complex: {}, n = {n}", M::COMPLEX);
        assert_eq!(crate::flat(&ours.eigenvalues), Parts::parts(&theirs.spectrum.values), "λ, {name}");
        let rows = ours.eigenvectors.transposed().unwrap();
        assert_eq!(crate::flat(rows.tensor()), Parts::parts(&theirs.vectors), "V, {name}");
        let kept: Vec<_> = theirs.spectrum.kept.iter().map(|&kept| f64::from(u8::from(kept))).collect();
        assert_eq!(crate::flat(&ours.kept), kept, "kept, {name}");
        let ranks: Vec<_> = theirs.spectrum.rank.iter().map(|&rank| f64::from(rank)).collect();
        assert_eq!(crate::flat(&ours.report.rank), ranks, "ranks, {name}");
        assert_eq!(ours.report.status.to_vec().unwrap(), theirs.spectrum.status.to_vec(), "status, {name}");
        let values = eigvalsh(&M::of(a.to_dtype(dtype).unwrap()), &Options::default()).unwrap();
        let alone = eigengrad::eigvalsh(
            &HermitianBatch::of(Array::from_host(&cpu, T::of_parts(&parts), [BATCH, n, n]).unwrap(), Read::Mean).unwrap(),
            &Options::default(),
        );
        assert_eq!(crate::flat(&values.eigenvalues), Parts::parts(&alone.unwrap().values), "eigvalsh, {name}");

        // Σ w λ + Σ w v, whose cotangents are the weights: of the kept ones alone it has a
        // gradient.
        let (size, real) = (parts.len(), ours.eigenvalues.dtype());
        let (w, u) = (numbers(BATCH * n, 1.0), numbers(size, 2.0));
        let weights =
            |x: &[f64], like: &Tensor| Tensor::from_vec(x.to_vec(), like.dims(), &Device::Cpu).unwrap().to_dtype(real).unwrap();
        let loss = (ours.eigenvalues.mul(&weights(&w, &ours.eigenvalues)).unwrap().sum_all().unwrap()
            + rows.tensor().mul(&weights(&u, rows.tensor())).unwrap().sum_all().unwrap())
        .unwrap();
        let gradient = loss.backward().unwrap().get(&var).unwrap().clone();
        assert_eq!(gradient.dtype(), dtype, "{name}");
        let values = Array::from_host(&cpu, <T::Scalar as Element>::Real::of_parts(&w), [BATCH, n]).unwrap();
        let columns = Array::from_host(&cpu, T::Scalar::of_parts(&u), [BATCH, n, n]).unwrap();
        let bars = eigengrad::Cotangents::from_columns(Some(values), Some(columns));
        let expected = theirs.backward(&bars).unwrap();
        let rounded = T::of_parts(&Parts::parts(&expected.a_bar));
        assert_eq!(crate::flat(&gradient), T::parts(&rounded), "Ā, {name}");
        let report = ours.report.backward().unwrap();
        assert_eq!(crate::flat(&report.gauge_defect), Parts::parts(&expected.gauge_defect), "ρ, {name}");
        assert_eq!(crate::flat(&report.tie_defect), Parts::parts(&expected.tie_defect), "tie defect, {name}");
        assert_eq!(report.status.to_vec().unwrap(), expected.status.to_vec(), "status, {name}");
    }
}

#[test]
fn real() {
    same::<Tensor, f32>(DType::F32);
    same::<Tensor, f64>(DType::F64);
}

#[test]
fn real_halves() {
    same::<Tensor, f16>(DType::F16);
    same::<Tensor, bf16>(DType::BF16);
}

#[test]
fn complex() {
    same::<Complex, num_complex::Complex<f32>>(DType::F32);
    same::<Complex, num_complex::Complex<f64>>(DType::F64);
}

#[test]
fn complex_halves() {
    same::<Complex, num_complex::Complex<f16>>(DType::F16);
    same::<Complex, num_complex::Complex<bf16>>(DType::BF16);
}
