//! The kernels of derivatives beyond the gradient and of functions of the spectrum, for one stored type.

use crate::cuda::kernels::{Function, Instantiation, Module, module_of};
use crate::cuda::refused;
use crate::{Dtype, Result};
use cudarc::driver::CudaContext;
use std::sync::Arc;

/// A module of its own: who takes no more than a gradient compiles none of it.
#[derive(Debug)]
pub(in crate::cuda) struct Kernels {
    pub mask: Function,
    pub unfold: Function,
    pub evaluate: Function,
    pub trace: Function,
    pub deliver_matrices: Function,
    pub deliver_vectors: Function,
    /// For the types that are computed in.
    scalar: Option<ScalarKernels>,
    /// Keeps the functions live.
    _module: Module,
}

/// The kernels that know no storage.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct ScalarKernels {
    pub rotate: Function,
    pub scale_columns: Function,
    pub divide: Function,
    pub second_open: Function,
    pub second_close: Function,
    pub tangent_open: Function,
    pub tangent_close: Function,
}

// SAFETY: modules and functions may be used from any thread in which their context is current.
unsafe impl Send for Kernels {}
// SAFETY: as above; nothing of them changes.
unsafe impl Sync for Kernels {}

const OF_STORED: [&str; 6] = ["mask", "unfold", "evaluate", "trace", "deliver_matrices", "deliver_vectors"];
const OF_SCALAR: [&str; 7] =
    ["rotate", "scale_columns", "divide", "second_open", "second_close", "tangent_open", "tangent_close"];

/// The module of a type.
pub(in crate::cuda) fn module(dtype: Dtype) -> Vec<Instantiation> {
    module_of(dtype, &OF_STORED, &OF_SCALAR)
}

impl Kernels {
    /// Compiles the kernels, or takes them from the cache, and loads them.
    pub fn load(context: &Arc<CudaContext>, dtype: Dtype, capability: (i32, i32)) -> Result<Self> {
        let (loaded, functions) = Module::compile(context, &module(dtype), capability)?;
        let &[mask, unfold, evaluate, trace, deliver_matrices, deliver_vectors, ref of_scalar @ ..] = &*functions else {
            return Err(refused("cuModuleGetFunction", &"too few kernels"));
        };
        let scalar = match *of_scalar {
            [rotate, scale_columns, divide, second_open, second_close, tangent_open, tangent_close] => {
                Some(ScalarKernels { rotate, scale_columns, divide, second_open, second_close, tangent_open, tangent_close })
            }
            _ => None,
        };
        Ok(Self { mask, unfold, evaluate, trace, deliver_matrices, deliver_vectors, scalar, _module: loaded })
    }

    /// Those of the types that are computed in.
    pub fn scalar(&self) -> Result<ScalarKernels> {
        self.scalar.ok_or_else(|| refused("cuModuleGetFunction", &"the type is storage only"))
    }
}
