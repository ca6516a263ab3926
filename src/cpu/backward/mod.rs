//! Ā of one run of matrices, small ones in lanes, large ones by products; what both share, on the
//! way in and on the way out.

mod rescale;
pub(in crate::cpu) mod run;

use crate::compute::Backward;
use crate::cpu::Workspace;
use crate::cpu::dense::products::Products;
use crate::cpu::lanes::backward::LaneBackward;
use crate::cpu::parallel::Chunk;
use crate::cpu::range::is_extreme;
use crate::cpu::types::DERIVATIVE_LANES_UP_TO;
use crate::options::Problem;
use crate::{
    Cotangents, Cpu, Eigenpairs, Element, ElementOf, Gradient, GradientForm, Real, Result, Scalar, Status, Triangle, View,
    ViewMut,
};
use num_traits::Float;
use rescale::Rescaled;
use run::{Found, GroupBackward, Run};

/// Scratch memory of one thread.
#[derive(Debug)]
pub(in crate::cpu) struct BackwardScratch<T: Scalar> {
    pub way: BackwardMethod<T>,
    pub rescaled: Rescaled<T>,
}

/// The way that an order calls for.
#[derive(Debug)]
pub(in crate::cpu) enum BackwardMethod<T: Scalar> {
    Lanes(Box<LaneBackward<T>>),
    Products(Box<Products<T>>),
}

impl<T: Scalar> BackwardScratch<T> {
    pub(in crate::cpu) fn new(n: usize, _: usize) -> Result<Self> {
        let in_lanes = n <= DERIVATIVE_LANES_UP_TO;
        let way = match in_lanes {
            true => BackwardMethod::Lanes(Box::new(LaneBackward::new(n)?)),
            false => BackwardMethod::Products(Box::new(Products::new(n)?)),
        };
        Ok(Self { way, rescaled: Rescaled::new() })
    }

    /// The number of matrices that are worked on at a time.
    pub(in crate::cpu) fn width(&self) -> usize {
        match &self.way {
            BackwardMethod::Lanes(lanes) => lanes.width(),
            BackwardMethod::Products(_) => 1,
        }
    }
}

impl<T: Scalar> Backward<T> for Cpu {
    fn backward<'a, O: ElementOf<T>, G: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        out: Gradient<G, Self, ViewMut<'a>>,
        workspace: &Workspace<T>,
    ) -> Result<()> {
        let chunk = Run { n: problem.n, pairs, cotangents, out };
        let each = &workspace.backward;
        let work = |scratch: &mut BackwardScratch<T>, chunk| {
            backward(problem, chunk, scratch);
            Ok(())
        };
        self.run(|| each.each(0, chunk, BackwardScratch::width, &work))
    }
}

/// Ā of the chunk by the way that its order calls for.
pub(in crate::cpu) fn backward<T, O, G>(problem: &Problem, mut chunk: Run<'_, '_, O, G>, scratch: &mut BackwardScratch<T>)
where
    T: Scalar,
    O: ElementOf<T>,
    G: ElementOf<T>,
{
    if problem.n == 0 {
        chunk.out.tie_defect.fill(T::Real::of(0.0));
        return chunk.out.status.copy_from_slice(&chunk.pairs.spectrum.status);
    }
    let BackwardScratch { way, rescaled } = scratch;
    match way {
        BackwardMethod::Lanes(lanes) => run(problem, chunk, lanes.width(), &mut **lanes, rescaled),
        BackwardMethod::Products(products) => run(problem, chunk, 1, &mut **products, rescaled),
    }
}

fn run<T, O, G>(
    problem: &Problem,
    mut rest: Run<'_, '_, O, G>,
    width: usize,
    method: &mut impl GroupBackward<T>,
    rescaled: &mut Rescaled<T>,
) where
    T: Scalar,
    O: ElementOf<T>,
    G: ElementOf<T>,
{
    while rest.batch() > 0 {
        let here = width.min(rest.batch());
        let (mut group, others) = rest.split_at(here);
        group.out.status.copy_from_slice(&group.pairs.spectrum.status);
        // What is not finite in the plain way may be so when it is scaled; infinite cotangents and
        // exact ties are not.
        let extreme = group.pairs.spectrum.values.chunks_exact(problem.n).any(is_extreme);
        let mut plain = !extreme;
        if plain {
            method.backward(problem, group.reborrow());
            plain = (0..here).all(|b| method.found(b).finite || group.pairs.spectrum.status[b].failed());
        }
        if !plain {
            let infinite: Vec<_> = (0..here).map(|b| !extreme && !method.found(b).finite).collect();
            rescaled.backward(problem, group.reborrow(), |b| infinite[b], method);
        }
        for b in 0..here {
            let found = method.found(b);
            let finite = if plain { found.finite } else { rescaled.finite[b] };
            report(problem, &mut group, b, Found { finite, ..found });
        }
        rest = others;
    }
}

/// Completes the report of matrix `b` and makes its Ā what the options and its status ask for.
fn report<T, O, G>(problem: &Problem, group: &mut Run<'_, '_, O, G>, b: usize, found: Found<T::Real>)
where
    T: Scalar,
    O: ElementOf<T>,
    G: ElementOf<T>,
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
