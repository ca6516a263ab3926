//! Functions at the eigenvalues of a group: f, f′ and logarithms, domains, and the trace.

use super::scaling::Exponents;
use super::work::{DerivativeScratch, Finding};
use crate::cpu::Cpu;
use crate::cpu::range::{Power, exponent};
use crate::element::sealed::Ldexp;
use crate::options::Problem;
use crate::{Derivative, Dropped, Eigenpairs, Element, ElementOf, Function, Real, Scalar, Spectral, Status, View, cut};
use num_traits::Float;
use std::ops::Range;

impl<T: Scalar> DerivativeScratch<T> {
    /// Begins a group for a function: V, λ, K, statuses, and f where `of` says so, and f′ and
    /// log|λ|, all 0 on D.
    pub(in crate::cpu) fn start_function<O: ElementOf<T>>(
        &mut self,
        problem: &Problem,
        pairs: &Eigenpairs<O, Cpu, View<'_>>,
        function: Spectral<O, Cpu, View<'_>>,
        of: Derivative,
        matrices: Range<usize>,
    ) {
        let (n, width, zero) = (problem.n, self.group.shape.width, T::Real::of(0.0));
        self.start(problem, pairs, matrices.clone());
        self.group.function = match function {
            Spectral::Named(function) => Some(function),
            Spectral::Given { .. } => None,
        };
        for (lane, b) in matrices.enumerate() {
            let (values, kept) = (&pairs.spectrum.values[b * n..][..n], &pairs.spectrum.kept[b * n..][..n]);
            self.lambda.iter_mut().zip(values).for_each(|(to, from)| *to = from.widen());
            let exponents = self.scale_function(function, b * n, kept, lane);
            let g = exponents.f[0].whole; // of a function that is given
            let [power_f, power_slope] = [-g, exponents.lambda - g].map(Power::of);
            let norm = cut::norm(&self.lambda);
            self.group.within[lane] = T::Real::of(problem.tie_rtol::<O::Real>()) * norm;
            let unit = unit(norm);
            for k in 0..n {
                let at = k * width + lane;
                let (scaled, whole) = (self.lambda[k], values[k].widen());
                let (value, slope) = match function {
                    _ if !kept[k] => (zero, zero),
                    Spectral::Given { values, slopes } => {
                        (power_f.times(values[b * n + k].widen()), power_slope.times(slopes[b * n + k].widen()))
                    }
                    // Logarithms are not scaled: log λ is taken of λ itself.
                    Spectral::Named(Function::Log) => (whole.ln(), Function::Log.slope(scaled)),
                    Spectral::Named(Function::XLogX) if whole > zero => (scaled * whole.ln(), Function::XLogX.slope(whole)),
                    Spectral::Named(function) => (function.value(scaled), function.slope(scaled)),
                };
                let columns = &mut self.group.columns;
                columns.label[at] = if kept[k] { T::Real::of(1.0) } else { zero };
                let as_computed = kept[k] || problem.dropped == Dropped::AsComputed;
                columns.lambda[at] = if as_computed { scaled } else { zero };
                columns.f[at] = if of == Derivative::Zeroth { value } else { slope };
                columns.slope[at] = slope;
                columns.log[at] = match self.group.function {
                    Some(Function::XLogX) => whole.ln(),
                    Some(Function::Log | Function::Pow(_)) => (Float::abs(scaled) / unit).ln(),
                    _ => zero,
                };
            }
            self.found[lane] = finding(pairs, function, b, n);
        }
    }

    /// Scales λ of a lane by an even power of two where the plain way leaves the range, and f
    /// accordingly.
    fn scale_function<O: ElementOf<T>>(
        &mut self,
        function: Spectral<O, Cpu, View<'_>>,
        first: usize,
        kept: &[bool],
        lane: usize,
    ) -> Exponents {
        let exponents = &mut self.exponents[lane];
        exponents.lambda = 0;
        let norm = exponent([cut::norm(&self.lambda)]).filter(|_| exponents.on && function_scales(function));
        let Some(e) = norm.map(|e| e & !1) else {
            return *exponents;
        };
        exponents.lambda = e;
        self.lambda.iter_mut().for_each(|x| *x = Power::of(-e).times(*x));
        exponents.f = match function {
            Spectral::Named(function) => Exponents::of_function(function, e),
            Spectral::Given { values, .. } => {
                let kept = values[first..].iter().zip(kept).filter(|x| *x.1);
                let g = exponent(kept.map(|x| x.0.widen())).unwrap_or(0);
                [g.into(), (g - e).into()]
            }
        };
        *exponents
    }
}

/// Whether f(2ᵉλ) has to do with f(λ).
fn function_scales<O: Element>(function: Spectral<O, Cpu, View<'_>>) -> bool {
    !matches!(function, Spectral::Named(Function::Exp))
}

/// A power of two of the size of ‖A‖₂: logarithms of λ in this unit are small, and so are the
/// errors of their differences.
fn unit<R: Real>(norm: R) -> R {
    if norm > R::of(0.0) && norm.is_finite() { R::of(1.0).ldexp(norm.binary_exponent()) } else { R::of(1.0) }
}

/// The status of matrix `b`, and whether there is a function of it.
pub(in crate::cpu) fn finding<O: Element>(
    pairs: &Eigenpairs<O, Cpu, View<'_>>,
    function: Spectral<O, Cpu, View<'_>>,
    b: usize,
    n: usize,
) -> Finding {
    let outside = match function {
        Spectral::Given { .. } => false,
        Spectral::Named(function) => {
            let mut kept =
                pairs.spectrum.values[b * n..][..n].iter().zip(&pairs.spectrum.kept[b * n..]).filter(|(_, kept)| **kept);
            kept.any(|(lambda, _)| !function.defined_at(lambda.widen()))
        }
    };
    let status = pairs.spectrum.status[b] | Status::OUTSIDE_DOMAIN.when(outside);
    Finding { status, refused: status.refused() }
}
