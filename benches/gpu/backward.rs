//! Nanoseconds per matrix of the backward pass in each form.

use crate::clock::Times;
use crate::forward::{MATRICES, ORDERS, labels};
use crate::input;
use crate::run::{Result, Run, in_type};
use eigengrad::cuda::{Cuda, Workspace};
use eigengrad::{Array, Cotangents, Dropped, Eigenpairs, Engine, Options, Plan, Real, Scalar};

/// What is differentiated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// λ̄ and V̄, all eigenpairs kept.
    Full,
    /// λ̄ alone.
    Values,
    /// λ̄ and V̄, half of the eigenvalues zero and dropped.
    HalfRank,
    /// As before, and declared: equation (10).
    DeclaredZero,
}

impl Form {
    const ALL: [Self; 4] = [Self::Full, Self::DeclaredZero, Self::Values, Self::HalfRank];

    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Values => "values alone",
            Self::HalfRank => "half rank",
            Self::DeclaredZero => "half rank, declared zero",
        }
    }

    fn rank(self, n: usize) -> usize {
        if matches!(self, Self::HalfRank | Self::DeclaredZero) { n.div_ceil(2) } else { n }
    }

    /// Bytes that have to move for a matrix, and flops in the fewest products, as
    /// kernels/backward/backward.cu counts both; of this the gradient cannot be made faster.
    fn floor<T: Scalar>(self, n: usize) -> (usize, f64) {
        let (entry, real, rank) = (size_of::<T>(), size_of::<T::Real>(), self.rank(n));
        let by_kept = self == Self::DeclaredZero && rank < n;
        let (columns, rows) = match self {
            Self::Values => (n, 0),
            _ if by_kept => (2 * rank, rank),
            _ => (n + rank, n),
        };
        let bytes = (columns + n) * n * entry + n * (3 * real + 1) + real + 8;
        let products = 8 * n * rank * (n + rows);
        let lower = if self == Self::Values { 0.0 } else { 8.0 * (rows as f64 - rank as f64 / 2.0) * (n * rank) as f64 };
        (bytes, (products as f64 + lower) / if T::COMPLEX { 1.0 } else { 4.0 })
    }

    pub fn options(self) -> Options {
        let dropped = if self == Self::DeclaredZero { Dropped::Zero } else { Dropped::AsComputed };
        Options::default().with_dropped(dropped)
    }
}

pub fn measure(run: &mut Run, cuda: &Cuda) {
    for n in run.orders(&ORDERS) {
        for dtype in run.dtypes.clone() {
            in_type!(dtype, forms(run, cuda, n, MATRICES, &Form::ALL));
        }
    }
}

/// Both cotangents, on as large a batch as the peers are given, in lines like theirs.
pub fn beside_peers(run: &mut Run, cuda: &Cuda) {
    for dtype in run.dtypes.clone() {
        for n in run.orders(&[4, 8, 16, 32, 33, 64, 128]) {
            in_type!(dtype, forms(run, cuda, n, usize::MAX, &[Form::Full]));
        }
    }
}

fn forms<T: Scalar>(run: &mut Run, cuda: &Cuda, n: usize, most: usize, forms: &[Form])
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    let (reps, batch) = (run.reps, (run.elements / (n * n)).clamp(8, most));
    let kernels = std::env::var("EIGENGRAD_BACKWARD").unwrap_or_else(|_| "auto".into());
    for &form in forms {
        let mut labels = labels::<T>("backward", n);
        labels.push(("form", form.name().into()));
        labels.push(("kernels", kernels.as_str().into()));
        run.case("time", labels, || {
            let (pairs, cotangents) = prepared::<T>(cuda, batch, n, form)?;
            let plan = Plan::<T, Cuda>::new(cuda, batch, n, &form.options())?;
            let (workspace, mut gradient) = (plan.workspace()?, plan.gradient::<T>()?);
            let times = Times::of(cuda, reps, || {
                Ok(plan.backward_into(pairs.view(), cotangents.view(), gradient.view_mut(), &workspace)?)
            })?;
            let status = gradient.status.to_host()?;
            let reported = status.iter().filter(|status| !status.is_ok()).count();
            let mut fields = times.fields(batch);
            let (bytes, flops) = form.floor::<T>(n);
            fields.extend([("workspace_bytes", workspace.bytes().into()), ("reported", reported.into())]);
            fields.extend([("bytes", bytes.into()), ("flops", flops.into())]);
            Ok(fields)
        });
    }
}

/// Eigenpairs and cotangents on the device that repeat those of the matrices that differ: λ̄
/// Gaussian, V̄ = 2 W∘V with W uniform, a loss that does not depend on phases.
pub fn prepared<T: Scalar>(cuda: &Cuda, batch: usize, n: usize, form: Form) -> Result<(Eigenpairs<T, Cuda>, Cotangents<T, Cuda>)>
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    let different = input::different(batch, n);
    let a = input::positive::<T>(different, n, form.rank(n));
    let plan = Plan::<T, Cuda>::new(cuda, different, n, &form.options())?;
    let (workspace, mut once) = (plan.workspace()?, plan.eigenpairs::<T>()?);
    plan.eigh_into(input::on_device(cuda, &a, different)?.view(), once.view_mut(), &workspace)?;
    let Eigenpairs { spectrum, vectors, .. } = once.to_host()?;
    let (values, kept, status, vectors) =
        (spectrum.values.to_vec(), spectrum.kept.to_vec(), spectrum.status.to_vec(), vectors.to_vec());

    let mut random = fastrand::Rng::with_seed(1);
    let values_bar: Vec<T::Real> = values.iter().map(|_| Real::of(input::gaussian::<f64>(&mut random))).collect();
    let weight = |v: &T| v.scale(Real::of(2.0 * random.f64()));
    let vectors_bar: Option<Vec<T>> = (form != Form::Values).then(|| vectors.iter().map(weight).collect());

    let plan = Plan::<T, Cuda>::new(cuda, batch, n, &form.options())?;
    let mut pairs = plan.eigenpairs::<T>()?;
    pairs.spectrum.values = Array::from_buffer(cuda, input::repeated(cuda, values, batch * n)?, [batch, n])?;
    pairs.spectrum.kept = Array::from_buffer(cuda, input::repeated(cuda, kept, batch * n)?, [batch, n])?;
    pairs.spectrum.status = Array::from_buffer(cuda, input::repeated(cuda, status, batch)?, [batch])?;
    pairs.vectors = Array::from_buffer(cuda, input::repeated(cuda, vectors, batch * n * n)?, [batch, n, n])?;
    let values_bar = Array::from_buffer(cuda, input::repeated(cuda, values_bar, batch * n)?, [batch, n])?;
    let vectors_bar = vectors_bar.map(|bar| input::repeated(cuda, bar, batch * n * n)).transpose()?;
    let vectors_bar = vectors_bar.map(|bar| Array::from_buffer(cuda, bar, [batch, n, n])).transpose()?;
    Ok((pairs, Cotangents::from_columns(Some(values_bar), vectors_bar)))
}
