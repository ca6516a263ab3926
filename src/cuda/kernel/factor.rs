//! The kernels of factors, for one stored type.

use crate::cuda::kernel::module::{Function, Instantiation, Module, module_of};
use crate::cuda::refused;
use crate::{Dtype, Result};
use cudarc::driver::CudaContext;
use std::sync::Arc;

/// A module of its own: who has no factors compiles none of it.
#[derive(Debug)]
pub(in crate::cuda) struct FactorKernels {
    pub factorise: Function,
    pub mask_columns: Function,
    pub store_columns: Function,
    /// For the types that are computed in.
    scalar: Option<FactorScalarKernels>,
    /// Keeps the functions live.
    _module: Module,
}

/// The kernels that know no storage.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct FactorScalarKernels {
    pub compose: Function,
    pub scale_rows: Function,
}

// SAFETY: modules and functions may be used from any thread in which their context is current.
unsafe impl Send for FactorKernels {}
// SAFETY: as above; nothing of them changes.
unsafe impl Sync for FactorKernels {}

const OF_STORED: [&str; 3] = ["factorise", "mask_columns", "store_columns"];
const OF_SCALAR: [&str; 2] = ["compose", "scale_rows"];

/// The module of a type.
pub(in crate::cuda) fn module(dtype: Dtype) -> Vec<Instantiation> {
    module_of(dtype, &OF_STORED, &OF_SCALAR)
}

impl FactorKernels {
    /// Compiles the kernels, or takes them from the cache, and loads them.
    pub fn load(context: &Arc<CudaContext>, dtype: Dtype, capability: (i32, i32)) -> Result<Self> {
        let (loaded, functions) = Module::compile(context, &module(dtype), capability)?;
        let &[factorise, mask_columns, store_columns, ref of_scalar @ ..] = &*functions else {
            return Err(refused("cuModuleGetFunction", &"too few kernels"));
        };
        let scalar = match *of_scalar {
            [compose, scale_rows] => Some(FactorScalarKernels { compose, scale_rows }),
            _ => None,
        };
        Ok(Self { factorise, mask_columns, store_columns, scalar, _module: loaded })
    }

    /// Those of the types that are computed in.
    pub fn scalar(&self) -> Result<FactorScalarKernels> {
        self.scalar.ok_or_else(|| refused("cuModuleGetFunction", &"the type is storage only"))
    }
}
