//! libcuda: memory, streams, events. Source: CUDA Driver API reference.

use crate::fact::fact;
use crate::gpu::gpu;
use cudarc::driver::{CudaEvent, result, sys};
use eigengrad::cuda::probe;

/// Which libraries and which device the other facts are about.
#[test]
fn libraries_and_device_are_named() {
    for found in probe().into_iter().flatten() {
        let version = found.version.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(".");
        fact!("library", name: found.name, version: version);
    }
    let Some(gpu) = gpu("libraries_and_device_are_named") else { return };
    let context = gpu.context();
    let (major, minor) = context.compute_capability().expect("a compute capability");
    let (free, total) = result::mem_get_info().expect("the memory's size");
    let attribute = |which| context.attribute(which).expect("an attribute");
    let warp = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE);
    let threads = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    let processors = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    let name = context.name().expect("a name");
    fact!("device", name: name, major: major, minor: minor, total_bytes: total, free_bytes: free, warp: warp, multiprocessors: processors);
    assert!(free <= total);
    assert_eq!(warp, 32);
    assert!(threads >= 1024);
}

/// cuMemAlloc: "suitably aligned for any kind of variable"; 256 bytes by the programming guide;
/// nothing is refused as an invalid value.
#[test]
fn allocations_are_aligned_to_256_bytes() {
    let Some(gpu) = gpu("allocations_are_aligned_to_256_bytes") else { return };
    let buffers: Vec<_> = [1, 3, 255, 257, 4096].map(|len| gpu.filled::<u8>(len, 0)).into();
    for buffer in &buffers {
        assert_eq!(buffer.address() % 256, 0);
    }
    let mut addresses: Vec<_> = buffers.iter().map(|buffer| buffer.address()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), buffers.len());
    // SAFETY: what is allocated, if it is, is one leaked address.
    let nothing = unsafe { result::malloc_sync(0) };
    assert_eq!(nothing.map_err(|e| e.0), Err(sys::CUresult::CUDA_ERROR_INVALID_VALUE));
}

/// cuMemAllocAsync, cuMemFreeAsync: ordered by the stream, aligned like the others.
#[test]
fn a_stream_allocates_and_frees_in_order() {
    let Some(gpu) = gpu("a_stream_allocates_and_frees_in_order") else { return };
    if !gpu.context().has_async_alloc() {
        return fact!("absent", symbol: "cuMemAllocAsync");
    }
    let target = gpu.filled::<u8>(1000, 0);
    // SAFETY: the stream is alive.
    let address = unsafe { result::malloc_async(gpu.stream.cu_stream(), 1000) }.expect("memory");
    assert_eq!(address % 256, 0);
    // SAFETY: the memory holds 1000 bytes from here on in the order of the stream.
    unsafe { result::memset_d8_async(address, 0x5a, 1000, gpu.stream.cu_stream()) }.expect("memory can be set");
    // SAFETY: both hold 1000 bytes.
    unsafe { result::memcpy_dtod_async(target.address(), address, 1000, gpu.stream.cu_stream()) }.expect("a copy");
    // SAFETY: it was allocated above and is freed once, behind its last use.
    unsafe { result::free_async(address, gpu.stream.cu_stream()) }.expect("memory can be freed");
    assert_eq!(target.read(), vec![0x5a; 1000]);
}

/// cuMemsetD8Async sets bytes; copies to, on and from the device keep them, at any offset.
#[test]
fn memory_is_set_and_copied() {
    let Some(gpu) = gpu("memory_is_set_and_copied") else { return };
    assert_eq!(gpu.filled::<u32>(1001, 0xa5).read(), vec![0xa5a5_a5a5; 1001]);
    let numbers: Vec<u32> = (0..100_003).collect();
    let (source, target) = (gpu.upload(&numbers), gpu.filled::<u32>(numbers.len(), 0));
    target.copy_from(&source);
    assert_eq!(target.read(), numbers);
    // SAFETY: bytes 4·1 to 4·11 of the one and 4·50 to 4·60 of the other lie inside them.
    unsafe { result::memcpy_dtod_async(target.address() + 200, source.address() + 4, 40, gpu.stream.cu_stream()) }
        .expect("a copy");
    let copied = target.read();
    assert_eq!(copied[50..60], numbers[1..11]);
    assert_eq!(copied[60..], numbers[60..]);
}

/// cuStreamWaitEvent: what follows on one stream waits for what was recorded on the other, without
/// the host.
#[test]
fn an_event_orders_two_streams() {
    let Some(gpu) = gpu("an_event_orders_two_streams") else { return };
    let other = gpu.context().new_stream().expect("a second stream");
    let (source, target) = (gpu.filled::<u8>(1 << 24, 0), gpu.filled::<u8>(1 << 24, 0));
    for round in 1..=8 {
        // SAFETY: the buffer holds 2²⁴ bytes and outlives the work: both streams are waited for
        // below.
        unsafe { result::memset_d8_async(source.address(), round, 1 << 24, gpu.stream.cu_stream()) }.expect("memory can be set");
        let event = gpu.stream.record_event(None).expect("an event");
        other.wait(&event).expect("a stream waits");
        // SAFETY: as above, for both buffers.
        unsafe { result::memcpy_dtod_async(target.address(), source.address(), 1 << 24, other.cu_stream()) }.expect("a copy");
        let back: CudaEvent = other.record_event(None).expect("an event");
        gpu.stream.wait(&back).expect("a stream waits");
        assert!(target.read().iter().all(|byte| *byte == round), "round {round}");
        assert!(back.is_complete());
    }
    other.synchronize().expect("the work succeeds");
}
