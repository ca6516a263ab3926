//! The kernels of derivatives beyond the gradient and of functions of the spectrum, for one stored type.

use crate::cuda::kernel::module::{Function, Instantiation, Module, module_of};
use crate::cuda::refused;
use crate::{Dtype, Result};
use cudarc::driver::CudaContext;
use std::sync::Arc;

/// A module of its own: who takes no more than a gradient compiles none of it.
#[derive(Debug)]
pub(in crate::cuda) struct DerivativeKernels {
    pub mask: Function,
    pub hermitian: Function,
    pub evaluate: Function,
    pub trace: Function,
    pub store_matrices: Function,
    pub store_vectors: Function,
    /// For the types that are computed in.
    scalar: Option<DerivativeScalarKernels>,
    /// Keeps the functions live.
    _module: Module,
}

/// The kernels that know no storage.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct DerivativeScalarKernels {
    pub omega: Function,
    pub scale_columns: Function,
    pub divide: Function,
    pub double_backward_open: Function,
    pub double_backward_close: Function,
    pub backward_jvp_open: Function,
    pub backward_jvp_close: Function,
}

// SAFETY: modules and functions may be used from any thread in which their context is current.
unsafe impl Send for DerivativeKernels {}
// SAFETY: as above; nothing of them changes.
unsafe impl Sync for DerivativeKernels {}

const OF_STORED: [&str; 6] = ["mask", "hermitian", "evaluate", "trace", "store_matrices", "store_vectors"];
const OF_SCALAR: [&str; 7] = [
    "omega",
    "scale_columns",
    "divide",
    "double_backward_open",
    "double_backward_close",
    "backward_jvp_open",
    "backward_jvp_close",
];

/// The module of a type.
pub(in crate::cuda) fn module(dtype: Dtype) -> Vec<Instantiation> {
    module_of(dtype, &OF_STORED, &OF_SCALAR)
}

impl DerivativeKernels {
    /// Compiles the kernels, or takes them from the cache, and loads them.
    pub fn load(context: &Arc<CudaContext>, dtype: Dtype, capability: (i32, i32)) -> Result<Self> {
        let (loaded, functions) = Module::compile(context, &module(dtype), capability)?;
        let &[mask, hermitian, evaluate, trace, store_matrices, store_vectors, ref of_scalar @ ..] = &*functions else {
            return Err(refused("cuModuleGetFunction", &"too few kernels"));
        };
        let scalar = match *of_scalar {
            [
                omega,
                scale_columns,
                divide,
                double_backward_open,
                double_backward_close,
                backward_jvp_open,
                backward_jvp_close,
            ] => Some(DerivativeScalarKernels {
                omega,
                scale_columns,
                divide,
                double_backward_open,
                double_backward_close,
                backward_jvp_open,
                backward_jvp_close,
            }),
            _ => None,
        };
        Ok(Self { mask, hermitian, evaluate, trace, store_matrices, store_vectors, scalar, _module: loaded })
    }

    /// Those of the types that are computed in.
    pub fn scalar(&self) -> Result<DerivativeScalarKernels> {
        self.scalar.ok_or_else(|| refused("cuModuleGetFunction", &"the type is storage only"))
    }
}
