//! Functions of the spectrum: V_K f(Λ_K) V_Kᴴ, the map E ↦ s·V (W ∘ Vᴴ E V) Vᴴ, and the trace: docs/derivation.md §11.

use super::calculus::Step;
use super::calculus::functions::finding;
use super::calculus::work::{Results, matrices, store_matrices, view};
use crate::compute::SpectralFunctions;
use crate::options::Problem;
use crate::{
    Cpu, EigenpairsRef, Element, FunctionRef, HermitianRef, MatricesMut, Of, Real, Result, Scalar, Status, Stored, Weights,
};

impl<T: Scalar> SpectralFunctions<T> for Cpu {
    fn spectral<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        of: Of,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        scratch.each(self, matrices(problem, out), |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start_function(problem, &pairs, function, of, matrices);
            T::calculate(&mut work.group, Step::Adjoin);
            T::calculate(&mut work.group, Step::Spectral);
            work.scale(|group| &mut group.out, |by| by.f[usize::from(of == Of::Slopes)]);
            store_matrices(work, results, lanes);
        });
        Ok(())
    }

    fn map<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        weights: Weights,
        e: HermitianRef<'a, O, Self>,
        scale: Option<Self::View<'a, T::Real>>,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Self::Scratch,
    ) -> Result<()> {
        scratch.each(self, matrices(problem, out), |work, results, lanes| {
            let matrices = results.first + lanes.start..results.first + lanes.end;
            work.start_function(problem, &pairs, function, Of::Values, matrices.clone());
            work.group.kind = weights;
            for (lane, b) in matrices.clone().enumerate() {
                work.group.scale[lane] = scale.map_or(num_traits::One::one(), |x| x[b]);
            }
            T::calculate(&mut work.group, Step::Function);
            work.load_hermitian(e, matrices);
            T::calculate(&mut work.group, Step::Map);
            let divided = weights == Weights::Divided;
            work.scale(|group| &mut group.out, |by| if divided { by.f[1] } else { by.f[0].twice() }.plus(by.direction));
            store_matrices(work, results, lanes);
        });
        Ok(())
    }

    fn trace<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        out: Self::ViewMut<'a, T::Real>,
        status: Self::ViewMut<'a, Status>,
    ) -> Result<()> {
        let mut results = Results::<O, T::Real>::new(status, 1, problem.batch);
        results.values = view(out, 1, problem.batch);
        let n = problem.n;
        let each = |mut results: Results<'_, O, T::Real>| {
            for local in 0..results.status.ncols() {
                let b = results.first + local;
                let kept = (b * n..(b + 1) * n).filter(|&at| pairs.kept[at]);
                let sum =
                    kept.map(|at| evaluate(function, at, pairs.values[at].widen()).0).fold(T::Real::of(0.0), |sum, f| sum + f);
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
    function: FunctionRef<'_, O, Cpu>,
    at: usize,
    lambda: <O::Real as Element>::Scalar,
) -> (<O::Real as Element>::Scalar, <O::Real as Element>::Scalar)
where
    <O::Real as Element>::Scalar: Real,
{
    match function {
        FunctionRef::Named(function) => (function.value(lambda), function.slope(lambda)),
        FunctionRef::Given { values, slopes } => (values[at].widen(), slopes[at].widen()),
    }
}
