//! Operations on the memory of tensors: [`Batch::call`].
//!
//! What is read and written is handed on by its address. So that this is right, whoever calls gives
//! tensors of the shapes and types that the operation names, which lie without gaps.

use crate::batch::Batch;
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, DType, Error, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};
use eigengrad_door::{Address, Call, Operation, Place};
use std::sync::LazyLock;

#[cfg(feature = "cuda")]
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, SyncOnDrop};
#[cfg(feature = "cuda")]
use candle_core::cuda_backend::{CudaDevice, CudaStorage, CudaStorageSlice};

/// candle's threads, which it counts anew, from files, whenever it is asked.
static THREADS: LazyLock<usize> = LazyLock::new(candle_core::utils::get_num_threads);

/// An error of the library as candle's.
pub(crate) fn error(error: eigengrad::Error) -> Error {
    Error::msg(format!("eigengrad: {error}"))
}

/// Memory that is read.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Cpu(&'a CpuStorage, &'a Layout),
    #[cfg(feature = "cuda")]
    Cuda(&'a CudaStorage, &'a Layout),
}

/// A tensor whose memory is read.
pub(crate) struct Held<'a>(StorageRef<'a>, &'a Layout);

impl<'a> Held<'a> {
    pub fn new(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self(storage, layout)
    }

    pub fn source(&self) -> Result<Source<'_>> {
        match &*self.0 {
            Storage::Cpu(storage) => Ok(Source::Cpu(storage, self.1)),
            #[cfg(feature = "cuda")]
            Storage::Cuda(storage) => Ok(Source::Cuda(storage, self.1)),
            other => bail!("eigengrad: there are no kernels for {:?}", other.device().location()),
        }
    }
}

/// Memory of an operation's results as a tensor without history.
pub(crate) fn tensor(storage: Storage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(storage, shape, BackpropOp::none(), false)
}

/// What an operation gives on the CPU, as candle wants it of one.
pub(crate) fn on_cpu(done: Result<(Storage, Shape)>) -> Result<(CpuStorage, Shape)> {
    match done? {
        (Storage::Cpu(storage), shape) => Ok((storage, shape)),
        _ => bail!("eigengrad: a result of the CPU is elsewhere"),
    }
}

/// As [`on_cpu`], of a GPU.
#[cfg(feature = "cuda")]
pub(crate) fn on_cuda(done: Result<(Storage, Shape)>) -> Result<(CudaStorage, Shape)> {
    match done? {
        (Storage::Cuda(storage), shape) => Ok((storage, shape)),
        _ => bail!("eigengrad: a result of the GPU is elsewhere"),
    }
}

impl Batch {
    /// Does an operation, or has it enqueued, that reads `sources`, all of them on one device, and
    /// writes so many numbers of each type, which are its results.
    pub fn call<const R: usize, const W: usize>(
        &self,
        sources: [Source<'_>; R],
        results: [(DType, usize); W],
        operation: impl FnOnce([Address; R], [Address; W]) -> Operation,
    ) -> Result<[Storage; W]> {
        match sources[0] {
            Source::Cpu(..) => self.on_cpu(sources, results, operation),
            #[cfg(feature = "cuda")]
            Source::Cuda(storage, _) => self.on_cuda(&storage.device, sources, results, operation),
        }
    }

    fn on_cpu<const R: usize, const W: usize>(
        &self,
        sources: [Source<'_>; R],
        results: [(DType, usize); W],
        operation: impl FnOnce([Address; R], [Address; W]) -> Operation,
    ) -> Result<[Storage; W]> {
        let (mut reads, mut writes) = ([0; R], [0; W]);
        for (at, source) in reads.iter_mut().zip(sources) {
            *at = source.on_cpu()?;
        }
        let mut storages = results.map(|(dtype, len)| zeros(dtype, len));
        for (at, storage) in writes.iter_mut().zip(&mut storages) {
            *at = match storage {
                CpuStorage::U8(memory) => memory.as_mut_ptr() as Address,
                CpuStorage::U32(memory) => memory.as_mut_ptr() as Address,
                CpuStorage::F32(memory) => memory.as_mut_ptr() as Address,
                CpuStorage::F64(memory) => memory.as_mut_ptr() as Address,
                _ => bail!("eigengrad: no operation has results of this type"),
            };
        }
        let place = Place::Cpu { threads: *THREADS };
        self.run(place, operation(reads, writes))?;
        Ok(storages.map(Storage::Cpu))
    }

    fn run(&self, place: Place<'_>, operation: Operation) -> Result<()> {
        let (dtype, batch, n, options) = (self.dtype(), self.count(), self.n, self.options);
        // SAFETY: the memory is that of tensors of this device, of the shapes and types that the
        // operation names; they are held during the call, and what is written is made for it.
        unsafe { Call { dtype, batch, n, options, place }.run(operation) }.map_err(error)
    }
}

/// Memory of a type that an operation has results of.
fn zeros(dtype: DType, len: usize) -> CpuStorage {
    match dtype {
        DType::U8 => CpuStorage::U8(vec![0; len]),
        DType::U32 => CpuStorage::U32(vec![0; len]),
        DType::F64 => CpuStorage::F64(vec![0.0; len]),
        _ => CpuStorage::F32(vec![0.0; len]),
    }
}

/// The elements of a tensor in its memory.
fn offsets(layout: &Layout) -> Result<(usize, usize)> {
    layout.contiguous_offsets().ok_or_else(|| Error::msg("eigengrad: a tensor has gaps"))
}

impl Source<'_> {
    fn on_cpu(self) -> Result<Address> {
        #[cfg_attr(not(feature = "cuda"), allow(irrefutable_let_patterns, reason = "there is but one device"))]
        let Self::Cpu(storage, layout) = self else { bail!("eigengrad: tensors are on different devices") };
        let (from, to) = offsets(layout)?;
        Ok(match storage {
            CpuStorage::U8(memory) => memory[from..to].as_ptr() as Address,
            CpuStorage::U32(memory) => memory[from..to].as_ptr() as Address,
            CpuStorage::F32(memory) => memory[from..to].as_ptr() as Address,
            CpuStorage::F64(memory) => memory[from..to].as_ptr() as Address,
            _ => bail!("eigengrad: no operation reads this type"),
        })
    }
}

#[cfg(feature = "cuda")]
impl Batch {
    fn on_cuda<const R: usize, const W: usize>(
        &self,
        device: &CudaDevice,
        sources: [Source<'_>; R],
        results: [(DType, usize); W],
        operation: impl FnOnce([Address; R], [Address; W]) -> Operation,
    ) -> Result<[Storage; W]> {
        let stream = device.cuda_stream();
        let cuda = eigengrad::cuda::Cuda::from_stream(stream.clone()).map_err(error)?;
        let reads = sources.iter().map(|source| source.on_cuda(&stream)).collect::<Result<Vec<_>>>()?;
        let mut storages = results.iter().map(|&(dtype, len)| uninitialised(device, dtype, len)).collect::<Result<Vec<_>>>()?;
        let lent = std::sync::Mutex::new(Vec::new());
        let memory = |bytes: usize| {
            // SAFETY: whoever works in it writes before it reads.
            let mut memory = unsafe { device.alloc::<u8>(bytes.max(1)) }.ok()?;
            let address = memory.device_ptr_mut(&stream).0 as Address;
            lent.lock().ok()?.push(memory);
            Some(address)
        };
        {
            let writes = storages.iter_mut().map(|storage| written(storage, &stream)).collect::<Result<Vec<_>>>()?;
            let at = std::array::from_fn(|i| writes[i].0);
            let place = Place::On { cuda: &cuda, memory: eigengrad_door::Memory(&memory) };
            self.run(place, operation(std::array::from_fn(|i| reads[i].0), at))?;
        }
        let storages: [CudaStorage; W] = storages.try_into().unwrap_or_else(|_| unreachable!("as many as there are results"));
        Ok(storages.map(Storage::Cuda))
    }
}

/// An address, and what tells cudarc that its memory is in use until it is dropped.
#[cfg(feature = "cuda")]
type Used<'a> = (Address, SyncOnDrop<'a>);

#[cfg(feature = "cuda")]
impl<'a> Source<'a> {
    fn on_cuda(self, stream: &'a CudaStream) -> Result<Used<'a>> {
        fn at<'a, T>(slice: &'a CudaSlice<T>, layout: &Layout, stream: &'a CudaStream) -> Result<Used<'a>> {
            let (from, until) = slice.device_ptr(stream);
            Ok((from as Address + offsets(layout)?.0 * size_of::<T>(), until))
        }
        let Self::Cuda(storage, layout) = self else { bail!("eigengrad: tensors are on different devices") };
        match &storage.slice {
            CudaStorageSlice::U8(slice) => at(slice, layout, stream),
            CudaStorageSlice::U32(slice) => at(slice, layout, stream),
            CudaStorageSlice::F32(slice) => at(slice, layout, stream),
            CudaStorageSlice::F64(slice) => at(slice, layout, stream),
            _ => bail!("eigengrad: no operation reads this type"),
        }
    }
}

#[cfg(feature = "cuda")]
fn written<'a>(storage: &'a mut CudaStorage, stream: &'a CudaStream) -> Result<Used<'a>> {
    let (address, until) = match &mut storage.slice {
        CudaStorageSlice::U8(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::U32(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::F32(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::F64(slice) => slice.device_ptr_mut(stream),
        _ => bail!("eigengrad: no operation has results of this type"),
    };
    Ok((address as Address, until))
}

/// Memory that an operation writes as a whole.
#[cfg(feature = "cuda")]
fn uninitialised(device: &CudaDevice, dtype: DType, len: usize) -> Result<CudaStorage> {
    fn of<T: DeviceRepr>(device: &CudaDevice, len: usize) -> Result<CudaSlice<T>> {
        // SAFETY: nothing reads it before the operation has written it.
        unsafe { device.alloc(len.max(1)) }
    }
    let slice = match dtype {
        DType::U8 => CudaStorageSlice::U8(of(device, len)?),
        DType::U32 => CudaStorageSlice::U32(of(device, len)?),
        DType::F64 => CudaStorageSlice::F64(of(device, len)?),
        _ => CudaStorageSlice::F32(of(device, len)?),
    };
    Ok(CudaStorage { slice, device: device.clone() })
}
