//! Functions at the eigenvalues of a group: f, f′ and logarithms, domains, and the trace.

use super::work::{Finding, Results, Work};
use crate::cpu::{Cpu, Kernels};
use crate::options::Problem;
use crate::scalar::sealed::Ldexp;
use crate::{EigenpairsRef, Element, Function, FunctionRef, Of, Real, Status, Stored, cut};
use num_traits::Float;
use std::ops::Range;

impl<T: Kernels> Work<T> {
    /// Begins a group for a function: V, λ, K, statuses, and f where `of` says so, and f′ and log|λ|, all 0 on D.
    pub(super) fn start_function<O: Stored<T>>(
        &mut self,
        problem: &Problem,
        pairs: &EigenpairsRef<'_, O, Cpu>,
        function: FunctionRef<'_, O, Cpu>,
        of: Of,
        matrices: Range<usize>,
    ) {
        let (n, width, zero) = (problem.n, self.group.shape.width, T::Real::of(0.0));
        self.start(problem, pairs, matrices.clone());
        self.group.function = match function {
            FunctionRef::Named(function) => Some(function),
            FunctionRef::Given { .. } => None,
        };
        for (lane, b) in matrices.enumerate() {
            self.lambda.iter_mut().zip(&pairs.values[b * n..]).for_each(|(to, from)| *to = from.widen());
            let norm = cut::norm(&self.lambda);
            self.group.within[lane] = T::Real::of(problem.tie_rtol::<O::Real>()) * norm;
            let unit = unit(norm);
            for k in 0..n {
                let at = k * width + lane;
                let columns = &mut self.group.columns;
                let kept = pairs.kept[b * n + k];
                let (value, slope) = if kept { evaluate(function, b * n + k, self.lambda[k]) } else { (zero, zero) };
                columns.label[at] = if kept { T::Real::of(1.0) } else { zero };
                columns.f[at] = if of == Of::Values { value } else { slope };
                columns.slope[at] = slope;
                columns.log[at] = logarithm(self.group.function, self.lambda[k], unit);
            }
            self.found[lane] = finding(pairs, function, b, n);
        }
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

/// A power of two of the size of ‖A‖₂: logarithms of λ in this unit are small, and so are the errors of their differences.
fn unit<R: Real>(norm: R) -> R {
    if norm > R::of(0.0) && norm.is_finite() { R::of(1.0).ldexp(norm.binary_exponent()) } else { R::of(1.0) }
}

/// What divided differences need of log|λ|: itself for λ log λ, differences for log λ and for powers.
fn logarithm<R: Real>(function: Option<Function>, lambda: R, unit: R) -> R {
    match function {
        Some(Function::XLogX) => lambda.ln(),
        Some(Function::Log | Function::Pow(_)) => (Float::abs(lambda) / unit).ln(),
        _ => R::of(0.0),
    }
}

/// The status of matrix `b`, and whether there is a function of it.
fn finding<O: Element>(pairs: &EigenpairsRef<'_, O, Cpu>, function: FunctionRef<'_, O, Cpu>, b: usize, n: usize) -> Finding {
    let outside = match function {
        FunctionRef::Given { .. } => false,
        FunctionRef::Named(function) => {
            let mut kept = pairs.values[b * n..][..n].iter().zip(&pairs.kept[b * n..]).filter(|(_, kept)| **kept);
            kept.any(|(lambda, _)| !function.defined_at(lambda.widen()))
        }
    };
    let status = pairs.status[b] | Status::OUTSIDE_DOMAIN.when(outside);
    Finding { status, refused: status.failed() || outside }
}

/// tr f(A) = Σ_K f(λ_k), and statuses.
pub(in crate::cpu) fn trace<T: Kernels, O: Stored<T>>(
    cpu: &Cpu,
    problem: &Problem,
    pairs: EigenpairsRef<'_, O, Cpu>,
    function: FunctionRef<'_, O, Cpu>,
    out: &mut [T::Real],
    status: &mut [Status],
) {
    let mut results = Results::<O, T::Real>::new(status, 1, problem.batch);
    results.values = super::work::view(out, 1, problem.batch);
    let n = problem.n;
    let each = |mut results: Results<'_, O, T::Real>| {
        for local in 0..results.status.ncols() {
            let b = results.first + local;
            let kept = (b * n..(b + 1) * n).filter(|&at| pairs.kept[at]);
            let sum = kept.map(|at| evaluate(function, at, pairs.values[at].widen()).0).fold(T::Real::of(0.0), |sum, f| sum + f);
            results.values[[0, local, 0]] = sum;
            results.report(0, local, finding(&pairs, function, b, n));
        }
    };
    cpu.run(|| crate::cpu::parallel::each(results, &each));
}
