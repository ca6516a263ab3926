//! The device under test, one test at a time, and its memory.

use cudarc::driver::{CudaContext, CudaStream, result, sys::CUdeviceptr};
use eigengrad::cuda::{Cuda, probe};
use std::env;
use std::ffi::c_void;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// A device, and a stream of its own for the test that has its turn.
pub struct Gpu {
    pub stream: Arc<CudaStream>,
    _turn: MutexGuard<'static, ()>,
}

/// The device, unless there is none: then the test says so and is over.
pub fn gpu(test: &str) -> Option<Gpu> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match probe().into_iter().find_map(Result::err).map_or_else(|| Cuda::new(0), Err) {
        Ok(cuda) => {
            cuda.stream().context().bind_to_thread().expect("the context can be made current");
            Some(Gpu { stream: Arc::clone(cuda.stream()), _turn: turn })
        }
        Err(reason) => {
            assert!(env::var("EIGENGRAD_REQUIRE_CUDA").as_deref() != Ok("1"), "{test} needs a device: {reason}");
            writeln!(io::stdout(), "{test}: passed over, {reason}").expect("the standard output can be written to");
            None
        }
    }
}

impl Gpu {
    pub fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    pub fn wait(&self) {
        self.stream.synchronize().expect("the work succeeds");
    }

    /// Memory filled with one byte.
    pub fn filled<T: Copy + Default>(&self, len: usize, byte: u8) -> Buffer<T> {
        let bytes = len.checked_mul(size_of::<T>()).expect("a size");
        // SAFETY: a context is current, which `gpu` saw to; the driver refuses to allocate nothing,
        // so it is asked for one byte at least.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.expect("there is memory");
        // SAFETY: the memory was just allocated and is of that size or larger.
        unsafe { result::memset_d8_async(address, byte, bytes, self.stream.cu_stream()) }.expect("memory can be set");
        self.wait();
        Buffer { address, len, stream: Arc::clone(&self.stream), element: PhantomData }
    }

    /// A copy of host memory.
    pub fn upload<T: Copy + Default>(&self, host: &[T]) -> Buffer<T> {
        let buffer = self.filled(host.len(), 0);
        buffer.write(host);
        buffer
    }
}

/// Device memory for `len` plain numbers.
pub struct Buffer<T> {
    address: CUdeviceptr,
    len: usize,
    stream: Arc<CudaStream>,
    element: PhantomData<T>,
}

impl<T: Copy + Default> Buffer<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn address(&self) -> CUdeviceptr {
        self.address
    }

    pub fn pointer(&self) -> *mut T {
        self.address as *mut T
    }

    pub fn raw(&self) -> *mut c_void {
        self.address as *mut c_void
    }

    pub fn write(&self, host: &[T]) {
        assert_eq!(host.len(), self.len);
        if self.len > 0 {
            // SAFETY: the buffer holds as many elements as `host`, which outlives the copy: the
            // stream is waited for.
            unsafe { result::memcpy_htod_async(self.address, host, self.stream.cu_stream()) }.expect("a copy to the device");
            self.stream.synchronize().expect("the copy succeeds");
        }
    }

    pub fn read(&self) -> Vec<T> {
        let mut host = vec![T::default(); self.len];
        if self.len > 0 {
            // SAFETY: `host` has as many elements as the buffer, any bytes are a number, and the
            // stream is waited for.
            unsafe { result::memcpy_dtoh_async(&mut host, self.address, self.stream.cu_stream()) }.expect("a copy to the host");
            self.stream.synchronize().expect("the copy succeeds");
        }
        host
    }

    /// Enqueues a copy of `other`, which has the same length.
    pub fn copy_from(&self, other: &Self) {
        assert_eq!(self.len, other.len);
        // SAFETY: both hold `len` elements and live until the stream is waited for, which reading
        // and dropping do.
        unsafe { result::memcpy_dtod_async(self.address, other.address, self.len * size_of::<T>(), self.stream.cu_stream()) }
            .expect("a copy on the device");
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let done = self.stream.synchronize();
        // SAFETY: the memory was allocated by `filled` and is freed once; the stream, on which
        // alone it is used, has nothing left to do.
        let freed = unsafe { result::free_sync(self.address) };
        assert!(std::thread::panicking() || done.and(freed).is_ok(), "memory can be freed");
    }
}
