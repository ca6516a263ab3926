//! The double backward pass on the device: docs/derivation.md §9.

use crate::compute::DoubleBackward;
use crate::cuda::device::Cuda;
use crate::cuda::driver::gemm::Form::{Adjoint, Plain};
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::layouts::TieRules;
use crate::cuda::kernel::module::{arguments, launch};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::scratch::Scratch;
use crate::cuda::part::{Bars, DerivativePart, Hermitian, Pairs};
use crate::options::Problem;
use crate::{Cotangents, DoubleGradient, Eigenpairs, Element, ElementOf, HermitianBatch, Result, Scalar, View, ViewMut};
use cudarc::driver::sys::CUdeviceptr;

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
            let out = [status, values, vectors, a_bar];
            return self.double_backward_on_chip::<O>(problem, layout, pairs, bars, h, downstream, out);
        }
        self.in_parts(problem, pairs, scratch, |part: &DerivativePart<'_, T, O>| {
            part.mask(bars.values, downstream.values)?;
            let [t, between, x, m, fq, fx] = part.regions.matrices;
            let has_x = bars.vectors != 0;
            let status = part.numbers::<u32>(status);
            let delivered = [status, part.columns::<O::Real>(values), part.matrices(vectors)];
            if problem.n == 0 {
                return part.store_vectors(between, delivered);
            }
            let q = t;
            part.conjugated(Hermitian { data: part.matrices(h.data), ..h }, between, q)?;
            part.in_basis(bars.vectors, between, x)?;
            part.in_basis(downstream.vectors, between, m)?;
            let g = between;
            part.double_backward_open(has_x, downstream.vectors != 0)?;
            part.combine(2.0, (Plain, q), (Plain, g), f64::from(u8::from(downstream.vectors != 0)), m)?; // 2QG + VᴴV̄ from downstream
            if has_x {
                part.combine(-1.0, (Plain, x), (Plain, fq), 1.0, m)?; // − X (F∘Q)
                part.multiply((Plain, fq), (Adjoint, fx), t)?;
            }
            part.multiply((Plain, part.v), (Plain, fq), between)?;
            part.store_vectors(between, delivered)?; // V̄̄ = V (F∘Q)
            part.double_backward_close(has_x)?;
            part.assembled(m, between, x)?;
            part.store_matrices((1.0, 0), x, status, status, part.matrices(a_bar))
        })
    }
}

impl Cuda {
    /// Enqueues the double backward pass; `out` are addresses of statuses, λ̄̄, V̄̄ and Ā.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and layout of one operation")]
    fn double_backward_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs,
        bars: Bars,
        h: Hermitian,
        downstream: Bars,
        [status, values_bar_bar, vectors_bar_bar, a_bar]: [CUdeviceptr; 4],
    ) -> Result<()> {
        let (batch, rules) = (problem.batch as i64, TieRules::new::<O>(problem, h.read));
        let Pairs { values, vectors, kept, found } = pairs;
        let arguments = arguments![
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
            values_bar_bar,
            vectors_bar_bar,
            status,
        ];
        // SAFETY: the operands hold a batch of this size; cotangents may be null.
        unsafe { self.on_chip::<O, _>(layout, problem.batch, arguments) }
    }
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    /// Vᴴ V̄ of the V̄ of the batch in `to`, unless it is absent; `between` may be overwritten.
    pub(super) fn in_basis(&self, v_bar: u64, between: u64, to: u64) -> Result<()> {
        match self.widened(self.matrices(v_bar), between)? {
            0 => Ok(()),
            v_bar => self.multiply((Adjoint, self.v), (Plain, v_bar), to),
        }
    }

    /// G, F∘Q, F∘X, λ̄̄ and ℓ.
    fn double_backward_open(&self, has_x: bool, has_downstream: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [q, g, x, m, fq, fx] = regions.matrices;
        let (x, fx) = if has_x { (x, fx) } else { (0, 0) };
        let down = if has_downstream { m } else { 0 };
        let [lambda_bar, other_bar, values] = regions.columns;
        let arguments = arguments![
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
            regions.status
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the regions hold a part of this size; X and F∘X may be null together, and what is from downstream.
        unsafe { launch(self.cuda.stream(), self.of_scalar.double_backward_open, self.team(), arguments) }
    }

    /// M ↦ B.
    fn double_backward_close(&self, has_x: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [t, _, _, m, ..] = regions.matrices;
        let t = if has_x { t } else { 0 };
        let arguments = arguments![batch, n, m, t, regions.lambda, regions.labels, regions.columns[1]];
        let _current = self.cuda.bind()?;
        // SAFETY: the regions hold a part of this size; T may be null.
        unsafe { launch(self.cuda.stream(), self.of_scalar.double_backward_close, self.team(), arguments) }
    }
}
