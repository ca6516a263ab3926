//! {S,D}syevjBatched and {C,Z}heevjBatched: Jacobi's method on a batch, counting in 32 bits.

use super::batch::{self, Batch, Method};
use super::handle::{self, HANDLES, JACOBIS, Jacobi};
use super::status::{EXECUTION_FAILED, INVALID_VALUE};
use super::{answer, store};
use crate::cublas::device::Device;
use crate::cublas::number::Number;
use faer::traits::num_traits::{Float, NumCast};
use num_complex::Complex;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

/// jobz, uplo, n, lda and batchSize, found good.
struct Shape {
    vectors: bool,
    lower: bool,
    n: usize,
    leading: usize,
    count: usize,
}

impl Shape {
    /// The shape, or the number of the first argument that is wrong, where `last` is that of
    /// batchSize.
    fn parse(jobz: c_int, uplo: c_int, n: c_int, lda: c_int, batch: c_int, last: c_int) -> Result<Self, c_int> {
        let vectors = batch::vectors(jobz).ok_or(1)?;
        let lower = batch::lower(uplo).ok_or(2)?;
        let n = usize::try_from(n).map_err(|_| 3)?;
        let leading = usize::try_from(lda).ok().filter(|lda| *lda >= n.max(1)).ok_or(5)?;
        let count = usize::try_from(batch).ok().filter(|count| *count <= batch::most_matrices()).ok_or(last)?;
        Ok(Self { vectors, lower, n, leading, count })
    }

    /// Elements of workspace, 1024 + n + (1024 + (n+1)²)·batch: what cupy/cupy#7261 measured.
    /// Nothing where an int cannot hold them.
    fn workspace(&self) -> Option<c_int> {
        let each = (self.n + 1).checked_pow(2)?.checked_add(1024)?;
        self.count.checked_mul(each)?.checked_add(1024 + self.n)?.try_into().ok()
    }
}

fn size(
    shape: Result<Shape, c_int>,
    handle: *mut c_void,
    params: *mut c_void,
    out: Option<&mut MaybeUninit<c_int>>,
) -> Result<(), c_int> {
    handle::of(&HANDLES, handle)?;
    handle::of(&JACOBIS, params).map_err(|_| INVALID_VALUE)?;
    let size = shape.map_err(|_| INVALID_VALUE)?.workspace().ok_or(INVALID_VALUE)?;
    store(out, size)
}

/// A, W, work, lwork and info as given.
struct Memory<T: Number> {
    a: *mut T,
    w: *mut T::Real,
    work: *mut T,
    lwork: c_int,
    info: *mut c_int,
}

impl<T: Number> Memory<T> {
    /// The batch, or the number of the first argument that is wrong.
    fn parse(&self, shape: &Shape) -> Result<Batch<T>, c_int> {
        let Shape { vectors, lower, n, leading, count } = *shape;
        let extent = |len: Option<usize>, number: c_int| len.ok_or(number);
        let a = Device::new(self.a.cast_const(), extent(count.checked_mul(n * leading), 4)?).ok_or(4)?;
        let w = Device::new(self.w.cast_const(), count * n).ok_or(6)?;
        let needed = shape.workspace().filter(|needed| self.lwork >= *needed).ok_or(8)?;
        let bytes = needed as usize * size_of::<T>();
        let work =
            Device::new(self.work.cast_const(), needed as usize).and_then(|_| Device::new(self.work.cast(), bytes)).ok_or(7)?;
        let info = Device::new(self.info.cast_const(), count).ok_or(9)?;
        Ok(Batch { vectors, lower, n, leading, count, a, w, work, info })
    }
}

fn enqueue<T: Number>(
    shape: Result<Shape, c_int>,
    handle: *mut c_void,
    params: *mut c_void,
    memory: &Memory<T>,
) -> Result<(), c_int> {
    let stream = handle::of(&HANDLES, handle)?.stream;
    let refuse = |number| batch::refuse(stream, memory.info, number);
    let Jacobi { tolerance, max_sweeps, sort } = handle::of(&JACOBIS, params).map_err(|_| refuse(10))?;
    let shape = shape.map_err(refuse)?;
    if shape.n == 0 || shape.count == 0 {
        return Ok(());
    }
    let batch = memory.parse(&shape).map_err(refuse)?;
    let tolerance = tolerance.and_then(NumCast::from).unwrap_or_else(T::Real::epsilon);
    let method = Method::Jacobi { tolerance, max_sweeps: usize::try_from(max_sweeps).unwrap_or(0), sort };
    batch::enqueue(stream, Box::new(move || batch.run(&method))).map_err(|_| EXECUTION_FAILED)
}

macro_rules! evj {
    ($($call:ident, $size:ident: $number:ty, $real:ty;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $size(
            handle: *mut c_void, jobz: c_int, uplo: c_int, n: c_int, _a: *const $number, lda: c_int, _w: *const $real,
            lwork: Option<&mut MaybeUninit<c_int>>, params: *mut c_void, batch: c_int,
        ) -> c_int {
            answer(stringify!($size), || size(Shape::parse(jobz, uplo, n, lda, batch, 9), handle, params, lwork))
        }

        #[unsafe(no_mangle)]
        extern "C" fn $call(
            handle: *mut c_void, jobz: c_int, uplo: c_int, n: c_int, a: *mut $number, lda: c_int, w: *mut $real,
            work: *mut $number, lwork: c_int, info: *mut c_int, params: *mut c_void, batch: c_int,
        ) -> c_int {
            let shape = Shape::parse(jobz, uplo, n, lda, batch, 11);
            answer(stringify!($call), || enqueue(shape, handle, params, &Memory { a, w, work, lwork, info }))
        }
    )*};
}

evj! {
    cusolverDnSsyevjBatched, cusolverDnSsyevjBatched_bufferSize: f32, f32;
    cusolverDnDsyevjBatched, cusolverDnDsyevjBatched_bufferSize: f64, f64;
    cusolverDnCheevjBatched, cusolverDnCheevjBatched_bufferSize: Complex<f32>, f32;
    cusolverDnZheevjBatched, cusolverDnZheevjBatched_bufferSize: Complex<f64>, f64;
}
