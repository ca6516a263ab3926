//! C_b = α·op(A_b)·op(B_b) + β·C_b for b < batch, column-major; the summation over l runs upwards,
//! the same for every b.

use super::answer;
use super::device::Device;
use super::handle;
use super::number::Number;
use super::status::{EXECUTION_FAILED, INVALID_VALUE};
use crate::stream;
use num_complex::Complex;
use std::ffi::{c_int, c_longlong, c_void};

/// cublasOperation_t
#[derive(Clone, Copy, PartialEq)]
enum Op {
    None,
    Transpose,
    ConjugateTranspose,
}

impl Op {
    fn parse(op: c_int) -> Result<Self, c_int> {
        [Self::None, Self::Transpose, Self::ConjugateTranspose].get(op as usize).copied().ok_or(INVALID_VALUE)
    }
}

/// A batch of column-major matrices.
struct Matrices<T> {
    range: Device<T>,
    rows: usize,
    columns: usize,
    leading: usize,
    stride: usize,
}

impl<T: Number> Matrices<T> {
    /// As stored, that is before `op`; an empty batch has no memory and is `None`.
    fn parse(
        at: *const T,
        [rows, columns]: [usize; 2],
        leading: c_int,
        stride: c_longlong,
        batch: usize,
    ) -> Result<Option<Self>, c_int> {
        let leading = usize::try_from(leading).ok().filter(|leading| *leading >= rows.max(1)).ok_or(INVALID_VALUE)?;
        let stride = usize::try_from(stride).map_err(|_| INVALID_VALUE)?;
        if rows * columns * batch == 0 {
            return Ok(None);
        }
        let len = (batch - 1) * stride + (columns - 1) * leading + rows;
        let range = Device::new(at, len).ok_or(INVALID_VALUE)?;
        Ok(Some(Self { range, rows, columns, leading, stride }))
    }

    /// Column `j` of matrix `b`.
    fn column(&self, b: usize, j: usize, to: &mut [T]) {
        self.range.read(b * self.stride + j * self.leading, to);
    }

    /// Matrix `b` without the gaps between its columns.
    fn matrix(&self, b: usize, to: &mut Vec<T>) {
        to.resize(self.rows * self.columns, T::default());
        to.chunks_exact_mut(self.rows).enumerate().for_each(|(j, column)| self.column(b, j, column));
    }
}

/// α or β: known at the call, or in device memory until the product runs.
enum Factor<T> {
    Known(T),
    Stored(Device<T>),
}

impl<T: Number> Factor<T> {
    fn parse(at: *const T, on_device: bool) -> Result<Self, c_int> {
        if at.is_null() || !at.addr().is_multiple_of(size_of::<T>()) {
            // NVIDIA's types are aligned to their size, and cuBLAS crashes where one is not
            Err(INVALID_VALUE)
        } else if on_device {
            Device::new(at, 1).map(Self::Stored).ok_or(INVALID_VALUE)
        } else {
            // SAFETY: in host pointer mode the caller passes a pointer to one number; it is not
            // null.
            Ok(Self::Known(unsafe { at.read_unaligned() }))
        }
    }

    fn value(&self) -> Result<T, String> {
        match self {
            Self::Known(value) => Ok(*value),
            Self::Stored(place) => {
                place.check("a factor")?;
                let mut value = [T::default()];
                place.read(0, &mut value);
                Ok(value[0])
            }
        }
    }
}

struct Product<T> {
    op: [Op; 2],
    k: usize,
    batch: usize,
    alpha: Factor<T>,
    a: Option<Matrices<T>>,
    b: Option<Matrices<T>>,
    beta: Factor<T>,
    c: Matrices<T>,
}

impl<T: Number> Product<T> {
    fn run(&self) -> Result<(), String> {
        let (alpha, beta) = (self.alpha.value()?, self.beta.value()?);
        for (name, operand) in [("A", &self.a), ("B", &self.b)] {
            operand.as_ref().map_or(Ok(()), |operand| operand.range.check(name))?;
        }
        self.c.range.check("C")?;
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let (mut sum, mut old) = (vec![T::zero(); self.c.rows], vec![T::zero(); self.c.rows]);
        let factors = self.a.as_ref().zip(self.b.as_ref()).filter(|_| alpha != T::zero());
        for z in 0..self.batch {
            if let Some((first, second)) = factors {
                first.matrix(z, &mut a);
                second.matrix(z, &mut b);
            }
            for j in 0..self.c.columns {
                sum.fill(T::zero());
                if factors.is_some() {
                    self.column(&a, &b, j, &mut sum);
                }
                sum.iter_mut().for_each(|sum| *sum = alpha * *sum);
                if beta != T::zero() {
                    self.c.column(z, j, &mut old); // where β = 0, C is not read
                    sum.iter_mut().zip(&old).for_each(|(sum, old)| *sum = *sum + beta * *old);
                }
                self.c.range.write(z * self.c.stride + j * self.c.leading, &sum);
            }
        }
        Ok(())
    }

    /// Σ_l op(A)_il op(B)_lj for every i.
    fn column(&self, a: &[T], b: &[T], j: usize, sum: &mut [T]) {
        let (m, n, k) = (self.c.rows, self.c.columns, self.k);
        let right = |l: usize| match self.op[1] {
            Op::None => b[l + k * j],
            Op::Transpose => b[j + n * l],
            Op::ConjugateTranspose => b[j + n * l].conj(),
        };
        match self.op[0] {
            Op::None => {
                for (l, column) in a.chunks_exact(m).enumerate() {
                    let right = right(l);
                    sum.iter_mut().zip(column).for_each(|(sum, left)| *sum = *sum + *left * right);
                }
            }
            op => {
                let right: Vec<T> = (0..k).map(right).collect();
                for (sum, row) in sum.iter_mut().zip(a.chunks_exact(k)) {
                    let left = |left: &T| if op == Op::ConjugateTranspose { left.conj() } else { *left };
                    *sum = row.iter().zip(&right).fold(T::zero(), |sum, (x, y)| sum + left(x) * *y);
                }
            }
        }
    }
}

/// The arguments of cublas<t>gemmStridedBatched between the handle and the batch count.
struct Arguments<T> {
    op: [c_int; 2],
    size: [c_int; 3],
    alpha: *const T,
    a: (*const T, c_int, c_longlong),
    b: (*const T, c_int, c_longlong),
    beta: *const T,
    c: (*mut T, c_int, c_longlong),
}

fn enqueue<T: Number>(handle: *mut c_void, x: &Arguments<T>, batch: c_int) -> Result<(), c_int> {
    let handle = handle::of(handle)?;
    let size = |size: c_int| usize::try_from(size).map_err(|_| INVALID_VALUE);
    let [m, n, k] = [size(x.size[0])?, size(x.size[1])?, size(x.size[2])?];
    let batch = size(batch)?;
    let op = [Op::parse(x.op[0])?, Op::parse(x.op[1])?];
    let stored = |op: Op, rows, columns| if op == Op::None { [rows, columns] } else { [columns, rows] };
    let live = if m * n == 0 { 0 } else { batch }; // nothing is read where nothing is written
    let a = Matrices::parse(x.a.0, stored(op[0], m, k), x.a.1, x.a.2, live)?;
    let b = Matrices::parse(x.b.0, stored(op[1], k, n), x.b.1, x.b.2, live)?;
    let Some(c) = Matrices::parse(x.c.0.cast_const(), [m, n], x.c.1, x.c.2, batch)? else {
        return Ok(());
    };
    let [alpha, beta] = [Factor::parse(x.alpha, handle.device_scalars)?, Factor::parse(x.beta, handle.device_scalars)?];
    let product = Product { op, k, batch, alpha, a, b, beta, c };
    stream::enqueue(handle.stream as *mut c_void, Box::new(move || product.run())).map_err(|_| EXECUTION_FAILED)
}

macro_rules! gemm {
    ($($batched:ident, $single:ident: $number:ty;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $batched(
            handle: *mut c_void, op_a: c_int, op_b: c_int, m: c_int, n: c_int, k: c_int,
            alpha: *const $number, a: *const $number, lda: c_int, stride_a: c_longlong, b: *const $number, ldb: c_int, stride_b: c_longlong,
            beta: *const $number, c: *mut $number, ldc: c_int, stride_c: c_longlong, batch: c_int,
        ) -> c_int {
            let [a, b] = [(a, lda, stride_a), (b, ldb, stride_b)];
            let arguments = Arguments { op: [op_a, op_b], size: [m, n, k], alpha, a, b, beta, c: (c, ldc, stride_c) };
            answer(stringify!($batched), || enqueue(handle, &arguments, batch))
        }

        #[unsafe(no_mangle)]
        extern "C" fn $single(
            handle: *mut c_void, op_a: c_int, op_b: c_int, m: c_int, n: c_int, k: c_int,
            alpha: *const $number, a: *const $number, lda: c_int, b: *const $number, ldb: c_int,
            beta: *const $number, c: *mut $number, ldc: c_int,
        ) -> c_int {
            let arguments = Arguments { op: [op_a, op_b], size: [m, n, k], alpha, a: (a, lda, 0), b: (b, ldb, 0), beta, c: (c, ldc, 0) };
            answer(stringify!($single), || enqueue(handle, &arguments, 1))
        }
    )*};
}

gemm! {
    cublasSgemmStridedBatched, cublasSgemm_v2: f32;
    cublasDgemmStridedBatched, cublasDgemm_v2: f64;
    cublasCgemmStridedBatched, cublasCgemm_v2: Complex<f32>;
    cublasZgemmStridedBatched, cublasZgemm_v2: Complex<f64>;
}
