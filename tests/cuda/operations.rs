//! Derivatives beyond the gradient and functions of the spectrum: captured into a graph, and worked
//! on in parts, they have the same bits.
#![allow(unsafe_code, reason = "replays: whoever does one keeps the memory that it works on")]

use crate::gpu::{device, is_emulated};
use crate::graphs::write;
use crate::sample::{bytes, matrices, numbers};
use eigengrad::cuda::Cuda;
use eigengrad::{
    Array, Cotangents, Derivative, DoubleGradient, Eigenpairs, Engine, Function, HermitianBatch, HermitianResult, Options, Plan,
    Result, Scalar, SchurMultiplier, Spectral, Status, Tangents, Triangle, View, eigh,
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
    e: Array<T, Cuda, 3>,
    directions: Array<T, Cuda, 3>,
    bars: [Cotangents<T, Cuda>; 2],
    tangents: Tangents<T, Cuda>,
    double: DoubleGradient<T, Cuda>,
    matrices: [HermitianResult<T, Cuda>; 3],
    trace: Array<T::Real, Cuda, 1>,
    status: Array<Status, Cuda, 1>,
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
            e: Array::from_host(cuda, numbers((BATCH, n, n), 3).into_raw_vec_and_offset().0, [BATCH, n, n]).unwrap(),
            directions: Array::from_host(
                cuda,
                numbers((DIRECTIONS * BATCH, n, n), 4).into_raw_vec_and_offset().0,
                [DIRECTIONS * BATCH, n, n],
            )
            .unwrap(),
            bars,
            tangents: plan.tangents(DIRECTIONS).unwrap(),
            double: plan.double_gradient().unwrap(),
            matrices: [plan.matrices().unwrap(), plan.matrices().unwrap(), plan.matrices().unwrap()],
            trace: Array::zeros(cuda, [BATCH]).unwrap(),
            status: Array::zeros(cuda, [BATCH]).unwrap(),
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
        let (plan, scratch, pairs, sqrt) = (&self.plan, &self.scratch, &self.pairs, Spectral::from(Function::Sqrt));
        let ([bars, more], [tangent, value, map]) = (&self.bars, &mut self.matrices);

        plan.jvp_into(pairs.view(), hermitian(&self.directions)?, self.tangents.view_mut(), scratch)?;
        let (e, out) = (|| hermitian(&self.e), self.double.view_mut());
        plan.double_backward_into(pairs.view(), bars.view(), e()?, more.view(), out, scratch)?;
        plan.backward_jvp_into(pairs.view(), bars.view(), e()?, more.view(), tangent.view_mut(), scratch)?;
        plan.spectral_into(pairs.view(), sqrt.view(), Derivative::Zeroth, value.view_mut(), scratch)?;
        plan.map_into(pairs.view(), sqrt.view(), SchurMultiplier::Divided, e()?, None, map.view_mut(), scratch)?;
        plan.trace_into(pairs.view(), sqrt.view(), self.trace.view_mut(), self.status.view_mut())
    }

    /// The bytes of all results.
    fn results(&self) -> Vec<Vec<u8>> {
        let (tangents, double) = (self.tangents.to_host().unwrap(), self.double.to_host().unwrap());
        let mut all = vec![bytes(tangents.values()), bytes(tangents.vectors()), bytes(double.a_bar())];
        all.extend([bytes(double.values_bar_bar()), bytes(double.vectors_bar_bar())]);
        all.extend(self.matrices.iter().map(|x| bytes(x.to_host().unwrap().data())));
        all.push(bytes(&*self.trace.to_host().unwrap()));
        all
    }
}

fn hermitian<T: Scalar>(data: &Array<T, Cuda, 3>) -> Result<HermitianBatch<T, Cuda, View<'_>>> {
    HermitianBatch::of_view(data.backend(), data.view(), Triangle::Lower)
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
        everything.results()
    });
    assert!(expected[0][2..6].iter().zip(&expected[1][2..6]).all(|(one, other)| one != other));
    let mut graph = cuda.capture(|| everything.run()).unwrap();
    for (seed, expected) in [11, 12].into_iter().zip(&expected) {
        everything.give(&cuda, seed);
        // SAFETY: the memory of the operations lives to the end of this function.
        unsafe { graph.replay() }.unwrap();
        assert_eq!(everything.results(), *expected);
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
        everything.results()
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
