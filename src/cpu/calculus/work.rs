//! What the operations share: scratch memory, results split over threads, groups of matrices on the
//! way in and on the way out.

use super::group::{DerivativeColumns, DerivativeGroup};
use super::kernel::{Step, StorageOrder};
use super::scaling::Exponents;
use crate::cpu::Cpu;
use crate::cpu::lanes::backward::widened;
use crate::cpu::memory::filled;
use crate::cpu::parallel::{Chunk, PerThread};
use crate::cpu::range::{Power, is_extreme, lift};
use crate::cpu::simd::aligned::Aligned;
use crate::cpu::transposed;
use crate::cpu::types::DERIVATIVE_LANES_UP_TO;
use crate::options::Problem;
use crate::{
    Cotangents, Dropped, Eigenpairs, Element, ElementOf, HermitianBatch, HermitianResult, Pod, Real, Result, Scalar, Status,
    Triangle, View, ViewMut, cut,
};
use ndarray::{ArrayViewMut2, ArrayViewMut3, Axis, Slice};
use std::ops::Range;

/// Scratch memory of the CPU backend for derivatives beyond the first and for functions of the
/// spectrum, for each thread.
#[derive(Debug)]
pub struct Scratch<T: Scalar> {
    n: usize,
    work: PerThread<DerivativeScratch<T>>,
}

impl<T: Scalar> Scratch<T> {
    pub(in crate::cpu) fn new(problem: &Problem, threads: usize) -> Self {
        let n = if problem.batch == 0 { 0 } else { problem.n };
        Self { n, work: PerThread::new(threads, n, DerivativeScratch::new) }
    }

    pub(in crate::cpu) fn serves(&self, problem: &Problem) -> bool {
        problem.batch == 0 || self.n == problem.n
    }

    /// Calls `work` on each group of consecutive matrices, on the threads of `cpu`.
    pub(in crate::cpu) fn each<O: Element, R: Element<Scalar: Real>>(
        &self,
        cpu: &Cpu,
        results: Results<'_, O, R>,
        work: impl Fn(&mut DerivativeScratch<T>, &mut Results<'_, O, R>, Range<usize>) + Sync,
    ) -> Result<()> {
        let groups = |scratch: &mut DerivativeScratch<T>, mut results: Results<'_, O, R>| {
            let width = scratch.group.shape.width;
            for first in (0..results.batch()).step_by(width) {
                let end = results.batch().min(first + width);
                scratch.infinite.fill(false);
                work(scratch, &mut results, first..end);
                if scratch.note_infinite(&results, first..end) {
                    work(scratch, &mut results, first..end);
                }
            }
            Ok(())
        };
        cpu.run(|| self.work.each(0, results, |work| work.group.shape.width, &groups))
    }
}

/// Results of consecutive matrices, along one direction or several: `[directions, batch, …]`, those
/// that there are none of of length 0.
pub(in crate::cpu) struct Results<'a, O, R> {
    /// The number of the first matrix.
    pub first: usize,
    pub matrices: ArrayViewMut3<'a, O>,
    pub vectors: ArrayViewMut3<'a, O>,
    pub values: ArrayViewMut3<'a, R>,
    pub status: ArrayViewMut2<'a, Status>,
}

/// `[directions, batch, length]`.
pub(in crate::cpu) fn view<T: Pod>(data: &mut [T], directions: usize, batch: usize) -> ArrayViewMut3<'_, T> {
    let length = data.len().checked_div(directions * batch).unwrap_or(0);
    ArrayViewMut3::from_shape((directions, batch, length), data).unwrap_or_else(|_| unreachable!("lengths were checked"))
}

/// What belongs to consecutive matrices along a direction.
pub(in crate::cpu) fn of_lanes<'v, T: Pod>(
    view: &'v mut ArrayViewMut3<'_, T>,
    direction: usize,
    lanes: Range<usize>,
) -> &'v mut [T] {
    let mut along = view.view_mut().index_axis_move(Axis(0), direction);
    along.slice_axis_inplace(Axis(0), Slice::from(lanes));
    along.into_slice().unwrap_or_default()
}

/// What belongs to matrix `b` along a direction.
pub(in crate::cpu) fn of<'v, T: Pod>(view: &'v mut ArrayViewMut3<'_, T>, direction: usize, b: usize) -> &'v mut [T] {
    of_lanes(view, direction, b..b + 1)
}

impl<'a, O: Element, R: Element<Scalar: Real>> Results<'a, O, R> {
    pub(in crate::cpu) fn new(status: &'a mut [Status], directions: usize, batch: usize) -> Self {
        let status =
            ArrayViewMut2::from_shape((directions, batch), status).unwrap_or_else(|_| unreachable!("lengths were checked"));
        Self {
            first: 0,
            matrices: view(&mut [], directions, batch),
            vectors: view(&mut [], directions, batch),
            values: view(&mut [], directions, batch),
            status,
        }
    }

    /// Gives matrix `b` along a direction its status, NaN where it was refused, and says where
    /// something is not finite.
    pub(in crate::cpu) fn report(&mut self, direction: usize, b: usize, found: Finding) {
        let Self { matrices, vectors, values, status, .. } = self;
        let matrices = [of(matrices, direction, b), of(vectors, direction, b)];
        let values = of(values, direction, b);
        let mut finite = true;
        if found.refused {
            let nan = Real::of(f64::NAN);
            matrices.into_iter().for_each(|x| x.fill(O::narrow(Scalar::from_parts(nan, nan))));
            values.fill(R::narrow(Real::of(f64::NAN)));
        } else {
            for x in matrices {
                finite = x.iter().fold(finite, |finite, x| finite & x.widen().finite());
            }
            finite = values.iter().fold(finite, |finite, x| finite & x.widen().finite());
        }
        status[[direction, b]] = found.status | Status::RESULT_NOT_FINITE.when(!finite);
    }
}

impl<O: Element, R: Element<Scalar: Real>> Chunk for Results<'_, O, R> {
    fn batch(&self) -> usize {
        self.status.ncols()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let (matrices, matrices2) = self.matrices.split_at(Axis(1), b);
        let (vectors, vectors2) = self.vectors.split_at(Axis(1), b);
        let (values, values2) = self.values.split_at(Axis(1), b);
        let (status, status2) = self.status.split_at(Axis(1), b);
        let left = Self { first: self.first, matrices, vectors, values, status };
        let right = Self { first: self.first + b, matrices: matrices2, vectors: vectors2, values: values2, status: status2 };
        (left, right)
    }
}

/// What is known of a matrix before its results are.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cpu) struct Finding {
    pub status: Status,
    /// Whether its results are NaN.
    pub refused: bool,
}

/// Scratch memory of one thread.
#[derive(Debug)]
pub(in crate::cpu) struct DerivativeScratch<T: Scalar> {
    pub group: DerivativeGroup<T::Real>,
    /// λ and labels of one matrix.
    pub lambda: Vec<T::Real>,
    pub labels: Vec<T::Real>,
    /// Of each lane.
    pub found: Vec<Finding>,
    pub exponents: Vec<Exponents>,
    /// The lanes that the plain way did not leave finite.
    infinite: Vec<bool>,
    /// Matrices of a group that are stored as another type, in that computed in.
    wide: Vec<T>,
    /// Means of both triangles, where they are asked for.
    means: Vec<T>,
}

impl<T: Scalar> DerivativeScratch<T> {
    fn new(n: usize, _: usize) -> Result<Self> {
        let alone = n > DERIVATIVE_LANES_UP_TO;
        let group = DerivativeGroup::new::<T>(n, alone)?;
        let (width, zeros) = (group.shape.width, || filled(T::Real::of(0.0), n));
        Ok(Self {
            group,
            lambda: zeros()?,
            labels: zeros()?,
            found: filled(Finding::default(), width)?,
            exponents: filled(Exponents::default(), width)?,
            infinite: filled(false, width)?,
            wide: filled(T::zero(), n * n * width)?,
            means: vec![],
        })
    }

    /// Loads matrices of a batch, which has them one after the other.
    fn load<O: ElementOf<T>>(
        &mut self,
        to: impl Fn(&mut DerivativeGroup<T::Real>) -> &mut Aligned<T::Real>,
        from: &[O],
        order: StorageOrder,
    ) {
        T::gather(self.group.shape, widened(from, &mut self.wide), order, to(&mut self.group));
    }

    /// Stores the group's matrices, as many as there is memory for.
    pub(in crate::cpu) fn store<O: ElementOf<T>>(
        &mut self,
        from: impl Fn(&DerivativeGroup<T::Real>) -> &Aligned<T::Real>,
        order: StorageOrder,
        to: &mut [O],
    ) {
        let (shape, from) = (self.group.shape, from(&self.group));
        match O::as_scalars_mut(to) {
            Some(to) => T::scatter(shape, from, order, to),
            None => {
                T::scatter(shape, from, order, &mut self.wide);
                to.iter_mut().zip(&self.wide).for_each(|(to, &from)| *to = O::narrow(from));
            }
        }
    }

    /// Begins a group: V, λ, labels by the rule for ties, statuses.
    pub(in crate::cpu) fn start<O: ElementOf<T>>(
        &mut self,
        problem: &Problem,
        pairs: &Eigenpairs<O, Cpu, View<'_>>,
        matrices: Range<usize>,
    ) {
        let (n, width) = (problem.n, self.group.shape.width);
        let all = matrices.start * n * n..matrices.end * n * n;
        self.load(|group| &mut group.v, &pairs.vectors[all], StorageOrder::Columns);
        self.group.dropped = n..0;
        self.group.tied = false;
        for (lane, b) in matrices.enumerate() {
            let kept = &pairs.spectrum.kept[b * n..][..n];
            let values = &pairs.spectrum.values[b * n..][..n];
            self.lambda.iter_mut().zip(values).for_each(|(to, from)| *to = from.widen());
            self.exponents[lane] = Exponents { on: self.infinite[lane] || is_extreme(values), ..Exponents::default() };
            if self.exponents[lane].on {
                let e = lift(&self.lambda);
                self.exponents[lane].lambda = e;
                self.lambda.iter_mut().for_each(|x| *x = Power::of(-e).times(*x));
            }
            let tied = cut::label(problem.ties, problem.tie_rtol::<O::Real>(), &self.lambda, kept, &mut self.labels);
            for (k, &kept) in kept.iter().enumerate() {
                let as_computed = kept || problem.dropped == Dropped::AsComputed;
                self.group.columns.lambda[k * width + lane] = if as_computed { self.lambda[k] } else { T::Real::of(0.0) };
                self.group.columns.label[k * width + lane] = self.labels[k];
                if !kept {
                    let dropped = &mut self.group.dropped;
                    *dropped = dropped.start.min(k)..dropped.end.max(k + 1);
                }
            }
            self.group.tied |= tied;
            let status = pairs.spectrum.status[b] | Status::of_ties(problem.ties, tied);
            self.found[lane] = Finding { status, refused: status.refused() };
        }
        if self.group.dropped.is_empty() {
            self.group.dropped = 0..0;
        }
    }

    /// Notes the lanes of which a result is not finite that may be so when it is scaled; whether
    /// there are any.
    fn note_infinite<O: Element, R: Element<Scalar: Real>>(&mut self, results: &Results<'_, O, R>, lanes: Range<usize>) -> bool {
        for (lane, b) in lanes.enumerate() {
            let infinite = results.status.column(b).iter().any(|status| status.intersects(Status::RESULT_NOT_FINITE));
            self.infinite[lane] = infinite && !self.exponents[lane].on && !self.found[lane].refused;
        }
        self.infinite.contains(&true)
    }

    /// What is known of the matrix in a lane once a direction has been turned: whether it splits a
    /// tied group.
    pub(in crate::cpu) fn finding<O: ElementOf<T>>(&self, problem: &Problem, lane: usize) -> Finding {
        let Finding { status, refused } = self.found[lane];
        let split = self.group.tie_defect[lane] > T::Real::of(problem.round_off::<O>());
        Finding { status: status | Status::TIE_DEFECT.when(split && !refused), refused }
    }

    /// Adds to what is known of every matrix of the group, where there is one direction alone.
    pub(in crate::cpu) fn note_split_ties<O: ElementOf<T>>(&mut self, problem: &Problem) {
        (0..self.found.len()).for_each(|lane| self.found[lane] = self.finding::<O>(problem, lane));
    }

    /// Loads Hermitian matrices of a batch, which are numbered as the pairs.
    pub(in crate::cpu) fn load_hermitian<I: ElementOf<T>>(
        &mut self,
        a: HermitianBatch<I, Cpu, View<'_>>,
        matrices: Range<usize>,
    ) {
        let n = self.group.shape.n;
        let from = &a.data[matrices.start * n * n..matrices.end * n * n];
        if a.triangle.is_some() {
            self.load(|group| &mut group.given, from, StorageOrder::Rows);
        } else {
            transposed::means(n, from, &mut self.means);
            T::gather(self.group.shape, &self.means, StorageOrder::Rows, &mut self.group.given);
        }
        T::calculate(&mut self.group, Step::Complete(a.triangle.unwrap_or(Triangle::Lower)));
        self.scale_direction();
    }

    /// Loads rows of a batch as columns of the group, 0 outside K; all 0 if there are none.
    pub(in crate::cpu) fn load_values<R: Element<Scalar = T::Real>>(
        &mut self,
        to: impl Fn(&mut DerivativeColumns<T::Real>) -> &mut Aligned<T::Real>,
        values: Option<&[R]>,
        kept: &[bool],
        matrices: Range<usize>,
    ) {
        let (n, width) = (self.group.shape.n, self.group.shape.width);
        let to = to(&mut self.group.columns);
        for (lane, b) in matrices.enumerate() {
            for k in 0..n {
                let value = values.filter(|_| kept[b * n + k]).map_or(T::Real::of(0.0), |x| x[b * n + k].widen());
                to[k * width + lane] = value;
            }
        }
    }
}

/// The numbers of one lane of a column.
pub(in crate::cpu) fn store_values<R: Element>(from: &[R::Scalar], width: usize, lane: usize, to: &mut [R]) {
    to.iter_mut().zip(from.iter().skip(lane).step_by(width)).for_each(|(to, &from)| *to = R::narrow(from));
}

impl<T: Scalar> DerivativeScratch<T> {
    /// Loads λ̄ and V̄, and what belongs to them beside: their tangents, or what comes from
    /// downstream.
    pub(in crate::cpu) fn load_cotangents<O: ElementOf<T>>(
        &mut self,
        pairs: &Eigenpairs<O, Cpu, View<'_>>,
        cotangents: Cotangents<O, Cpu, View<'_>>,
        more: Cotangents<O, Cpu, View<'_>>,
        matrices: Range<usize>,
    ) {
        let n = self.group.shape.n;
        let all = matrices.start * n * n..matrices.end * n * n;
        self.load_values(|columns| &mut columns.bar, cotangents.values.as_deref(), &pairs.spectrum.kept, matrices.clone());
        self.load_values(|columns| &mut columns.bar_dot, more.values.as_deref(), &pairs.spectrum.kept, matrices);
        (self.group.with_bar, self.group.with_more) = (cotangents.vectors.is_some(), more.vectors.is_some());
        if let Some(v_bar) = cotangents.vectors {
            self.load(|group| &mut group.out, &v_bar[all.clone()], order(&cotangents));
        }
        if let Some(v_bar) = more.vectors {
            self.load(|group| &mut group.more, &v_bar[all], order(&more));
        }
    }
}

/// How V̄ lies.
fn order<O: Element>(cotangents: &Cotangents<O, Cpu, View<'_>>) -> StorageOrder {
    if cotangents.rows { StorageOrder::Rows } else { StorageOrder::Columns }
}

/// Where one Hermitian matrix for each of the batch goes.
pub(in crate::cpu) fn matrices<'a, O: Element>(
    problem: &Problem,
    out: HermitianResult<O, Cpu, ViewMut<'a>>,
) -> Results<'a, O, O::Real> {
    let mut results = Results::new(out.status.memory, 1, problem.batch);
    results.matrices = view(out.data.memory, 1, problem.batch);
    results
}

/// Stores the matrices that are in `out`, and reports.
pub(in crate::cpu) fn store_matrices<T: Scalar, O: ElementOf<T>>(
    work: &mut DerivativeScratch<T>,
    results: &mut Results<'_, O, O::Real>,
    lanes: Range<usize>,
) {
    work.store(|group| &group.out, StorageOrder::Rows, of_lanes(&mut results.matrices, 0, lanes.clone()));
    for (lane, b) in lanes.enumerate() {
        results.report(0, b, work.found[lane]);
    }
}
