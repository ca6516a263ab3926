//! Functions of the spectrum on the device, V_K f(Λ_K) V_Kᴴ and s·V (W ∘ VᴴEV) Vᴴ:
//! docs/derivation.md §11.

use crate::compute::SpectralFunctions;
use crate::cuda::device::Cuda;
use crate::cuda::driver::gemm::Form;
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::function::{Named, Operand};
use crate::cuda::kernel::launch::{LaunchShape, OnChipKernel, RealOf, kernels};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::scratch::Scratch;
use crate::cuda::part::{DerivativePart, Hermitian, Pairs};
use crate::options::Problem;
use crate::{
    Array, Derivative, Dropped, Dtype, Eigenpairs, Element, ElementOf, HermitianBatch, HermitianResult, Result, Scalar,
    SchurMultiplier, Spectral, Status, View, ViewMut,
};
use std::ffi::c_int;
use std::marker::PhantomData;
use std::mem::offset_of;

/// `struct map_rules` of kernels/spectral/spectral_map.cu.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct MapRules {
    function: Named,
    tie_rtol: f64,
    dropped_zero: c_int,
    slopes: c_int,
    products: c_int,
    read: c_int,
}

// The same on both sides.
const _: () = assert!(size_of::<MapRules>() == 48 && offset_of!(MapRules, read) == 44);

kernels! { Derivatives:
    /// kernels/spectral/evaluate.cu: f, whether it lifts, rules, pairs, f and f′ as given; λ,
    /// labels, f, f′, what else is kept of f, up to where eigenvalues tie, exponents, statuses.
    Evaluate<O> = "evaluate"(
        i64,
        c_int,
        Named,
        c_int,
        c_int,
        f64,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O::Real>,
        DevicePtr<O::Real>,
        DevicePtr<RealOf<O>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<RealOf<O>>,
        DevicePtr<c_int>,
        DevicePtr<Status>,
    );
    /// kernels/spectral/evaluate.cu: f, pairs, f as given; tr f(A), statuses.
    Trace<O> = "trace"(
        i64,
        c_int,
        Named,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O::Real>,
        DevicePtr<RealOf<O>>,
        DevicePtr<Status>,
    );
    /// kernels/spectral/spectral_products.cu: V, labels, f; V diag f on K.
    ScaleColumns<S> = "scale_columns"(i64, c_int, DevicePtr<S>, DevicePtr<c_int>, DevicePtr<RealOf<S>>, DevicePtr<S>);
    /// kernels/spectral/spectral_products.cu: f, whether W is of products, what [`Evaluate`] found;
    /// Q that becomes W ∘ Q.
    Divide<S> = "divide"(
        i64,
        c_int,
        Named,
        c_int,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<S>,
    );
}

/// kernels/spectral/spectral_map.cu.
struct OnChip<O>(PhantomData<O>);

impl<O: Element> OnChipKernel for OnChip<O> {
    type Arguments = (
        i64,
        MapRules,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
        DevicePtr<RealOf<O>>,
        DevicePtr<O>,
        DevicePtr<Status>,
    );
    const NAME: &'static str = "map";
    const DTYPES: &'static [Dtype] = &[O::DTYPE];
}

/// What a function is put to.
#[derive(Clone, Copy)]
enum Use<O: Element> {
    /// f(A), or f′(A).
    Alone(Derivative),
    /// The map of a matrix, times the numbers at an address unless that is null.
    Map(SchurMultiplier, Hermitian<O>, DevicePtr<RealOf<O>>),
}

impl<T: Scalar> SpectralFunctions<T> for Cuda {
    fn spectral<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        function: Spectral<O, Self, View<'a>>,
        of: Derivative,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::spectral");
        let (pairs, function) = (self.pairs(&pairs)?, self.function(&function)?);
        let (data, status) = (self.output(&out.data)?, self.output(&out.status)?);
        if let Some(layout) = scratch.layouts.map {
            return self.map_on_chip(problem, layout, pairs, function, Use::Alone(of), (status, data));
        }
        self.in_parts(problem, pairs, scratch, |part: &DerivativePart<'_, T, O>| {
            part.evaluate(function, false)?;
            let (regions, (batch, n)) = (part.regions, part.size());
            let [product, scaled, ..] = regions.matrices;
            if n > 0 {
                let [values, slopes, _] = regions.columns;
                let factor = if of == Derivative::Zeroth { values } else { slopes };
                let arguments = (batch, n, part.v, regions.labels, factor, scaled);
                // SAFETY: the operands and the regions hold a part of this size.
                unsafe { self.launch::<ScaleColumns<T>>(part.team(), arguments) }?;
                part.multiply((Form::Plain, scaled), (Form::Adjoint, part.v), product)?;
            }
            let (base, scale) = (regions.status, DevicePtr::NULL);
            part.store_matrices((1.0, scale), product, base, part.numbers(status), part.matrices(data))
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
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::map");
        let (pairs, function) = (self.pairs(&pairs)?, self.function(&function)?);
        let (e, _wide) = self.hermitian::<T, O, I>(&e)?;
        let scale = self.given(&scale)?;
        let (data, status) = (self.output(&out.data)?, self.output(&out.status)?);
        if let Some(layout) = scratch.layouts.map {
            return self.map_on_chip(problem, layout, pairs, function, Use::Map(weights, e, scale), (status, data));
        }
        self.in_parts(problem, pairs, scratch, |part: &DerivativePart<'_, T, O>| {
            part.evaluate(function, weights == SchurMultiplier::Divided)?;
            let [q, between, product, ..] = part.regions.matrices;
            if problem.n > 0 {
                part.congruence(Hermitian { data: part.matrices(e.data), ..e }, between, q)?;
                part.divide(function, weights)?;
                part.expand(q, between, product)?;
            }
            let (base, status) = (part.regions.status, part.numbers(status));
            part.store_matrices((1.0, part.numbers(scale)), product, base, status, part.matrices(data))
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
        let _range = range(c"eigengrad::trace");
        let (pairs, Operand { named, values, .. }) = (self.pairs(&pairs)?, self.function(&function)?);
        let (batch, n) = (problem.batch as i64, problem.n as c_int);
        let (total, status) = (self.output(&out)?, self.output(&status)?);
        let arguments = (batch, n, named, pairs.values, pairs.kept, pairs.found, values, total, status);
        // SAFETY: the operands hold a batch of this size; values may be null unless f is given by
        // them.
        unsafe { self.launch::<Trace<O>>(LaunchShape::thread_each(problem.batch), arguments) }
    }
}

impl Cuda {
    /// Enqueues a function or its map.
    fn map_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs<O>,
        function: Operand<O>,
        to: Use<O>,
        (status, out): (DevicePtr<Status>, DevicePtr<O>),
    ) -> Result<()> {
        let (of, weights, e, scale) = match to {
            Use::Alone(of) => (of, SchurMultiplier::Divided, Hermitian { data: DevicePtr::NULL, read: 0 }, DevicePtr::NULL),
            Use::Map(weights, e, scale) => (Derivative::Zeroth, weights, e, scale),
        };
        let rules = MapRules {
            function: function.named,
            tie_rtol: problem.tie_rtol::<O::Real>(),
            dropped_zero: c_int::from(problem.dropped == Dropped::Zero),
            slopes: c_int::from(of == Derivative::First),
            products: c_int::from(weights == SchurMultiplier::Product),
            read: e.read,
        };
        let Pairs { values, vectors, kept, found } = pairs;
        let (batch, Operand { values: given, slopes, .. }) = (problem.batch as i64, function);
        let arguments = (batch, rules, values, kept, found, vectors, given, slopes, e.data, scale, out, status);
        // SAFETY: the operands hold a batch of this size; f may be null unless it is given so, E
        // and the factors in any case.
        unsafe { self.launch_on_chip::<OnChip<O>>(layout, problem.batch, arguments) }
    }
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    /// λ, labels, statuses, and f into the columns; where it `lifts`, for divided differences that
    /// stay in the range.
    fn evaluate(&self, function: Operand<O>, lifts: bool) -> Result<()> {
        let ((batch, n), regions) = (self.size(), self.regions);
        let [values, slopes, other] = regions.columns;
        let arguments = (
            batch,
            n,
            function.named,
            c_int::from(lifts),
            self.declared_zero(),
            self.problem.tie_rtol::<O::Real>(),
            self.columns(self.pairs.values),
            self.columns(self.pairs.kept),
            self.numbers(self.pairs.found),
            self.columns(function.values),
            self.columns(function.slopes),
            regions.lambda,
            regions.labels,
            values,
            slopes,
            other,
            regions.within,
            regions.lifts,
            regions.status,
        );
        // SAFETY: the operands and the regions hold a part of this size; values and slopes may be
        // null unless f is given by them.
        unsafe { self.cuda.launch::<Evaluate<O>>(self.team(), arguments) }
    }

    /// Q ↦ W ∘ Q.
    fn divide(&self, function: Operand<O>, weights: SchurMultiplier) -> Result<()> {
        let ((batch, n), regions) = (self.size(), self.regions);
        let [values, slopes, other] = regions.columns;
        let products = c_int::from(weights == SchurMultiplier::Product);
        let arguments = (
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
        );
        // SAFETY: the regions hold a part of this size.
        unsafe { self.cuda.launch::<Divide<T>>(self.team(), arguments) }
    }
}
