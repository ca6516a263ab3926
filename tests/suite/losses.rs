//! Losses against targets: by their formulas, by differences of A through the backward pass, and
//! what does not count.

use crate::backward::mixed;
use crate::differences::difference;
use crate::numbers::{C, Matrix, epsilon, largest, matrix, narrow, rows, same_bits, stack, wide};
use crate::oracle::{Decomposition, inner};
use crate::random::Rng;
use crate::{THRESHOLD, run};
use eigengrad::{
    Array, Cpu, Cut, Element, ElementOf, Engine, Error, Options, PairLoss, PairLosses, Plan, Real, Scalar, Status, Targets,
};

const TERMS: [PairLoss; 4] = [
    PairLoss { spectral: 0.7, overlap: 0.0, intensity: 0.0 },
    PairLoss { spectral: 0.0, overlap: 1.3, intensity: 0.0 },
    PairLoss { spectral: 0.0, overlap: 0.0, intensity: 0.9 },
    PairLoss { spectral: 0.5, overlap: 2.0, intensity: 0.25 },
];

/// λ*, V* and w of a matrix, as the oracle sees them.
struct Target {
    values: Vec<f64>,
    vectors: Matrix,
    weights: Vec<f64>,
}

impl Target {
    /// Unit vectors beside `near`, and weights of which one is 0.
    fn beside<O: Element>(near: &Decomposition, rng: &mut Rng) -> Self {
        let n = near.n();
        let mut vectors = &near.v + &rng.matrix::<O::Scalar>(n, n).mapv(|x| x * 0.2);
        for mut v in vectors.columns_mut() {
            let norm = v.iter().map(|x| x.norm_sqr()).sum::<f64>().sqrt();
            v.mapv_inplace(|x| wide(narrow::<O>(x / norm)));
        }
        let real = |x: f64| wide(narrow::<O::Real>(C::new(x, 0.0))).re;
        let values = near.lambda.iter().map(|&x| real(x * 1.1)).collect();
        let weights = (0..n).map(|k| if k == 1 { 0.0 } else { real(0.5 + 0.1 * (k % 7) as f64) }).collect();
        Self { values, vectors, weights }
    }
}

fn on<O: Element, B: eigengrad::Backend>(backend: &B, n: usize, targets: &[Target]) -> Targets<O, B> {
    let (vectors, rest): (Vec<_>, Vec<_>) =
        targets.iter().map(|x| (x.vectors.t().to_owned(), (x.values.clone(), x.weights.clone()))).unzip();
    let (values, weights): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
    let batch = targets.len();
    Targets {
        values: Array::from_host(backend, rows::<O::Real>(n, &values).into_raw_vec_and_offset().0, [batch, n]).unwrap(),
        vectors: Array::from_host(backend, stack::<O>(n, &vectors).into_raw_vec_and_offset().0, [batch, n, n]).unwrap(),
        weights: Array::from_host(backend, rows::<O::Real>(n, &weights).into_raw_vec_and_offset().0, [batch, n]).unwrap(),
    }
}

/// The loss, λ̄ and V̄ by the formulas.
fn by_formula(loss: &PairLoss, d: &Decomposition, target: &Target) -> (f64, Vec<f64>, Matrix) {
    let n = d.n();
    let (mut sum, mut lambda_bar, mut v_bar) = (0.0, vec![0.0; n], Matrix::zeros((n, n)));
    for k in (0..n).filter(|&k| d.kept[k]) {
        let (v, t, w) = (d.v.column(k), target.vectors.column(k), target.weights[k]);
        let overlap: C = t.iter().zip(v).map(|(t, v)| t.conj() * v).sum();
        let off = d.lambda[k] - target.values[k];
        lambda_bar[k] = 2.0 * w * loss.spectral * off;
        let apart: f64 = v.iter().zip(t).map(|(v, t)| (v - t * overlap).norm_sqr()).sum();
        let brighter = |i: usize| v[i].norm_sqr() - t[i].norm_sqr();
        sum += w * (loss.spectral * off * off + loss.overlap * apart);
        sum += w * loss.intensity * (0..n).map(|i| brighter(i).powi(2)).sum::<f64>();
        for i in 0..n {
            v_bar[[i, k]] = w * (4.0 * loss.intensity * brighter(i) * v[i] - 2.0 * loss.overlap * overlap * t[i]);
        }
    }
    (sum, lambda_bar, v_bar)
}

fn assert_formula<O: ElementOf<T>, T: Scalar>(
    loss: &PairLoss,
    all: &[Decomposition],
    targets: &[Target],
    got: &PairLosses<O, Cpu>,
    epsilon: f64,
) {
    for (b, (d, target)) in all.iter().zip(targets).enumerate() {
        let n = d.n();
        let (sum, lambda_bar, v_bar) = by_formula(loss, d, target);
        let scale = d.lambda.iter().fold(1.0, |a: f64, &x| a.max(x.abs()));
        let within = THRESHOLD * n as f64 * epsilon;
        let found = got.loss()[b].to_f64();
        assert!((found - sum).abs() <= within * scale * scale * n as f64, "n = {n}, {b}, {loss:?}: {found} against {sum}");
        let off = &matrix(got.vectors_bar(), b) - &v_bar;
        assert!(largest(&off) <= within, "n = {n}, {b}, {loss:?}: {:e}", largest(&off));
        for (k, (&found, &expected)) in got.values_bar().row(b).iter().zip(&lambda_bar).enumerate() {
            let off = (wide(found).re - expected).abs();
            assert!(off <= within * scale, "n = {n}, {b}, pair {k}: {off:e}");
        }
    }
}

/// Of matrices of every rank, and of order up to what several warps share.
pub fn losses_by_the_formulas<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(71);
    for n in [1, 2, 3, 5, 8, 16, 33, 67] {
        let matrices = mixed::<T>(n, 7, &mut rng);
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let all: Vec<_> = (0..matrices.len()).map(|b| Decomposition::of(&host, b)).collect();
        let targets: Vec<_> = all.iter().map(|d| Target::beside::<T>(d, &mut rng)).collect();
        for loss in &TERMS {
            let got = pairs.loss(loss, &on::<T, B>(backend, n, &targets)).unwrap().to_host().unwrap();
            assert_formula(loss, &all, &targets, &got, epsilon::<T>());
        }
    }
}

/// A matrix alone has the bits that it has in a batch; one without eigenpairs has a loss of NaN.
pub fn losses_keep_to_themselves<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(72);
    for n in [3, 16, 67] {
        let mut matrices = mixed::<T>(n, 9, &mut rng);
        matrices[4][[0, 0]] = f64::NAN.into();
        let plan = Plan::<T, B>::new(backend, 9, n, &Options::default()).unwrap();
        let (pairs, host) = run::eigh::<T, B>(backend, n, &matrices, &Options::default());
        let mut all: Vec<_> = (0..9).map(|b| Decomposition::of(&host, b)).collect();
        all[4] = Decomposition::of(&run::eigh::<T, B>(backend, n, &matrices[..1], &Options::default()).1, 0);
        let targets: Vec<_> = all.iter().map(|d| Target::beside::<T>(d, &mut rng)).collect();
        let mut losses = plan.losses::<T>().unwrap();
        for _ in 0..2 {
            plan.loss_into(&TERMS[3], pairs.view(), on(backend, n, &targets).view(), losses.view_mut()).unwrap();
        }
        let (of_device, losses) = (pairs.loss(&TERMS[3], &on::<T, B>(backend, n, &targets)).unwrap(), losses.to_host().unwrap());
        for b in 0..9 {
            let (alone, _) = run::eigh::<T, B>(backend, n, &matrices[b..=b], &Options::default());
            let of_alone = alone.loss(&TERMS[3], &on::<T, B>(backend, n, &targets[b..=b])).unwrap().to_host().unwrap();
            assert_eq!(losses.loss()[b].to_f64().is_nan(), b == 4);
            if run::has_bits_of_its_own::<B>(n) {
                assert!(same_bits([of_alone.loss()[0]], [losses.loss()[b]]), "n = {n}, {b}");
                let v_bar = |x: &PairLosses<T, Cpu>, b: usize| matrix(x.vectors_bar(), b);
                assert_eq!(v_bar(&of_alone, 0), v_bar(&losses, b), "n = {n}, {b}");
            }
        }
        let gradient = pairs.backward(&of_device.split().1).unwrap().to_host().unwrap();
        for (b, status) in gradient.status().iter().enumerate() {
            assert!(!status.intersects(Status::PHASE_DEPENDENT), "n = {n}, {b}: {status}");
        }
        let wrong = on::<T, B>(backend, n, &targets[1..]);
        assert!(matches!(pairs.loss(&TERMS[0], &wrong), Err(Error::Shape { what: "λ*", .. })));
    }
}

/// The slope along a direction, and that by differences of A.
pub fn losses_by_differences<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(73);
    for (n, r) in [(2, 1), (6, 3), (12, 12)] {
        let options = Options::default().with_cut(Cut::at_most(r));
        let (a, truth) = (rng.of_rank::<T>(n, r, false), rng.of_rank::<T>(n, r, false));
        let (truth, _) = run::eigh::<T, B>(backend, n, &[truth], &options);
        let targets = Targets::of(&truth).unwrap().on(backend).unwrap();
        for loss in &TERMS {
            let at = |a: &Matrix| {
                let (pairs, _) = run::eigh::<T, B>(backend, n, std::slice::from_ref(a), &options);
                let (sum, cotangents) = pairs.loss(loss, &targets).unwrap().split();
                let gradient = pairs.backward(&cotangents).unwrap().to_host().unwrap();
                (sum.to_host().unwrap()[0].to_f64(), gradient)
            };
            let (_, gradient) = at(&a);
            gradient.check().unwrap();
            let e = rng.hermitian::<T>(n).mapv(|x| x / (n as f64).sqrt());
            let (got, expected) = (inner(&matrix(gradient.a_bar(), 0), &e), difference(|a| at(a).0, &a, &e));
            assert!((got - expected).abs() <= 1e-8 * expected.abs().max(1.0), "n = {n}, {loss:?}: {got} against {expected}");
        }
    }
}

/// Stored as halves, computed in 32 bits.
pub fn losses_of_halves<O, B>(backend: &B)
where
    O: Element,
    B: Engine<O::Scalar>,
{
    let mut rng = Rng::new(74);
    let n = 6;
    let matrices = vec![rng.of_rank::<O>(n, 4, false), rng.of_rank::<O>(n, 6, false)];
    let a = eigengrad::HermitianBatch::<O, B>::on(backend, stack::<O>(n, &matrices).view()).unwrap();
    let pairs = eigengrad::eigh_as::<O, O, B>(&a, &Options::default()).unwrap();
    let host = pairs.to_host().unwrap();
    let all: Vec<_> = (0..2).map(|b| Decomposition::of(&host, b)).collect();
    let targets: Vec<_> = all.iter().map(|d| Target::beside::<O>(d, &mut rng)).collect();
    let got = pairs.loss(&TERMS[3], &on::<O, B>(backend, n, &targets)).unwrap().to_host().unwrap();
    assert_formula::<O, O::Scalar>(&TERMS[3], &all, &targets, &got, O::PRECISION.epsilon());
}
