//! Functions of the spectrum on the device, V_K f(Λ_K) V_Kᴴ and s·V (W ∘ VᴴEV) Vᴴ: docs/derivation.md §11.

use crate::compute::SpectralFunctions;
use crate::cuda::device::Cuda;
use crate::cuda::driver::gemm::Form;
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::function::{Named, Operand};
use crate::cuda::kernel::module::{Shape, arguments, launch};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::scratch::Scratch;
use crate::cuda::part::{Hermitian, Pairs, Part};
use crate::options::Problem;
use crate::{
    Dropped, EigenpairsRef, Element, FunctionRef, HermitianRef, MatricesMut, Of, Result, Scalar, Status, Stored, Weights,
};
use cudarc::driver::sys::CUdeviceptr;
use std::ffi::c_int;
use std::mem::offset_of;

/// `struct map_rules` of kernels/spectral/spectral_map.cu.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct MapRules {
    function: Named,
    tie_rtol: f64,
    dropped_zero: c_int,
    slopes: c_int,
    products: c_int,
    upper: c_int,
}

// The same on both sides.
const _: () = assert!(size_of::<MapRules>() == 48 && offset_of!(MapRules, upper) == 44);

/// What a function is put to.
#[derive(Clone, Copy)]
enum Use {
    /// f(A), or f′(A).
    Alone(Of),
    /// The map of a matrix, times the numbers at an address unless that is 0.
    Map(Weights, Hermitian, CUdeviceptr),
}

impl<T: Scalar> SpectralFunctions<T> for Cuda {
    fn spectral<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        of: Of,
        out: MatricesMut<'a, O, Self>,
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::spectral");
        let (pairs, function) = (self.pairs(&pairs)?, self.function(&function)?);
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
            part.store_matrices((1.0, 0), product, regions.status, part.numbers::<u32>(status), part.matrices(data))
        })
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
        scratch: &mut Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::map");
        let (pairs, function, e) = (self.pairs(&pairs)?, self.function(&function)?, self.hermitian(&e)?);
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
            part.store_matrices((1.0, part.numbers::<T::Real>(scale)), product, base, status, part.matrices(data))
        })
    }

    fn trace<'a, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: EigenpairsRef<'a, O, Self>,
        function: FunctionRef<'a, O, Self>,
        out: Self::ViewMut<'a, T::Real>,
        status: Self::ViewMut<'a, Status>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::trace");
        let (kernels, pairs, Operand { named, values, .. }) =
            (self.calculus::<O>()?, self.pairs(&pairs)?, self.function(&function)?);
        let (batch, n) = (problem.batch as i64, problem.n as c_int);
        let (total, status) = (self.output(&out)?, self.output(&status)?);
        let arguments = arguments![batch, n, named, pairs.values, pairs.kept, pairs.found, values, total, status];
        let _current = self.bind()?;
        // SAFETY: the operands hold a batch of this size; values may be null unless f is given by them.
        unsafe { launch(self.stream(), kernels.trace, Shape::thread_each(problem.batch), arguments) }
    }
}

impl Cuda {
    /// Enqueues a function or its map.
    fn map_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs,
        function: Operand,
        to: Use,
        [status, out]: [CUdeviceptr; 2],
    ) -> Result<()> {
        let (of, weights, e, scale) = match to {
            Use::Alone(of) => (of, Weights::Divided, Hermitian { data: 0, upper: 0 }, 0),
            Use::Map(weights, e, scale) => (Of::Values, weights, e, scale),
        };
        let rules = MapRules {
            function: function.named,
            tie_rtol: problem.tie_rtol::<O::Real>(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            slopes: c_int::from(of == Of::Slopes),
            products: c_int::from(weights == Weights::Product),
            upper: e.upper,
        };
        let Pairs { values, vectors, kept, found } = pairs;
        let (batch, Operand { values: given, slopes, .. }) = (problem.batch as i64, function);
        let arguments = arguments![batch, rules, values, kept, found, vectors, given, slopes, e.data, scale, out, status];
        // SAFETY: the operands hold a batch of this size; f may be null unless it is given so, E and the factors in any case.
        unsafe { self.on_chip::<O, _>(layout, problem.batch, arguments) }
    }
}

impl<T: Scalar, O: Stored<T>> Part<'_, T, O> {
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
