//! The tangent of Ā on the device: docs/derivation.md §10.

use super::part::{Hermitian, Part};
use super::scratch::Scratch;
use crate::cuda::device::Cuda;
use crate::cuda::gemm::Form::Plain;
use crate::cuda::kernels::{arguments, launch};
use crate::cuda::workspace::Kernels;
use crate::options::Problem;
use crate::{CotangentsRef, EigenpairsRef, HermitianRef, MatricesMut, Result, Stored};
use std::ffi::c_int;

impl Cuda {
    /// Enqueues the tangent of Ā.
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs and scratch of one operation")]
    pub(in crate::cuda) fn tangent_of_gradient<T: Kernels, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: &EigenpairsRef<'_, O, Self>,
        cotangents: &CotangentsRef<'_, O, Self>,
        a_dot: &HermitianRef<'_, O, Self>,
        cotangents_dot: &CotangentsRef<'_, O, Self>,
        out: &MatricesMut<'_, O, Self>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let (pairs, a_dot) = (self.pairs(pairs)?, self.hermitian(a_dot)?);
        let (bars, bars_dot) = (self.bars(cotangents)?, self.bars(cotangents_dot)?);
        let (data, status) = (self.output(&out.data)?, self.output(&out.status)?);
        if let Some(layout) = scratch.layouts.backward_jvp {
            return self.backward_jvp_on_chip::<O>(problem, layout, pairs, bars, a_dot, bars_dot, [status, data]);
        }
        let (has_x, has_x_dot) = (bars.vectors != 0, bars.vectors != 0 || bars_dot.vectors != 0);
        self.in_parts(problem, pairs, scratch, |part: &Part<'_, T, O>| {
            part.mask(bars.values, bars_dot.values)?;
            let [p, between, x, x_dot, omega, y] = part.regions.matrices;
            if problem.n > 0 {
                part.conjugated(Hermitian { data: part.matrices(a_dot.data), ..a_dot }, between, p)?;
                part.in_basis(bars.vectors, between, x)?;
                part.in_basis(bars_dot.vectors, between, x_dot)?;
                part.tangent_open(has_x)?;
                if has_x {
                    let given = f64::from(u8::from(bars_dot.vectors != 0));
                    part.combine(-1.0, (Plain, omega), (Plain, x), given, x_dot)?; // VᴴV̄̇ − ΩX
                    part.combine(1.0, (Plain, p), (Plain, y), 1.0, x_dot)?; // + P_DD Y
                }
                part.tangent_close(has_x, has_x_dot)?;
                let (half_g_dot, g) = (x_dot, p);
                part.combine(1.0, (Plain, omega), (Plain, g), 1.0, half_g_dot)?; // ½Ġ + ΩG
                part.assembled(half_g_dot, between, x)?;
            }
            let (base, status) = (part.regions.status, part.numbers::<u32>(status));
            part.deliver_matrices((2.0, 0), x, base, status, part.matrices(data))
        })
    }
}

impl<T: Kernels, O: Stored<T>> Part<'_, T, O> {
    /// P ↦ Ω, P_DD and λ̇; X ↦ Y.
    fn tangent_open(&self, has_x: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [p, _, x, _, omega, y] = regions.matrices;
        let (x, y) = if has_x { (x, y) } else { (0, 0) };
        let arguments = arguments![
            batch,
            n,
            p,
            x,
            regions.lambda,
            regions.labels,
            omega,
            y,
            regions.columns[2],
            self.round_off(),
            regions.status
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the regions hold a part of this size; X and Y may be null together.
        unsafe { launch(self.cuda.stream(), self.of_scalar.tangent_open, self.team(), arguments) }
    }

    /// X and Ẋ ↦ G and ½Ġ.
    fn tangent_close(&self, has_x: bool, has_x_dot: bool) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [g, _, x, x_dot, ..] = regions.matrices;
        let x = if has_x { x } else { 0 };
        let [lambda_bar, other_bar, lambda_dot] = regions.columns;
        let arguments = arguments![
            batch,
            n,
            c_int::from(has_x_dot),
            x,
            x_dot,
            regions.lambda,
            regions.labels,
            lambda_bar,
            other_bar,
            lambda_dot,
            g
        ];
        let _current = self.cuda.bind()?;
        // SAFETY: the regions hold a part of this size; X may be null.
        unsafe { launch(self.cuda.stream(), self.of_scalar.tangent_close, self.team(), arguments) }
    }
}
