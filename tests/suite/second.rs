//! The double backward pass and the tangent of Ā against the naive formulas, one another, and the
//! definition of an adjoint.

use crate::backward::{ORDERS, mixed};
use crate::calculus_oracle::{self as oracle, Bars};
use crate::numbers::{C, Matrix, epsilon, largest, matrix, norm, rounded, wide};
use crate::oracle::{Decomposition, inner};
use crate::random::Rng;
use crate::run;
use crate::tangents::{assert_ratio, decomposition, directions, steepest};
use eigengrad::{
    Cotangents, Cut, DoubleGradient, Dropped, Eigenpairs, Engine, Error, HermitianResult, Options, Scalar, Status, TieRule,
};
use ndarray::Array2;

/// Cotangents for each matrix, as the library will see them.
pub fn random_bars<T: Scalar>(n: usize, count: usize, rng: &mut Rng) -> Vec<Bars> {
    let values = |rng: &mut Rng| rng.vector(n).into_iter().map(|x| f64::from(x as f32)).collect();
    (0..count).map(|_| Bars { values: values(rng), vectors: rounded::<T>(&rng.matrix::<T>(n, n)) }).collect()
}

/// Those cotangents on the backend: λ̄, V̄ or both.
pub fn upload<T: Scalar, B: Engine<T>>(pairs: &Eigenpairs<T, B>, bars: &[Bars], with: (bool, bool)) -> Cotangents<T, B> {
    let values: Vec<_> = bars.iter().map(|x| x.values.clone()).collect();
    let vectors: Vec<_> = bars.iter().map(|x| x.vectors.clone()).collect();
    run::cotangents(pairs, with.0.then_some(&*values), with.1.then_some(&*vectors))
}

/// What is absent as zeros, for the oracles.
fn present(bars: &Bars, with: (bool, bool)) -> Bars {
    let zeros = Bars::zeros(bars.values.len());
    Bars {
        values: if with.0 { bars.values.clone() } else { zeros.values },
        vectors: if with.1 { bars.vectors.clone() } else { zeros.vectors },
    }
}

/// NaN in all of D.
fn dirty<T: Scalar>(host: &Eigenpairs<T>, bars: &[Bars]) -> Vec<Bars> {
    let mut bars = bars.to_vec();
    for ((b, k), _) in host.kept().indexed_iter().filter(|(_, kept)| !**kept) {
        bars[b].values[k] = f64::NAN;
        bars[b].vectors.column_mut(k).fill(C::new(f64::NAN, f64::INFINITY));
    }
    bars
}

/// A bound of the products that the second derivatives are sums of.
fn unit<T: Scalar>(d: &Decomposition, f: &Array2<f64>, bars: &Bars, e: &Matrix, more: &Bars) -> f64 {
    let of = |x: &Bars| {
        let values = (0..d.n()).filter(|&k| d.kept[k]).map(|k| x.values[k].abs()).fold(0.0, f64::max);
        (values, norm(&oracle::columns_of_k(d, &x.vectors)))
    };
    let ((values, vectors), (more_values, more_vectors), f) = (of(bars), of(more), steepest(f));
    let of_more = more_values + f * more_vectors;
    d.n() as f64 * epsilon::<T>() * (of_more + f * norm(e) * (values + 2.0 * f * vectors))
}

fn assert_hermitian<T: Scalar>(a: ndarray::ArrayView3<'_, T>) {
    for a in a.outer_iter() {
        for ((i, j), &x) in a.indexed_iter() {
            assert!(wide(x) == wide(a[[j, i]]).conj(), "({i}, {j})");
        }
    }
}

/// Every combination of what may be absent.
const PRESENT: [((bool, bool), (bool, bool)); 6] = [
    ((true, true), (true, true)),
    ((true, true), (false, false)),
    ((true, false), (false, true)),
    ((false, true), (true, false)),
    ((false, false), (true, true)),
    ((false, false), (false, false)),
];

struct Case<'a, T: Scalar, B: Engine<T>> {
    backend: &'a B,
    options: &'a Options,
    pairs: Eigenpairs<T, B>,
    host: Eigenpairs<T>,
    bars: Vec<Bars>,
    more: Vec<Bars>,
    e: Vec<Matrix>,
}

impl<'a, T: Scalar, B: Engine<T>> Case<'a, T, B> {
    fn new(backend: &'a B, n: usize, matrices: &[Matrix], options: &'a Options, rng: &mut Rng) -> Self {
        let (pairs, host) = run::eigh::<T, B>(backend, n, matrices, options);
        let (bars, more) = (random_bars::<T>(n, matrices.len(), rng), random_bars::<T>(n, matrices.len(), rng));
        Self { backend, options, pairs, host, bars, more, e: directions::<T>(n, matrices.len(), rng) }
    }

    fn double_backward(&self, bars: &[Bars], more: &[Bars], with: ((bool, bool), (bool, bool))) -> DoubleGradient<T> {
        let (bars, more) = (upload(&self.pairs, bars, with.0), upload(&self.pairs, more, with.1));
        let h = run::hermitian::<T, B>(self.backend, self.pairs.n(), &self.e);
        let more = (with.1 != (false, false)).then_some(&more);
        self.pairs.double_backward(&bars, &h, more).unwrap().to_host().unwrap()
    }

    fn backward_jvp(&self, bars: &[Bars], more: &[Bars], with: ((bool, bool), (bool, bool))) -> HermitianResult<T> {
        let (bars, more) = (upload(&self.pairs, bars, with.0), upload(&self.pairs, more, with.1));
        let a_dot = run::hermitian::<T, B>(self.backend, self.pairs.n(), &self.e);
        self.pairs.backward_jvp(&bars, &a_dot, &more).unwrap().to_host().unwrap()
    }

    fn each(&self, mut check: impl FnMut(usize, &Decomposition, &Array2<f64>)) {
        for b in 0..self.e.len() {
            let d = decomposition(&self.host, self.options, b);
            let rtol = self.pairs_tie_rtol();
            let f = d.f(Some(&d.groups(rtol * d.norm())));
            check(b, &d, &f);
        }
    }

    fn pairs_tie_rtol(&self) -> f64 {
        if self.options.ties == TieRule::Exact { 0.0 } else { T::PRECISION.tie_cutoff(self.pairs.n()) }
    }

    fn check(&self) {
        let n = self.pairs.n();
        let (dirty_bars, dirty_more) = (dirty(&self.host, &self.bars), dirty(&self.host, &self.more));
        for with in PRESENT {
            let second = self.double_backward(&self.bars, &self.more, with);
            let tangent = self.backward_jvp(&self.bars, &self.more, with);
            assert_hermitian(second.a_bar());
            assert_hermitian(tangent.data());
            self.each(|b, d, f| {
                let (bars, more) = (present(&self.bars[b], with.0), present(&self.more[b], with.1));
                let (unit, e) = (unit::<T>(d, f, &bars, &self.e[b], &more), &self.e[b]);
                let what = |x| format!("{x}, n = {n}, matrix {b}, {with:?}, {:?}", self.options.dropped);
                let (a_bar, values, vectors) = oracle::double_backward(d, f, &bars, e, &more);
                assert_ratio(largest(&(matrix(second.a_bar(), b) - a_bar)), unit, what("Ā̄"));
                let of_e = n as f64 * epsilon::<T>() * norm(e);
                for (k, value) in values.iter().enumerate() {
                    assert_ratio((wide(second.values_bar_bar()[[b, k]]).re - value).abs(), of_e, what("λ̄̄"));
                }
                assert_ratio(largest(&(matrix(second.vectors_bar_bar(), b) - vectors)), of_e * steepest(f), what("V̄̄"));
                let expected = oracle::backward_jvp(d, f, &bars, e, &more);
                assert_ratio(largest(&(matrix(tangent.data(), b) - expected)), unit, what("Ā̇"));
            });
            let other = self.double_backward(&dirty_bars, &dirty_more, with);
            assert_eq!(other.a_bar(), second.a_bar(), "n = {n}: what is outside K was read");
            assert_eq!(other.status(), second.status());
            assert_eq!(self.backward_jvp(&dirty_bars, &dirty_more, with).data(), tangent.data(), "n = {n}: outside K was read");
        }
    }
}

pub fn second_derivatives_by_the_formulas<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(71);
    for n in ORDERS {
        for count in if n < 16 { vec![1, 7, 17] } else { vec![9] } {
            let mut matrices = mixed::<T>(n, count, &mut rng);
            matrices.push(Array2::eye(n));
            Case::<T, B>::new(backend, n, &matrices, &Options::default(), &mut rng).check();
        }
    }
}

/// Kept ones cut out of a full spectrum, and dropped ones that are declared zero.
pub fn second_derivatives_beside_what_is_dropped<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(72);
    for n in [4, 9, 17, 67] {
        let lambda: Vec<_> = (0..n).map(|k| if k % 3 == 0 { -1.0 } else { 1.0 } * (0.3 + k as f64)).collect();
        let matrices: Vec<_> = (0..7).map(|_| rng.with_spectrum::<T>(&lambda)).collect();
        for cut in [Cut::at_most(n / 3), Cut::relative(0.4), Cut::none()] {
            Case::<T, B>::new(backend, n, &matrices, &Options::default().with_cut(cut), &mut rng).check();
        }
        let matrices: Vec<_> = (0..9).map(|b| rng.of_rank::<T>(n, b * n / 8, b % 2 == 1)).collect();
        let declared = Options::default().with_dropped(Dropped::Zero);
        Case::<T, B>::new(backend, n, &matrices, &declared, &mut rng).check();
    }
}

/// ⟨H, Ā̇⟩ = ⟨Ā̄, Ȧ⟩ + ⟨λ̄̄, λ̄̇⟩ + Re⟨V̄̄, V̄̇⟩ with the library on both sides.
pub fn second_derivatives_adjoint_to_each_other<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(73);
    for n in [1, 2, 5, 16, 33, 67] {
        let mut matrices = mixed::<T>(n, 9, &mut rng);
        matrices.push(Array2::eye(n));
        for dropped in [Dropped::AsComputed, Dropped::Zero] {
            let options = Options::default().with_dropped(dropped);
            let case = Case::<T, B>::new(backend, n, &matrices, &options, &mut rng);
            let tangent = case.backward_jvp(&case.bars, &case.more, ((true, true), (true, true)));
            let a_dot = case.e.clone();
            let of_h = Case { e: directions::<T>(n, matrices.len(), &mut rng), ..case };
            let second = of_h.double_backward(&of_h.bars, &of_h.more, ((true, true), (false, false)));
            of_h.each(|b, d, f| {
                let (h, dot) = (&of_h.e[b], &of_h.more[b]);
                let got = inner(h, &matrix(tangent.data(), b));
                let of_a = inner(&matrix(second.a_bar(), b), &a_dot[b]);
                let of_values: f64 = (0..n).map(|k| wide(second.values_bar_bar()[[b, k]]).re * dot.values[k]).sum();
                let of_vectors = inner(&matrix(second.vectors_bar_bar(), b), &oracle::columns_of_k(d, &dot.vectors));
                let unit = unit::<T>(d, f, &of_h.bars[b], &a_dot[b], dot) * norm(h) * n as f64;
                let what = format!("n = {n}, matrix {b}, {dropped:?}: {got} against {}", of_a + of_values + of_vectors);
                assert_ratio((got - of_a - of_values - of_vectors).abs(), unit, what);
            });
        }
    }
}

/// Ties are taken out, shown, or refused, as in the first backward.
pub fn second_derivatives_of_tied_pairs<T: Scalar, B: Engine<T>>(backend: &B) {
    let mut rng = Rng::new(74);
    for n in [5, 67] {
        let mut lambda: Vec<_> = (0..n).map(|k| 1.0 + k as f64).collect();
        lambda[3] = lambda[2];
        let matrices = [crate::numbers::diagonal(&lambda), rng.of_rank::<T>(n, n - 1, false)];
        for ties in [TieRule::ZeroAndReport, TieRule::Exact, TieRule::Error] {
            let options = Options::default().with_ties(ties);
            let case = Case::<T, B>::new(backend, n, &matrices, &options, &mut rng);
            let (bars, h) = (upload(&case.pairs, &case.bars, (true, true)), run::hermitian::<T, B>(backend, n, &case.e));
            let second = case.pairs.double_backward(&bars, &h, None);
            let tangent = case.pairs.backward_jvp(&bars, &h, &bars);
            if ties == TieRule::Error {
                for refused in [second.map(drop), tangent.map(drop)] {
                    match refused {
                        Err(Error::Matrices(found)) => assert_eq!(found, [(0, Status::TIED | Status::TIES_REFUSED)]),
                        other => panic!("{other:?}"),
                    }
                }
                continue;
            }
            let (second, tangent) = (second.unwrap().to_host().unwrap(), tangent.unwrap().to_host().unwrap());
            for status in [second.status(), tangent.status()] {
                assert!(status[0].intersects(Status::TIED) && status[0].intersects(Status::TIE_DEFECT));
                assert_eq!(status[0].intersects(Status::RESULT_NOT_FINITE), ties == TieRule::Exact);
                assert_eq!(status[1], Status::OK);
            }
            assert!(second.check().is_err() && tangent.check().is_err());
        }
    }
}
