//! λ̇ and V̇ on the device: docs/derivation.md, equations (4) and (5).

use crate::compute::Jvp;
use crate::cuda::device::Cuda;
use crate::cuda::driver::gemm::Form;
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{OnChipKernel, RealOf, kernels};
use crate::cuda::kernel::layouts::TieRules;
use crate::cuda::kernel::on_chip::Layout;
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::memory::scratch::Scratch;
use crate::cuda::part::{DerivativePart, Hermitian, Pairs, VectorResults};
use crate::options::Problem;
use crate::{Dtype, Eigenpairs, Element, ElementOf, HermitianBatch, Result, Scalar, Status, Tangents, View, ViewMut};
use std::ffi::c_int;
use std::marker::PhantomData;

kernels! { Derivatives:
    /// kernels/jvp/omega.cu: P that becomes F ∘ P, λ, labels; λ̇, round-off, statuses.
    Omega<S> = "omega"(
        i64,
        c_int,
        DevicePtr<S>,
        DevicePtr<RealOf<S>>,
        DevicePtr<c_int>,
        DevicePtr<RealOf<S>>,
        RealOf<S>,
        DevicePtr<Status>,
    );
}

/// kernels/jvp/jvp.cu.
struct OnChip<O>(PhantomData<O>);

impl<O: Element> OnChipKernel for OnChip<O> {
    type Arguments = (
        i64,
        i64,
        TieRules,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
        DevicePtr<Status>,
    );
    const NAME: &'static str = "jvp";
    const DTYPES: &'static [Dtype] = &[O::DTYPE];
}

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
        let (status, values, vectors) = (self.output(&out.status)?, self.output(&out.values)?, self.output(&out.vectors)?);
        let all = VectorResults { status, values, vectors };
        let directions = out.status.shape()[0].checked_div(problem.batch).unwrap_or(0);
        if let Some(layout) = scratch.layouts.jvp {
            return self.jvp_on_chip(problem, layout, pairs, a_dot, all, directions);
        }
        self.in_parts(problem, pairs, scratch, |part: &DerivativePart<'_, T, O>| {
            part.mask(DevicePtr::NULL, DevicePtr::NULL)?;
            (0..directions).try_for_each(|direction| {
                let first = direction * problem.batch; // a batch of the outputs further on
                let (vectors, entries) = (first * problem.n, first * problem.n * problem.n);
                let out = VectorResults {
                    status: part.numbers(all.status.behind(first)),
                    values: part.columns(all.values.behind(vectors)),
                    vectors: part.matrices(all.vectors.behind(entries)),
                };
                let data = part.matrices(a_dot.data.behind(entries));
                part.jvp(Hermitian { data, ..a_dot }, out)
            })
        })
    }
}

impl Cuda {
    /// Enqueues λ̇ and V̇.
    fn jvp_on_chip<O: Element>(
        &self,
        problem: &Problem,
        layout: Layout,
        pairs: Pairs<O>,
        a_dot: Hermitian<O>,
        out: VectorResults<O>,
        directions: usize,
    ) -> Result<()> {
        let (batch, directions, rules) = (problem.batch as i64, directions as i64, TieRules::new::<O>(problem, a_dot.read));
        let Pairs { values, vectors, kept, found } = pairs;
        let VectorResults { status, values: values_dot, vectors: vectors_dot } = out;
        let arguments = (batch, directions, rules, values, kept, found, vectors, a_dot.data, values_dot, vectors_dot, status);
        // SAFETY: the operands hold a batch of this size, those of the directions one for each.
        unsafe { self.launch_on_chip::<OnChip<O>>(layout, problem.batch, arguments) }
    }
}

impl<T: Scalar, O: ElementOf<T>> DerivativePart<'_, T, O> {
    fn jvp(&self, a_dot: Hermitian<O>, out: VectorResults<O>) -> Result<()> {
        let (regions, (batch, n)) = (self.regions, self.size());
        let [p, v_dot, ..] = regions.matrices;
        if n > 0 {
            self.congruence(a_dot, v_dot, p)?;
            let arguments = (batch, n, p, regions.lambda, regions.labels, regions.columns[2], self.round_off(), regions.status);
            // SAFETY: the regions hold a part of this size.
            unsafe { self.cuda.launch::<Omega<T>>(self.team(), arguments) }?;
            self.multiply((Form::Plain, self.v), (Form::Plain, p), v_dot)?; // V (F ∘ P)
        }
        self.store_vectors(v_dot, out)
    }
}
