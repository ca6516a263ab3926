//! What the emulator detects: divergence, memory that is not there, values that were never written,
//! leaks; and failures on purpose.

use crate::child::run;
use crate::driver::*;
use std::ffi::c_int;
use std::process::Command;
use std::ptr::null_mut;

/// Launches 64 threads of a kernel `k<int>(int*)` on 64 ints in a context of its own, and waits.
fn outcome(source: &str) -> c_int {
    let _context = Context::new(0);
    let kernel = Kernel::new(source, "k<int>");
    let x = allocate(256);
    assert_eq!(kernel.launch(1, 64, null_mut(), &[x]), 0);
    let code = call!(code cuCtxSynchronize());
    let freed = call!(code cuMemFree_v2(x));
    if code == 0 { freed } else { code }
}

fn detects(test: &str, code: Option<i32>, text: &str) {
    let (ended, errors) = run(&format!("detected::{test}"), &[]);
    assert!(ended == code && errors.contains(text), "{ended:?}: {errors}");
}

#[test]
fn divergence() {
    detects(
        "half_a_block_waits",
        Some(0),
        "divergent barrier: 32 threads have ended, 32 threads wait for the block at smoke.cu:1",
    );
    detects("two_barriers", Some(0), "32 threads wait for the block at smoke.cu:2, 32 threads wait for the block at smoke.cu:3");
    detects("a_lane_is_missing", Some(0), "31 threads wait for the lanes 0xffffffff at smoke.cu:1");
    detects("a_lane_outside", Some(0), "is not in its own mask 0x0000ffff at smoke.cu:1");
    detects("an_assertion", Some(0), "thread (9, 0, 0): assertion failed: threadIdx.x != 9 at smoke.cu:1");
}

#[test]
#[ignore = "started by divergence"]
fn half_a_block_waits() {
    assert_eq!(outcome("template <class T> __global__ void k(T* x) { if (threadIdx.x < 32) __syncthreads(); }"), LAUNCH_FAILED);
    assert_eq!(outcome("template <class T> __global__ void k(T* x) { __syncthreads(); }"), 0, "a new context is not broken");
}

#[test]
#[ignore = "started by divergence"]
fn two_barriers() {
    let source =
        "template <class T> __global__ void k(T* x) { if (threadIdx.x < 32) {\n__syncthreads(); } else {\n__syncthreads(); } }";
    assert_eq!(outcome(source), LAUNCH_FAILED);
}

#[test]
#[ignore = "started by divergence"]
fn a_lane_is_missing() {
    let source =
        "template <class T> __global__ void k(T* x) { if (threadIdx.x != 40) x[0] = __shfl_xor_sync(0xffffffffu, 1, 1); }";
    assert_eq!(outcome(source), LAUNCH_FAILED);
}

#[test]
#[ignore = "started by divergence"]
fn a_lane_outside() {
    assert_eq!(outcome("template <class T> __global__ void k(T* x) { __syncwarp(0xffffu); }"), LAUNCH_FAILED);
}

#[test]
#[ignore = "started by divergence"]
fn an_assertion() {
    assert_eq!(outcome("template <class T> __global__ void k(T* x) { assert(threadIdx.x != 9); }"), LAUNCH_FAILED);
}

#[test]
fn memory() {
    detects("behind_the_end", None, "emulator: kernel k<int> touched unowned memory beside an allocation, at ");
    detects("freed", None, "emulator: kernel k<int> touched freed memory at ");
    detects("null", None, "emulator: kernel k<int> touched unowned memory at 0x");
    detects("endless", None, "emulator: kernel k<int> touched the end of its stack at ");
    detects("just_beside", Some(0), "emulator: byte 100 of 100 bytes of device memory at ");
}

#[test]
#[ignore = "started by memory"]
fn behind_the_end() {
    outcome("template <class T> __global__ void k(T* x) { x[threadIdx.x + 1] = 1; }");
}

#[test]
#[ignore = "started by memory"]
fn null() {
    outcome("template <class T> __global__ void k(T* x) { x = nullptr; asm volatile(\"\" : \"+r\"(x)); x[threadIdx.x] = 1; }");
}

#[test]
#[ignore = "started by memory"]
fn endless() {
    outcome(
        "template <class T> __device__ __noinline__ T deep(T n) { volatile T x[64]; x[n % 64] = n; return n > 0 ? deep(n + 1) + x[0] : 0; }
         template <class T> __global__ void k(T* x) { x[0] = deep(1); }",
    );
}

#[test]
#[ignore = "started by memory"]
fn freed() {
    let _context = Context::new(0);
    let kernel = Kernel::new("template <class T> __global__ void k(T* x) { x[threadIdx.x] = 1; }", "k<int>");
    let (stream, x) = (stream(), allocate(256));
    call!(cuMemFreeAsync(x, stream));
    call!(cuStreamSynchronize(stream));
    assert_eq!(kernel.launch(1, 64, stream, &[x]), 0);
    call!(cuStreamSynchronize(stream));
}

/// Within the pages of the allocation, but not in it: found when it is freed.
#[test]
#[ignore = "started by memory"]
fn just_beside() {
    let _context = Context::new(0);
    let kernel = Kernel::new("template <class T> __global__ void k(T* x) { x[100] = 0; }", "k<char>");
    let x = allocate(100);
    assert_eq!(kernel.launch(1, 1, null_mut(), &[x]), 0);
    assert_eq!(call!(code cuMemFree_v2(x)), ILLEGAL_ADDRESS);
}

/// All bits of fresh memory are set, of the device and of each block.
#[test]
fn fresh_memory_is_no_number() {
    let source = r#"
        template <class T> __global__ void k(T* out) {
            __shared__ T part[64];
            T* mine = out + 64 * blockIdx.x + threadIdx.x;
            *mine = part[threadIdx.x] != part[threadIdx.x];
            part[threadIdx.x] = 1;
        }"#;
    let _context = Context::new(0);
    let kernel = Kernel::new(source, "k<float>");
    let x = allocate(4 * 64 * 3);
    assert!(peek::<f32>(x, 192).iter().all(|x| x.is_nan()));
    assert!(peek::<f64>(x, 96).iter().all(|x| x.is_nan()));
    assert_eq!(kernel.launch(3, 64, null_mut(), &[x]), 0);
    call!(cuCtxSynchronize());
    assert_eq!(peek::<f32>(x, 192), vec![1.0; 192]);
    call!(cuMemFree_v2(x));
}

#[test]
fn leaks() {
    detects(
        "leaves_much",
        Some(0),
        "emulator: leaked 1 context\nemulator: leaked 1 stream\nemulator: leaked 2 events\nemulator: leaked 1 alloc",
    );
    let (ended, errors) = run("detected::leaves_much", &[("EIGENGRAD_EMULATOR_LEAKS", "error")]);
    assert_eq!(ended, Some(66), "{errors}");
    let (ended, errors) = run("detected::leaves_nothing", &[("EIGENGRAD_EMULATOR_LEAKS", "error")]);
    assert_eq!((ended, errors.contains("leaked")), (Some(0), false), "{errors}");
}

#[test]
#[ignore = "started by leaks"]
fn leaves_much() {
    std::mem::forget(Context::new(0));
    let mut event = null_mut();
    (0..2).for_each(|_| call!(cuEventCreate(&raw mut event, 2)));
    stream();
    allocate(10);
    // SAFETY: a function of the emulator, which counts.
    assert_eq!(unsafe { eigengrad_emulator_live()(2) }, 2);
}

#[test]
#[ignore = "started by leaks"]
fn leaves_nothing() {
    assert_eq!(outcome("template <class T> __global__ void k(T* x) { x[threadIdx.x] = 1; }"), 0);
}

#[test]
fn failures_on_purpose() {
    detects("every_call_fails_once", Some(0), "");
    let (ended, errors) = run("detected::leaves_nothing", &[("EIGENGRAD_EMULATOR_FAIL", "1")]);
    assert!(ended != Some(0) && errors.contains("emulator: call 1, cuInit, fails on purpose"), "{errors}");
}

/// For N = 1, 2, … until the job succeeds.
#[test]
#[ignore = "started by failures_on_purpose"]
fn every_call_fails_once() {
    fn job() -> Result<(), c_int> {
        let ok = |code| if code == 0 { Ok(()) } else { Err(code) };
        let (mut context, mut address) = (null_mut(), 0);
        ok(call!(code cuInit(0)))?;
        ok(call!(code cuDevicePrimaryCtxRetain(&raw mut context, 0)))?;
        let work = ok(call!(code cuCtxSetCurrent(context))).and_then(|()| {
            ok(call!(code cuMemAlloc_v2(&raw mut address, 8)))?;
            let set = ok(call!(code cuMemsetD8Async(address, 0, 8, null_mut())));
            ok(call!(code cuMemFree_v2(address)))?;
            set
        });
        ok(call!(code cuDevicePrimaryCtxRelease_v2(0)))?;
        work
    }
    let failures = (1..100).take_while(|n| {
        // SAFETY: functions of the emulator, which count.
        unsafe { eigengrad_emulator_fail()(*n) };
        let done = job();
        // SAFETY: as above.
        assert_eq!([0, 3].map(|kind| unsafe { eigengrad_emulator_live()(kind) }), [0, 0], "failure {n} leaks");
        done.is_err()
    });
    assert_eq!(failures.count(), 7);
    // SAFETY: as above.
    assert_eq!(unsafe { eigengrad_emulator_calls()() }, 7);
}

/// AddressSanitizer names the line of a source that leaves a shared array, and finds the byte
/// behind an allocation.
#[test]
fn sanitizers() {
    let output = Command::new("g++").arg("-print-file-name=libasan.so").output().expect("g++ can be run");
    let library = String::from_utf8(output.stdout).expect("a path");
    let variables = [
        ("EIGENGRAD_EMULATOR_SANITIZE", "address,undefined"),
        ("LD_PRELOAD", library.trim()),
        ("ASAN_OPTIONS", "detect_leaks=0"),
    ];
    for (test, text) in [
        ("leaves_a_local_array", "smoke.cu:2"),
        ("just_beside", "AddressSanitizer: use-after-poison"),
        ("overflows", "smoke.cu:2:"),
        ("leaves_nothing", ""),
        ("half_a_block_waits", "divergent barrier"),
    ] {
        let (ended, errors) = run(&format!("detected::{test}"), &variables);
        let clean = matches!(test, "leaves_nothing" | "half_a_block_waits");
        assert!((ended == Some(0)) == clean && errors.contains(text), "{test}: {ended:?}: {errors}");
    }
}

#[test]
#[ignore = "started by sanitizers"]
fn leaves_a_local_array() {
    outcome(
        "template <class T> __global__ void k(T* x) { T y[4] = {};\nvolatile T* z = y; __syncthreads(); x[threadIdx.x] = z[threadIdx.x];\n}",
    );
}

#[test]
#[ignore = "started by sanitizers"]
fn overflows() {
    outcome("template <class T> __global__ void k(T* x) {\nx[threadIdx.x] = T(1) << (32 + static_cast<T>(threadIdx.x)); }");
}

/// Of accesses to one byte, which barriers order them; and a barrier that is left out.
#[test]
fn races() {
    let race = [("EIGENGRAD_EMULATOR_SANITIZE", "race")];
    for (test, text) in [
        ("writes_its_neighbour", "read in smoke.cu:3"),
        ("shuffles_between", "read in smoke.cu:3"),
        ("two_blocks_write", "wrote in smoke.cu:2, and thread "),
        ("waits_for_the_warp_alone", "read in smoke.cu:3"),
        ("in_order", ""),
    ] {
        let (ended, errors) = run(&format!("detected::{test}"), &race);
        let told = errors.contains("a race: thread ") && errors.contains(text);
        assert!(ended == Some(0) && told != text.is_empty(), "{test}: {ended:?}: {errors}");
    }
    let cache = std::env::temp_dir().join(format!("eigengrad-smoke-{}", std::process::id()));
    let variables =
        [race[0], ("EIGENGRAD_EMULATOR_WITHOUT", "smoke.cu:3"), ("EIGENGRAD_EMULATOR_CACHE", cache.to_str().expect("a path"))];
    let (_, errors) = run("detected::in_order", &variables);
    assert!(errors.contains("a race: "), "{errors}");
    let _ = std::fs::remove_dir_all(cache);
}

/// Each thread writes its place of a shared array and reads its neighbour's, with something
/// between.
fn neighbours(threads: u32, between: &str, expected: c_int) {
    let source = format!(
        "template <class T> __global__ void k(T* x) {{ __shared__ T y[64]; const int i = threadIdx.x;\ny[i] = i;\n{between} x[i] = y[i ^ 1];\n}}"
    );
    let _context = Context::new(0);
    let kernel = Kernel::new(&source, "k<int>");
    let x = allocate(256);
    assert_eq!(kernel.launch(1, threads, null_mut(), &[x]), 0);
    assert_eq!(call!(code cuCtxSynchronize()), expected);
    call!(code cuMemFree_v2(x));
}

#[test]
#[ignore = "started by races"]
fn writes_its_neighbour() {
    neighbours(64, "", LAUNCH_FAILED);
}

#[test]
#[ignore = "started by races"]
fn shuffles_between() {
    neighbours(32, "__shfl_xor_sync(0xffffffffu, 1, 1); __ballot_sync(0xffffffffu, 1);", LAUNCH_FAILED);
}

#[test]
#[ignore = "started by races"]
fn waits_for_the_warp_alone() {
    let source = "template <class T> __global__ void k(T* x) { __shared__ T y[64]; const int i = threadIdx.x;\ny[i] = i; __syncwarp();\nx[i] = y[i ^ 32]; }";
    assert_eq!(outcome(source), LAUNCH_FAILED);
}

#[test]
#[ignore = "started by races"]
fn two_blocks_write() {
    let _context = Context::new(0);
    let kernel = Kernel::new("template <class T> __global__ void k(T* x) {\nx[threadIdx.x] = 1; }", "k<int>");
    let x = allocate(256);
    assert_eq!(kernel.launch(2, 64, null_mut(), &[x]), 0);
    assert_eq!(call!(code cuCtxSynchronize()), LAUNCH_FAILED);
    call!(code cuMemFree_v2(x));
}

#[test]
#[ignore = "started by races"]
fn in_order() {
    let without = std::env::var_os("EIGENGRAD_EMULATOR_WITHOUT").is_some();
    neighbours(64, "__syncthreads();", if without { LAUNCH_FAILED } else { 0 });
    if !without {
        neighbours(32, "__syncwarp();", 0);
    }
}
