//! The double backward pass on the device: docs/derivation.md §9.

use crate::compute::DoubleBackward;
use crate::cuda::device::Cuda;
use crate::cuda::driver::gemm::Form::{Adjoint, Plain};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{OnChipKernel, RealOf, kernels};
use crate::cuda::kernel::layouts::TieRules;
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::scratch::Scratch;
use crate::cuda::part::{Bars, DerivativePart, Hermitian, Pairs, VectorResults};
use crate::options::Problem;
use crate::{
    Cotangents, DoubleGradient, Dtype, Eigenpairs, Element, ElementOf, HermitianBatch, Result, Scalar, Status, View, ViewMut,
};
use std::ffi::c_int;
use std::marker::PhantomData;

kernels! { Derivatives:
    /// kernels/double_backward/double_backward_products.cu: Q, X, VᴴV̄ from downstream, λ, labels,
    /// λ̄, that from downstream that becomes ℓ; G, F∘Q, F∘X, λ̄̄, round-off, statuses.
    Open<S> = "double_backward_open"(
        i64,
        c_int,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        RealOf<S>,
        DevicePtr<Status>,
    );
    /// kernels/double_backward/double_backward_products.cu: M that becomes B, T, λ, labels, ℓ.
    Close<S> = "double_backward_close"(
        i64,
        c_int,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
    );
}

/// kernels/double_backward/double_backward.cu.
struct OnChip<O>(PhantomData<O>);

impl<O: Element> OnChipKernel for OnChip<O> {
    type Arguments = (
        i64,
        TieRules,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
        DevicePtr<Status>,
    );
    const NAME: &'static str = "double_backward";
    const DTYPES: &'static [Dtype] = &[O::DTYPE];
}

impl<T: Scalar> DoubleBackward<T> for Cuda {
    fn double_backward<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        h: HermitianBatch<I, Self, View<'a>>,
        downstream: Cotangents<O, Self, View<'a>>,
        out: DoubleGradient<O, Self, ViewMut<'a>>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::double_backward");
        let (pairs, (h, _wide)) = (self.pairs(&pairs)?, self.hermitian::<T, O, I>(&h)?);
        let ((bars, _copy), (downstream, _other)) = (self.bars(&cotangents)?, self.bars(&downstream)?);
        let (a_bar, status) = (self.output(&out.a_bar)?, self.output(&out.status)?);
        let (values, vectors) = (self.output(&out.values_bar_bar)?, self.output(&out.vectors_bar_bar)?);
        if let Some(layout) = scratch.layouts.double_backward {
            let out = VectorResults { status, values, vectors };
            return self.double_backward_on_chip(problem, layout, pairs, bars, h, downstream, (out, a_bar));
        }
        self.in_parts(problem, pairs, scratch, |part: &DerivativePart<'_, T, O>| {
            part.mask(bars.values, downstream.values)?;
            let [t, between, x, m, fq, fx] = part.regions.matrices;
            let has_x = !bars.vectors.is_null();
            let has_downstream = !downstream.vectors.is_null();
            let status = part.numbers(status);
            let stored = VectorResults { status, values: part.columns(values), vectors: part.matrices(vectors) };
            if problem.n == 0 {
                return part.store_vectors(between, stored);
            }
            let q = t;
            part.congruence(Hermitian { data: part.matrices(h.data), ..h }, between, q)?;
            part.in_basis(bars.vectors, between, x)?;
            part.in_basis(downstream.vectors, between, m)?;
            let g = between;
            part.double_backward_open(has_x, has_downstream)?;
            // 2QG + VᴴV̄ from downstream
            part.combine(2.0, (Plain, q), (Plain, g), f64::from(u8::from(has_downstream)), m)?;
            if has_x {
                part.combine(-1.0, (Plain, x), (Plain, fq), 1.0, m)?; // − X (F∘Q)
                part.multiply((Plain, fq), (Adjoint, fx), t)?;
            }
            part.multiply((Plain, part.v), (Plain, fq), between)?;
            part.store_vectors(between, stored)?; // V̄̄ = V (F∘Q)
            part.double_backward_close(has_x)?;
            part.expand(m, between, x)?;
            part.store_matrices((1.0, DevicePtr::NULL), x, status, status, part.matrices(a_bar))
        })
    }
}

impl Cuda {
    /// Enqueues the double backward pass.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and layout of one operation")]
    fn double_backward_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs<O>,
        bars: Bars<O>,
        h: Hermitian<O>,
        downstream: Bars<O>,
        (out, a_bar): (VectorResults<O>, DevicePtr<O>),
    ) -> Result<()> {
        let (batch, rules) = (problem.batch as i64, TieRules::new::<O>(problem, h.read));
        let Pairs { values, vectors, kept, found } = pairs;
        let arguments = (
            batch,
            rules,
            values,
            kept,
            found,
            vectors,
            bars.values,
            bars.vectors,
            h.data,
            downstream.values,
            downstream.vectors,
            a_bar,
            out.values,
            out.vectors,
            out.status,
        );
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { self.launch_on_chip::<OnChip<O>>(layout, problem.batch, arguments) }
    }
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    /// Vᴴ V̄ of the V̄ of the batch in `to`, unless it is absent; `between` may be overwritten.
    pub(super) fn in_basis(&self, v_bar: DevicePtr<O>, between: DevicePtr<T>, to: DevicePtr<T>) -> Result<()> {
        match self.widened(self.matrices(v_bar), between)? {
            absent if absent.is_null() => Ok(()),
            v_bar => self.multiply((Adjoint, self.v), (Plain, v_bar), to),
        }
    }

    /// G, F∘Q, F∘X, λ̄̄ and ℓ.
    fn double_backward_open(&self, has_x: bool, has_downstream: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [q, g, x, m, fq, fx] = regions.matrices;
        let (x, fx, down) = (x.only_if(has_x), fx.only_if(has_x), m.only_if(has_downstream));
        let [lambda_bar, other_bar, values] = regions.columns;
        let arguments = (
            batch,
            n,
            q,
            x,
            down,
            regions.lambda,
            regions.labels,
            lambda_bar,
            other_bar,
            g,
            fq,
            fx,
            values,
            self.round_off(),
            regions.status,
        );
        // SAFETY: the regions hold a part of this size; X and F∘X may be null together, and what is
        // from downstream.
        unsafe { self.cuda.launch::<Open<T>>(self.team(), arguments) }
    }

    /// M ↦ B.
    fn double_backward_close(&self, has_x: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [t, _, _, m, ..] = regions.matrices;
        let t = t.only_if(has_x);
        let arguments = (batch, n, m, t, regions.lambda, regions.labels, regions.columns[1]);
        // SAFETY: the regions hold a part of this size; T may be null.
        unsafe { self.cuda.launch::<Close<T>>(self.team(), arguments) }
    }
}
