//! Ā of one run of matrices: what both ways to assemble it share, on the way in and on the way out.

use super::Kernels;
use super::assemble::{Assemble, Assembly, Column, Way};
use super::parallel::Chunk;
use crate::options::Problem;
use crate::{
    CotangentsRef, Cpu, Dropped, EigenpairsRef, Element, GradientForm, GradientMut, Real, Status, Stored, TieRule, Triangle, cut,
};
use num_traits::Float;

/// What is read and written of a run of matrices.
pub(super) struct Backward<'a, O: Element, G: Element> {
    pub n: usize,
    pub pairs: EigenpairsRef<'a, O, Cpu>,
    pub cotangents: CotangentsRef<'a, O, Cpu>,
    pub out: GradientMut<'a, G, Cpu>,
}

impl<O: Element, G: Element> Chunk for Backward<'_, O, G> {
    fn batch(&self) -> usize {
        self.pairs.status.len()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let Self { n, pairs, cotangents, out } = self;
        let (values, values2) = pairs.values.split_at(b * n);
        let (vectors, vectors2) = pairs.vectors.split_at(b * n * n);
        let (kept, kept2) = pairs.kept.split_at(b * n);
        let (status, status2) = pairs.status.split_at(b);
        let (values_bar, values_bar2) = cotangents.values.map(|x| x.split_at(b * n)).unzip();
        let (vectors_bar, vectors_bar2) = cotangents.vectors.map(|x| x.split_at(b * n * n)).unzip();
        let (a_bar, a_bar2) = out.a_bar.split_at_mut(b * n * n);
        let (gauge_defect, gauge_defect2) = out.gauge_defect.split_at_mut(b * n);
        let (tie_defect, tie_defect2) = out.tie_defect.split_at_mut(b);
        let (found, found2) = out.status.split_at_mut(b);
        let left = Self {
            n,
            pairs: EigenpairsRef { values, vectors, kept, status },
            cotangents: CotangentsRef { values: values_bar, vectors: vectors_bar },
            out: GradientMut { a_bar, gauge_defect, tie_defect, status: found },
        };
        let right = Self {
            n,
            pairs: EigenpairsRef { values: values2, vectors: vectors2, kept: kept2, status: status2 },
            cotangents: CotangentsRef { values: values_bar2, vectors: vectors_bar2 },
            out: GradientMut { a_bar: a_bar2, gauge_defect: gauge_defect2, tie_defect: tie_defect2, status: found2 },
        };
        (left, right)
    }
}

/// Assembles the chunk by the way that its order calls for.
pub(super) fn backward<T, O, G>(problem: &Problem, chunk: Backward<'_, O, G>, assembly: &mut Assembly<T>)
where
    T: Kernels,
    O: Stored<T>,
    G: Stored<T>,
{
    if problem.n == 0 {
        chunk.out.tie_defect.fill(T::Real::of(0.0));
        return chunk.out.status.copy_from_slice(chunk.pairs.status);
    }
    let Assembly { lambda, labels, way } = assembly;
    match way {
        Way::Lanes(lanes) => run(problem, chunk, lambda, labels, lanes),
        Way::Products(products) => run(problem, chunk, lambda, labels, products),
    }
}

fn run<T, O, G, A>(
    problem: &Problem,
    mut chunk: Backward<'_, O, G>,
    lambda: &mut [T::Real],
    labels: &mut [T::Real],
    assembly: &mut A,
) where
    T: Kernels,
    O: Stored<T>,
    G: Stored<T>,
    A: Assemble<T>,
{
    let (batch, size) = (chunk.batch(), problem.n * problem.n);
    for first in (0..batch).step_by(assembly.width()) {
        let lanes = assembly.width().min(batch - first);
        let group = first * size..(first + lanes) * size;
        assembly.start(lanes, problem.dropped, chunk.cotangents.vectors.is_some());
        for lane in 0..lanes {
            columns(problem, &mut chunk, first + lane, lane, lambda, labels, assembly);
        }
        assembly.load(&chunk.pairs.vectors[group.clone()], chunk.cotangents.vectors.map(|x| &x[group.clone()]));
        assembly.assemble();
        assembly.store(&mut chunk.out.a_bar[group]);
        for lane in 0..lanes {
            report(problem, &mut chunk, first + lane, lane, assembly);
        }
    }
}

/// Gives the columns of matrix `b` to a lane and starts its status and its tie defect.
fn columns<T, O, G, A>(
    problem: &Problem,
    chunk: &mut Backward<'_, O, G>,
    b: usize,
    lane: usize,
    lambda: &mut [T::Real],
    labels: &mut [T::Real],
    assembly: &mut A,
) where
    T: Kernels,
    O: Stored<T>,
    G: Stored<T>,
    A: Assemble<T>,
{
    let n = problem.n;
    let (pairs, cotangents) = (chunk.pairs, chunk.cotangents);
    let kept = &pairs.kept[b * n..][..n];
    lambda.iter_mut().zip(&pairs.values[b * n..]).for_each(|(to, from)| *to = from.widen());
    let tied = cut::label(problem.ties, problem.tie_rtol::<O::Real>(), lambda, kept, labels);
    let mut spread = Spread::default();
    for k in 0..n {
        let lambda_bar = cotangents.values.filter(|_| kept[k]).map_or(T::Real::of(0.0), |x| x[b * n + k].widen());
        spread.see(labels[k], lambda_bar);
        let as_computed = kept[k] || problem.dropped == Dropped::AsComputed;
        let lambda = if as_computed { lambda[k] } else { T::Real::of(0.0) };
        assembly.column(lane, Column { k, lambda, label: labels[k], lambda_bar });
    }
    chunk.out.tie_defect[b] = spread.largest();
    chunk.out.status[b] = pairs.status[b] | Status::TIED.when(tied);
    if tied {
        assembly.tied();
    }
}

/// Writes the report of matrix `b` and makes its Ā what the options and its status ask for.
fn report<T, O, G, A>(problem: &Problem, chunk: &mut Backward<'_, O, G>, b: usize, lane: usize, assembly: &A)
where
    T: Kernels,
    O: Stored<T>,
    G: Stored<T>,
    A: Assemble<T>,
{
    let n = problem.n;
    let out = &mut chunk.out;
    let a_bar = &mut out.a_bar[b * n * n..][..n * n];
    let gauge_defect = &mut out.gauge_defect[b * n..][..n];
    let status = &mut out.status[b];
    if status.failed() || (problem.ties == TieRule::Error && status.intersects(Status::TIED)) {
        let nan = T::Real::of(f64::NAN);
        a_bar.fill(G::narrow(T::from_parts(nan, nan)));
        gauge_defect.fill(T::Real::of(0.0));
        return;
    }
    assembly.defects(lane, gauge_defect, &mut out.tie_defect[b]);
    let round_off = T::Real::of(O::PRECISION.gauge_round_off(n));
    *status |= Status::PHASE_DEPENDENT.when(gauge_defect.iter().any(|&rho| rho > round_off));
    if let GradientForm::Triangle(triangle) = problem.gradient {
        fold(a_bar, n, triangle);
    }
    let finite = a_bar.iter().fold(true, |finite, x| finite & x.widen().finite());
    *status |= Status::GRADIENT_NOT_FINITE.when(!finite);
}

/// Ā by the entries of one triangle: the other follows them, so theirs counts twice.
fn fold<G: Element>(a_bar: &mut [G], n: usize, triangle: Triangle) {
    for (i, row) in a_bar.chunks_exact_mut(n).enumerate() {
        for (j, x) in row.iter_mut().enumerate().filter(|&(j, _)| i != j) {
            let read = (j < i) == (triangle == Triangle::Lower);
            *x = G::narrow(if read { x.widen() + x.widen() } else { num_traits::Zero::zero() });
        }
    }
}

/// The spread of λ̄ over each group of equal labels relative to its largest |λ̄|; λ̄ is 0 on D.
#[derive(Default)]
struct Spread<R> {
    label: R,
    low: R,
    high: R,
    /// The largest spread of the groups before this one.
    before: R,
}

impl<R: Real> Spread<R> {
    fn see(&mut self, label: R, lambda_bar: R) {
        if label != self.label {
            *self = Self { label, low: lambda_bar, high: lambda_bar, before: self.largest() };
        }
        self.low = Float::min(self.low, lambda_bar);
        self.high = Float::max(self.high, lambda_bar);
    }

    fn largest(&self) -> R {
        if self.low == self.high {
            return self.before;
        }
        let scale = Float::max(Float::abs(self.low), Float::abs(self.high));
        Float::max(self.before, self.high / scale - self.low / scale)
    }
}
