//! Ā of one run of matrices, small ones in lanes, large ones by products; what both share, on the way in and on the way out.

use super::Workspace;
use super::assemble::{Assemble, Found, Run};
use super::parallel::Chunk;
use super::range::is_extreme;
use super::rescale::Rescaled;
use crate::compute::Backward;
use crate::cpu::dense::products::Products;
use crate::cpu::lanes::backward::Lanes;
use crate::cpu::lanes::kernel::AssembleLanes;
use crate::options::Problem;
use crate::{
    CotangentsRef, Cpu, EigenpairsRef, Element, GradientForm, GradientMut, Real, Result, Scalar, Status, Stored, Triangle,
};
use num_traits::Float;

/// Scratch memory of one thread.
#[derive(Debug)]
pub(super) struct Assembly<T: Scalar> {
    pub way: Way<T>,
    pub rescaled: Rescaled<T>,
}

/// The way that an order calls for.
#[derive(Debug)]
pub(super) enum Way<T: Scalar> {
    Lanes(Lanes<T>),
    Products(Products<T>),
}

impl<T: Scalar> Assembly<T> {
    pub(super) fn new(n: usize) -> Self {
        let in_lanes = n <= <T as AssembleLanes>::UP_TO;
        let way = if in_lanes { Way::Lanes(Lanes::new(n)) } else { Way::Products(Products::new(n)) };
        Self { way, rescaled: Rescaled::new() }
    }

    /// The number of matrices that are assembled at a time.
    pub(super) fn width(&self) -> usize {
        match &self.way {
            Way::Lanes(lanes) => lanes.width(),
            Way::Products(_) => 1,
        }
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
