//! Functions that there are, since a missing one is worse, and that do nothing or say that they are
//! not supported.

use crate::answer::{NOT_SUPPORTED, answer, store};
use std::ffi::{c_int, c_uint, c_void};

macro_rules! unsupported {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> c_int {
            answer(stringify!($name), || Err(NOT_SUPPORTED))
        }
    )*};
}
unsupported! {
    cuCtxGetLimit cuCtxSetLimit cuCtxCreate_v3 cuCtxEnablePeerAccess cuCtxDisablePeerAccess
    cuDestroyExternalMemory cuExternalMemoryGetMappedBuffer cuImportExternalMemory
    cuDeviceGetDefaultMemPool cuDeviceGetMemPool cuDeviceSetMemPool
    cuMemPoolCreate cuMemPoolDestroy cuMemPoolGetAttribute cuMemPoolSetAttribute cuMemPoolTrimTo cuMemAllocFromPoolAsync
    cuMemAllocManaged cuMemAllocPitch_v2 cuMemAdvise cuMemAdvise_v2 cuMemPrefetchAsync cuMemPrefetchAsync_v2
    cuMemHostRegister_v2 cuMemHostUnregister cuStreamAttachMemAsync cuMemcpy2DAsync_v2 cuMemcpy3DAsync_v2
    cuOccupancyAvailableDynamicSMemPerBlock cuOccupancyMaxActiveClusters cuOccupancyMaxPotentialClusterSize
    cuOccupancyMaxPotentialBlockSize cuOccupancyMaxPotentialBlockSizeWithFlags
    cuLaunchCooperativeKernel cuLaunchKernelEx cuModuleGetGlobal_v2 cuModuleLoad cuModuleLoadFatBinary
    cuLinkCreate_v2 cuLinkAddData_v2 cuLinkComplete cuLinkDestroy cuLibraryLoadData cuLibraryUnload cuLibraryGetKernel
    cuGetProcAddress_v2 cuStreamBeginCaptureToGraph cuStreamGetCaptureInfo_v2 cuStreamGetCaptureInfo_v3 cuGraphCreate
    cuGraphInstantiateWithParams_ptsz cuGraphExecUpdate_v2 cuGraphDebugDotPrint cuIpcGetMemHandle cuIpcOpenMemHandle_v2
}

#[unsafe(no_mangle)]
extern "C" fn cuProfilerStart() -> c_int {
    answer("cuProfilerStart", || Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn cuProfilerStop() -> c_int {
    answer("cuProfilerStop", || Ok(()))
}

/// As many as threads allow: registers and shared memory are not known.
#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    out: *mut c_int,
    _function: *mut c_void,
    threads: c_int,
    _shared: usize,
) -> c_int {
    answer("cuOccupancyMaxActiveBlocksPerMultiprocessor", || store(out, (2048 / threads.max(1)).min(32)))
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    out: *mut c_int,
    function: *mut c_void,
    threads: c_int,
    shared: usize,
    _flags: c_uint,
) -> c_int {
    cuOccupancyMaxActiveBlocksPerMultiprocessor(out, function, threads, shared)
}
