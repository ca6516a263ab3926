//! Functions of the spectrum: V_K f(Λ_K) V_Kᴴ, the map E ↦ s·V (W ∘ Vᴴ E V) Vᴴ, and the trace:
//! docs/derivation.md §11.

use super::calculus::Step;
use super::calculus::functions::finding;
use super::calculus::work::{Results, matrices, store_matrices, view};
use crate::compute::SpectralFunctions;
use crate::options::Problem;
use crate::{
    Array, Cpu, Derivative, Eigenpairs, Element, ElementOf, HermitianBatch, HermitianResult, Real, Result, Scalar,
    SchurMultiplier, Spectral, Status, View, ViewMut,
};

impl<T: Scalar> SpectralFunctions<T> for Cpu {
    fn spectral<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        function: Spectral<O, Self, View<'a>>,
        of: Derivative,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()> {
        scratch.each(self, matrices(problem, out), |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start_function(problem, &pairs, function, of, matrices);
            T::calculate(&mut work.group, Step::Adjoin);
            T::calculate(&mut work.group, Step::Spectral);
            work.scale(|group| &mut group.out, |by| by.f[usize::from(of == Derivative::First)]);
            store_matrices(work, results, lanes);
        })
    }

    fn map<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        function: Spectral<O, Self, View<'a>>,
        weights: SchurMultiplier,
        e: HermitianBatch<I, Self, View<'a>>,
        scale: Option<Array<T::Real, Self, 1, View<'a>>>,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Self::Scratch,
    ) -> Result<()> {
        scratch.each(self, matrices(problem, out), |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start_function(problem, &pairs, function, Derivative::Zeroth, matrices.clone());
            work.group.kind = weights;
            for (lane, b) in matrices.clone().enumerate() {
                work.group.scale[lane] = scale.map_or(num_traits::One::one(), |x| x[b]);
            }
            T::calculate(&mut work.group, Step::Function);
            work.load_hermitian(e, matrices);
            T::calculate(&mut work.group, Step::Map);
            let divided = weights == SchurMultiplier::Divided;
            work.scale(|group| &mut group.out, |by| if divided { by.f[1] } else { by.f[0].twice() }.plus(by.direction));
            store_matrices(work, results, lanes);
        })
    }

    fn trace<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        function: Spectral<O, Self, View<'a>>,
        out: Array<T::Real, Self, 1, ViewMut<'a>>,
        status: Array<Status, Self, 1, ViewMut<'a>>,
    ) -> Result<()> {
        let mut results = Results::<O, T::Real>::new(status.memory, 1, problem.batch);
        results.values = view(out.memory, 1, problem.batch);
        let n = problem.n;
        let each = |mut results: Results<'_, O, T::Real>| {
            for local in 0..results.status.ncols() {
                let b = results.first + local;
                let kept = (b * n..(b + 1) * n).filter(|&at| pairs.spectrum.kept[at]);
                let sum = kept
                    .map(|at| evaluate(function, at, pairs.spectrum.values[at].widen()).0)
                    .fold(T::Real::of(0.0), |sum, f| sum + f);
                results.values[[0, local, 0]] = sum;
                results.report(0, local, finding(&pairs, function, b, n));
            }
        };
        self.run(|| super::parallel::each(results, &each));
        Ok(())
    }
}

/// f and f′ at eigenvalue number `at`.
fn evaluate<O: Element>(
    function: Spectral<O, Cpu, View<'_>>,
    at: usize,
    lambda: <O::Real as Element>::Scalar,
) -> (<O::Real as Element>::Scalar, <O::Real as Element>::Scalar)
where
    <O::Real as Element>::Scalar: Real,
{
    match function {
        Spectral::Named(function) => (function.value(lambda), function.slope(lambda)),
        Spectral::Given { values, slopes } => (values[at].widen(), slopes[at].widen()),
    }
}
