//! cublas<t>gemmStridedBatched. Source: cuBLAS library guide, "cublas<t>gemmStridedBatched()".

use crate::fact::fact;
use crate::gpu::{Gpu, gpu};
use crate::number::{Number, Operand};
use cudarc::cublas::result::{create_handle, destroy_handle, set_stream};
use cudarc::cublas::sys::{self, cublasHandle_t, cublasOperation_t, cublasPointerMode_t, cublasStatus_t};
use num_complex::Complex;
use std::ffi::c_int;

const OPS: [cublasOperation_t; 3] =
    [cublasOperation_t::CUBLAS_OP_N, cublasOperation_t::CUBLAS_OP_T, cublasOperation_t::CUBLAS_OP_C];

struct Handle(cublasHandle_t);

impl Handle {
    fn new(gpu: &Gpu) -> Self {
        let handle = Self(create_handle().expect("a handle"));
        // SAFETY: the handle is new, the stream outlives the test that borrows it.
        unsafe { set_stream(handle.0, gpu.stream.cu_stream().cast()) }.expect("a handle takes a stream");
        handle
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `new` and is destroyed once.
        let destroyed = unsafe { destroy_handle(self.0) };
        assert!(std::thread::panicking() || destroyed.is_ok());
    }
}

/// A batch of r×c matrices with gaps: between columns, between matrices.
struct Stack<T> {
    rows: usize,
    columns: usize,
    leading: usize,
    stride: usize,
    data: Vec<T>,
}

impl<T: Number> Stack<T> {
    fn random([rows, columns]: [usize; 2], gaps: [usize; 2], batch: usize, random: &mut fastrand::Rng) -> Self {
        let leading = rows + gaps[0];
        let stride = leading * columns + gaps[1];
        let mut number = || 2.0 * random.f64() - 1.0;
        let data = (0..stride * batch).map(|_| T::of(Complex::new(number(), number()))).collect();
        Self { rows, columns, leading, stride, data }
    }

    fn at(&self, b: usize, i: usize, j: usize) -> Complex<f64> {
        self.data[b * self.stride + j * self.leading + i].wide()
    }

    /// op(X)_ij
    fn op(&self, op: cublasOperation_t, b: usize, i: usize, j: usize) -> Complex<f64> {
        match op {
            cublasOperation_t::CUBLAS_OP_N => self.at(b, i, j),
            cublasOperation_t::CUBLAS_OP_T => self.at(b, j, i),
            _ => self.at(b, j, i).conj(),
        }
    }

    fn operand(&self, at: *mut T) -> Operand<T> {
        Operand { at, leading: self.leading as c_int, stride: self.stride as i64 }
    }

    fn operand_is_inside(&self, place: usize) -> bool {
        let inside = place % self.stride;
        inside < self.leading * self.columns && inside % self.leading < self.rows
    }
}

struct Case {
    op: [cublasOperation_t; 2],
    size: [usize; 3],
    batch: usize,
    gaps: [usize; 2],
    beta: f64,
}

impl Case {
    fn stacks<T: Number>(&self) -> [Stack<T>; 3] {
        let mut random = fastrand::Rng::with_seed(7);
        let [m, n, k] = self.size;
        let turned = |op, [r, c]: [usize; 2]| if op == OPS[0] { [r, c] } else { [c, r] };
        [turned(self.op[0], [m, k]), turned(self.op[1], [k, n]), [m, n]]
            .map(|shape| Stack::random(shape, self.gaps, self.batch, &mut random))
    }

    /// α with a complex part, β as given; where β = 0, C starts as NaN and must not be read.
    fn run<T: Number>(&self, gpu: &Gpu, handle: &Handle) -> [Vec<T>; 2] {
        let [a, b, mut c] = self.stacks::<T>();
        if self.beta == 0.0 {
            c.data.fill(T::of(Complex::new(f64::NAN, f64::NAN)));
        }
        let [da, db, dc] = [gpu.upload(&a.data), gpu.upload(&b.data), gpu.upload(&c.data)];
        let [alpha, beta] = [T::of(ALPHA), T::of(self.beta.into())];
        let operands = [a.operand(da.pointer()), b.operand(db.pointer()), c.operand(dc.pointer())];
        let size = self.size.map(|size| size as c_int);
        // SAFETY: the stacks have these shapes; reading C waits for the stream before a buffer is
        // freed; α and β are read at the call.
        let status =
            unsafe { T::gemm(handle.0, self.op, size, [&raw const alpha, &raw const beta], operands, self.batch as c_int) };
        assert_eq!(status, cublasStatus_t::CUBLAS_STATUS_SUCCESS);
        [c.data, dc.read()]
    }

    /// Σ_l op(A)_il op(B)_lj one after the other; each entry may differ by 4 (k + 2) ε of what its
    /// terms add up to in absolute value.
    fn check<T: Number>(&self, gpu: &Gpu, handle: &Handle) {
        let [a, b, mut c] = self.stacks::<T>();
        let [before, after] = self.run::<T>(gpu, handle);
        c.data = before;
        let alpha = T::of(ALPHA).wide();
        for (place, after) in after.iter().enumerate() {
            if !c.operand_is_inside(place) {
                let same = c.data[place] == *after || after.wide().is_nan();
                assert!(same, "{} {:?}: what lies between the columns was written to", T::NAME, self.op);
                continue;
            }
            let (z, inside) = (place / c.stride, place % c.stride);
            let (i, j) = (inside % c.leading, inside / c.leading);
            let terms = (0..self.size[2]).map(|l| alpha * a.op(self.op[0], z, i, l) * b.op(self.op[1], z, l, j));
            let old = if self.beta == 0.0 { Complex::default() } else { c.data[place].wide() * self.beta };
            let (sum, size) = terms.fold((old, old.norm()), |(sum, size), term| (sum + term, size + term.norm()));
            let error = (after.wide() - sum).norm();
            assert!(
                error <= 4.0 * (self.size[2] + 2) as f64 * T::EPSILON * size,
                "{} {:?} ({z}, {i}, {j}): {error}",
                T::NAME,
                self.op
            );
        }
    }
}

const ALPHA: Complex<f64> = Complex::new(0.75, -0.5);

fn every_combination<T: Number>(gpu: &Gpu, handle: &Handle) {
    for op in OPS.iter().flat_map(|a| OPS.map(|b| [*a, b])) {
        for (size, gaps) in [([1, 1, 1], [0, 0]), ([5, 3, 7], [2, 11]), ([16, 16, 16], [0, 0]), ([33, 32, 31], [1, 0])] {
            for beta in [0.0, 1.0, -0.5] {
                Case { op, size, batch: 3, gaps, beta }.check::<T>(gpu, handle);
            }
        }
    }
}

/// op ∈ {N, T, C}, any strides; where β = 0, C need not hold a number ("C does not have to be a
/// valid input").
#[test]
fn every_product_agrees_with_the_naive_one() {
    let Some(gpu) = gpu("every_product_agrees_with_the_naive_one") else { return };
    let handle = Handle::new(&gpu);
    every_combination::<f32>(&gpu, &handle);
    every_combination::<f64>(&gpu, &handle);
    every_combination::<Complex<f32>>(&gpu, &handle);
    every_combination::<Complex<f64>>(&gpu, &handle);
}

/// No ceiling at the 65,535 of a grid's y and z, which kernels that put the batch there have;
/// nothing to do is done without complaint.
#[test]
fn a_batch_may_be_empty_or_exceed_65535() {
    let Some(gpu) = gpu("a_batch_may_be_empty_or_exceed_65535") else { return };
    let handle = Handle::new(&gpu);
    for batch in [0, 65_535, 65_536, 70_000] {
        let case = Case { op: [OPS[0], OPS[2]], size: [2, 2, 2], batch, gaps: [0, 0], beta: 0.0 };
        case.check::<f64>(&gpu, &handle);
        case.check::<Complex<f32>>(&gpu, &handle);
    }
}

/// CUBLAS_STATUS_INVALID_VALUE: m, n, k or batchCount < 0, a leading dimension that is too small.
#[test]
fn bad_arguments_are_refused() {
    let Some(gpu) = gpu("bad_arguments_are_refused") else { return };
    let handle = Handle::new(&gpu);
    let buffer = gpu.filled::<f64>(64, 0);
    let operand = |leading| Operand { at: buffer.pointer(), leading, stride: 4 };
    let (one, good) = (1.0, operand(2));
    let call = |size, operands, batch| {
        // SAFETY: the arguments are refused, or, were they not, stay inside the 64 numbers of the
        // buffer; α and β are read at the call.
        unsafe { f64::gemm(handle.0, [OPS[0]; 2], size, [&raw const one; 2], operands, batch) }
    };
    for size in [[-1, 2, 2], [2, -1, 2], [2, 2, -1]] {
        assert_eq!(call(size, [good; 3], 1), cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE, "{size:?}");
    }
    assert_eq!(call([2, 2, 2], [good; 3], -1), cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE);
    for wrong in 0..3 {
        let mut operands = [good; 3];
        operands[wrong] = operand(1);
        assert_eq!(call([2, 2, 2], operands, 1), cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE, "operand {wrong}");
    }
    assert_eq!(call([2, 2, 2], [good; 3], 1), cublasStatus_t::CUBLAS_STATUS_SUCCESS);
    gpu.wait();
}

/// CUBLAS_POINTER_MODE_DEVICE: α and β are read from device memory when the product runs.
#[test]
fn factors_may_lie_on_the_device() {
    let Some(gpu) = gpu("factors_may_lie_on_the_device") else { return };
    let handle = Handle::new(&gpu);
    // SAFETY: the handle is alive.
    let status = unsafe { sys::cublasSetPointerMode_v2(handle.0, cublasPointerMode_t::CUBLAS_POINTER_MODE_DEVICE) };
    assert_eq!(status, cublasStatus_t::CUBLAS_STATUS_SUCCESS);
    let [a, b, c, factors] = [[2.0].as_slice(), &[5.0], &[7.0], &[3.0, 10.0]].map(|numbers| gpu.upload::<f64>(numbers));
    let operands = [&a, &b, &c].map(|buffer| Operand { at: buffer.pointer(), leading: 1, stride: 1 });
    let pointers = [factors.pointer().cast_const(), factors.pointer().wrapping_add(1).cast_const()];
    // SAFETY: each operand is one number, both factors lie in their buffer; reading C waits for the
    // stream.
    let status = unsafe { f64::gemm(handle.0, [OPS[0]; 2], [1, 1, 1], pointers, operands, 1) };
    assert_eq!(status, cublasStatus_t::CUBLAS_STATUS_SUCCESS);
    assert_eq!(c.read(), [3.0 * 2.0 * 5.0 + 10.0 * 7.0]);
}

/// "By design, all cuBLAS API routines from a given toolkit version generate the same bit-wise
/// results at every run": asserted. That a product does not depend on its place in the batch is
/// promised nowhere: recorded.
#[test]
fn a_product_repeats_its_bits() {
    fn record<T: Number>(gpu: &Gpu, handle: &Handle, n: usize) {
        let case = |batch| Case { op: [OPS[0], OPS[2]], size: [n; 3], batch, gaps: [0, 0], beta: 0.0 };
        let [_, once] = case(37).run::<T>(gpu, handle);
        let [_, twice] = case(37).run::<T>(gpu, handle);
        let same = once == twice;
        let stacks = case(37).stacks::<T>();
        let mut alone = true;
        for place in [0, 1, 17, 36] {
            let [da, db] = [&stacks[0], &stacks[1]].map(|stack| gpu.upload(&stack.data[place * n * n..][..n * n]));
            let dc = gpu.filled::<T>(n * n, 0);
            let operands =
                [&da, &db, &dc].map(|buffer| Operand { at: buffer.pointer(), leading: n as c_int, stride: (n * n) as i64 });
            let [alpha, beta] = [T::of(ALPHA), T::of(0.0.into())];
            // SAFETY: each operand is one n×n matrix; reading C waits for the stream; α and β are
            // read at the call.
            let status =
                unsafe { T::gemm(handle.0, case(1).op, [n as c_int; 3], [&raw const alpha, &raw const beta], operands, 1) };
            assert_eq!(status, cublasStatus_t::CUBLAS_STATUS_SUCCESS);
            alone &= dc.read() == once[place * n * n..][..n * n];
        }
        fact!("gemm bits", dtype: T::NAME, n: n, same_twice: same, same_alone: alone);
        assert!(same, "{} n = {n}", T::NAME);
    }
    let Some(gpu) = gpu("a_product_repeats_its_bits") else { return };
    let handle = Handle::new(&gpu);
    for n in [4, 16, 32, 64] {
        record::<f32>(&gpu, &handle, n);
        record::<f64>(&gpu, &handle, n);
        record::<Complex<f32>>(&gpu, &handle, n);
        record::<Complex<f64>>(&gpu, &handle, n);
    }
}
