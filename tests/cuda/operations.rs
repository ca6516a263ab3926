//! Derivatives beyond the gradient and functions of the spectrum: captured into a graph, and worked on in parts, they have the same bits.
#![allow(unsafe_code, reason = "replays: whoever does one keeps the memory that it works on")]

use crate::gpu::{device, is_emulated};
use crate::graphs::write;
use crate::sample::{bytes, matrices, numbers};
use eigengrad::cuda::{Cuda, DeviceBuffer};
use eigengrad::{
    Backend, Cotangents, DoubleGradient, Eigenpairs, Engine, Function, HermitianBatch, HermitianRef, Matrices, Of, Options, Plan,
    Result, Scalar, Spectral, Status, Tangents, Triangle, Weights, eigh,
};
use num_complex::Complex;

const BATCH: usize = 5;
const DIRECTIONS: usize = 2;

/// All operations on memory that stays where it is.
struct Everything<T: Scalar>
where
    Cuda: Engine<T>,
{
    plan: Plan<T, Cuda>,
    scratch: eigengrad::Scratch<T, Cuda>,
    pairs: Eigenpairs<T, Cuda>,
    e: DeviceBuffer<T>,
    directions: DeviceBuffer<T>,
    bars: [Cotangents<T, Cuda>; 2],
    tangents: Tangents<T, Cuda>,
    double: DoubleGradient<T, Cuda>,
    matrices: [Matrices<T, Cuda>; 3],
    trace: <Cuda as Backend>::Buffer<T::Real>,
    status: <Cuda as Backend>::Buffer<Status>,
}

impl<T: Scalar> Everything<T>
where
    Cuda: Engine<T>,
{
    fn new(cuda: &Cuda, n: usize) -> Self {
        let options = Options::default();
        let pairs = eigh(&HermitianBatch::on(cuda, matrices::<T>(BATCH, n, 31).view()).unwrap(), &options).unwrap();
        let plan = Plan::<T, Cuda>::new(cuda, BATCH, n, &options).unwrap();
        let bars = [7, 9].map(|seed| {
            let values = numbers::<T::Real>((1, BATCH, n), seed);
            let vectors = numbers::<T>((BATCH, n, n), seed + 1);
            Cotangents::new(&pairs, Some(values.index_axis(ndarray::Axis(0), 0)), Some(vectors.view())).unwrap()
        });
        Self {
            scratch: plan.scratch().unwrap(),
            e: cuda.upload(numbers((BATCH, n, n), 3).into_raw_vec_and_offset().0).unwrap(),
            directions: cuda.upload(numbers((DIRECTIONS * BATCH, n, n), 4).into_raw_vec_and_offset().0).unwrap(),
            bars,
            tangents: plan.tangents(DIRECTIONS).unwrap(),
            double: plan.double_gradient().unwrap(),
            matrices: [plan.matrices().unwrap(), plan.matrices().unwrap(), plan.matrices().unwrap()],
            trace: cuda.zeros(BATCH).unwrap(),
            status: cuda.zeros(BATCH).unwrap(),
            pairs,
            plan,
        }
    }

    /// Other numbers in the place of H and E.
    fn give(&mut self, cuda: &Cuda, seed: u64) {
        let (batch, n) = (BATCH, self.pairs.n());
        write(cuda, &mut self.e, numbers((batch, n, n), seed).into_raw_vec_and_offset().0);
    }

    fn run(&mut self) -> Result<()> {
        let (plan, scratch, pairs, sqrt) = (&self.plan, &mut self.scratch, &self.pairs, Spectral::from(Function::Sqrt));
        let ([bars, more], [tangent, value, map]) = (&self.bars, &mut self.matrices);
        let hermitian = |data| HermitianRef { data: Cuda::view(data), triangle: Triangle::Lower };
        plan.jvp_into(pairs.as_ref(), hermitian(&self.directions), self.tangents.as_mut(), scratch)?;
        let (e, out) = (|| hermitian(&self.e), self.double.as_mut());
        plan.double_backward_into(pairs.as_ref(), bars.as_ref(), e(), more.as_ref(), out, scratch)?;
        plan.backward_jvp_into(pairs.as_ref(), bars.as_ref(), e(), more.as_ref(), tangent.as_mut(), scratch)?;
        plan.spectral_into(pairs.as_ref(), sqrt.as_ref(), Of::Values, value.as_mut(), scratch)?;
        plan.map_into(pairs.as_ref(), sqrt.as_ref(), Weights::Divided, e(), None, map.as_mut(), scratch)?;
        let (trace, status) = (Cuda::view_mut(&mut self.trace), Cuda::view_mut(&mut self.status));
        plan.trace_into(pairs.as_ref(), sqrt.as_ref(), trace, status)
    }

    /// The bytes of all results.
    fn results(&self, cuda: &Cuda) -> Vec<Vec<u8>> {
        let (tangents, double) = (self.tangents.to_host().unwrap(), self.double.to_host().unwrap());
        let mut all = vec![bytes(tangents.values()), bytes(tangents.vectors()), bytes(double.a_bar())];
        all.extend([bytes(double.values_bar_bar()), bytes(double.vectors_bar_bar())]);
        all.extend(self.matrices.iter().map(|x| bytes(x.to_host().unwrap().data())));
        all.push(bytes(&cuda.download(Cuda::view(&self.trace)).unwrap()));
        all
    }
}

/// A graph of all operations: replays give what calls give, of what is in the memory by then.
fn captured<T: Scalar>(n: usize)
where
    Cuda: Engine<T>,
{
    let Some(cuda) = device() else { return };
    let mut everything = Everything::<T>::new(&cuda, n);
    let expected = [11, 12].map(|seed| {
        everything.give(&cuda, seed);
        everything.run().unwrap();
        everything.results(&cuda)
    });
    assert!(expected[0][2..6].iter().zip(&expected[1][2..6]).all(|(one, other)| one != other));
    let mut graph = cuda.capture(|| everything.run()).unwrap();
    for (seed, expected) in [11, 12].into_iter().zip(&expected) {
        everything.give(&cuda, seed);
        // SAFETY: the memory of the operations lives to the end of this function.
        unsafe { graph.replay() }.unwrap();
        assert_eq!(everything.results(&cuda), *expected);
    }
}

#[test]
fn captured_on_chip() {
    captured::<f64>(5);
    captured::<Complex<f32>>(33);
}

#[test]
fn captured_by_products() {
    captured::<f32>(130);
    captured::<Complex<f64>>(50);
}

/// As many matrices at a time as scratch memory of any size allows.
fn in_parts<T: Scalar>(n: usize)
where
    Cuda: Engine<T>,
{
    let Some(cuda) = device() else { return };
    let of = |cuda: &Cuda| {
        let mut everything = Everything::<T>::new(cuda, n);
        everything.run().unwrap();
        everything.results(cuda)
    };
    let expected = of(&cuda);
    for bytes in [0, 2 * n * n * 200] {
        let got = of(&cuda.clone().with_workspace_limit(bytes));
        assert!(got == expected || !is_emulated(), "n = {n}, {bytes} bytes");
    }
}

#[test]
fn one_after_the_other() {
    in_parts::<f32>(130);
    in_parts::<f64>(66);
    in_parts::<Complex<f64>>(74);
}
