//! What there is: [`devices`].

use crate::Result;
use crate::cuda::device::Cuda;
use crate::cuda::driver::context;
use crate::cuda::driver::library;
use crate::cuda::refused;
use cudarc::driver::{CudaContext, result};
use std::fmt;
use std::sync::Arc;

/// A GPU.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its number, for [`Cuda::new`](crate::cuda::Cuda::new).
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Its compute capability.
    pub capability: (i32, i32),
    /// Bytes of memory that are free.
    pub free: usize,
    /// Bytes of memory in all.
    pub total: usize,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ordinal, name, capability: (major, minor), free, total } = self;
        let gibibytes = |bytes: &usize| *bytes as f64 / (1u64 << 30) as f64;
        let (free, total) = (gibibytes(free), gibibytes(total));
        write!(f, "cuda:{ordinal} {name}, compute capability {major}.{minor}, {free:.1} of {total:.1} GiB free")
    }
}

/// The GPUs that the driver shows, each described or with the reason why it cannot be used, which
/// hides no other.
///
/// # Errors
/// [`Error::Library`](crate::Error::Library) if a library is missing,
/// [`Error::Backend`](crate::Error::Backend) if the driver refuses.
pub fn devices() -> Result<Vec<Result<DeviceInfo>>> {
    library::require()?;
    let caller = context::Caller::new()?;
    let count = result::device::get_count().map_err(|e| refused("cuDeviceGetCount", &e))?;
    let described = |ordinal| of(&context::of_device(ordinal)?);
    let devices = (0..usize::try_from(count).unwrap_or(0)).map(described).collect();
    caller.restore()?;
    Ok(devices)
}

impl Cuda {
    /// What it runs on.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) if the driver refuses.
    pub fn info(&self) -> Result<DeviceInfo> {
        of(self.stream().context())
    }
}

fn of(context: &Arc<CudaContext>) -> Result<DeviceInfo> {
    let _current = context::bind(context)?;
    let (free, total) = result::mem_get_info().map_err(|e| refused("cuMemGetInfo", &e))?;
    let name = context.name().map_err(|e| refused("cuDeviceGetName", &e))?;
    let capability = context.compute_capability().map_err(|e| refused("cuDeviceGetAttribute", &e))?;
    Ok(DeviceInfo { ordinal: context.ordinal(), name, capability, free, total })
}
