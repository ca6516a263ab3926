//! ‖AV − VΛ‖₁ / (n·ε·‖A‖₂), ‖VᴴV − I‖₁ / (n·ε) and null noise of each solver on several spectra,
//! the largest of a batch.

use crate::arguments::Way;
use crate::input;
use crate::run::{Field, Run, in_type};
use eigengrad::cuda::{Cuda, Workspace};
use eigengrad::{Backend, Cpu, Eigenpairs, Engine, HermitianBatch, Options, Plan, Real, Scalar};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use num_complex::Complex;

const ORDERS: [usize; 6] = [8, 32, 33, 4, 16, 64];

const WAYS: [Way; 6] = [Way::Auto, Way::OnChip, Way::Ql, Way::Jacobi, Way::JacobiTo(1.0), Way::SyevFastest];

/// A kind of matrices.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// X Xᴴ / n of half rank: the other eigenvalues are noise.
    HalfRank,
    /// Eigenvalues of both signs.
    Random,
    /// Two clusters whose eigenvalues are ε apart.
    Clustered,
    /// Random ones times 10¹⁵ in single and 10¹⁵⁰ in double precision.
    Large,
    /// Divided by as much.
    Small,
    Zero,
    /// H_ij·g_i·g_j with H random and g from 1 down to 10⁻¹² or, in single precision, ε².
    Graded,
    /// Ones alone.
    Ones,
}

impl Kind {
    const ALL: [Self; 8] =
        [Self::HalfRank, Self::Random, Self::Clustered, Self::Large, Self::Small, Self::Zero, Self::Graded, Self::Ones];

    fn name(self) -> &'static str {
        match self {
            Self::HalfRank => "half rank",
            Self::Random => "random",
            Self::Clustered => "clustered",
            Self::Large => "large",
            Self::Small => "small",
            Self::Zero => "zero",
            Self::Graded => "graded",
            Self::Ones => "ones",
        }
    }

    fn draw<T: Scalar>(self, batch: usize, n: usize) -> Array3<T> {
        let mut random = fastrand::Rng::with_seed(2);
        let (epsilon, single) = (T::PRECISION.epsilon(), size_of::<T::Real>() == 4);
        let decades = if single { 15 } else { 150 };
        let scale = 10_f64.powi(match self {
            Self::Large => decades,
            Self::Small => -decades,
            _ => 0,
        });
        let mut a = Array3::from_elem((batch, n, n), T::default());
        match self {
            Self::HalfRank => return input::positive(batch, n, n / 2),
            Self::Zero => {}
            Self::Ones => a.fill(T::from_parts(Real::of(1.0), Real::of(0.0))),
            Self::Random | Self::Clustered | Self::Large | Self::Small | Self::Graded => {
                for mut a in a.axis_iter_mut(Axis(0)) {
                    let clustered = |k: usize| if 2 * k < n { 0.5 } else { 1.0 } + k as f64 * epsilon;
                    let mut lambda =
                        |k| if matches!(self, Self::Clustered) { clustered(k) } else { scale * (2.0 * random.f64() - 1.0) };
                    let lambda: Vec<f64> = (0..n).map(&mut lambda).collect();
                    a.assign(&input::with_spectrum::<T>(&lambda, &mut random));
                    if matches!(self, Self::Graded) {
                        let grade = |i: usize| 1e-12_f64.max(epsilon * epsilon).powf(i as f64 / (n - 1) as f64);
                        a.indexed_iter_mut().for_each(|((i, j), x)| *x = x.scale(Real::of(grade(i) * grade(j))));
                    }
                }
            }
        }
        a
    }
}

pub fn measure(run: &mut Run, cuda: &Cuda) {
    for n in run.orders(&ORDERS) {
        for dtype in run.dtypes.clone() {
            in_type!(dtype, each(run, cuda, n));
        }
    }
}

fn each<T: Scalar>(run: &mut Run, cuda: &Cuda, n: usize)
where
    Cuda: Engine<T, Workspace = Workspace<T>>,
{
    let batch = (run.elements / (n * n)).clamp(4, 1 << 10).min((1 << 16) / (n * n));
    for kind in Kind::ALL {
        if !run.goes_on() {
            return;
        }
        let a = kind.draw::<T>(batch, n);
        for way in WAYS {
            let cuda = cuda.clone().with_solver(way.solver(T::PRECISION.epsilon()));
            let labels = vec![
                ("dtype", T::DTYPE.to_string().into()),
                ("n", n.into()),
                ("batch", batch.into()),
                ("matrices", kind.name().into()),
                ("solver", way.to_string().into()),
            ];
            run.case("accuracy", labels, || {
                let plan = Plan::<T, Cuda>::new(&cuda, batch, n, &Options::default())?;
                let (workspace, mut pairs) = (plan.workspace()?, plan.eigenpairs::<T>()?);
                let batch = HermitianBatch::on(&cuda, a.view())?;
                plan.eigh_into(batch.view(), pairs.view_mut(), &workspace)?;
                cuda.synchronize()?;
                Ok(judged(&a, &pairs.to_host()?, kind))
            });
        }
    }
}

/// The largest ratios of a batch, and how many matrices have no decomposition or, where that is
/// known, another rank.
fn judged<T: Scalar>(a: &Array3<T>, pairs: &Eigenpairs<T, Cpu>, kind: Kind) -> Vec<Field> {
    let n = pairs.n();
    let (mut residual, mut orthogonality, mut noise) = (0.0, 0.0, 0.0);
    let (mut failures, mut ranks) = (0, 0);
    let rank = match kind {
        Kind::HalfRank => n / 2,
        Kind::Zero => 0,
        Kind::Ones => 1,
        Kind::Graded => usize::MAX, // is not asked
        _ => n,
    };
    for (b, (a, v)) in a.outer_iter().zip(pairs.vectors().outer_iter()).enumerate() {
        if pairs.status()[b].failed() {
            failures += 1;
            continue;
        }
        let lambda: Vec<f64> = pairs.values().row(b).iter().map(|x| x.to_f64()).collect();
        let ratios = Ratios::of(&wide(a), &wide(v), &lambda, T::PRECISION.epsilon());
        residual = worse(residual, ratios.residual);
        orthogonality = worse(orthogonality, ratios.orthogonality);
        let mut sizes: Vec<f64> = lambda.iter().map(|x| x.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        if matches!(kind, Kind::HalfRank) {
            noise = worse(noise, sizes[n - rank - 1] / (T::PRECISION.epsilon() * sizes[n - 1]));
        }
        ranks += usize::from(rank <= n && pairs.rank()[b] as usize != rank);
    }
    let mut fields = vec![
        ("residual", residual.into()),
        ("orthogonality", orthogonality.into()),
        ("failures", failures.into()),
        ("other_ranks", ranks.into()),
    ];
    if matches!(kind, Kind::HalfRank) {
        fields.push(("null_noise", noise.into()));
    }
    fields
}

/// The larger number, infinity if one is NaN.
fn worse(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::INFINITY } else { x.max(y) }
}

fn wide<T: Scalar>(a: ArrayView2<'_, T>) -> Array2<Complex<f64>> {
    a.mapv(|x| Complex::new(x.re().to_f64(), x.im().to_f64()))
}

struct Ratios {
    residual: f64,
    orthogonality: f64,
}

impl Ratios {
    fn of(a: &Array2<Complex<f64>>, v: &Array2<Complex<f64>>, lambda: &[f64], epsilon: f64) -> Self {
        let unit = lambda.len() as f64 * epsilon;
        let norm = lambda.iter().fold(0.0, |norm: f64, x| norm.max(x.abs()));
        let (av, vv) = (a.dot(v), v.t().mapv(|x| x.conj()).dot(v));
        let residual = norm_1(&Array2::from_shape_fn(a.dim(), |(i, k)| av[[i, k]] - v[[i, k]] * lambda[k]));
        let orthogonality = norm_1(&(vv - Array2::<Complex<f64>>::eye(lambda.len())));
        let relative = if residual == 0.0 { 0.0 } else { residual / norm / unit };
        Self { residual: relative, orthogonality: orthogonality / unit }
    }
}

/// The largest column sum.
fn norm_1(x: &Array2<Complex<f64>>) -> f64 {
    x.axis_iter(Axis(1)).map(|column| column.iter().map(|x| x.norm()).sum()).fold(0.0, worse)
}
