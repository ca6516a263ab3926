//! Factors: a graph of both passes and a batch in parts have the bits of plain calls; the
//! certificate; shapes beyond the kernels.
#![allow(unsafe_code, reason = "replays: whoever does one keeps the memory that it works on")]

use crate::gpu::{device, is_emulated};
use crate::graphs::write;
use crate::parts::assert_near;
use crate::sample::{bytes, numbers};
use eigengrad::cuda::{Cuda, FactorWorkspace};
use eigengrad::{
    Array, Cotangents, Cpu, Cut, Dropped, Element, ElementOf, Engine, FactorBatch, FactorGradient, FactorPairs, FactorPlan,
    Options, Real, Result, Scalar, Status,
};
use half::{bf16, f16};
use num_complex::Complex;

type C = Complex<f32>;
/// Of the batch, n and r.
type Size = (usize, usize, usize);

/// A forward and a backward pass on memory that stays where it is.
struct Pass<T: Element, O: ElementOf<T::Scalar>>
where
    Cuda: Engine<T::Scalar, FactorWorkspace = FactorWorkspace<T::Scalar>>,
{
    cuda: Cuda,
    size: Size,
    plan: FactorPlan<T, Cuda>,
    b: Array<T, Cuda, 3>,
    values_bar: Array<O::Real, Cuda, 2>,
    vectors_bar: Array<O, Cuda, 3>,
    pairs: FactorPairs<O, Cuda>,
    gradient: FactorGradient<O, Cuda>,
    workspace: FactorWorkspace<T::Scalar>,
}

impl<T: Element, O: ElementOf<T::Scalar>> Pass<T, O>
where
    Cuda: Engine<T::Scalar, FactorWorkspace = FactorWorkspace<T::Scalar>>,
{
    fn new(cuda: &Cuda, size: Size, options: &Options) -> Self {
        let (batch, n, r) = size;
        let plan = FactorPlan::new(cuda, batch, n, r, options).unwrap();
        let (pairs, gradient, workspace) = (plan.pairs().unwrap(), plan.gradient().unwrap(), plan.workspace().unwrap());
        let (b, vectors_bar) = (Array::zeros(cuda, [batch, r, n]).unwrap(), Array::zeros(cuda, [batch, r, n]).unwrap());
        let values_bar = Array::zeros(cuda, [batch, r]).unwrap();
        Self { cuda: cuda.clone(), size, plan, b, values_bar, vectors_bar, pairs, gradient, workspace }
    }

    /// Other factors and cotangents in the place of those before; the third factor is not finite.
    fn give(&mut self, seed: u64) {
        let (batch, n, r) = self.size;
        let mut b = numbers::<T>((batch, r, n), seed);
        b[[2, 0, 1]] = T::narrow(Scalar::from_parts(Real::of(f64::NAN), Real::of(0.0)));
        write(&self.cuda, &mut self.b, b.into_raw_vec_and_offset().0);
        write(&self.cuda, &mut self.vectors_bar, numbers((batch, r, n), seed + 1).into_raw_vec_and_offset().0);
        write(&self.cuda, &mut self.values_bar, numbers((1, batch, r), seed + 2).into_raw_vec_and_offset().0);
    }

    fn run(&mut self) -> Result<()> {
        self.plan.eigh_into(FactorBatch::from_columns(self.b.view())?, self.pairs.view_mut(), &self.workspace)?;
        let (values, vectors) = (Some(self.values_bar.view()), Some(self.vectors_bar.view()));
        let cotangents = Cotangents::from_columns(values, vectors);
        self.plan.backward_into(self.pairs.view(), cotangents, self.gradient.view_mut(), &self.workspace)
    }

    fn results(&self) -> Results<O> {
        (self.pairs.to_host().unwrap(), self.gradient.to_host().unwrap())
    }
}

type Results<O> = (FactorPairs<O, Cpu>, FactorGradient<O, Cpu>);

fn assert_same<O: Element>((pairs, gradient): &Results<O>, (other_pairs, other_gradient): &Results<O>) {
    assert_eq!(bytes(pairs.values()), bytes(other_pairs.values()), "λ");
    assert_eq!(bytes(pairs.vectors()), bytes(other_pairs.vectors()), "V");
    assert_eq!((pairs.kept(), pairs.rank(), pairs.status()), (other_pairs.kept(), other_pairs.rank(), other_pairs.status()));
    assert_eq!(bytes(gradient.b_bar()), bytes(other_gradient.b_bar()), "B̄");
    assert_eq!(bytes(gradient.gauge_defect()), bytes(other_gradient.gauge_defect()), "ρ");
    assert_eq!((gradient.tie_defect(), gradient.status()), (other_gradient.tie_defect(), other_gradient.status()));
}

fn options(r: usize, dropped: Dropped) -> Options {
    Options::default().with_cut(Cut::at_most(r - r / 3)).with_dropped(dropped)
}

fn replayed<T: Element, O: ElementOf<T::Scalar>>(n: usize, r: usize)
where
    Cuda: Engine<T::Scalar, FactorWorkspace = FactorWorkspace<T::Scalar>>,
{
    let Some(cuda) = device() else { return };
    let mut pass = Pass::<T, O>::new(&cuda, (5, n, r), &options(r, Dropped::AsComputed));
    let expected = [31, 32].map(|seed| {
        pass.give(seed);
        pass.run().unwrap();
        pass.results()
    });
    assert_ne!(bytes(expected[0].1.b_bar()), bytes(expected[1].1.b_bar()));
    assert!(expected[0].1.status()[2].failed() && !expected[0].1.status()[3].failed());
    let mut graph = match cuda.capture(|| pass.run()) {
        Ok(graph) => graph,
        Err(error) if is_emulated() => panic!("{error}"),
        // cuSOLVER does not promise that its solvers can be captured.
        Err(error) => return assert!(error.to_string().contains("syev"), "{error}"),
    };
    for (seed, expected) in [31, 32].into_iter().zip(&expected) {
        pass.give(seed);
        // SAFETY: the memory of the pass lives to the end of the test.
        unsafe { graph.replay() }.unwrap();
        assert_same(expected, &pass.results());
    }
}

#[test]
fn both_passes_in_a_graph() {
    replayed::<f64, f64>(7, 3);
    replayed::<C, C>(33, 33);
    replayed::<f16, f32>(140, 6);
    replayed::<Complex<bf16>, Complex<bf16>>(20, 5);
}

pub fn in_parts<T: Element, O: ElementOf<T::Scalar>>(size: Size)
where
    Cuda: Engine<T::Scalar, FactorWorkspace = FactorWorkspace<T::Scalar>>,
{
    let Some(cuda) = device() else { return };
    for dropped in [Dropped::AsComputed, Dropped::Zero] {
        let whole = |cuda: &Cuda| {
            let mut pass = Pass::<T, O>::new(cuda, size, &options(size.2, dropped));
            pass.give(5);
            pass.run().unwrap();
            (pass.results(), pass.workspace.bytes())
        };
        let (expected, bytes) = whole(&cuda);
        assert!(expected.0.status()[2].failed());
        for limit in [0, bytes / 3] {
            let (got, smaller) = whole(&cuda.clone().with_workspace_limit(limit));
            if is_emulated() {
                assert_same(&expected, &got);
            } else {
                assert_near([&expected, &got].map(|x| x.0.status()), [&expected, &got].map(|x| x.0.values()));
            }
            assert!(smaller < bytes && (limit == 0 || smaller <= limit), "{smaller} of {bytes}");
        }
    }
}

#[test]
fn a_batch_in_parts() {
    in_parts::<f64, f64>((23, 9, 4));
    in_parts::<C, C>((23, 6, 6));
    in_parts::<f16, f16>((23, 9, 4));
    in_parts::<Complex<bf16>, C>((7, 40, 11));
}

/// What the certificate measures changes nothing of what passes it.
#[test]
fn certified_factors() {
    let Some(cuda) = device() else { return };
    let of = |cuda: &Cuda| {
        let mut pass = Pass::<f64, f64>::new(cuda, (6, 12, 5), &options(5, Dropped::Zero));
        pass.give(9);
        pass.run().unwrap();
        pass.results()
    };
    let (plain, certified) = (of(&cuda), of(&cuda.clone().certified()));
    assert_same(&plain, &certified);
    assert_eq!(certified.0.status()[2], Status::NOT_FINITE);
}

#[test]
fn factors_beyond_the_kernels() {
    let Some(cuda) = device() else { return };
    let plan = FactorPlan::<f32, Cuda>::new(&cuda, 1, 1 << 16, 1, &Options::default()).unwrap();
    assert!(plan.workspace().unwrap_err().to_string().contains("65536×65536"));
}

/// Without columns there is nothing but statuses and gaps to write; both are.
#[test]
fn factors_of_no_column() {
    let Some(cuda) = device() else { return };
    let plan = FactorPlan::<f64, Cuda>::new(&cuda, 3, 4, 0, &Options::default()).unwrap();
    let (b, workspace) = (Array::<f64, Cuda, 3>::zeros(&cuda, [3, 0, 4]).unwrap(), plan.workspace().unwrap());
    let (mut pairs, mut gradient) = (plan.pairs::<f64>().unwrap(), plan.gradient::<f64>().unwrap());
    plan.eigh_into(FactorBatch::from_columns(b.view()).unwrap(), pairs.view_mut(), &workspace).unwrap();
    let none = Cotangents::from_columns(None, None);
    plan.backward_into(pairs.view(), none, gradient.view_mut(), &workspace).unwrap();
    let host = pairs.to_host().unwrap();
    host.check().unwrap();
    assert!(host.spectrum.gap_dropped().iter().chain(host.spectrum.gap_kept()).all(|x| x.is_infinite()));
    gradient.to_host().unwrap().check().unwrap();
}
