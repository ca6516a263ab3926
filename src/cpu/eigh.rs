//! A = V Λ Vᴴ of a run of matrices, small ones in lanes, large ones one after the other, and what
//! the cut makes of it.

use super::parallel::Chunk;
use super::{Workspace, transposed};
use crate::compute::Eigh;
use crate::cpu::dense::evd::Single;
use crate::cpu::lanes::cut::Selections;
use crate::cpu::lanes::group::EighGroup;
use crate::cpu::memory::filled;
use crate::cpu::types::EIGH_LANES_UP_TO;
use crate::cut;
use crate::options::Problem;
use crate::{
    Cpu, Eigenpairs, Element, ElementOf, HermitianBatch, Precision, Real, Result, Scalar, Spectrum, Status, Triangle, View,
    ViewMut,
};
use num_traits::Float;

/// What is read and written of a run of matrices; `vectors` is absent where only values are asked
/// for.
pub(super) struct Forward<'a, I: Element, O: Element, R: Element = <O as Element>::Real> {
    pub n: usize,
    pub a: &'a [I],
    pub spectrum: Spectrum<R, Cpu, ViewMut<'a>>,
    pub vectors: Option<&'a mut [O]>,
}

impl<I: Element, O: Element, R: Element> Chunk for Forward<'_, I, O, R> {
    fn batch(&self) -> usize {
        self.spectrum.status.len()
    }

    fn split_at(self, b: usize) -> (Self, Self) {
        let n = self.n;
        let (a, a2) = self.a.split_at(b * n * n);
        let (spectrum, spectrum2) = self.spectrum.split_at(b);
        let (vectors, vectors2) = self.vectors.map(|v| v.split_at_mut(b * n * n)).unzip();
        (Self { n, a, spectrum, vectors }, Self { n, a: a2, spectrum: spectrum2, vectors: vectors2 })
    }
}

impl<T: Scalar> Eigh<T> for Cpu {
    fn eigh<'a, I: Element<Scalar = T>, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Eigenpairs<O, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let chunk = Forward { n: problem.n, a: a.data.memory, spectrum: out.spectrum, vectors: Some(out.vectors.memory) };
        let solvers = &workspace.solvers;
        let work = |solver: &mut Solver<T>, chunk: Forward<'_, I, O>| solver.eigh(problem, a.triangle, chunk);
        self.run(|| solvers.each(0, chunk, Solver::width, &work))
    }

    fn eigvalsh<'a, I: Element<Scalar = T>, R: Element<Scalar = T::Real>>(
        &self,
        problem: &Problem,
        a: HermitianBatch<I, Self, View<'a>>,
        out: Spectrum<R, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let chunk = Forward { n: problem.n, a: a.data.memory, spectrum: out, vectors: None::<&mut [T]> };
        let solvers = &workspace.solvers;
        let work = |solver: &mut Solver<T>, chunk: Forward<'_, I, T, R>| solver.eigh(problem, a.triangle, chunk);
        self.run(|| solvers.each(0, chunk, Solver::width, &work))
    }
}

/// Scratch memory of one thread.
#[derive(Debug)]
pub(super) enum Solver<T: Scalar> {
    Lanes(Box<LaneSolver<T>>),
    /// With V of what is stored in fewer bits, from when it is first asked for.
    Single(Box<Single<T>>, Vec<T>),
}

/// Scratch memory for a group in lanes, with copies of what is stored in fewer bits.
#[derive(Debug)]
pub(super) struct LaneSolver<T: Scalar> {
    group: EighGroup<T::Real>,
    a: Vec<T>,
    vectors: Vec<T>,
}

impl<T: Scalar> Solver<T> {
    pub(super) fn new(n: usize, _: usize) -> Result<Self> {
        if (1..=EIGH_LANES_UP_TO).contains(&n) {
            let group = T::group(n)?;
            // Halves are computed in f32.
            let wide = || filled(T::zero(), if T::PRECISION == Precision::F32 { group.capacity() * n * n } else { 0 });
            return Ok(Self::Lanes(Box::new(LaneSolver { a: wide()?, vectors: wide()?, group })));
        }
        Single::new(n).map(|single| Self::Single(Box::new(single), Vec::new()))
    }

    /// The number of matrices that are as fast to decompose as one.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Lanes(lanes) => lanes.group.capacity(),
            Self::Single(..) => 1,
        }
    }

    /// Decomposes and cuts every matrix of the chunk.
    pub(super) fn eigh<I, O, R>(
        &mut self,
        problem: &Problem,
        triangle: Option<Triangle>,
        chunk: Forward<'_, I, O, R>,
    ) -> Result<()>
    where
        I: Element<Scalar = T>,
        O: ElementOf<T>,
        R: Element<Scalar = T::Real>,
    {
        match self {
            Self::Lanes(lanes) => lanes.eigh(problem, triangle, chunk),
            Self::Single(single, wide) => {
                if chunk.vectors.as_ref().is_some_and(|_| O::as_scalars(&[]).is_none()) && wide.is_empty() {
                    *wide = filled(T::zero(), problem.n * problem.n)?;
                }
                one_by_one(single, wide, problem, triangle, chunk);
            }
        }
        Ok(())
    }
}

impl<T: Scalar> LaneSolver<T> {
    fn eigh<I, O, R>(&mut self, problem: &Problem, triangle: Option<Triangle>, chunk: Forward<'_, I, O, R>)
    where
        I: Element<Scalar = T>,
        O: ElementOf<T>,
        R: Element<Scalar = T::Real>,
    {
        let Forward { n, a, mut spectrum, mut vectors } = chunk;
        let Self { group, a: wide, vectors: wide_vectors } = self;
        let (batch, size) = (spectrum.status.len(), n * n);
        for first in (0..batch).step_by(group.capacity()) {
            let count = group.capacity().min(batch - first);
            let matrices = first * size..(first + count) * size;
            let a = &a[matrices.clone()];
            let a = match (triangle, I::as_scalars(a)) {
                (None, _) => {
                    transposed::means(n, a, wide);
                    &**wide
                }
                (_, Some(a)) => a,
                _ => {
                    wide.clear();
                    wide.extend(a.iter().map(|a| a.widen()));
                    &**wide
                }
            };
            let triangle = triangle.unwrap_or(Triangle::Lower);
            match vectors.as_mut().map(|vectors| &mut vectors[matrices]) {
                None => T::eigh_lanes(group, triangle, a, None),
                Some(to) => match O::as_scalars_mut(to) {
                    Some(to) => T::eigh_lanes(group, triangle, a, Some(to)),
                    None => {
                        wide_vectors.resize(group.capacity() * size, T::zero());
                        let from = &mut wide_vectors[..count * size];
                        T::eigh_lanes(group, triangle, a, Some(from));
                        to.iter_mut().zip(from).for_each(|(to, &mut from)| *to = O::narrow(from));
                    }
                },
            }
            let here = first..first + count;
            let selections = Selections {
                kept: &mut spectrum.kept[first * n..][..count * n],
                rank: &mut spectrum.rank[here.clone()],
                gap_kept: &mut spectrum.gap_kept[here.clone()],
                gap_dropped: &mut spectrum.gap_dropped[here.clone()],
            };
            if let Some(values) = R::as_scalars_mut(&mut spectrum.values[first * n..][..count * n])
                && T::select_lanes(group, problem, selections)
            {
                values.copy_from_slice(&group.lambda[..count * n]);
                spectrum.status[here].fill(Status::OK);
                continue;
            }
            for (lane, lambda) in group.lambda.chunks_exact_mut(n).take(count).enumerate() {
                let status = finish(problem, &mut spectrum, first + lane, lambda, group.status[lane]);
                if let Some(vectors) = vectors.as_mut().filter(|_| status.failed()) {
                    vectors[(first + lane) * size..][..size].fill(nan());
                }
            }
        }
    }
}

fn one_by_one<T, I, O, R>(
    single: &mut Single<T>,
    wide: &mut [T],
    problem: &Problem,
    triangle: Option<Triangle>,
    chunk: Forward<'_, I, O, R>,
) where
    T: Scalar,
    I: Element<Scalar = T>,
    O: ElementOf<T>,
    R: Element<Scalar = T::Real>,
{
    let Forward { n, a, mut spectrum, mut vectors } = chunk;
    for b in 0..spectrum.status.len() {
        let matrix = b * n * n..(b + 1) * n * n;
        let a = &a[matrix.clone()];
        let Some(to) = vectors.as_mut().map(|vectors| &mut vectors[matrix]) else {
            let status = single.solve(a, triangle, None);
            finish(problem, &mut spectrum, b, &mut single.values, status);
            continue;
        };
        let status = match O::as_scalars_mut(to) {
            Some(to) => single.solve(a, triangle, Some(to)),
            None => {
                let status = single.solve(a, triangle, Some(wide));
                to.iter_mut().zip(&*wide).for_each(|(to, &from)| *to = O::narrow(from));
                status
            }
        };
        if finish(problem, &mut spectrum, b, &mut single.values, status).failed() {
            to.fill(nan());
        }
    }
}

fn nan<O: Element>() -> O {
    let nan = Real::of(f64::NAN);
    O::narrow(Scalar::from_parts(nan, nan))
}

/// Writes λ of matrix `b`, NaN if it failed, and what the cut makes of it; returns its status.
fn finish<R: Element<Scalar: Real>>(
    problem: &Problem,
    spectrum: &mut Spectrum<R, Cpu, ViewMut<'_>>,
    b: usize,
    lambda: &mut [R::Scalar],
    status: Status,
) -> Status {
    let n = problem.n;
    let zero = |value: R::Scalar| value == Real::of(0.0);
    let underflow = lambda.iter().all(|&x| zero(R::narrow(x).widen())) && !lambda.iter().all(|&x| zero(x));
    let overflow = !lambda.iter().fold(true, |finite, &value| finite & R::narrow(value).widen().is_finite());
    let status = status | Status::VALUES_OVERFLOW.when(overflow && !status.failed());
    if status.failed() {
        lambda.fill(Real::of(f64::NAN));
    }
    let kept = &mut spectrum.kept[b * n..][..n];
    let cut = if status.failed() {
        kept.fill(false);
        cut::Selection { rank: 0, gap_kept: Float::infinity(), gap_dropped: Float::infinity(), status }
    } else {
        let cut = cut::select(problem, lambda, kept);
        cut::Selection { status: cut.status | Status::VALUES_UNDERFLOW.when(underflow), ..cut }
    };
    spectrum.rank[b] = cut.rank as u32;
    spectrum.gap_kept[b] = cut.gap_kept;
    spectrum.gap_dropped[b] = cut.gap_dropped;
    spectrum.status[b] = cut.status;
    for (to, &mut from) in spectrum.values[b * n..].iter_mut().zip(lambda) {
        *to = R::narrow(from);
    }
    cut.status
}
