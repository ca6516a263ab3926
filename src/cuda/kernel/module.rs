//! The kernels of kernels/*.cu for one stored type: which there are, their functions in a loaded module, and launches.

use crate::cuda::driver::context;
use crate::cuda::kernel::compile;
use crate::cuda::refused;
use crate::{Dtype, Result};
use cudarc::driver::{CudaContext, CudaStream, result, sys};
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// A kernel's function; live as long as the module.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Function(sys::CUfunction);

/// The kernels for one stored type, loaded in one context.
#[derive(Debug)]
pub(in crate::cuda) struct Kernels {
    pub prepare: Function,
    pub spectrum: Function,
    pub label: Function,
    pub finish: Function,
    pub store: Function,
    pub load: Function,
    pub gather: Function,
    /// For the types that are computed in.
    scalar: Option<ScalarKernels>,
    /// Keeps the functions live.
    _module: Module,
}

/// The kernels that know no storage.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct ScalarKernels {
    pub probe: Function,
    pub certificate: Function,
    pub f_matrix: Function,
    /// May be launched with as much shared memory as the device gives a block.
    pub diagonalise: Function,
    pub repair: Function,
}

/// A module, loaded in a context.
#[derive(Debug)]
pub(in crate::cuda) struct Module {
    raw: sys::CUmodule,
    context: Arc<CudaContext>,
}

// SAFETY: modules and functions may be used from any thread in which their context is current.
unsafe impl Send for Kernels {}
// SAFETY: as above; nothing of them changes.
unsafe impl Sync for Kernels {}

const OF_STORED: [&str; 7] = ["prepare", "spectrum", "label", "finish", "store", "load", "gather"];
const OF_SCALAR: [&str; 5] = ["probe", "certificate", "f_matrix", "diagonalise", "repair"];

/// Every stored type, each of which has a module.
pub(in crate::cuda) const DTYPES: [Dtype; 8] =
    [Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64, Dtype::ComplexF16, Dtype::ComplexBf16, Dtype::Complex64, Dtype::Complex128];

/// The type's name in kernels/lib/element.cuh.
pub(in crate::cuda) fn in_cuda(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F16 => "eigengrad::f16",
        Dtype::Bf16 => "eigengrad::bf16",
        Dtype::F32 => "float",
        Dtype::F64 => "double",
        Dtype::ComplexF16 => "eigengrad::complex<eigengrad::f16>",
        Dtype::ComplexBf16 => "eigengrad::complex<eigengrad::bf16>",
        Dtype::Complex64 => "eigengrad::complex<float>",
        Dtype::Complex128 => "eigengrad::complex<double>",
    }
}

/// The type that is computed in.
pub(in crate::cuda) fn computed(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::F16 | Dtype::Bf16 => Dtype::F32,
        Dtype::ComplexF16 | Dtype::ComplexBf16 => Dtype::Complex64,
        computed => computed,
    }
}

/// A kernel of [`source`](crate::cuda::source) for a type, as NVRTC's name expressions and C++ name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Instantiation {
    /// Its template.
    pub kernel: &'static str,
    /// The type of the stored numbers.
    pub dtype: Dtype,
    /// The order of its matrices; none where any order will do.
    pub n: Option<usize>,
    /// Bytes of dynamic shared memory that a launch asks for.
    pub shared: usize,
    /// The instantiation in C++.
    pub expression: String,
}

/// Those of the module of a type.
pub(in crate::cuda) fn of_any_order(dtype: Dtype) -> Vec<Instantiation> {
    module_of(dtype, &OF_STORED, &OF_SCALAR)
}

/// Kernels for a type, and for types that are computed in those that know no storage.
pub(in crate::cuda) fn module_of(dtype: Dtype, of_stored: &[&'static str], of_scalar: &[&'static str]) -> Vec<Instantiation> {
    let of_scalar = of_scalar.iter().filter(|_| computed(dtype) == dtype);
    let instantiation = |kernel| {
        let expression = format!("eigengrad::{kernel}<{}>", in_cuda(dtype));
        Instantiation { kernel, dtype, n: None, shared: 0, expression }
    };
    of_stored.iter().chain(of_scalar).copied().map(instantiation).collect()
}

pub(in crate::cuda) fn expressions(module: &[Instantiation]) -> Vec<String> {
    module.iter().map(|instantiation| instantiation.expression.clone()).collect()
}

/// A kernel that has a module of its own.
#[derive(Debug)]
pub(in crate::cuda) struct SingleKernel {
    pub function: Function,
    /// Keeps the function live.
    _module: Module,
}

// SAFETY: modules and functions may be used from any thread in which their context is current.
unsafe impl Send for SingleKernel {}
// SAFETY: as above; nothing of them changes.
unsafe impl Sync for SingleKernel {}

impl SingleKernel {
    /// Compiles an instantiation, or takes it from the cache, and loads it.
    pub fn load(context: &Arc<CudaContext>, wanted: &Instantiation, capability: (i32, i32)) -> Result<Self> {
        let _current = context::bind(context)?;
        let compiled = compile::compile(std::slice::from_ref(&wanted.expression), capability)?;
        let module = Module::load(context, &compiled.image)?;
        let name = compiled.names.first().ok_or_else(|| refused("nvrtcGetLoweredName", &"no kernel"))?;
        let function = module.function(name)?;
        function.may_share(wanted.shared)?;
        Ok(Self { function, _module: module })
    }
}

impl Function {
    /// Lets launches, in the current context, ask for so many bytes of shared memory, which the kernel prefers to a cache.
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

impl Kernels {
    /// Compiles the kernels, or takes them from the cache, and loads them.
    pub fn load(context: &Arc<CudaContext>, dtype: Dtype, capability: (i32, i32), most_shared: usize) -> Result<Self> {
        let _current = context::bind(context)?;
        let (module, functions) = Module::compile(context, &of_any_order(dtype), capability)?;
        let &[prepare, spectrum, label, finish, store, load, gather, ref of_scalar @ ..] = &*functions else {
            return Err(refused("cuModuleGetFunction", &"too few kernels"));
        };
        let scalar = match *of_scalar {
            [probe, certificate, f_matrix, diagonalise, repair] => {
                diagonalise.may_share(most_shared)?;
                Some(ScalarKernels { probe, certificate, f_matrix, diagonalise, repair })
            }
            _ => None,
        };
        Ok(Self { prepare, spectrum, label, finish, store, load, gather, scalar, _module: module })
    }

    /// Those of the types that are computed in.
    pub fn scalar(&self) -> Result<ScalarKernels> {
        self.scalar.ok_or_else(|| refused("cuModuleGetFunction", &"the type is storage only"))
    }
}

impl Module {
    /// Compiles instantiations, or takes them from the cache, and loads them: their functions in the same order.
    pub fn compile(
        context: &Arc<CudaContext>,
        wanted: &[Instantiation],
        capability: (i32, i32),
    ) -> Result<(Self, Vec<Function>)> {
        let compiled = compile::compile(&expressions(wanted), capability)?;
        let module = Self::load(context, &compiled.image)?;
        let functions = compiled.names.iter().map(|name| module.function(name)).collect::<Result<_>>()?;
        Ok((module, functions))
    }

    fn load(context: &Arc<CudaContext>, image: &[u8]) -> Result<Self> {
        let _current = context::bind(context)?;
        // SAFETY: the image is a whole cubin, or PTX with its final zero, and is copied by the call.
        let raw = unsafe { result::module::load_data(image.as_ptr().cast()) };
        Ok(Self { raw: raw.map_err(|e| refused("cuModuleLoadData", &e))?, context: context.clone() })
    }

    fn function(&self, name: &str) -> Result<Function> {
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

/// Blocks in a grid, threads in a block along x and y, and bytes of dynamic shared memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct LaunchShape {
    pub blocks: u32,
    pub threads: (u32, u32),
    pub shared: u32,
}

impl LaunchShape {
    /// A thread for each matrix.
    pub fn thread_each(batch: usize) -> Self {
        Self { blocks: batch.div_ceil(128) as u32, threads: (128, 1), shared: 0 }
    }

    /// A team of threads for each n×n matrix.
    pub fn team_each(batch: usize, n: usize) -> Self {
        Self::team_for(batch, n * n)
    }

    /// A team of threads for each of so many entries, one for every two, as kernels/lib/team.cuh wants them.
    pub fn team_for(batch: usize, entries: usize) -> Self {
        let team = (entries / 2).next_power_of_two().clamp(4, 256);
        let teams = 256 / team;
        Self { blocks: batch.div_ceil(teams) as u32, threads: (team as u32, teams as u32), shared: 0 }
    }

    /// 64 threads for each tile of a matrix on or below the diagonal, `edge` rows and columns of it.
    pub fn tile_each(batch: usize, n: usize, edge: usize) -> Self {
        let side = n.div_ceil(edge);
        Self { blocks: (batch * (side * (side + 1) / 2)) as u32, threads: (64, 1), shared: 0 }
    }

    /// A thread for each entry, up to a number of blocks that fills any device; the rest by turns.
    pub fn thread_for(entries: usize) -> Self {
        Self { blocks: entries.div_ceil(256).min(1 << 16) as u32, threads: (256, 1), shared: 0 }
    }
}

/// What a kernel takes by value.
pub(in crate::cuda) trait Argument {}
impl<T: Copy> Argument for T {}

/// A kernel's arguments, in order.
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { [$(&$argument as &dyn $crate::cuda::kernel::module::Argument),*] };
}
pub(in crate::cuda) use arguments;

/// Enqueues a kernel.
///
/// # Safety
/// The function's module is live and of the stream's context, which is current; the arguments are those of the kernel in number, order
/// and type, and its pointers are to as much device memory of this stream as its contract in kernels/ says.
pub(in crate::cuda) unsafe fn launch<const N: usize>(
    stream: &CudaStream,
    function: Function,
    shape: LaunchShape,
    arguments: [&dyn Argument; N],
) -> Result<()> {
    if shape.blocks == 0 {
        return Ok(());
    }
    let ((x, y), shared) = (shape.threads, shape.shared);
    let mut pointers = arguments.map(|argument| std::ptr::from_ref(argument).cast_mut().cast::<c_void>());
    // SAFETY: the caller's; the driver copies the arguments before it returns.
    let launched =
        unsafe { result::launch_kernel(function.0, (shape.blocks, 1, 1), (x, y, 1), shared, stream.cu_stream(), &mut pointers) };
    launched.map_err(|e| refused("cuLaunchKernel", &e))
}
