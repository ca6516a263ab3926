//! Nanoseconds per matrix of the forward pass with each solver, and the bytes of its workspace.

use crate::arguments::Way;
use crate::clock::{Times, affordable};
use crate::input;
use crate::run::{Field, Result, Run, in_type};
use eigengrad::cuda::{Cuda, Workspace};
use eigengrad::{Backend, Engine, HermitianBatch, Options, Plan, Scalar};
use std::time::{Duration, Instant};

/// The most matrices of a batch.
pub const MATRICES: usize = 1 << 20;

/// Every order that is measured, those first that decide which solver is taken.
pub const ORDERS: [usize; 14] = [8, 32, 33, 4, 16, 64, 128, 24, 48, 12, 3, 2, 96, 256];

pub fn measure(run: &mut Run, cuda: &Cuda) {
    for n in run.orders(&ORDERS) {
        for dtype in run.dtypes.clone() {
            in_type!(dtype, each_way(run, cuda, n, MATRICES));
        }
    }
}

/// The solver that is taken by itself, on as large a batch as the peers are given, in lines like
/// theirs.
pub fn beside_peers(run: &mut Run, cuda: &Cuda) {
    run.ways = vec![Way::Auto];
    for dtype in run.dtypes.clone() {
        for n in run.orders(&[4, 8, 16, 32, 33, 64, 128]) {
            in_type!(dtype, each_way(run, cuda, n, usize::MAX));
        }
    }
}

/// What every line about a pass begins with.
pub fn labels<T: Scalar>(what: &'static str, n: usize) -> Vec<Field> {
    let version = env!("CARGO_PKG_VERSION");
    let device = Cuda::NAME;
    let dtype = T::DTYPE.to_string();
    let peer = "eigengrad";
    vec![
        ("peer", peer.into()),
        ("version", version.into()),
        ("device", device.into()),
        ("dtype", dtype.into()),
        ("n", n.into()),
        ("what", what.into()),
    ]
}

fn each_way<T: Scalar>(run: &mut Run, cuda: &Cuda, n: usize, most: usize)
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    if !run.goes_on() {
        return;
    }
    let (reps, batch) = (run.reps, (run.elements / (n * n)).clamp(8, most));
    let a = input::positive::<T>(input::different(batch, n), n, n);
    for way in run.ways.clone() {
        let cuda = cuda.clone().with_solver(way.solver(T::PRECISION.epsilon()));
        let mut labels = labels::<T>("forward", n);
        labels.push(("solver", way.to_string().into()));
        run.case("time", labels, || {
            let batch =
                affordable(batch, |sample| Forward::new(&cuda, input::on_device(&cuda, &a, sample)?, sample, n)?.duration())?;
            let mut forward = Forward::new(&cuda, input::on_device(&cuda, &a, batch)?, batch, n)?;
            let times = Times::of(&cuda, reps, || forward.enqueue())?;
            let mut fields = times.fields(batch);
            let failures = forward.failures()?;
            fields.extend([("workspace_bytes", forward.workspace.bytes().into()), ("failures", failures.into())]);
            Ok(fields)
        });
    }
}

/// A forward pass ready to run.
struct Forward<'a, T: Scalar>
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    cuda: &'a Cuda,
    a: HermitianBatch<T, Cuda>,
    plan: Plan<T, Cuda>,
    workspace: Workspace<T>,
    pairs: eigengrad::Eigenpairs<T, Cuda>,
}

impl<'a, T: Scalar> Forward<'a, T>
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    fn new(cuda: &'a Cuda, a: HermitianBatch<T, Cuda>, batch: usize, n: usize) -> Result<Self> {
        let plan = Plan::new(cuda, batch, n, &Options::default())?;
        let (workspace, pairs) = (plan.workspace()?, plan.eigenpairs()?);
        Ok(Self { cuda, a, plan, workspace, pairs })
    }

    fn enqueue(&mut self) -> Result<()> {
        Ok(self.plan.eigh_into(self.a.view(), self.pairs.view_mut(), &self.workspace)?)
    }

    /// How long a second run takes.
    fn duration(&mut self) -> Result<Duration> {
        self.enqueue()?;
        self.cuda.synchronize()?;
        let start = Instant::now();
        self.enqueue()?;
        self.cuda.synchronize()?;
        Ok(start.elapsed())
    }

    /// The number of matrices without a decomposition.
    fn failures(&self) -> Result<usize> {
        let status = self.pairs.spectrum.status.to_host()?;
        Ok(status.iter().filter(|status| status.failed()).count())
    }
}
