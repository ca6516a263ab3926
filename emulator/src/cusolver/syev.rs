//! XsyevBatched: a batch of any of the four types, counting in 64 bits, up to the ceilings that are
//! documented and known.

use super::batch::{self, Batch, Method};
use super::handle::{self, HANDLES, PARAMS};
use super::status::{EXECUTION_FAILED, INVALID_VALUE, NOT_SUPPORTED};
use super::{answer, store, version};
use crate::cublas::device::Device;
use crate::cublas::number::Number;
use num_complex::Complex;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

/// Above this, mujocolab/mjlab#732 found the call refused; the manual does not know of it.
const MOST_MATRICES: usize = 32_768;
/// From this version on (11.7.3) the workspace need not be zero in complex64:
/// pytorch/pytorch#192483.
const ANY_WORKSPACE: c_int = 11_703;

/// The number type that the three data types name together.
#[derive(Clone, Copy)]
enum Type {
    R32,
    R64,
    C32,
    C64,
}

impl Type {
    fn parse(a: c_int, w: c_int, compute: c_int) -> Result<Self, Fault> {
        let (number, real) = match a {
            0 => (Self::R32, 0),
            1 => (Self::R64, 1),
            4 => (Self::C32, 0),
            5 => (Self::C64, 1),
            _ => return Err(Fault::Unsupported),
        };
        match (w == real, compute == a) {
            (false, _) => Err(Fault::Argument(8)),
            (_, false) => Err(Fault::Argument(10)),
            _ => Ok(number),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::R32 => 4,
            Self::R64 | Self::C32 => 8,
            Self::C64 => 16,
        }
    }
}

/// Why a call is refused.
enum Fault {
    Argument(c_int),
    Unsupported,
    /// The stream takes no work.
    Stream,
}

/// jobz, uplo, n, lda, batchSize and the data types, found good.
struct Shape {
    number: Type,
    vectors: bool,
    lower: bool,
    n: usize,
    leading: usize,
    count: usize,
}

impl Shape {
    fn parse(jobz: c_int, uplo: c_int, n: i64, types: [c_int; 3], lda: i64, batch: i64) -> Result<Self, Fault> {
        let wrong = Fault::Argument;
        let vectors = batch::vectors(jobz).ok_or(wrong(2))?;
        let lower = batch::lower(uplo).ok_or(wrong(3))?;
        let n = usize::try_from(n).map_err(|_| wrong(4))?;
        let number = Type::parse(types[0], types[1], types[2])?;
        let leading = usize::try_from(lda).ok().filter(|lda| *lda >= n.max(1)).ok_or(wrong(7))?;
        let count =
            usize::try_from(batch).ok().filter(|count| *count <= MOST_MATRICES.min(batch::most_matrices())).ok_or(wrong(16))?;
        let elements = n.checked_mul(leading).and_then(|each| each.checked_mul(count));
        elements.filter(|elements| *elements <= i32::MAX as usize).ok_or(wrong(16))?;
        Ok(Self { number, vectors, lower, n, leading, count })
    }

    /// Bytes of workspace on the device and on the host. The real one asks for far more on the
    /// device: 2.4 GiB for 8,192 16×16 f32.
    fn workspace(&self) -> [usize; 2] {
        let each = 2 * self.n * (self.n + 2) * self.number.size() + 256;
        [1024 + self.count * each, if self.n > 32 { 1024 } else { 0 }]
    }
}

/// The arguments that are memory.
struct Memory {
    a: *mut c_void,
    w: *mut c_void,
    device: (*mut c_void, usize),
    host: (*mut c_void, usize),
    info: *mut c_int,
}

impl Memory {
    fn parse<T: Number>(&self, shape: &Shape) -> Result<Batch<T>, Fault> {
        let Shape { vectors, lower, n, leading, count, .. } = *shape;
        let [device, host] = shape.workspace();
        let a = Device::new(self.a.cast_const().cast(), n * leading * count).ok_or(Fault::Argument(6))?;
        let w = Device::new(self.w.cast_const().cast(), n * count).ok_or(Fault::Argument(9))?;
        let work = Device::new(self.device.0.cast_const().cast(), device).ok_or(Fault::Argument(11))?;
        let check = |good: bool, number: c_int| good.then_some(()).ok_or(Fault::Argument(number));
        check(self.device.1 >= device, 12)?;
        check(host == 0 || !self.host.0.is_null(), 13)?;
        check(self.host.1 >= host, 14)?;
        let info = Device::new(self.info.cast_const(), count).ok_or(Fault::Argument(15))?;
        Ok(Batch { vectors, lower, n, leading, count, a, w, work, info })
    }

    fn enqueue<T: Number>(&self, shape: &Shape, stream: usize) -> Result<(), Fault> {
        let batch = self.parse::<T>(shape)?;
        let spoils = matches!(shape.number, Type::C32) && version() < ANY_WORKSPACE;
        let work = Box::new(move || batch.run(&Method::Direct { spoils }));
        batch::enqueue(stream, work).map_err(|_| Fault::Stream)
    }
}

/// What a refused call returns; the stream, if any, writes into `info` which argument was wrong.
fn status(fault: &Fault, stream: usize, info: *mut c_int) -> c_int {
    match fault {
        Fault::Argument(number) => batch::refuse(stream, info, *number),
        Fault::Unsupported => NOT_SUPPORTED,
        Fault::Stream => EXECUTION_FAILED,
    }
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnXsyevBatched_bufferSize(
    handle: *mut c_void,
    params: *mut c_void,
    jobz: c_int,
    uplo: c_int,
    n: i64,
    type_a: c_int,
    _a: *const c_void,
    lda: i64,
    type_w: c_int,
    _w: *const c_void,
    compute: c_int,
    device_bytes: Option<&mut MaybeUninit<usize>>,
    host_bytes: Option<&mut MaybeUninit<usize>>,
    batch: i64,
) -> c_int {
    answer("cusolverDnXsyevBatched_bufferSize", || {
        handle::of(&HANDLES, handle)?;
        handle::of(&PARAMS, params).map_err(|_| INVALID_VALUE)?;
        let shape = Shape::parse(jobz, uplo, n, [type_a, type_w, compute], lda, batch);
        let [device, host] = shape.map_err(|fault| status(&fault, 0, std::ptr::null_mut()))?.workspace();
        store(device_bytes, device)?;
        store(host_bytes, host)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cusolverDnXsyevBatched(
    handle: *mut c_void,
    params: *mut c_void,
    jobz: c_int,
    uplo: c_int,
    n: i64,
    type_a: c_int,
    a: *mut c_void,
    lda: i64,
    type_w: c_int,
    w: *mut c_void,
    compute: c_int,
    device: *mut c_void,
    device_bytes: usize,
    host: *mut c_void,
    host_bytes: usize,
    info: *mut c_int,
    batch: i64,
) -> c_int {
    answer("cusolverDnXsyevBatched", || {
        let stream = handle::of(&HANDLES, handle)?.stream;
        handle::of(&PARAMS, params).map_err(|_| batch::refuse(stream, info, 1))?;
        let shape =
            Shape::parse(jobz, uplo, n, [type_a, type_w, compute], lda, batch).map_err(|fault| status(&fault, stream, info))?;
        if shape.n == 0 || shape.count == 0 {
            return Ok(());
        }
        let memory = Memory { a, w, device: (device, device_bytes), host: (host, host_bytes), info };
        let enqueued = match shape.number {
            Type::R32 => memory.enqueue::<f32>(&shape, stream),
            Type::R64 => memory.enqueue::<f64>(&shape, stream),
            Type::C32 => memory.enqueue::<Complex<f32>>(&shape, stream),
            Type::C64 => memory.enqueue::<Complex<f64>>(&shape, stream),
        };
        enqueued.map_err(|fault| status(&fault, stream, info))
    })
}
