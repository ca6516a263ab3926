//! Copies between stored types and those that are computed in.

use crate::cuda::device::Cuda;
use crate::cuda::driver::nvtx::range;
use crate::cuda::kernel::launch::{LaunchShape, kernels};
use crate::cuda::memory::pointer::DevicePtr;
use crate::{Element, Result};

kernels! { Eigenpairs:
    /// kernels/lib/convert.cu
    Load<E> = "load"(i64, DevicePtr<E>, DevicePtr<E::Scalar>);
    /// kernels/lib/convert.cu
    Store<E> = "store"(i64, DevicePtr<E::Scalar>, DevicePtr<E>);
}

impl Cuda {
    /// Enqueues a copy of so many numbers in the type that they are computed in.
    ///
    /// # Safety
    /// Both addresses are of so many numbers in device memory of this stream.
    pub(in crate::cuda) unsafe fn widen<E: Element>(
        &self,
        entries: usize,
        from: DevicePtr<E>,
        to: DevicePtr<E::Scalar>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::load");
        // SAFETY: the caller's.
        unsafe { self.launch::<Load<E>>(LaunchShape::thread_for(entries), (entries as i64, from, to)) }
    }

    /// Enqueues a copy of so many numbers as they are stored.
    ///
    /// # Safety
    /// As [`Cuda::widen`].
    pub(in crate::cuda) unsafe fn narrow<E: Element>(
        &self,
        entries: usize,
        from: DevicePtr<E::Scalar>,
        to: DevicePtr<E>,
    ) -> Result<()> {
        let _range = range(c"eigengrad::store");
        // SAFETY: the caller's.
        unsafe { self.launch::<Store<E>>(LaunchShape::thread_for(entries), (entries as i64, from, to)) }
    }
}
