//! Ā of one run of matrices: what both ways to assemble it share, on the way in and on the way out.

use super::Workspace;
use super::assemble::{Assemble, Assembly, Found, Way};
use super::parallel::Chunk;
use super::range::is_extreme;
use super::rescale::Rescaled;
use crate::compute::Backward;
use crate::options::Problem;
use crate::{
    CotangentsRef, Cpu, EigenpairsRef, Element, GradientForm, GradientMut, Real, Result, Scalar, Status, Stored, Triangle,
};
use num_traits::Float;

/// What is read and written of a run of matrices.
pub(super) struct Run<'a, O: Element, G: Element> {
    pub n: usize,
    pub pairs: EigenpairsRef<'a, O, Cpu>,
    pub cotangents: CotangentsRef<'a, O, Cpu>,
    pub out: GradientMut<'a, G, Cpu>,
}

impl<O: Element, G: Element> Run<'_, O, G> {
    fn reborrow(&mut self) -> Run<'_, O, G> {
        let EigenpairsRef { values, vectors, kept, status } = self.pairs;
        let (values_bar, vectors_bar) = (self.cotangents.values, self.cotangents.vectors);
        let out = &mut self.out;
        Run {
            n: self.n,
            pairs: EigenpairsRef { values, vectors, kept, status },
            cotangents: CotangentsRef { values: values_bar, vectors: vectors_bar },
            out: GradientMut {
                a_bar: &mut *out.a_bar,
                gauge_defect: &mut *out.gauge_defect,
                tie_defect: &mut *out.tie_defect,
                status: &mut *out.status,
            },
        }
    }
}

impl<O: Element, G: Element> Chunk for Run<'_, O, G> {
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

impl<T: Scalar> Backward<T> for Cpu {
    fn backward<'a, O: Stored<T>, G: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        cotangents: CotangentsRef<'a, O, Self>,
        out: GradientMut<'a, G, Self>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let chunk = Run { n: problem.n, pairs, cotangents, out };
        let assemblies = &workspace.assemblies;
        let grain = assemblies.with(|assembly| assembly.width());
        let work = |assembly: &mut Assembly<T>, chunk| backward(problem, chunk, assembly);
        self.run(|| assemblies.each(chunk, grain, &work));
        Ok(())
    }
}

/// Assembles the chunk by the way that its order calls for.
pub(super) fn backward<T, O, G>(problem: &Problem, chunk: Run<'_, O, G>, assembly: &mut Assembly<T>)
where
    T: Scalar,
    O: Stored<T>,
    G: Stored<T>,
{
    if problem.n == 0 {
        chunk.out.tie_defect.fill(T::Real::of(0.0));
        return chunk.out.status.copy_from_slice(chunk.pairs.status);
    }
    let Assembly { way, rescaled } = assembly;
    match way {
        Way::Lanes(lanes) => run(problem, chunk, lanes.width(), lanes, rescaled),
        Way::Products(products) => run(problem, chunk, 1, products, rescaled),
    }
}

fn run<T, O, G>(
    problem: &Problem,
    mut rest: Run<'_, O, G>,
    width: usize,
    assembly: &mut impl Assemble<T>,
    rescaled: &mut Rescaled<T>,
) where
    T: Scalar,
    O: Stored<T>,
    G: Stored<T>,
{
    while rest.batch() > 0 {
        let here = width.min(rest.batch());
        let (mut group, others) = rest.split_at(here);
        group.out.status.copy_from_slice(group.pairs.status);
        // What is not finite in the plain way may be so when it is scaled; infinite cotangents and exact ties are not.
        let extreme = group.pairs.values.chunks_exact(problem.n).any(is_extreme);
        let mut plain = !extreme;
        if plain {
            assembly.assemble(problem, group.reborrow());
            plain = (0..here).all(|b| assembly.found(b).finite || group.pairs.status[b].failed());
        }
        if !plain {
            let infinite: Vec<_> = (0..here).map(|b| !extreme && !assembly.found(b).finite).collect();
            rescaled.assemble(problem, group.reborrow(), |b| infinite[b], assembly);
        }
        for b in 0..here {
            let found = assembly.found(b);
            let finite = if plain { found.finite } else { rescaled.finite[b] };
            report(problem, &mut group, b, Found { finite, ..found });
        }
        rest = others;
    }
}

/// Completes the report of matrix `b` and makes its Ā what the options and its status ask for.
fn report<T, O, G>(problem: &Problem, group: &mut Run<'_, O, G>, b: usize, found: Found<T::Real>)
where
    T: Scalar,
    O: Stored<T>,
    G: Stored<T>,
{
    let n = problem.n;
    let out = &mut group.out;
    let a_bar = &mut out.a_bar[b * n * n..][..n * n];
    let gauge_defect = &mut out.gauge_defect[b * n..][..n];
    let status = &mut out.status[b];
    if status.refused() {
        let nan = T::Real::of(f64::NAN);
        a_bar.fill(G::narrow(T::from_parts(nan, nan)));
        gauge_defect.fill(T::Real::of(0.0));
        return;
    }
    out.tie_defect[b] = Float::max(out.tie_defect[b], found.tie_defect);
    let round_off = T::Real::of(problem.round_off::<O>());
    *status |=
        Status::PHASE_DEPENDENT.when(found.gauge_defect > round_off) | Status::TIE_DEFECT.when(out.tie_defect[b] > round_off);
    if let GradientForm::Triangle(triangle) = problem.gradient {
        fold(a_bar, n, triangle);
    }
    // Rounded to another type, or doubled, it may have overflowed since.
    let as_computed = G::as_scalars(a_bar).is_some() && problem.gradient == GradientForm::Hermitian;
    let finite = if as_computed { found.finite } else { a_bar.iter().fold(true, |finite, x| finite & x.widen().finite()) };
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

/// The largest spread of λ̄ over a group of equal labels, relative to the largest |λ̄| of the matrix; λ̄ is 0 on D.
#[derive(Default)]
pub(super) struct Spread<R> {
    label: R,
    low: R,
    high: R,
    /// Half of the largest spread of the groups before this one: what is not halved may overflow.
    before: R,
    /// The largest |λ̄|.
    scale: R,
}

impl<R: Real> Spread<R> {
    pub(super) fn see(&mut self, label: R, lambda_bar: R) {
        if label != self.label {
            *self = Self { label, low: lambda_bar, high: lambda_bar, before: self.half(), scale: self.scale };
        }
        self.low = Float::min(self.low, lambda_bar);
        self.high = Float::max(self.high, lambda_bar);
        self.scale = Float::max(self.scale, Float::abs(lambda_bar));
    }

    fn half(&self) -> R {
        Float::max(self.before, self.high * R::of(0.5) - self.low * R::of(0.5))
    }

    pub(super) fn largest(&self) -> R {
        let half = self.half();
        if half == R::of(0.0) { half } else { half / self.scale * R::of(2.0) }
    }
}
