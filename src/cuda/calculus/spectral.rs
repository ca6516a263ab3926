//! Functions of the spectrum on the device, V_K f(Λ_K) V_Kᴴ and s·V (W ∘ VᴴEV) Vᴴ: docs/derivation.md §11.

use super::function::Operand;
use super::on_chip::Use;
use super::part::{Hermitian, Part};
use super::scratch::Scratch;
use crate::cuda::device::Cuda;
use crate::cuda::gemm::Form;
use crate::cuda::kernels::{Shape, arguments, launch};
use crate::cuda::memory::{DeviceView, DeviceViewMut};
use crate::cuda::workspace::Kernels;
use crate::options::Problem;
use crate::{EigenpairsRef, FunctionRef, HermitianRef, MatricesMut, Of, Result, Status, Stored, Weights};
use std::ffi::c_int;

impl Cuda {
    /// Enqueues V_K f(Λ_K) V_Kᴴ, or with f′.
    pub(in crate::cuda) fn function_of<T: Kernels, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: &EigenpairsRef<'_, O, Self>,
        function: &FunctionRef<'_, O, Self>,
        of: Of,
        out: &MatricesMut<'_, O, Self>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let (pairs, function) = (self.pairs(pairs)?, self.function(function)?);
        let (data, status) = (self.output(&out.data)?, self.output(&out.status)?);
        if let Some(layout) = scratch.layouts.map {
            return self.map_on_chip::<O>(problem, layout, pairs, function, Use::Alone(of), [status, data]);
        }
        self.in_parts(problem, pairs, scratch, |part: &Part<'_, T, O>| {
            part.evaluate(function, false)?;
            let (regions, (batch, n)) = (part.regions, part.size());
            let [product, scaled, ..] = regions.matrices;
            if n > 0 {
                let [values, slopes, _] = regions.columns;
                let factor = if of == Of::Values { values } else { slopes };
                let arguments = arguments![batch, n, part.v, regions.labels, factor, scaled];
                let _current = self.bind()?;
                // SAFETY: the operands and the regions hold a part of this size.
                unsafe { launch(self.stream(), part.of_scalar.scale_columns, part.team(), arguments) }?;
                part.multiply((Form::Plain, scaled), (Form::Adjoint, part.v), product)?;
            }
            part.deliver_matrices((1.0, 0), product, regions.status, part.numbers::<u32>(status), part.matrices(data))
        })
    }

    /// Enqueues s·V (W ∘ VᴴEV) Vᴴ.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    pub(in crate::cuda) fn mapped<T: Kernels, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: &EigenpairsRef<'_, O, Self>,
        function: &FunctionRef<'_, O, Self>,
        weights: Weights,
        e: &HermitianRef<'_, O, Self>,
        scale: Option<DeviceView<'_, T::Real>>,
        out: &MatricesMut<'_, O, Self>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let (pairs, function, e) = (self.pairs(pairs)?, self.function(function)?, self.hermitian(e)?);
        let scale = scale.as_ref().map_or(Ok(0), |scale| self.input(scale))?;
        let (data, status) = (self.output(&out.data)?, self.output(&out.status)?);
        if let Some(layout) = scratch.layouts.map {
            return self.map_on_chip::<O>(problem, layout, pairs, function, Use::Map(weights, e, scale), [status, data]);
        }
        self.in_parts(problem, pairs, scratch, |part: &Part<'_, T, O>| {
            part.evaluate(function, weights == Weights::Divided)?;
            let [q, between, product, ..] = part.regions.matrices;
            if problem.n > 0 {
                part.conjugated(Hermitian { data: part.matrices(e.data), ..e }, between, q)?;
                part.divide(function, weights)?;
                part.assembled(q, between, product)?;
            }
            let (base, status) = (part.regions.status, part.numbers::<u32>(status));
            part.deliver_matrices((1.0, part.numbers::<T::Real>(scale)), product, base, status, part.matrices(data))
        })
    }

    /// Enqueues Σ_K f(λ_k), which needs no scratch memory.
    pub(in crate::cuda) fn sum_of<T: Kernels, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: &EigenpairsRef<'_, O, Self>,
        function: &FunctionRef<'_, O, Self>,
        total: &DeviceViewMut<'_, T::Real>,
        status: &DeviceViewMut<'_, Status>,
    ) -> Result<()> {
        let (kernels, pairs, Operand { named, values, .. }) =
            (self.calculus::<O>()?, self.pairs(pairs)?, self.function(function)?);
        let (batch, n) = (problem.batch as i64, problem.n as c_int);
        let (total, status) = (self.output(total)?, self.output(status)?);
        let arguments = arguments![batch, n, named, pairs.values, pairs.kept, pairs.found, values, total, status];
        let _current = self.bind()?;
        // SAFETY: the operands hold a batch of this size; values may be null unless f is given by them.
        unsafe { launch(self.stream(), kernels.trace, Shape::thread_each(problem.batch), arguments) }
    }
}

impl<T: Kernels, O: Stored<T>> Part<'_, T, O> {
    /// λ, labels, statuses, and f into the columns; where it `lifts`, for divided differences that stay in the range.
    fn evaluate(&self, function: Operand, lifts: bool) -> Result<()> {
        let ((batch, n), regions) = (self.size(), self.regions);
        let [values, slopes, other] = regions.columns;
        let arguments = arguments![
            batch,
            n,
            function.named,
            c_int::from(lifts),
            self.declared_zero(),
            self.problem.tie_rtol::<O::Real>(),
            self.columns::<O::Real>(self.pairs.values),
            self.columns::<bool>(self.pairs.kept),
            self.numbers::<u32>(self.pairs.found),
            self.columns::<O::Real>(function.values),
            self.columns::<O::Real>(function.slopes),
            regions.lambda,
            regions.labels,
            values,
            slopes,
            other,
            regions.within,
            regions.lifts,
            regions.status,
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the operands and the regions hold a part of this size; values and slopes may be null unless f is given by them.
        unsafe { launch(self.cuda.stream(), self.kernels.evaluate, self.team(), arguments) }
    }

    /// Q ↦ W ∘ Q.
    fn divide(&self, function: Operand, weights: Weights) -> Result<()> {
        let ((batch, n), regions) = (self.size(), self.regions);
        let [values, slopes, other] = regions.columns;
        let products = c_int::from(weights == Weights::Product);
        let arguments = arguments![
            batch,
            n,
            function.named,
            products,
            regions.lambda,
            regions.labels,
            values,
            slopes,
            other,
            regions.within,
            regions.lifts,
            regions.matrices[0],
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the regions hold a part of this size.
        unsafe { launch(self.cuda.stream(), self.of_scalar.divide, self.team(), arguments) }
    }
}
