//! The double backward pass on the device: docs/derivation.md §9.

use super::part::{Hermitian, Part};
use super::scratch::Scratch;
use crate::cuda::device::Cuda;
use crate::cuda::gemm::Form::{Adjoint, Plain};
use crate::cuda::kernels::{arguments, launch};
use crate::cuda::workspace::Kernels;
use crate::options::Problem;
use crate::{CotangentsRef, DoubleGradientMut, EigenpairsRef, HermitianRef, Result, Stored};

impl Cuda {
    /// Enqueues the cotangents of A, λ̄ and V̄.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    pub(in crate::cuda) fn doubled<T: Kernels, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: &EigenpairsRef<'_, O, Self>,
        cotangents: &CotangentsRef<'_, O, Self>,
        h: &HermitianRef<'_, O, Self>,
        downstream: &CotangentsRef<'_, O, Self>,
        out: &DoubleGradientMut<'_, O, Self>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let (pairs, h) = (self.pairs(pairs)?, self.hermitian(h)?);
        let (bars, downstream) = (self.bars(cotangents)?, self.bars(downstream)?);
        let (a_bar, status) = (self.output(&out.a_bar)?, self.output(&out.status)?);
        let (values, vectors) = (self.output(&out.values_bar_bar)?, self.output(&out.vectors_bar_bar)?);
        if let Some(layout) = scratch.layouts.double_backward {
            let out = [status, values, vectors, a_bar];
            return self.double_backward_on_chip::<O>(problem, layout, pairs, bars, h, downstream, out);
        }
        self.in_parts(problem, pairs, scratch, |part: &Part<'_, T, O>| {
            part.mask(bars.values, downstream.values)?;
            let [t, between, x, m, fq, fx] = part.regions.matrices;
            let has_x = bars.vectors != 0;
            let status = part.numbers::<u32>(status);
            let delivered = [status, part.columns::<O::Real>(values), part.matrices(vectors)];
            if problem.n == 0 {
                return part.deliver_vectors(between, delivered);
            }
            let q = t;
            part.conjugated(Hermitian { data: part.matrices(h.data), ..h }, between, q)?;
            part.in_basis(bars.vectors, between, x)?;
            part.in_basis(downstream.vectors, between, m)?;
            let g = between;
            part.second_open(has_x, downstream.vectors != 0)?;
            part.combine(2.0, (Plain, q), (Plain, g), f64::from(u8::from(downstream.vectors != 0)), m)?; // 2QG + VᴴV̄ from downstream
            if has_x {
                part.combine(-1.0, (Plain, x), (Plain, fq), 1.0, m)?; // − X (F∘Q)
                part.multiply((Plain, fq), (Adjoint, fx), t)?;
            }
            part.multiply((Plain, part.v), (Plain, fq), between)?;
            part.deliver_vectors(between, delivered)?; // V̄̄ = V (F∘Q)
            part.second_close(has_x)?;
            part.assembled(m, between, x)?;
            part.deliver_matrices((1.0, 0), x, status, status, part.matrices(a_bar))
        })
    }
}

impl<T: Kernels, O: Stored<T>> Part<'_, T, O> {
    /// Vᴴ V̄ of the V̄ of the batch in `to`, unless it is absent; `between` may be overwritten.
    pub(super) fn in_basis(&self, v_bar: u64, between: u64, to: u64) -> Result<()> {
        match self.widened(self.matrices(v_bar), between)? {
            0 => Ok(()),
            v_bar => self.multiply((Adjoint, self.v), (Plain, v_bar), to),
        }
    }

    /// G, F∘Q, F∘X, λ̄̄ and ℓ.
    fn second_open(&self, has_x: bool, has_downstream: bool) -> Result<()> {
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
        unsafe { launch(self.cuda.stream(), self.of_scalar.second_open, self.team(), arguments) }
    }

    /// M ↦ B.
    fn second_close(&self, has_x: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [t, _, _, m, ..] = regions.matrices;
        let t = if has_x { t } else { 0 };
        let arguments = arguments![batch, n, m, t, regions.lambda, regions.labels, regions.columns[1]];
        let _current = self.cuda.bind()?;
        // SAFETY: the regions hold a part of this size; T may be null.
        unsafe { launch(self.cuda.stream(), self.of_scalar.second_close, self.team(), arguments) }
    }
}
