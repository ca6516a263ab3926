//! Streams run only what is waited for; events order them; devices are apart.

use crate::driver::*;
use std::ptr::null_mut;

const NAN: u32 = u32::MAX;

#[test]
fn work_waits_for_a_wait() {
    let _context = Context::new(0);
    let kernel = Kernel::new("template <int N> __global__ void set(int* x) { *x = N; }", "set<5>");
    let (stream, x) = (stream(), allocate(4));
    assert_eq!(peek::<u32>(x, 1), [NAN]);
    assert_eq!(kernel.launch(1, 1, stream, &[x]), 0);
    assert_eq!(peek::<u32>(x, 1), [NAN], "nobody has waited");
    let mut pinned = null_mut();
    call!(cuMemHostAlloc(&raw mut pinned, 4, 0));
    call!(cuMemcpyDtoHAsync_v2(pinned, x, 4, stream));
    assert_eq!(peek::<u32>(pinned.addr(), 1), [NAN], "nobody has waited");
    call!(cuStreamSynchronize(stream));
    assert_eq!(peek::<u32>(pinned.addr(), 1), [5]);
    call!(cuMemFreeHost(pinned));
    call!(cuMemFree_v2(x));
    call!(cuStreamDestroy_v2(stream));
}

/// Pageable memory is copied when the function is called, and has been written when it returns.
#[test]
fn pageable_memory_is_staged() {
    let _context = Context::new(0);
    let (stream, x) = (stream(), allocate(4));
    let (mut given, mut got) = (7_u32, 0_u32);
    call!(cuMemcpyHtoDAsync_v2(x, (&raw const given).cast(), 4, stream));
    given = 8;
    call!(cuMemcpyDtoHAsync_v2((&raw mut got).cast(), x, 4, stream));
    assert_eq!((given, got), (8, 7));
    call!(cuMemFree_v2(x));
    call!(cuStreamDestroy_v2(stream));
}

#[test]
fn an_event_orders_streams() {
    let _context = Context::new(0);
    let (a, b, x, y) = (stream(), stream(), allocate(1), allocate(1));
    let mut event = null_mut();
    call!(cuEventCreate(&raw mut event, 2));
    call!(cuMemsetD8Async(x, 1, 1, a));
    call!(cuEventRecord(event, a));
    call!(cuMemsetD8Async(y, 1, 1, a));
    call!(cuStreamWaitEvent(b, event, 0));
    call!(cuStreamSynchronize(b));
    assert_eq!((peek::<u8>(x, 1), peek::<u8>(y, 1)), (vec![1], vec![0xff]), "what follows the event was not waited for");
    call!(cuStreamSynchronize(a));
    assert_eq!(peek::<u8>(y, 1), [1]);
    call!(cuEventDestroy_v2(event));
    [x, y].iter().for_each(|address| call!(cuMemFree_v2(*address)));
    [a, b].iter().for_each(|stream| call!(cuStreamDestroy_v2(*stream)));
}

/// Memory that is freed in the order of a stream is there for the work before.
#[test]
fn memory_ends_in_order() {
    let _context = Context::new(0);
    let (stream, kept) = (stream(), allocate(16));
    let mut address = 0;
    call!(cuMemAllocAsync(&raw mut address, 16, stream));
    call!(cuMemsetD8Async(address, 3, 16, stream));
    call!(cuMemFreeAsync(address, stream));
    assert_eq!(call!(code cuMemsetD8Async(address, 4, 16, stream)), INVALID_VALUE, "it has been given back");
    assert_eq!(call!(code cuMemFreeAsync(address, stream)), INVALID_VALUE, "it has been given back");
    assert_eq!(call!(code cuMemsetD8Async(kept, 4, 17, stream)), INVALID_VALUE, "a byte too many");
    call!(cuStreamSynchronize(stream));
    call!(cuMemFree_v2(kept));
    call!(cuStreamDestroy_v2(stream));
}

#[test]
fn devices_are_apart() {
    let mut count = 0;
    call!(cuInit(0));
    call!(cuDeviceGetCount(&raw mut count));
    assert_eq!(count, 2);
    let first = Context::new(0);
    let x = allocate(4);
    let second = Context::new(1);
    let kernel = Kernel::new("template <int N> __global__ void set(int* x) { *x = N; }", "set<6>");
    assert_eq!(kernel.launch(1, 1, null_mut(), &[x]), INVALID_VALUE, "memory of the other device");
    let y = allocate(4);
    assert_eq!(kernel.launch(1, 1, null_mut(), &[y]), 0);
    call!(cuMemFree_v2(y));
    drop((kernel, second));
    let _first_again = Context::new(0);
    call!(cuMemFree_v2(x));
    drop(first);
}

/// Two threads of the host, each with a stream of its own, do not disturb each other's shared
/// memory.
#[test]
fn threads_of_the_host_work_side_by_side() {
    let source = r#"
        template <int N> __global__ void turn(int* out, long long by) {
            __shared__ long long part[N];
            part[threadIdx.x] = threadIdx.x + by;
            __syncthreads();
            for (int round = 0; round < 50; ++round) {
                const long long next = part[(threadIdx.x + 1) % N];
                __syncthreads();
                part[threadIdx.x] = next;
                __syncthreads();
            }
            out[blockIdx.x * N + threadIdx.x] = static_cast<int>(part[threadIdx.x]);
        }"#;
    let work = |by: usize| {
        let _context = Context::new(0);
        let kernel = Kernel::new(source, "turn<64>");
        let (stream, out) = (stream(), allocate(4 * 64 * 8));
        for _ in 0..5 {
            assert_eq!(kernel.launch(8, 64, stream, &[out, by]), 0);
            call!(cuStreamSynchronize(stream));
            let expected: Vec<i32> = (0..8).flat_map(|_| (0..64).map(|t| (t + 50) % 64 + by as i32)).collect();
            assert_eq!(peek::<i32>(out, 512), expected);
        }
        call!(cuMemFree_v2(out));
        call!(cuStreamDestroy_v2(stream));
    };
    std::thread::scope(|scope| {
        for by in [0, 1000, 2000] {
            scope.spawn(move || work(by));
        }
    });
}

/// The per-thread default stream of one thread is not that of another: to wait for it there does
/// not run what was enqueued here.
#[test]
fn each_thread_has_a_default_stream() {
    let _context = Context::new(0);
    let kernel = Kernel::new("template <int N> __global__ void put(int* x) { *x = N; }", "put<7>");
    let (per_thread, x) = (std::ptr::without_provenance_mut(2), allocate(4));
    assert_eq!(kernel.launch(1, 1, per_thread, &[x]), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _context = Context::new(0); // the same, current here too
            call!(cuStreamSynchronize(std::ptr::without_provenance_mut(2)));
        });
    });
    assert_eq!(peek::<u32>(x, 1), [NAN], "the other thread's stream is another one");
    call!(cuStreamSynchronize(per_thread));
    assert_eq!(peek::<u32>(x, 1), [7]);
    call!(cuMemFree_v2(x));
}
