//! Hessians times directions against sixth-order differences of the first gradient at fixed rank,
//! and what a Hessian must be.

use crate::calculus_oracle::Bars;
use crate::differences::{Loss, STEP, Weighted};
use crate::numbers::{C, Matrix, adjoint, epsilon, largest, matrix, norm, rows, stack, wide};
use crate::oracle::{Decomposition, inner, times};
use crate::random::Rng;
use crate::run;
use crate::second::upload;
use crate::tangents::{assert_ratio, steepest};
use eigengrad::{Cotangents, Cut, Dropped, Eigenpairs, Engine, Options, Scalar, Tangents};
use ndarray::Array2;

const TOLERANCE: f64 = 1e-9;
const LOSSES: [Loss; 4] = [Loss::Values, Loss::Quartic, Loss::Overlap, Loss::Projector];

/// λ̄̇ and V̄̇ of a loss along λ̇ and V̇.
fn second(loss: &Weighted, d: &Decomposition, values_dot: &[f64], v_dot: &Matrix) -> Bars {
    let n = d.n();
    let mut bars = Bars::zeros(n);
    match loss.loss {
        Loss::Values => {
            (0..n).for_each(|k| bars.values[k] = (1.8 * d.lambda[k] - loss.c[k] / d.lambda[k].powi(2)) * values_dot[k]);
        }
        Loss::Quartic => {
            bars.vectors = Array2::from_shape_fn((n, n), |ik| {
                let (w, v, v_dot) = (loss.w[ik], d.v[ik], v_dot[ik]);
                4.0 * w * (2.0 * (v.conj() * v_dot).re * v + v.norm_sqr() * v_dot)
            });
        }
        Loss::Overlap => {
            for (k, value_dot) in values_dot.iter().enumerate() {
                let q = loss.overlap(d, k);
                let q_dot: C = v_dot.column(k).iter().zip(loss.t.column(k)).map(|(v, t)| v.conj() * t).sum();
                bars.values[k] = 2.0 * (q.conj() * q_dot).re;
                let weight = q_dot.conj() * d.lambda[k] + q.conj() * value_dot;
                (0..n).for_each(|i| bars.vectors[[i, k]] = 2.0 * weight * loss.t[[i, k]]);
            }
        }
        Loss::Projector => {
            let half = times(v_dot, &adjoint(&crate::calculus_oracle::columns_of_k(d, &d.v)));
            let (p, p_dot) = (Weighted::projector(d), &half + &adjoint(&half));
            let p_bar = &loss.hermitian + &p.mapv(|x| x * 4.0 * x.norm_sqr());
            let p_bar_dot = Array2::from_shape_fn((n, n), |ij| {
                4.0 * (2.0 * (p[ij].conj() * p_dot[ij]).re * p[ij] + p[ij].norm_sqr() * p_dot[ij])
            });
            bars.vectors = (times(&p_bar_dot, &d.v) + times(&p_bar, v_dot)).mapv(|x| x * 2.0);
        }
    }
    bars
}

fn first(loss: &Weighted, host: &Eigenpairs<impl Scalar>) -> Vec<Bars> {
    let of = |b| {
        let (values, vectors) = loss.cotangents(&Decomposition::of(host, b));
        Bars { values, vectors }
    };
    (0..host.batch()).map(of).collect()
}

/// The Hessian times a direction for each matrix, forward over reverse; and reverse over reverse.
fn hessian<T: Scalar, B: Engine<T>>(
    backend: &B,
    matrices: &[Matrix],
    options: &Options,
    loss: &Weighted,
    e: &[Matrix],
) -> [Vec<Matrix>; 2] {
    let n = matrices[0].nrows();
    let (pairs, host) = run::eigh::<T, B>(backend, n, matrices, options);
    let along = |values: &dyn Fn(usize) -> Vec<f64>, vectors: &dyn Fn(usize) -> Matrix| -> Vec<Bars> {
        (0..e.len()).map(|b| second(loss, &Decomposition::of(&host, b), &values(b), &vectors(b))).collect()
    };
    let bars = upload(&pairs, &first(loss, &host), (true, true));
    let e = run::hermitian::<T, B>(backend, n, e);
    let forward = pairs.hvp(&bars, &e, |tangents: &Tangents<T, B>| {
        let tangents = tangents.to_host()?;
        let values = |b| tangents.values().row(b).iter().map(|&x| wide(x).re).collect();
        let dot = along(&values, &|b| matrix(tangents.vectors(), b));
        let (values, vectors): (Vec<_>, Vec<_>) = dot.into_iter().map(|x| (x.values, x.vectors)).unzip();
        Cotangents::new(&pairs, Some(rows::<T::Real>(n, &values).view()), Some(stack::<T>(n, &vectors).view()))
    });
    let forward = forward.unwrap().to_host().unwrap();
    forward.check().unwrap();
    let once = pairs.double_backward(&bars, &e, None).unwrap().to_host().unwrap();
    let values = |b| once.values_bar_bar().row(b).iter().map(|&x| wide(x).re).collect();
    let downstream = upload(&pairs, &along(&values, &|b| matrix(once.vectors_bar_bar(), b)), (true, true));
    let reverse = pairs.double_backward(&bars, &e, Some(&downstream)).unwrap().to_host().unwrap();
    reverse.check().unwrap();
    let all = |x: ndarray::ArrayView3<'_, T>| (0..matrices.len()).map(|b| matrix(x, b)).collect();
    [all(forward.data()), all(reverse.a_bar())]
}

/// Checks a batch for every loss against d/dt Ā(A + tE).
fn check<T: Scalar, B: Engine<T>>(backend: &B, matrices: &[Matrix], options: &Options, rng: &mut Rng) {
    let n = matrices[0].nrows();
    for loss in LOSSES {
        let loss = Weighted::new::<T>(loss, n, rng);
        let e: Vec<_> = matrices.iter().map(|_| rng.hermitian::<T>(n).mapv(|x| x / (n as f64).sqrt())).collect();
        let gradient = |t: f64| -> Vec<Matrix> {
            let moved: Vec<_> = matrices.iter().zip(&e).map(|(a, e)| a + &e.mapv(|e| e * t)).collect();
            let (pairs, host) = run::eigh::<T, B>(backend, n, &moved, options);
            let gradient = pairs.backward(&upload(&pairs, &first(&loss, &host), (true, true))).unwrap().to_host().unwrap();
            (0..moved.len()).map(|b| matrix(gradient.a_bar(), b)).collect()
        };
        let mut expected = vec![Array2::zeros((n, n)); matrices.len()];
        for (step, weight) in [(1.0, 45.0), (2.0, -9.0), (3.0, 1.0)] {
            for (sum, (forth, back)) in expected.iter_mut().zip(gradient(step * STEP).into_iter().zip(gradient(-step * STEP))) {
                *sum += &(forth - back).mapv(|x| x * weight / (60.0 * STEP));
            }
        }
        for got in hessian::<T, B>(backend, matrices, options, &loss, &e) {
            for (b, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let error = largest(&(got - expected)) / largest(expected).max(1.0);
                assert!(error <= TOLERANCE, "n = {n}, {:?}, matrix {b}: {error:e}", loss.loss);
            }
        }
    }
}

/// Rank-deficient, tied-null, ragged and zero-padded matrices in one batch, whose ranks a threshold
/// far from either side keeps fixed.
pub fn hessians_by_differences<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(95);
    for n in [5, 9] {
        let mut padded = Array2::zeros((n, n));
        padded.slice_mut(ndarray::s![..3, ..3]).assign(&rng.of_rank::<T>(3, 3, true));
        let mut tied = vec![0.0; n];
        tied[..2].copy_from_slice(&[1.0, -1.5]);
        let matrices = [
            rng.of_rank::<T>(n, 3, false),
            rng.of_rank::<T>(n, 1, false),
            padded,
            crate::numbers::diagonal(&tied),
            rng.of_rank::<T>(n, 2, true),
            Array2::from_elem((n, n), C::new(0.2, 0.0)),
            rng.of_rank::<T>(n, 4, true),
            Array2::zeros((n, n)),
        ];
        let options = Options::default().with_cut(Cut::absolute(0.5));
        check::<T, B>(backend, &matrices, &options, &mut rng);
    }
}

/// Beyond the order where lanes give way to products, of full rank, and of one column.
pub fn hessians_of_fixed_rank<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(96);
    for (n, r) in [(1, 1), (2, 2), (5, 5), (66, 2)] {
        let options = Options::default().with_cut(Cut::none().with_at_most(r));
        let matrices = [rng.of_rank::<T>(n, r, true)];
        check::<T, B>(backend, &matrices, &options, &mut rng);
    }
}

/// ⟨x, H y⟩ = ⟨y, H x⟩ to n·ε, declared zeros or not.
pub fn hessians_are_symmetric<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(97);
    for (n, r) in [(6, 3), (16, 5), (67, 3)] {
        for dropped in [Dropped::AsComputed, Dropped::Zero] {
            let options = Options::default().with_cut(Cut::at_most(r)).with_dropped(dropped);
            let matrices = [rng.of_rank::<T>(n, r, true)];
            let d = Decomposition::of(&run::eigh::<T, B>(backend, n, &matrices, &options).1, 0);
            for loss in LOSSES {
                let loss = Weighted::new::<T>(loss, n, &mut rng);
                let (x, y) = (rng.hermitian::<T>(n), rng.hermitian::<T>(n));
                let of = |e: &Matrix| hessian::<T, B>(backend, &matrices, &options, &loss, std::slice::from_ref(e));
                for (of_x, of_y) in of(&x).iter().zip(of(&y)) {
                    let (one, other) = (inner(&x, &of_y[0]), inner(&y, &of_x[0]));
                    let bars = loss.cotangents(&d);
                    let size = norm(&bars.1) + bars.0.iter().zip(&d.kept).filter(|x| *x.1).map(|x| x.0.abs()).fold(1.0, f64::max);
                    let unit = n as f64 * epsilon::<T>() * norm(&x) * norm(&y) * size * steepest(&d.f(None)).powi(2);
                    assert_ratio((one - other).abs(), unit, format!("n = {n}, {:?}, {dropped:?}", loss.loss));
                }
            }
        }
    }
}
