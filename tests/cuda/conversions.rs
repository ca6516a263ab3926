//! The kernels' conversions of halves against those of the `half` crate, by matrices of order one.

use crate::gpu::device;
use eigengrad::cuda::Cuda;
use eigengrad::{Element, HermitianBatch, Options, Status, eigvalsh_as};
use half::{bf16, f16};
use ndarray::Array3;

fn through<I, R>(cuda: &Cuda, numbers: &[I]) -> (Vec<R>, Vec<Status>)
where
    I: Element<Scalar = f32, Real = I>,
    R: Element<Scalar = f32>,
    Cuda: eigengrad::Engine<f32>,
{
    let a = Array3::from_shape_vec((numbers.len(), 1, 1), numbers.to_vec()).unwrap();
    let batch = HermitianBatch::on(cuda, a.view()).unwrap();
    let spectrum = eigvalsh_as::<I, R, Cuda>(&batch, &Options::default()).unwrap().to_host().unwrap();
    (spectrum.values().iter().copied().collect(), spectrum.status().to_vec())
}

/// Every half, widened to f32 and narrowed back.
fn every_half<H: Element<Scalar = f32, Real = H>>(cuda: &Cuda, half: impl Fn(u16) -> H) {
    let numbers: Vec<_> = (0..=u16::MAX).map(half).collect();
    let (wide, status) = through::<H, f32>(cuda, &numbers);
    let (back, _) = through::<H, H>(cuda, &numbers);
    for ((&x, wide), (back, status)) in numbers.iter().zip(wide).zip(back.into_iter().zip(status)) {
        if x.widen().is_finite() {
            assert_eq!((wide, back), (x.widen(), x), "{x:?}");
            assert!(status.is_ok());
        } else {
            assert!(wide.is_nan() && back.widen().is_nan() && status == Status::NOT_FINITE, "{x:?}");
        }
    }
}

/// f32 of every exponent, and halfway cases, narrowed.
fn rounding<H: Element<Scalar = f32, Real = H>>(cuda: &Cuda, of: impl Fn(f32) -> H) {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut numbers: Vec<_> = (0..40_000).map(|_| f32::from_bits(rng.u32(..))).filter(|x| x.is_finite()).collect();
    // ties
    numbers.extend((0..20_000).map(|_| f32::from_bits(rng.u32(..) & 0xffff_f000)).filter(|x| x.is_finite()));
    numbers.extend([65504.0, 65519.9, 65520.0, 65536.0, 6e-8, 2.9e-8, 3e-8, f32::MAX, f32::MIN_POSITIVE, 1e-40, 0.0, -0.0]);
    let (narrow, status) = through::<f32, H>(cuda, &numbers);
    for ((&x, narrow), status) in numbers.iter().zip(narrow).zip(status) {
        let expected = of(x);
        if expected.widen().is_finite() {
            let lost = expected.widen() == 0.0 && x != 0.0; // the whole spectrum
            assert_eq!((narrow, status), (expected, if lost { Status::VALUES_UNDERFLOW } else { Status::OK }), "{x:e}");
        } else {
            assert!(narrow.widen().is_nan() && status == Status::VALUES_OVERFLOW, "{x:e}");
        }
    }
}

#[test]
fn of_halves() {
    let Some(cuda) = device() else { return };
    every_half(&cuda, f16::from_bits);
    every_half(&cuda, bf16::from_bits);
    rounding(&cuda, f16::from_f32);
    rounding(&cuda, bf16::from_f32);
}
