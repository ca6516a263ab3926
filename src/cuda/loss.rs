//! Losses of eigenpairs against targets on the device: launches of kernels/loss/loss.cu.

use crate::compute::Loss;
use crate::cuda::device::Cuda;
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{LaunchShape, RealOf, kernels};
use crate::cuda::memory::pointer::DevicePtr;
use crate::cuda::part::Pairs;
use crate::loss::factors;
use crate::options::Problem;
use crate::{Eigenpairs, ElementOf, PairLoss, PairLosses, Result, Scalar, Status, Targets, View, ViewMut};
use std::ffi::c_int;

kernels! { Losses:
    /// kernels/loss/loss.cu: the factors, pairs, targets; the loss, λ̄, V̄.
    LossKernel<O> = "loss"(
        i64,
        c_int,
        RealOf<O>,
        RealOf<O>,
        RealOf<O>,
        DevicePtr<O::Real>,
        DevicePtr<bool>,
        DevicePtr<Status>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
        DevicePtr<O::Real>,
        DevicePtr<RealOf<O>>,
        DevicePtr<O::Real>,
        DevicePtr<O>,
    );
}

impl<T: Scalar> Loss<T> for Cuda {
    fn loss<'a, O: ElementOf<T>>(
        &self,
        problem: &Problem,
        loss: &PairLoss,
        pairs: Eigenpairs<O, Self, View<'a>>,
        targets: Targets<O, Self, View<'a>>,
        out: PairLosses<O, Self, ViewMut<'a>>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::loss");
        let [spectral, overlap, intensity] = factors::<T>(loss);
        let Pairs { values, vectors, kept, found } = self.pairs(&pairs)?;
        let arguments = (
            problem.batch as i64,
            problem.n as c_int,
            spectral,
            overlap,
            intensity,
            values,
            kept,
            found,
            vectors,
            self.input(&targets.values)?,
            self.input(&targets.vectors)?,
            self.input(&targets.weights)?,
            self.output(&out.loss)?,
            self.output(&out.values_bar)?,
            self.output(&out.vectors_bar)?,
        );
        // SAFETY: lengths were checked, and all is device memory of this stream.
        unsafe { self.launch::<LossKernel<O>>(LaunchShape::team_each(problem.batch, problem.n), arguments) }
    }
}
