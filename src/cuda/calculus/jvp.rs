//! λ̇ and V̇ on the device: docs/derivation.md, equations (4) and (5).

use super::part::{Hermitian, Part};
use super::scratch::Scratch;
use crate::cuda::device::Cuda;
use crate::cuda::forward::behind;
use crate::cuda::gemm::Form;
use crate::cuda::kernels::{arguments, launch};
use crate::cuda::workspace::Kernels;
use crate::options::Problem;
use crate::{Backend, EigenpairsRef, HermitianRef, Result, Stored, TangentsMut};
use cudarc::driver::sys::CUdeviceptr;

impl Cuda {
    /// Enqueues λ̇ and V̇ along each direction.
    pub(in crate::cuda) fn tangents<T: Kernels, O: Stored<T>>(
        &self,
        problem: &Problem,
        pairs: &EigenpairsRef<'_, O, Self>,
        a_dot: &HermitianRef<'_, O, Self>,
        out: &TangentsMut<'_, O, Self>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let (pairs, a_dot) = (self.pairs(pairs)?, self.hermitian(a_dot)?);
        let all = [self.output(&out.status)?, self.output(&out.values)?, self.output(&out.vectors)?];
        let directions = Self::len_mut(&out.status).checked_div(problem.batch).unwrap_or(0);
        if let Some(layout) = scratch.layouts.jvp {
            return self.jvp_on_chip::<O>(problem, layout, pairs, a_dot, all, directions);
        }
        self.in_parts(problem, pairs, scratch, |part: &Part<'_, T, O>| {
            part.mask(0, 0)?;
            (0..directions).try_for_each(|direction| {
                let first = direction * problem.batch; // a batch of the outputs further on
                let vectors = first * problem.n;
                let [status, values, v_dot] = all;
                let out = [
                    part.numbers::<u32>(behind(status, first, size_of::<u32>())),
                    part.columns::<O::Real>(behind(values, vectors, size_of::<O::Real>())),
                    part.matrices(behind(v_dot, vectors * problem.n, size_of::<O>())),
                ];
                let data = part.matrices(behind(a_dot.data, vectors * problem.n, size_of::<O>()));
                part.jvp(Hermitian { data, ..a_dot }, out)
            })
        })
    }
}

impl<T: Kernels, O: Stored<T>> Part<'_, T, O> {
    fn jvp(&self, a_dot: Hermitian, out: [CUdeviceptr; 3]) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [p, v_dot, ..] = regions.matrices;
        if n > 0 {
            self.conjugated(a_dot, v_dot, p)?;
            let arguments =
                arguments![batch, n, p, regions.lambda, regions.labels, regions.columns[2], self.round_off(), regions.status];
            let _current = self.cuda.bind()?;
            // SAFETY: the regions hold a part of this size.
            unsafe { launch(self.cuda.stream(), self.of_scalar.rotate, self.team(), arguments) }?;
            self.multiply((Form::Plain, self.v), (Form::Plain, p), v_dot)?; // V (F ∘ P)
        }
        self.deliver_vectors(v_dot, out)
    }
}
