//! The tangent of Ā on the device: docs/derivation.md §10.

use crate::compute::BackwardJvp;
use crate::cuda::device::Cuda;
use crate::cuda::driver::gemm::Form::Plain;
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{OnChipKernel, RealOf, kernels};
use crate::cuda::kernel::layouts::TieRules;
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::scratch::Scratch;
use crate::cuda::part::{Bars, DerivativePart, Hermitian, Pairs};
use crate::options::Problem;
use crate::{
    Cotangents, Dtype, Eigenpairs, Element, ElementOf, HermitianBatch, HermitianResult, Result, Scalar, Status, View, ViewMut,
};
use std::ffi::c_int;
use std::marker::PhantomData;

kernels! { Derivatives:
    /// kernels/backward/backward_jvp_products.cu: P, X, λ, labels; Ω, Y, λ̇, round-off, statuses.
    Open<S> = "backward_jvp_open"(
        i64,
        c_int,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        RealOf<S>,
        DevicePtr<Status>,
    );
    /// kernels/backward/backward_jvp_products.cu: whether there is Ẋ; X, Ẋ that becomes ½Ġ, λ,
    /// labels, λ̄, λ̄̇, λ̇; G.
    Close<S> = "backward_jvp_close"(
        i64,
        c_int,
        c_int,
        DevicePtr<S>,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<RealOf<S>>,
        DevicePtr<S>,
    );
}

/// kernels/backward/backward_jvp.cu.
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
        DevicePtr<Status>,
    );
    const NAME: &'static str = "backward_jvp";
    const DTYPES: &'static [Dtype] = &[O::DTYPE];
}

impl<T: Scalar> BackwardJvp<T> for Cuda {
    fn backward_jvp<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        cotangents: Cotangents<O, Self, View<'a>>,
        a_dot: HermitianBatch<I, Self, View<'a>>,
        cotangents_dot: Cotangents<O, Self, View<'a>>,
        out: HermitianResult<O, Self, ViewMut<'a>>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::backward_jvp");
        let (pairs, (a_dot, _wide)) = (self.pairs(&pairs)?, self.hermitian::<T, O, I>(&a_dot)?);
        let ((bars, _copy), (bars_dot, _other)) = (self.bars(&cotangents)?, self.bars(&cotangents_dot)?);
        let (data, status) = (self.output(&out.data)?, self.output(&out.status)?);
        if let Some(layout) = scratch.layouts.backward_jvp {
            return self.backward_jvp_on_chip(problem, layout, pairs, bars, a_dot, bars_dot, (status, data));
        }
        let has_x = !bars.vectors.is_null();
        let has_x_dot = has_x || !bars_dot.vectors.is_null();
        self.in_parts(problem, pairs, scratch, |part: &DerivativePart<'_, T, O>| {
            part.mask(bars.values, bars_dot.values)?;
            let [p, between, x, x_dot, omega, y] = part.regions.matrices;
            if problem.n > 0 {
                part.congruence(Hermitian { data: part.matrices(a_dot.data), ..a_dot }, between, p)?;
                part.in_basis(bars.vectors, between, x)?;
                part.in_basis(bars_dot.vectors, between, x_dot)?;
                part.backward_jvp_open(has_x)?;
                if has_x {
                    let given = f64::from(u8::from(!bars_dot.vectors.is_null()));
                    part.combine(-1.0, (Plain, omega), (Plain, x), given, x_dot)?; // VᴴV̄̇ − ΩX
                    part.combine(1.0, (Plain, p), (Plain, y), 1.0, x_dot)?; // + P_DD Y
                }
                part.backward_jvp_close(has_x, has_x_dot)?;
                let (half_g_dot, g) = (x_dot, p);
                part.combine(1.0, (Plain, omega), (Plain, g), 1.0, half_g_dot)?; // ½Ġ + ΩG
                part.expand(half_g_dot, between, x)?;
            }
            let (base, status) = (part.regions.status, part.numbers(status));
            part.store_matrices((2.0, DevicePtr::NULL), x, base, status, part.matrices(data))
        })
    }
}

impl Cuda {
    /// Enqueues the tangent of Ā; `out` are addresses of statuses and matrices.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and layout of one operation")]
    fn backward_jvp_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs<O>,
        bars: Bars<O>,
        a_dot: Hermitian<O>,
        bars_dot: Bars<O>,
        (status, out): (DevicePtr<Status>, DevicePtr<O>),
    ) -> Result<()> {
        let (batch, rules) = (problem.batch as i64, TieRules::new::<O>(problem, a_dot.read));
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
            a_dot.data,
            bars_dot.values,
            bars_dot.vectors,
            out,
            status,
        );
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { self.launch_on_chip::<OnChip<O>>(layout, problem.batch, arguments) }
    }
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    /// P ↦ Ω, P_DD and λ̇; X ↦ Y.
    fn backward_jvp_open(&self, has_x: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [p, _, x, _, omega, y] = regions.matrices;
        let (x, y) = (x.only_if(has_x), y.only_if(has_x));
        let arguments =
            (batch, n, p, x, regions.lambda, regions.labels, omega, y, regions.columns[2], self.round_off(), regions.status);
        // SAFETY: the regions hold a part of this size; X and Y may be null together.
        unsafe { self.cuda.launch::<Open<T>>(self.team(), arguments) }
    }

    /// X and Ẋ ↦ G and ½Ġ.
    fn backward_jvp_close(&self, has_x: bool, has_x_dot: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [g, _, x, x_dot, ..] = regions.matrices;
        let x = x.only_if(has_x);
        let [lambda_bar, other_bar, lambda_dot] = regions.columns;
        let arguments =
            (batch, n, c_int::from(has_x_dot), x, x_dot, regions.lambda, regions.labels, lambda_bar, other_bar, lambda_dot, g);
        // SAFETY: the regions hold a part of this size; X may be null.
        unsafe { self.cuda.launch::<Close<T>>(self.team(), arguments) }
    }
}
