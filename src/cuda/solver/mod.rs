//! Eigensolvers: cuSOLVER's, our own, and whether what they give is an eigendecomposition.

pub(in crate::cuda) mod certificate;
pub(in crate::cuda) mod choice;
pub(in crate::cuda) mod cut;
pub(in crate::cuda) mod jacobi;
pub(in crate::cuda) mod library;
pub(in crate::cuda) mod ql;

use crate::Element;
use crate::cuda::memory::pointer::DevicePtr;
use std::ffi::c_int;

/// Device memory of one call: n×n matrices column-major, that become eigenvectors; λ; the solver's
/// info of each; scratch.
#[derive(Clone, Copy, Debug)]
pub struct Memory<T: Element> {
    pub a: DevicePtr<T>,
    pub lambda: DevicePtr<T::Real>,
    pub info: DevicePtr<c_int>,
    pub scratch: DevicePtr<u8>,
}
