//! λ̇ and V̇ on the device: docs/derivation.md, equations (4) and (5).

use crate::compute::Jvp;
use crate::cuda::device::Cuda;
use crate::cuda::driver::gemm::Form;
use crate::cuda::driver::nvtx::range;
use crate::cuda::eigh::behind;
use crate::cuda::kernel::layouts::TieRules;
use crate::cuda::kernel::module::{arguments, launch};
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::scratch::Scratch;
use crate::cuda::part::{DerivativePart, Hermitian, Pairs};
use crate::options::Problem;
use crate::{Eigenpairs, Element, ElementOf, HermitianBatch, Result, Scalar, Tangents, View, ViewMut};
use cudarc::driver::sys::CUdeviceptr;

impl<T: Scalar> Jvp<T> for Cuda {
    fn jvp<'a, O: ElementOf<T>, I: ElementOf<T>>(
        &self,
        problem: &Problem,
        pairs: Eigenpairs<O, Self, View<'a>>,
        a_dot: HermitianBatch<I, Self, View<'a>>,
        out: Tangents<O, Self, ViewMut<'a>>,
        scratch: &Scratch<T>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::jvp");
        let (pairs, (a_dot, _wide)) = (self.pairs(&pairs)?, self.hermitian::<T, O, I>(&a_dot)?);
        let all = [self.output(&out.status)?, self.output(&out.values)?, self.output(&out.vectors)?];
        let directions = out.status.shape()[0].checked_div(problem.batch).unwrap_or(0);
        if let Some(layout) = scratch.layouts.jvp {
            return self.jvp_on_chip::<O>(problem, layout, pairs, a_dot, all, directions);
        }
        self.in_parts(problem, pairs, scratch, |part: &DerivativePart<'_, T, O>| {
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

impl Cuda {
    /// Enqueues λ̇ and V̇; `out` are addresses of statuses, values and vectors.
    fn jvp_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs,
        a_dot: Hermitian,
        [status, values_dot, vectors_dot]: [CUdeviceptr; 3],
        directions: usize,
    ) -> Result<()> {
        let (batch, directions, rules) = (problem.batch as i64, directions as i64, TieRules::new::<O>(problem, a_dot.read));
        let Pairs { values, vectors, kept, found } = pairs;
        let arguments =
            arguments![batch, directions, rules, values, kept, found, vectors, a_dot.data, values_dot, vectors_dot, status];
        // SAFETY: the operands hold a batch of this size, those of the directions one for each.
        unsafe { self.on_chip::<O, _>(layout, problem.batch, arguments) }
    }
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    fn jvp(&self, a_dot: Hermitian, out: [CUdeviceptr; 3]) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [p, v_dot, ..] = regions.matrices;
        if n > 0 {
            self.conjugated(a_dot, v_dot, p)?;
            let arguments =
                arguments![batch, n, p, regions.lambda, regions.labels, regions.columns[2], self.round_off(), regions.status];
            let _current = self.cuda.bind()?;
            // SAFETY: the regions hold a part of this size.
            unsafe { launch(self.cuda.stream(), self.of_scalar.omega, self.team(), arguments) }?;
            self.multiply((Form::Plain, self.v), (Form::Plain, p), v_dot)?; // V (F ∘ P)
        }
        self.store_vectors(v_dot, out)
    }
}
