//! Modules: compiled, loaded in a context, and the functions of their kernels.

use crate::Result;
use crate::cuda::driver::context;
use crate::cuda::kernel::compile;
use crate::cuda::kernel::table::{Instantiation, expressions};
use crate::cuda::refused;
use cudarc::driver::{CudaContext, result, sys};
use std::ffi::CString;
use std::sync::Arc;

/// A kernel's function; live as long as the module.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Function(pub sys::CUfunction);

/// A module, loaded in a context, and the functions of its kernels.
#[derive(Debug)]
pub(in crate::cuda) struct Module {
    raw: sys::CUmodule,
    functions: Vec<Function>,
    context: Arc<CudaContext>,
}

// SAFETY: modules and functions may be used from any thread in which their context is current.
unsafe impl Send for Module {}
// SAFETY: as above; nothing of them changes.
unsafe impl Sync for Module {}

impl Function {
    /// Lets launches, in the current context, ask for so many bytes of shared memory, which the
    /// kernel prefers to a cache.
    fn may_share(self, bytes: usize) -> Result<()> {
        use sys::CUfunction_attribute::{
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as MOST,
            CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT as PERCENT,
        };
        for (attribute, value) in [(MOST, bytes as i32), (PERCENT, 100)] {
            // SAFETY: the module is live, its context current.
            let set = unsafe { result::function::set_function_attribute(self.0, attribute, value) };
            set.map_err(|e| refused("cuFuncSetAttribute", &e))?;
        }
        Ok(())
    }
}

impl Module {
    /// Compiles instantiations, or takes them from the cache, and loads them. Those of any order that
    /// keep matrices or panels on chip may share as much as a block can have.
    pub fn load(
        context: &Arc<CudaContext>,
        wanted: &[Instantiation],
        capability: (i32, i32),
        most_shared: usize,
    ) -> Result<Self> {
        let _current = context::bind(context)?;
        let compiled = compile::compile(&expressions(wanted), capability)?;
        // SAFETY: the image is a whole cubin, or PTX with its final zero, and is copied by the
        // call.
        let raw = unsafe { result::module::load_data(compiled.image.as_ptr().cast()) };
        let raw = raw.map_err(|e| refused("cuModuleLoadData", &e))?;
        let mut module = Self { raw, functions: Vec::new(), context: context.clone() };
        for (name, of) in compiled.names.iter().zip(wanted) {
            let function = module.find(name)?;
            match if ["jacobi", "outer"].contains(&of.kernel) { most_shared } else { of.shared } {
                0 => {}
                bytes => function.may_share(bytes)?,
            }
            module.functions.push(function);
        }
        Ok(module)
    }

    /// The function of the kernel at a position of what was wanted.
    pub fn function(&self, at: usize) -> Result<Function> {
        self.functions.get(at).copied().ok_or_else(|| refused("cuModuleGetFunction", &"the type is storage only"))
    }

    fn find(&self, name: &str) -> Result<Function> {
        let c_name = CString::new(name).map_err(|e| refused("cuModuleGetFunction", &e))?;
        // SAFETY: the module is live, its context current.
        let function = unsafe { result::module::get_function(self.raw, c_name) };
        function.map(Function).map_err(|e| refused(&format!("cuModuleGetFunction {name}"), &e))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let Some(_current) = context::bind_to_free(&self.context) else { return };
        // SAFETY: the only owner unloads it, once; the driver lets launched kernels finish.
        let unloaded = unsafe { result::module::unload(self.raw) };
        context::tell_later(&self.context, "cuModuleUnload", unloaded);
    }
}
