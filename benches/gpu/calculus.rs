//! Nanoseconds per matrix of each operation beyond the gradient, and how many backward passes that
//! is.

use crate::backward::{Form, prepared};
use crate::clock::Times;
use crate::forward::{MATRICES, labels};
use crate::input;
use crate::run::{Result, Run, in_type};
use eigengrad::cuda::{Cuda, Workspace};
use eigengrad::{Cotangents, Derivative, Eigenpairs, Engine, Function, HermitianBatch, Plan, Scalar, SchurMultiplier, Spectral};

const OPERATIONS: [&str; 5] = ["jvp", "double backward", "backward jvp", "spectral", "spectral derivative"];

pub fn measure(run: &mut Run, cuda: &Cuda) {
    for n in run.orders(&[8, 32, 16, 4, 64, 24, 3, 128]) {
        for dtype in run.dtypes.clone() {
            in_type!(dtype, forms(run, cuda, n));
        }
    }
}

fn forms<T: Scalar>(run: &mut Run, cuda: &Cuda, n: usize)
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    let (reps, batch) = (run.reps, (run.elements / (n * n)).clamp(8, MATRICES));
    for form in [Form::Full, Form::HalfRank] {
        for what in OPERATIONS {
            let mut labels = labels::<T>(what, n);
            labels.push(("form", form.name().into()));
            run.case("calculus", labels, || {
                let operands = Operands::<T>::new(cuda, batch, n, form)?;
                let (backward, operation) = (operands.backward(cuda, reps)?, operands.operation(cuda, what, reps)?);
                let mut fields = operation.fields(batch);
                fields.push(("backward_ns", (backward.median() / batch as f64).into()));
                fields.push(("times_backward", (operation.median() / backward.median()).into()));
                Ok(fields)
            });
        }
    }
}

/// What operations work on. All take Ȧ, H or E from the same memory.
struct Operands<T: Scalar>
where
    Cuda: Engine<T>,
{
    plan: Plan<T, Cuda>,
    pairs: Eigenpairs<T, Cuda>,
    bars: Cotangents<T, Cuda>,
    e: HermitianBatch<T, Cuda>,
}

impl<T: Scalar> Operands<T>
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    fn new(cuda: &Cuda, batch: usize, n: usize, form: Form) -> Result<Self> {
        let (pairs, bars) = prepared::<T>(cuda, batch, n, form)?;
        let e = input::on_device(cuda, &input::positive::<T>(input::different(batch, n), n, n), batch)?;
        Ok(Self { plan: Plan::new(cuda, batch, n, &form.options())?, pairs, bars, e })
    }

    fn backward(&self, cuda: &Cuda, reps: usize) -> Result<Times> {
        let (workspace, mut gradient) = (self.plan.workspace()?, self.plan.gradient::<T>()?);
        let (pairs, bars) = (&self.pairs, &self.bars);
        Times::of(cuda, reps, || Ok(self.plan.backward_into(pairs.view(), bars.view(), gradient.view_mut(), &workspace)?))
    }

    fn operation(&self, cuda: &Cuda, what: &str, reps: usize) -> Result<Times> {
        let Self { plan, pairs, bars, e } = self;
        let none = Cotangents::from_columns(None, None);
        let (scratch, sqrt) = (plan.scratch()?, Spectral::from(Function::Sqrt));
        let scratch = &scratch;
        match what {
            "jvp" => {
                let mut out = plan.tangents::<T>(1)?;
                Times::of(cuda, reps, || Ok(plan.jvp_into(pairs.view(), e.view(), out.view_mut(), scratch)?))
            }
            "double backward" => {
                let mut out = plan.double_gradient::<T>()?;
                Times::of(cuda, reps, || {
                    let (pairs, bars, none) = (pairs.view(), bars.view(), none.view());
                    Ok(plan.double_backward_into(pairs, bars, e.view(), none, out.view_mut(), scratch)?)
                })
            }
            "backward jvp" => {
                let mut out = plan.matrices::<T>()?;
                Times::of(cuda, reps, || {
                    let (pairs, bars, dot) = (pairs.view(), bars.view(), bars.view());
                    Ok(plan.backward_jvp_into(pairs, bars, e.view(), dot, out.view_mut(), scratch)?)
                })
            }
            "spectral" => {
                let mut out = plan.matrices::<T>()?;
                Times::of(cuda, reps, || {
                    Ok(plan.spectral_into(pairs.view(), sqrt.view(), Derivative::Zeroth, out.view_mut(), scratch)?)
                })
            }
            _ => {
                let (mut out, weights) = (plan.matrices::<T>()?, SchurMultiplier::Divided);
                Times::of(cuda, reps, || {
                    let (pairs, sqrt) = (pairs.view(), sqrt.view());
                    Ok(plan.map_into(pairs, sqrt, weights, e.view(), None, out.view_mut(), scratch)?)
                })
            }
        }
    }
}
