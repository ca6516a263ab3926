//! libnvrtc, and kernels that it compiled. Source: NVRTC user guide; CUDA C++ programming guide.

use crate::fact::fact;
use crate::gpu::{Gpu, gpu};
use cudarc::driver::result::{launch_kernel, module};
use cudarc::nvrtc::result::{compile_program, create_program, destroy_program, get_program_log};
use cudarc::nvrtc::sys::{self, nvrtcProgram, nvrtcResult};
use std::ffi::{CStr, CString, c_void};

const SOURCE: &CStr = cr#"
template <typename T> __global__ void scale(T* x, T by, int n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) x[i] *= by;
}

extern "C" __global__ void sums(const int* x, int* of_block, int* of_warp) {
    __shared__ int part[128];
    int t = threadIdx.x, value = x[blockIdx.x * 128 + t];
    part[t] = value;
    __syncthreads();
    for (int half = 64; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    if (t == 0) of_block[blockIdx.x] = part[0];
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffu, value, lane);
    of_warp[blockIdx.x * 128 + t] = value;
}
"#;

/// A program, destroyed with its owner.
struct Program(nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program was created by `compile` and is destroyed once.
        let destroyed = unsafe { destroy_program(self.0) };
        assert!(std::thread::panicking() || destroyed.is_ok());
    }
}

fn compile(source: &CStr, names: &[&CStr], options: &[String]) -> (Program, nvrtcResult) {
    let program = Program(create_program(source, Some(c"conformance.cu")).expect("a program"));
    for name in names {
        // SAFETY: the program is alive and not yet compiled; the name ends in a zero.
        let added = unsafe { sys::nvrtcAddNameExpression(program.0, name.as_ptr()) };
        assert_eq!(added, nvrtcResult::NVRTC_SUCCESS);
    }
    // SAFETY: the program is alive.
    let compiled = unsafe { compile_program(program.0, options) };
    (program, compiled.map_or_else(|e| e.0, |()| nvrtcResult::NVRTC_SUCCESS))
}

fn options(gpu: &Gpu) -> Vec<String> {
    let (major, minor) = gpu.context().compute_capability().expect("a compute capability");
    vec![format!("--gpu-architecture=sm_{major}{minor}"), "--std=c++17".to_owned()]
}

fn log(program: &Program) -> String {
    // SAFETY: the program has been compiled, or tried to be.
    let log = unsafe { get_program_log(program.0) }.expect("a log");
    log.into_iter().map(|c| char::from(c as u8)).collect()
}

fn lowered(program: &Program, name: &CStr) -> Result<CString, nvrtcResult> {
    let mut lowered = std::ptr::null();
    // SAFETY: the program is compiled, the name ends in a zero, the result is a pointer.
    match unsafe { sys::nvrtcGetLoweredName(program.0, name.as_ptr(), &raw mut lowered) } {
        // SAFETY: on success it is a string that lives as long as the program.
        nvrtcResult::NVRTC_SUCCESS => Ok(unsafe { CStr::from_ptr(lowered) }.to_owned()),
        other => Err(other),
    }
}

fn cubin(program: &Program) -> Vec<u8> {
    let mut size = 0;
    // SAFETY: the program is compiled, the result is a size_t.
    let asked = unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut size) };
    assert_eq!(asked, nvrtcResult::NVRTC_SUCCESS);
    let mut cubin = vec![0u8; size];
    // SAFETY: the vector is as long as the function just said.
    let got = unsafe { sys::nvrtcGetCUBIN(program.0, cubin.as_mut_ptr().cast()) };
    assert_eq!(got, nvrtcResult::NVRTC_SUCCESS);
    cubin
}

/// A module, and a launch of one of its functions with arguments that outlive it.
fn launch(gpu: &Gpu, cubin: &[u8], name: &CStr, blocks: u32, threads: u32, arguments: &mut [*mut c_void]) {
    // SAFETY: the image is a whole cubin for this device, whose context is current.
    let loaded = unsafe { module::load_data(cubin.as_ptr().cast()) }.expect("a module");
    // SAFETY: the module is loaded.
    let function = unsafe { module::get_function(loaded, name.to_owned()) }.expect("a function");
    // SAFETY: the arguments are those of the function, as the callers see to.
    unsafe { launch_kernel(function, (blocks, 1, 1), (threads, 1, 1), 0, gpu.stream.cu_stream(), arguments) }.expect("a launch");
    gpu.wait();
    // SAFETY: the module was loaded above; its function has run and will not again.
    unsafe { module::unload(loaded) }.expect("a module can be unloaded");
}

/// nvrtcAddNameExpression and nvrtcGetLoweredName name an instance of a template; a grid may be
/// wider than 65,535 blocks in x.
#[test]
fn instances_of_a_template_are_compiled_for_this_device() {
    let Some(gpu) = gpu("instances_of_a_template_are_compiled_for_this_device") else { return };
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both results are ints.
    let asked = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    assert_eq!(asked, nvrtcResult::NVRTC_SUCCESS);
    let (program, compiled) = compile(SOURCE, &[c"scale<float>", c"scale<double>"], &options(&gpu));
    assert_eq!(compiled, nvrtcResult::NVRTC_SUCCESS, "{}", log(&program));
    let image = cubin(&program);
    fact!("nvrtc", major: major, minor: minor, cubin_bytes: image.len());

    let names = [c"scale<float>", c"scale<double>"].map(|name| lowered(&program, name).expect("a lowered name"));
    assert_ne!(names[0], names[1]);
    assert!(lowered(&program, c"scale<int>").is_err(), "an instance nobody asked for");

    let mut n: i32 = 70_001;
    let numbers: Vec<f64> = (0..n).map(f64::from).collect();
    let buffer = gpu.upload(&numbers);
    let (mut address, mut by) = (buffer.address(), 3.0f64);
    launch(&gpu, &image, &names[1], 70_001, 1, &mut [(&raw mut address).cast(), (&raw mut by).cast(), (&raw mut n).cast()]);
    assert_eq!(buffer.read(), numbers.iter().map(|x| 3.0 * x).collect::<Vec<_>>());

    let numbers: Vec<f32> = (0..1000u16).map(f32::from).collect();
    let buffer = gpu.upload(&numbers);
    let (mut address, mut by, mut n) = (buffer.address(), 0.5f32, 1000i32);
    launch(&gpu, &image, &names[0], 3, 64, &mut [(&raw mut address).cast(), (&raw mut by).cast(), (&raw mut n).cast()]);
    assert_eq!(buffer.read(), numbers.iter().map(|x| 0.5 * x).collect::<Vec<_>>());
}

/// The threads of a block meet at __syncthreads and share memory; those of a warp exchange
/// registers.
#[test]
fn a_block_shares_memory_and_a_warp_its_registers() {
    let Some(gpu) = gpu("a_block_shares_memory_and_a_warp_its_registers") else { return };
    let (program, compiled) = compile(SOURCE, &[], &options(&gpu));
    assert_eq!(compiled, nvrtcResult::NVRTC_SUCCESS, "{}", log(&program));
    let numbers: Vec<i32> = (0..512).map(|i| i * i % 97).collect();
    let (x, of_block, of_warp) = (gpu.upload(&numbers), gpu.filled::<i32>(4, 0), gpu.filled::<i32>(512, 0));
    let mut addresses = [x.address(), of_block.address(), of_warp.address()];
    let mut arguments = addresses.each_mut().map(|address| (&raw mut *address).cast());
    launch(&gpu, &cubin(&program), c"sums", 4, 128, &mut arguments);
    assert_eq!(of_block.read(), numbers.chunks(128).map(|x| x.iter().sum()).collect::<Vec<i32>>());
    let of_warps = numbers.chunks(32).flat_map(|x| vec![x.iter().sum::<i32>(); 32]);
    assert_eq!(of_warp.read(), of_warps.collect::<Vec<_>>());
}

/// NVRTC_ERROR_COMPILATION, and the log says where.
#[test]
fn a_broken_source_is_refused_with_a_log() {
    let Some(gpu) = gpu("a_broken_source_is_refused_with_a_log") else { return };
    let (program, compiled) = compile(c"extern \"C\" __global__ void broken() { undeclared = 1; }", &[], &options(&gpu));
    assert_eq!(compiled, nvrtcResult::NVRTC_ERROR_COMPILATION);
    let log = log(&program);
    assert!(log.contains("error") && log.contains("undeclared"), "{log}");
}

/// NVRTC_ERROR_INVALID_OPTION.
#[test]
fn an_unknown_option_is_refused() {
    let Some(gpu) = gpu("an_unknown_option_is_refused") else { return };
    let options = options(&gpu).into_iter().chain(["--no-such-option".to_owned()]);
    let (_program, compiled) = compile(SOURCE, &[], &options.collect::<Vec<_>>());
    assert_eq!(compiled, nvrtcResult::NVRTC_ERROR_INVALID_OPTION);
}
