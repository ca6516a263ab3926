//! Kernels compute what they say, whatever the order of their threads; graphs run again; memory is
//! counted.

use crate::driver::*;
use std::ptr::null_mut;

const SUMS: &str = r#"
namespace smoke {
template <class T> struct pair { T x, y; };
template <class T> __device__ T of_warp(T x) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}
template <class T> __global__ void __launch_bounds__(256) sums(const T* __restrict__ in, T* __restrict__ out, long long n) {
    __shared__ T part[8];
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const T sum = of_warp(i < n ? in[i] : T(0));
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    __syncthreads();
    T total = 0;
    for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) total += part[warp];
    if (__syncthreads_count(threadIdx.x < 7) != 7) total = -1;
    if (threadIdx.x == 0) out[blockIdx.x] = total;
}
}
"#;

#[test]
fn sums_of_blocks() {
    let _context = Context::new(0);
    let stream = stream();
    for (expression, wide) in [("smoke::sums<double>", true), ("smoke::sums<int>", false)] {
        let kernel = Kernel::new(SUMS, expression);
        let bytes = if wide { 8 } else { 4 };
        let (x, sums) = (allocate(1000 * bytes), allocate(4 * bytes));
        let doubles: Vec<f64> = (0..1000).map(f64::from).collect();
        let ints: Vec<i32> = (0..1000).collect();
        let source = if wide { doubles.as_ptr().cast() } else { ints.as_ptr().cast() };
        call!(cuMemcpyHtoDAsync_v2(x, source, 1000 * bytes, stream));
        assert_eq!(kernel.launch(4, 256, stream, &[x, sums, 1000]), 0);
        call!(cuStreamSynchronize(stream));
        let expected: Vec<i32> = ints.chunks(256).map(|chunk| chunk.iter().sum()).collect();
        let found: Vec<i32> = if wide { peek::<f64>(sums, 4).iter().map(|x| *x as i32).collect() } else { peek(sums, 4) };
        assert_eq!(found, expected);
        call!(cuMemFree_v2(x));
        call!(cuMemFree_v2(sums));
    }
    call!(cuStreamDestroy_v2(stream));
}

/// A lane without a partner in its segment keeps its own value; votes count the lanes that there
/// are.
#[test]
fn lanes_exchange_values() {
    let source = r#"
        template <class T> __global__ void lanes(T* out) {
            const int t = threadIdx.x;
            long long* row = out + t * 8;
            row[0] = __shfl_sync(0xffffffffu, t, 3);
            row[1] = __shfl_sync(0xffffffffu, t, 1, 8);
            row[2] = __shfl_up_sync(0xffffffffu, t, 2, 16);
            row[3] = __shfl_down_sync(0xffffffffu, t, 5);
            row[4] = __shfl_xor_sync(0xffffffffu, t, 17);
            row[5] = __ballot_sync(0xffffffffu, t % 3 == 0);
            row[6] = __any_sync(0xffffffffu, t == 9) + 2 * __all_sync(0xffffffffu, t < 64);
            if (t < 8) row[7] = __shfl_xor_sync(0xffu, t, 1);
        }"#;
    let _context = Context::new(0);
    let kernel = Kernel::new(source, "lanes<long long>");
    let out = allocate(32 * 64);
    assert_eq!(kernel.launch(1, 32, null_mut(), &[out]), 0);
    call!(cuCtxSynchronize());
    let ballot = (0..32).filter(|t| t % 3 == 0).fold(0, |mask, t| mask | 1_i64 << t);
    for (row, t) in peek::<i64>(out, 256).chunks(8).zip(0_i64..) {
        let up = if t % 16 >= 2 { t - 2 } else { t };
        let down = if t + 5 < 32 { t + 5 } else { t };
        assert_eq!(row[..7], [3, t / 8 * 8 + 1, up, down, t ^ 17, ballot, 3], "lane {t}");
        assert_eq!(row[7], if t < 8 { t ^ 1 } else { -1 }, "lane {t}");
    }
    call!(cuMemFree_v2(out));
}

/// Every block and every thread runs once, in three dimensions.
#[test]
fn every_thread_runs_once() {
    let source = r#"
        template <int N> __global__ void count(int* out) {
            const dim3 b = blockDim, g = gridDim;
            const unsigned block = (blockIdx.z * g.y + blockIdx.y) * g.x + blockIdx.x;
            const unsigned thread = (threadIdx.z * b.y + threadIdx.y) * b.x + threadIdx.x;
            atomicAdd(&out[block * b.x * b.y * b.z + thread], N);
        }"#;
    let _context = Context::new(0);
    let (image, names) = compile(source, &["count<3>"]).expect("the source is compiled");
    let (mut module, mut function, out) = (null_mut(), null_mut(), allocate(4 * 6 * 7 * 5 * 60));
    call!(cuModuleLoadData(&raw mut module, image.as_ptr().cast()));
    call!(cuModuleGetFunction(&raw mut function, module, names[0].as_ptr()));
    call!(cuMemsetD8Async(out, 0, 4 * 6 * 7 * 5 * 60, null_mut()));
    let mut parameters = [(&raw const out).cast_mut().cast()];
    call!(cuLaunchKernel(function, 6, 7, 5, 5, 4, 3, 0, null_mut(), parameters.as_mut_ptr(), null_mut()));
    call!(cuModuleUnload(module));
    call!(cuCtxSynchronize());
    assert_eq!(peek::<i32>(out, 6 * 7 * 5 * 60), vec![3; 6 * 7 * 5 * 60]);
    call!(cuMemFree_v2(out));
}

#[test]
fn a_graph_runs_again() {
    let _context = Context::new(0);
    let kernel = Kernel::new("template <int N> __global__ void add(int* x) { x[threadIdx.x] += N; }", "add<2>");
    let (stream, x) = (stream(), allocate(64 * 4));
    call!(cuMemsetD8Async(x, 0, 256, stream));
    let (mut graph, mut executable) = (null_mut(), null_mut());
    call!(cuStreamBeginCapture_v2(stream, 1)); // of this thread: other tests go on
    assert_eq!(kernel.launch(1, 64, stream, &[x]), 0);
    assert_eq!(kernel.launch(1, 64, stream, &[x]), 0);
    call!(cuStreamEndCapture(stream, &raw mut graph));
    call!(cuGraphInstantiateWithFlags(&raw mut executable, graph, 0));
    (0..3).for_each(|_| call!(cuGraphLaunch(executable, stream)));
    call!(cuStreamSynchronize(stream));
    assert_eq!(peek::<i32>(x, 64), vec![12; 64]);
    call!(cuGraphExecDestroy(executable));
    call!(cuGraphDestroy(graph));
    call!(cuMemFree_v2(x));
    call!(cuStreamDestroy_v2(stream));
}

/// Images that are none, or not for this device; sources and options that are refused.
#[test]
fn what_is_wrong_is_refused() {
    let _context = Context::new(0);
    let mut module = null_mut();
    assert_eq!(call!(code cuModuleLoadData(&raw mut module, c"no image".as_ptr().cast())), INVALID_IMAGE);
    let library = std::fs::read(folder().join("libcuda.so.1")).expect("a library that is no module");
    assert_eq!(call!(code cuModuleLoadData(&raw mut module, library.as_ptr().cast())), NO_BINARY_FOR_GPU);
    let log = compile("template <class T> __global__ void k(T* x) { *x = missing; }", &["k<int>"]).expect_err("no compilation");
    assert!(log.contains("smoke.cu:1") && log.contains("missing"), "{log}");
    assert!(compile("template <class T> __global__ void k(T* x) {}", &["nowhere<int>"]).is_err());
}

/// Memory is counted for each device; too much is refused, and what is freed comes back.
#[test]
fn memory_is_limited() {
    let _context = Context::new(1);
    let (mut free, mut total, mut after, mut address) = (0, 0, 0, 0);
    call!(cuMemGetInfo_v2(&raw mut free, &raw mut total));
    assert_eq!(call!(code cuMemAlloc_v2(&raw mut address, total + 1)), OUT_OF_MEMORY);
    assert_eq!(call!(code cuMemAlloc_v2(&raw mut address, 0)), INVALID_VALUE);
    let taken = allocate(1 << 20);
    call!(cuMemFree_v2(taken));
    assert_eq!(call!(code cuMemFree_v2(taken)), INVALID_VALUE);
    call!(cuMemGetInfo_v2(&raw mut after, &raw mut total));
    assert!(after <= total);
}
