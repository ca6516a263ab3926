//! Kernels for PyTorch's dispatcher, by the stable C ABI of the libtorch that the process has
//! loaded: nothing of torch is linked, nor wanted when this is compiled.
//!
//! `eigengrad/torch.py` defines the operators; this gives them their kernels, one for CPU and CUDA.
//! A kernel gets its arguments in a row of 64-bit words, and leaves its results there.

use crate::request::{self, Request};
use eigengrad::Derivative;
use eigengrad_door::{
    self, Address, Backward, BackwardFactor, BackwardJvp, Call, CotangentsAt, DoubleBackward, Dtype, Eigh, EighFactor,
    FidelityOf, FunctionAt, Jvp, Memory, Operation, PairsAt, Place, ResultAt, SpectralDerivative, SpectralOf, SpectrumAt,
    TraceOf,
};
use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;
use std::sync::{Mutex, OnceLock};

/// A tensor of torch's, by its owner's handle.
type Handle = *mut c_void;

/// A kernel: its arguments, of which there are so many, and where as many results go.
type Kernel = unsafe extern "C-unwind" fn(*mut u64, u64, u64);

/// Declares the functions of libtorch that are used, and how they are found.
macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) -> $returned:ty;)*) => {
        /// The functions of libtorch that are used.
        struct Torch {
            $($field: unsafe extern "C-unwind" fn($($argument),*) -> $returned,)*
        }

        impl Torch {
            /// Finds them.
            ///
            /// # Errors
            /// The text of the loader's.
            fn load(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self { $(
                    // SAFETY: torch/csrc/inductor/aoti_torch/c/shim.h, or
                    // torch/csrc/stable/c/shim.h, declares it so.
                    $field: *unsafe { library.get($symbol) }?,
                )* })
            }
        }
    };
}
functions! {
    init_impl = b"aoti_torch_library_init_impl\0": fn(*const c_char, *const c_char, *const c_char, u32, *mut Handle) -> i32;
    add_kernel = b"aoti_torch_library_impl\0": fn(Handle, *const c_char, Kernel) -> i32;
    delete = b"aoti_torch_delete_tensor_object\0": fn(Handle) -> i32;
    data = b"aoti_torch_get_data_ptr\0": fn(Handle, *mut *mut c_void) -> i32;
    dim = b"aoti_torch_get_dim\0": fn(Handle, *mut i64) -> i32;
    sizes = b"aoti_torch_get_sizes\0": fn(Handle, *mut *mut i64) -> i32;
    strides = b"aoti_torch_get_strides\0": fn(Handle, *mut *mut i64) -> i32;
    dtype = b"aoti_torch_get_dtype\0": fn(Handle, *mut i32) -> i32;
    device_type = b"aoti_torch_get_device_type\0": fn(Handle, *mut i32) -> i32;
    device_index = b"aoti_torch_get_device_index\0": fn(Handle, *mut i32) -> i32;
    empty = b"aoti_torch_empty_strided\0": fn(i64, *const i64, *const i64, i32, i32, i32, *mut Handle) -> i32;
    call = b"aoti_torch_call_dispatcher\0": fn(*const c_char, *const c_char, *mut u64) -> i32;
    check = b"aoti_torch_check\0": fn(bool, *const c_char, *const c_char, u32, *const c_char) -> ();
    threads = b"torch_get_num_threads\0": fn(*mut u32) -> i32;
}

static TORCH: OnceLock<Torch> = OnceLock::new();

/// Tells the stream that torch works on, on a GPU.
type CurrentStream = unsafe extern "C-unwind" fn(i32, *mut *mut c_void) -> i32;

static CURRENT_STREAM: OnceLock<CurrentStream> = OnceLock::new();

fn torch() -> &'static Torch {
    TORCH.get().unwrap_or_else(|| unreachable!("kernels are registered with what is found here"))
}

/// Gives the operators `eigengrad::…` their kernels, of the libtorch at `path`, which is loaded.
///
/// # Errors
/// `ImportError` if that is too old.
#[pyfunction]
pub fn register_torch(path: &str) -> PyResult<()> {
    if TORCH.get().is_some() {
        return Ok(());
    }
    let too_old = |e: libloading::Error| PyImportError::new_err(format!("eigengrad needs torch 2.10 or newer: {e}"));
    // SAFETY: the library is loaded; nothing of it runs again.
    let open = |path: &Path| unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_LOCAL) };
    let library = open(path.as_ref()).map_err(too_old)?;
    let found = Torch::load(&library).map_err(too_old)?;
    std::mem::forget(library); // its functions are kept
    TORCH.get_or_init(|| found);
    register(c"CPU")?;
    if let Ok(library) = open(&Path::new(path).with_file_name("libtorch_cuda.so")) {
        // SAFETY: torch/csrc/inductor/aoti_torch/c/shim.h declares it so.
        let stream = *unsafe { library.get::<CurrentStream>(b"aoti_torch_get_current_cuda_stream\0") }.map_err(too_old)?;
        std::mem::forget(library);
        CURRENT_STREAM.get_or_init(|| stream);
        register(c"CUDA")?;
    }
    Ok(())
}

/// Gives the operators their kernels for the tensors of a key of the dispatcher's.
fn register(key: &CStr) -> PyResult<()> {
    let (torch, mut kernels) = (torch(), ptr::null_mut());
    // SAFETY: the strings end with 0; torch keeps the result, which is never freed.
    let made = unsafe { (torch.init_impl)(c"eigengrad".as_ptr(), key.as_ptr(), c"torch.rs".as_ptr(), 0, &raw mut kernels) };
    let all: [(&CStr, Kernel); 12] = [
        (c"eigh", kernel::<EighKernel<true>>),
        (c"eigvalsh", kernel::<EighKernel<false>>),
        (c"backward", kernel::<BackwardKernel>),
        (c"double_backward", kernel::<DoubleBackwardKernel>),
        (c"jvp", kernel::<JvpKernel>),
        (c"backward_jvp", kernel::<BackwardJvpKernel>),
        (c"spectral", kernel::<SpectralKernel>),
        (c"spectral_derivative", kernel::<SpectralDerivativeKernel>),
        (c"trace_of", kernel::<TraceKernel>),
        (c"eigh_factor", kernel::<EighFactorKernel>),
        (c"backward_factor", kernel::<BackwardFactorKernel>),
        (c"fidelity", kernel::<FidelityKernel>),
    ];
    for (name, kernel) in all {
        // SAFETY: as above.
        if made != 0 || unsafe { (torch.add_kernel)(kernels, name.as_ptr(), kernel) } != 0 {
            return Err(PyImportError::new_err(format!("torch refused the kernel {name:?}")));
        }
    }
    Ok(())
}

/// An operator: its tensors come first, then its numbers.
trait Operator {
    /// How many tensors it takes.
    const TENSORS: usize;

    /// Makes its results.
    ///
    /// # Errors
    /// What the user is told.
    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String>;
}

/// The kernel of an operator.
///
/// # Safety
/// The row has the arguments of its schema, and room for its results.
unsafe extern "C-unwind" fn kernel<O: Operator>(row: *mut u64, count: u64, results: u64) {
    // SAFETY: the caller's.
    let row = unsafe { std::slice::from_raw_parts_mut(row, count.max(results) as usize) };
    let made = catch_unwind(AssertUnwindSafe(|| {
        let (tensors, numbers) = row[..count as usize].split_at(O::TENSORS);
        O::run(tensors.iter().map(|&handle| Tensor(handle as Handle)).collect(), numbers)
    }));
    let message = match made {
        Ok(Ok(results)) => {
            row.iter_mut().zip(results).for_each(|(word, tensor)| *word = tensor.into_handle() as u64);
            return;
        }
        Ok(Err(message)) => message,
        Err(_) => "a fault in eigengrad: please report it".to_owned(),
    };
    let message = CString::new(message).unwrap_or_default();
    // SAFETY: the strings end with 0. It throws, through frames that say so.
    unsafe { (torch().check)(false, c"eigengrad".as_ptr(), c"torch.rs".as_ptr(), 0, message.as_ptr()) }
}

const CPU: i32 = 0;
const CUDA: i32 = 1;
const UINT8: i32 = 0;
const INT32: i32 = 3;
const BOOL: i32 = 11;

/// torch's number of a type, and of the real one beside it.
fn numbers_of(dtype: Dtype) -> (i32, i32) {
    match dtype {
        Dtype::F32 => (6, 6),
        Dtype::F64 => (7, 7),
        Dtype::Complex64 => (9, 6),
        Dtype::Complex128 => (10, 7),
    }
}

/// torch's numbers of a kind of device, and of one of them.
type Device = (i32, i32);

/// A tensor that is owned here.
struct Tensor(Handle);

// SAFETY: torch counts its owners atomically.
unsafe impl Send for Tensor {}

impl Drop for Tensor {
    fn drop(&mut self) {
        // SAFETY: the handle is owned; a failure to free it has nobody to be told.
        let _ = unsafe { (torch().delete)(self.0) };
    }
}

/// How the matrices of a tensor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Row-major.
    Rows,
    /// One column after the other, as eigenvectors.
    Columns,
    /// Otherwise.
    Other,
}

impl Tensor {
    /// Memory in the shape of matrices `[..., n, n]` by their rows or columns, or of anything by
    /// rows.
    ///
    /// # Errors
    /// If torch has none.
    fn empty((kind, index): Device, shape: &[i64], dtype: i32, order: Order) -> Result<Self, String> {
        let (strides, mut handle) = (strides(shape, order), ptr::null_mut());
        let dim = shape.len() as i64;
        // SAFETY: shape and strides are of `dim` numbers.
        let code = unsafe { (torch().empty)(dim, shape.as_ptr(), strides.as_ptr(), dtype, kind, index, &raw mut handle) };
        if code == 0 { Ok(Self(handle)) } else { Err(format!("eigengrad: torch has no memory for {shape:?}")) }
    }

    fn into_handle(self) -> Handle {
        let handle = self.0;
        std::mem::forget(self);
        handle
    }

    fn numbers(&self, get: unsafe extern "C-unwind" fn(Handle, *mut *mut i64) -> i32) -> &[i64] {
        let (mut dim, mut numbers) = (0, ptr::null_mut());
        // SAFETY: the tensor is live.
        let known = unsafe { (torch().dim)(self.0, &raw mut dim) } == 0;
        // SAFETY: as above.
        if !known || unsafe { get(self.0, &raw mut numbers) } != 0 || dim <= 0 {
            return &[];
        }
        // SAFETY: torch lends as many numbers as there are dimensions, while the tensor lives.
        unsafe { std::slice::from_raw_parts(numbers, dim as usize) }
    }

    fn shape(&self) -> &[i64] {
        self.numbers(torch().sizes)
    }

    fn order(&self) -> Order {
        let (shape, of) = (self.shape(), self.numbers(torch().strides));
        let lies =
            |order| shape.contains(&0) || shape.iter().zip(of).zip(strides(shape, order)).all(|((&n, &s), t)| n == 1 || s == t);
        match shape {
            _ if lies(Order::Rows) => Order::Rows,
            [.., _, _] if lies(Order::Columns) => Order::Columns,
            _ => Order::Other,
        }
    }

    fn address(&self) -> Address {
        let mut data = ptr::null_mut();
        // SAFETY: the tensor is live.
        let code = unsafe { (torch().data)(self.0, &raw mut data) };
        if code == 0 { data as Address } else { 0 }
    }

    fn dtype(&self) -> i32 {
        let mut dtype = -1;
        // SAFETY: the tensor is live.
        let code = unsafe { (torch().dtype)(self.0, &raw mut dtype) };
        if code == 0 { dtype } else { -1 }
    }

    fn device(&self) -> Device {
        let (mut kind, mut index) = (-1, 0);
        // SAFETY: the tensor is live.
        let code = unsafe { (torch().device_type)(self.0, &raw mut kind) };
        // SAFETY: as above.
        let known = code == 0 && unsafe { (torch().device_index)(self.0, &raw mut index) } == 0;
        if known { (kind, index.max(0)) } else { (-1, 0) }
    }

    /// The type, if it is computed in.
    fn computed(&self) -> Result<Dtype, String> {
        let types = [Dtype::F32, Dtype::F64, Dtype::Complex64, Dtype::Complex128];
        let found = types.into_iter().find(|&dtype| numbers_of(dtype).0 == self.dtype());
        found.ok_or_else(|| "eigengrad: expected float32, float64, complex64 or complex128".to_owned())
    }

    /// Itself if it is row-major, otherwise a copy that is: zeros that forward mode hands over, and
    /// what `expand` made, come as one number with strides of 0.
    fn by_rows(self) -> Result<Self, String> {
        if self.order() == Order::Rows { Ok(self) } else { self.called(c"aten::contiguous", c"", &[0]) }
    }

    /// As [`Tensor::by_rows`], by columns.
    fn by_columns(self) -> Result<Self, String> {
        let one_column = self.shape().last().is_some_and(|&n| n <= 1);
        match self.order() {
            Order::Columns => Ok(self),
            Order::Rows if one_column => Ok(self),
            _ => {
                let last_two = [-2_i64 as u64, -1_i64 as u64];
                let flipped = self.called(c"aten::transpose", c"int", &last_two)?.by_rows()?;
                flipped.called(c"aten::transpose", c"int", &last_two)
            }
        }
    }

    /// What an operator of torch's makes of it.
    fn called(self, name: &CStr, overload: &CStr, numbers: &[u64]) -> Result<Self, String> {
        let mut row = [0; 4];
        row[0] = self.into_handle() as u64;
        row[1..=numbers.len()].copy_from_slice(numbers);
        // SAFETY: the row has the arguments of the schema; the callee takes the tensor over.
        let code = unsafe { (torch().call)(name.as_ptr(), overload.as_ptr(), row.as_mut_ptr()) };
        if code == 0 { Ok(Self(row[0] as Handle)) } else { Err(format!("eigengrad: {name:?} failed")) }
    }
}

/// The strides of memory without gaps.
fn strides(shape: &[i64], order: Order) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at] * shape[at].max(1);
    }
    if let (Order::Columns, [.., rows, _], [.., rows_apart, columns_apart]) = (order, shape, &mut strides[..]) {
        (*rows_apart, *columns_apart) = (1, (*rows).max(1));
    }
    strides
}

/// A batch `[..., n, n]` of matrices, or `[..., n, r]` of factors, its type, and what is asked of
/// it.
struct Batch {
    device: Device,
    dtype: Dtype,
    /// The shape of the batch.
    lead: Vec<i64>,
    n: i64,
    /// The number of columns, and of pairs.
    columns: i64,
    asked: Request,
}

impl Batch {
    fn of(matrices: &Tensor, numbers: &[u64]) -> Result<Self, String> {
        match Self::of_factors(matrices, numbers)? {
            batch if batch.n == batch.columns => Ok(batch),
            _ => Err(format!("eigengrad: expected square matrices [..., n, n], got a tensor of shape {:?}", matrices.shape())),
        }
    }

    fn of_factors(factors: &Tensor, numbers: &[u64]) -> Result<Self, String> {
        let &[atol, rtol, tie_rtol, rank, choices] = numbers else { return Err("eigengrad: five numbers expected".to_owned()) };
        let asked = Request {
            atol: f64::from_bits(atol),
            rtol: f64::from_bits(rtol),
            tie_rtol: f64::from_bits(tie_rtol),
            rank: rank as i64,
            choices: choices as i64,
        };
        match factors.shape() {
            &[ref lead @ .., n, columns] => {
                Ok(Self { device: factors.device(), dtype: factors.computed()?, lead: lead.to_vec(), n, columns, asked })
            }
            shape => Err(format!(
                "eigengrad: expected square matrices [..., n, n], or factors [..., n, r], got a tensor of shape {shape:?}"
            )),
        }
    }

    fn count(&self) -> usize {
        self.lead.iter().product::<i64>() as usize
    }

    fn run(&self, operation: impl Into<Operation>) -> Result<(), String> {
        // What is lent is torch's again at the end of the call: whoever is given it next on this
        // stream comes behind what was enqueued.
        let lent = Mutex::new(Vec::new());
        let memory = |bytes: usize| {
            let tensor = Tensor::empty(self.device, &[bytes as i64], UINT8, Order::Rows).ok()?;
            let address = tensor.address();
            lent.lock().ok()?.push(tensor);
            Some(address)
        };
        let (batch, n, options) = (self.count(), self.n as usize, self.asked.options());
        let call = Call { dtype: self.dtype, batch, n, options, place: self.place(Memory(&memory))? };
        // SAFETY: types, shapes, order and devices of the tensors were checked or are made here,
        // and they are owned during the call.
        unsafe { call.run(operation) }.map_err(|e| format!("eigengrad: {e}"))
    }

    fn place<'a>(&self, memory: Memory<'a>) -> Result<Place<'a>, String> {
        let elsewhere = || format!("eigengrad: there are no kernels for devices of torch's kind {}", self.device.0);
        match self.device {
            (CPU, _) => {
                let mut threads = 1;
                // SAFETY: it writes a number.
                let _ = unsafe { (torch().threads)(&raw mut threads) };
                Ok(Place::Cpu { threads: threads as usize })
            }
            (CUDA, index) => {
                let (current, mut stream) = (CURRENT_STREAM.get().ok_or_else(elsewhere)?, ptr::null_mut());
                // SAFETY: it writes a pointer.
                match unsafe { current(index, &raw mut stream) } {
                    0 => Ok(Place::Cuda { ordinal: index as usize, stream: stream as usize, memory }),
                    _ => Err(format!("eigengrad: torch names no stream of GPU {index}")),
                }
            }
            _ => Err(elsewhere()),
        }
    }

    /// `[lead..., tail...]`.
    fn shaped(&self, lead: &[i64], tail: &[i64], dtype: i32, order: Order) -> Result<Tensor, String> {
        Tensor::empty(self.device, &[lead, tail].concat(), dtype, order)
    }

    /// Whether a tensor has this shape and type.
    fn expect(&self, what: &str, tensor: &Tensor, lead: &[i64], tail: &[i64], dtype: i32) -> Result<(), String> {
        let expected = [lead, tail].concat();
        if tensor.device() != self.device {
            return Err(format!("eigengrad: {what} is on another device than the matrices"));
        }
        if tensor.shape() == expected && tensor.dtype() == dtype {
            return Ok(());
        }
        Err(format!("eigengrad: {what} is of another type, or of shape {:?}, expected {expected:?}", tensor.shape()))
    }

    /// The shape `[directions..., batch...]` of what comes beside the batch, and how many
    /// directions there are.
    fn directions(&self, lead: &[i64]) -> Result<usize, String> {
        let directions = lead.strip_suffix(&self.lead[..]);
        let directions = directions.ok_or_else(|| format!("eigengrad: {lead:?} is no batch of directions of {:?}", self.lead))?;
        Ok(directions.iter().product::<i64>() as usize)
    }
}

/// A ↦ λ, V, kept, (rank, status), the gaps; or without V.
struct EighKernel<const VECTORS: bool>;

impl<const VECTORS: bool> Operator for EighKernel<VECTORS> {
    const TENSORS: usize = 1;

    fn run(mut tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let a = tensors.swap_remove(0);
        let batch = Batch::of(&a, numbers)?;
        let a = a.by_rows()?;
        let (lead, n, number) = (&batch.lead, batch.n, numbers_of(batch.dtype).0);
        let (values, rest, spectrum) = spectrum(&batch)?;
        let vectors = if VECTORS { Some(batch.shaped(lead, &[n, n], number, Order::Columns)?) } else { None };
        let at = vectors.as_ref().map_or(0, Tensor::address);
        batch.run(Eigh { a: a.address(), read: batch.asked.read(), spectrum, vectors: at, with_vectors: VECTORS })?;
        Ok([values].into_iter().chain(vectors).chain(rest).collect())
    }
}

/// Memory for λ, for kept, (rank, status) and the gaps, and where it is.
fn spectrum(batch: &Batch) -> Result<(Tensor, [Tensor; 3], SpectrumAt), String> {
    let (real, lead, rows) = (numbers_of(batch.dtype).1, &batch.lead, Order::Rows);
    let twice = &[&[2], &lead[..]].concat();
    let values = batch.shaped(lead, &[batch.columns], real, rows)?;
    let kept = batch.shaped(lead, &[batch.columns], BOOL, rows)?;
    let (info, gaps) = (batch.shaped(twice, &[], INT32, rows)?, batch.shaped(twice, &[], real, rows)?);
    let at = SpectrumAt {
        values: values.address(),
        kept: kept.address(),
        rank: info.address(),
        status: info.address() + 4 * batch.count(),
        gap_kept: gaps.address(),
        gap_dropped: gaps.address() + batch.dtype.real_size() * batch.count(),
    };
    Ok((values, [kept, info, gaps], at))
}

/// λ, V, kept, info, as the kernels of operations on eigenpairs begin with them.
struct Pairs {
    batch: Batch,
    tensors: [Tensor; 4],
}

impl Pairs {
    fn of(tensors: [Tensor; 4], numbers: &[u64]) -> Result<Self, String> {
        Batch::of(&tensors[1], numbers).and_then(|batch| Self::of_batch(batch, tensors))
    }

    fn of_batch(batch: Batch, tensors: [Tensor; 4]) -> Result<Self, String> {
        let [values, vectors, kept, info] = tensors;
        let (lead, n) = (&batch.lead[..], batch.columns);
        batch.expect("λ", &values, lead, &[n], numbers_of(batch.dtype).1)?;
        batch.expect("kept", &kept, lead, &[n], BOOL)?;
        batch.expect("info", &info, &[&[2], lead].concat(), &[], INT32)?;
        let tensors = [values.by_rows()?, vectors.by_columns()?, kept.by_rows()?, info.by_rows()?];
        Ok(Self { batch, tensors })
    }

    fn at(&self) -> PairsAt {
        let [values, vectors, kept, info] = &self.tensors;
        PairsAt {
            values: values.address(),
            kept: kept.address(),
            status: info.address() + 4 * self.batch.count(),
            vectors: vectors.address(),
        }
    }
}

/// λ̄ and V̄, of which one may be a tensor of shape `[0]`, which stands for none.
struct Bars {
    values: Option<Tensor>,
    vectors: Option<Tensor>,
    /// The shape of the batch with its directions.
    lead: Vec<i64>,
}

impl Bars {
    fn of(batch: &Batch, values: Tensor, vectors: Tensor) -> Result<Self, String> {
        let (number, real) = numbers_of(batch.dtype);
        let present = |tensor: Tensor| (tensor.shape() != [0]).then_some(tensor);
        let (values, vectors) = (present(values), present(vectors));
        let lead = match (&values, &vectors) {
            (_, Some(x)) => x.shape().split_last_chunk::<2>().map(|(lead, _)| lead),
            (Some(x), None) => x.shape().split_last().map(|(_, lead)| lead),
            (None, None) => Some(&batch.lead[..]),
        };
        let lead = lead.ok_or("eigengrad: V̄ has fewer than two dimensions")?.to_vec();
        if let Some(values) = &values {
            batch.expect("λ̄", values, &lead, &[batch.columns], real)?;
        }
        if let Some(vectors) = &vectors {
            batch.expect("V̄", vectors, &lead, &[batch.n, batch.columns], number)?;
        }
        let either = |x: Tensor| if x.order() == Order::Other { x.by_rows() } else { Ok(x) };
        Ok(Self { values: values.map(Tensor::by_rows).transpose()?, vectors: vectors.map(either).transpose()?, lead })
    }

    fn at(&self) -> CotangentsAt {
        let of = |tensor: &Option<Tensor>| tensor.as_ref().map_or(0, Tensor::address);
        let rows = self.vectors.as_ref().is_some_and(|x| x.order() == Order::Rows);
        CotangentsAt { values: of(&self.values), vectors: of(&self.vectors), rows }
    }
}

/// The tensors of an operation on eigenpairs: those, and so many more.
fn split<const MORE: usize>(tensors: Vec<Tensor>) -> Result<([Tensor; 4], [Tensor; MORE]), String> {
    let mut tensors = tensors;
    let wrong = |_| "eigengrad: another number of tensors".to_owned();
    let more = tensors.split_off(4).try_into().map_err(wrong)?;
    Ok((tensors.try_into().map_err(wrong)?, more))
}

/// B ↦ λ, V, kept, (rank, status), the gaps, S.
struct EighFactorKernel;

impl Operator for EighFactorKernel {
    const TENSORS: usize = 1;

    fn run(mut tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let b = tensors.swap_remove(0);
        let batch = Batch::of_factors(&b, numbers)?;
        let b = b.by_columns()?;
        let (lead, n, r, number) = (&batch.lead, batch.n, batch.columns, numbers_of(batch.dtype).0);
        let (values, [kept, info, gaps], spectrum) = spectrum(&batch)?;
        let vectors = batch.shaped(lead, &[n, r], number, Order::Columns)?;
        let projection = batch.shaped(lead, &[r, r], number, Order::Columns)?;
        let (at, projection_at) = (vectors.address(), projection.address());
        batch.run(EighFactor { b: b.address(), r: r as usize, spectrum, vectors: at, projection: projection_at })?;
        Ok(vec![values, vectors, kept, info, gaps, projection])
    }
}

/// (S, λ̄, V̄) ↦ B̄, ρ, the tie defect, status.
struct BackwardFactorKernel;

impl Operator for BackwardFactorKernel {
    const TENSORS: usize = 7;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, [projection, values, vectors]) = split(tensors)?;
        let pairs = Pairs::of_batch(Batch::of_factors(&pairs[1], numbers)?, pairs)?;
        let batch = &pairs.batch;
        let bars = Bars::of(batch, values, vectors)?;
        let (lead, n, r, (number, real), rows) = (&batch.lead, batch.n, batch.columns, numbers_of(batch.dtype), Order::Rows);
        batch.expect("S", &projection, lead, &[r, r], number)?;
        let projection = projection.by_columns()?;
        if bars.lead != *lead {
            return Err("eigengrad: cotangents of another batch".to_owned());
        }
        let b_bar = batch.shaped(lead, &[n, r], number, Order::Columns)?;
        let (gauge, tie) = (batch.shaped(lead, &[r], real, rows)?, batch.shaped(lead, &[], real, rows)?);
        let status = batch.shaped(lead, &[], INT32, rows)?;
        batch.run(BackwardFactor {
            pairs: pairs.at(),
            projection: projection.address(),
            r: r as usize,
            cotangents: bars.at(),
            b_bar: b_bar.address(),
            gauge_defect: gauge.address(),
            tie_defect: tie.address(),
            status: status.address(),
        })?;
        Ok(vec![b_bar, gauge, tie, status])
    }
}

/// (A, B) ↦ the root of their fidelity, status, and the gradients of the fidelity.
struct FidelityKernel;

impl Operator for FidelityKernel {
    const TENSORS: usize = 2;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let [a, b]: [Tensor; 2] = tensors.try_into().map_err(|_| "eigengrad: another number of tensors".to_owned())?;
        let batch = Batch::of(&a, numbers)?;
        let (lead, n, (number, real), rows) = (&batch.lead, batch.n, numbers_of(batch.dtype), Order::Rows);
        batch.expect("B", &b, lead, &[n, n], number)?;
        let (a, b) = (a.by_rows()?, b.by_rows()?);
        let (root, status) = (batch.shaped(lead, &[], real, rows)?, batch.shaped(lead, &[], INT32, rows)?);
        let (a_bar, b_bar) = (batch.shaped(lead, &[n, n], number, rows)?, batch.shaped(lead, &[n, n], number, rows)?);
        batch.run(FidelityOf {
            a: a.address(),
            b: b.address(),
            read: batch.asked.read(),
            root: root.address(),
            status: status.address(),
            a_bar: a_bar.address(),
            b_bar: b_bar.address(),
        })?;
        Ok(vec![root, status, a_bar, b_bar])
    }
}

/// (λ̄, V̄) ↦ Ā, ρ, the tie defect, status.
struct BackwardKernel;

impl Operator for BackwardKernel {
    const TENSORS: usize = 6;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, [values, vectors]) = split(tensors)?;
        let pairs = Pairs::of(pairs, numbers)?;
        let batch = &pairs.batch;
        let bars = Bars::of(batch, values, vectors)?;
        let (lead, n, (number, real), rows) = (&bars.lead, batch.n, numbers_of(batch.dtype), Order::Rows);
        let a_bar = batch.shaped(lead, &[n, n], number, rows)?;
        let (gauge, tie) = (batch.shaped(lead, &[n], real, rows)?, batch.shaped(lead, &[], real, rows)?);
        let status = batch.shaped(lead, &[], INT32, rows)?;
        batch.run(Backward {
            pairs: pairs.at(),
            directions: batch.directions(lead)?,
            cotangents: bars.at(),
            a_bar: a_bar.address(),
            gauge_defect: gauge.address(),
            tie_defect: tie.address(),
            status: status.address(),
        })?;
        Ok(vec![a_bar, gauge, tie, status])
    }
}

/// (λ̄, V̄, H) ↦ the cotangents of A, λ̄ and V̄, status.
struct DoubleBackwardKernel;

impl Operator for DoubleBackwardKernel {
    const TENSORS: usize = 7;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, [values, vectors, h]) = split(tensors)?;
        let pairs = Pairs::of(pairs, numbers)?;
        let batch = &pairs.batch;
        let bars = Bars::of(batch, values, vectors)?;
        let (lead, n, (number, real), rows) = (&bars.lead, batch.n, numbers_of(batch.dtype), Order::Rows);
        batch.expect("H", &h, lead, &[n, n], number)?;
        let h = h.by_rows()?;
        let a_bar = batch.shaped(lead, &[n, n], number, rows)?;
        let values_bar_bar = batch.shaped(lead, &[n], real, rows)?;
        let vectors_bar_bar = batch.shaped(lead, &[n, n], number, Order::Columns)?;
        let status = batch.shaped(lead, &[], INT32, rows)?;
        batch.run(DoubleBackward {
            pairs: pairs.at(),
            directions: batch.directions(lead)?,
            cotangents: bars.at(),
            h: h.address(),
            a_bar: a_bar.address(),
            values_bar_bar: values_bar_bar.address(),
            vectors_bar_bar: vectors_bar_bar.address(),
            status: status.address(),
        })?;
        Ok(vec![a_bar, values_bar_bar, vectors_bar_bar, status])
    }
}

/// Ȧ ↦ λ̇, V̇, status.
struct JvpKernel;

impl Operator for JvpKernel {
    const TENSORS: usize = 5;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, [a_dot]) = split(tensors)?;
        let pairs = Pairs::of(pairs, numbers)?;
        let batch = &pairs.batch;
        let (n, (number, real), rows) = (batch.n, numbers_of(batch.dtype), Order::Rows);
        let lead = a_dot.shape().split_last_chunk::<2>().map_or(&[][..], |(lead, _)| lead).to_vec();
        batch.expect("Ȧ", &a_dot, &lead, &[n, n], number)?;
        let a_dot = a_dot.by_rows()?;
        let values = batch.shaped(&lead, &[n], real, rows)?;
        let vectors = batch.shaped(&lead, &[n, n], number, Order::Columns)?;
        let status = batch.shaped(&lead, &[], INT32, rows)?;
        batch.run(Jvp {
            pairs: pairs.at(),
            directions: batch.directions(&lead)?,
            a_dot: a_dot.address(),
            values: values.address(),
            vectors: vectors.address(),
            status: status.address(),
        })?;
        Ok(vec![values, vectors, status])
    }
}

/// Memory for Hermitian matrices and their statuses.
fn hermitian(batch: &Batch) -> Result<(Vec<Tensor>, ResultAt), String> {
    let data = batch.shaped(&batch.lead, &[batch.n, batch.n], numbers_of(batch.dtype).0, Order::Rows)?;
    let status = batch.shaped(&batch.lead, &[], INT32, Order::Rows)?;
    let at = ResultAt { data: data.address(), status: status.address() };
    Ok((vec![data, status], at))
}

/// (λ̄, V̄, Ȧ, λ̄̇, V̄̇) ↦ the tangent of Ā, status.
struct BackwardJvpKernel;

impl Operator for BackwardJvpKernel {
    const TENSORS: usize = 9;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, [values, vectors, a_dot, values_dot, vectors_dot]) = split(tensors)?;
        let pairs = Pairs::of(pairs, numbers)?;
        let batch = &pairs.batch;
        let (bars, dots) = (Bars::of(batch, values, vectors)?, Bars::of(batch, values_dot, vectors_dot)?);
        batch.expect("Ȧ", &a_dot, &batch.lead, &[batch.n, batch.n], numbers_of(batch.dtype).0)?;
        if bars.lead != batch.lead || dots.lead != batch.lead {
            return Err("eigengrad: cotangents of another batch".to_owned());
        }
        let (a_dot, (results, out)) = (a_dot.by_rows()?, hermitian(batch)?);
        let operation =
            BackwardJvp { pairs: pairs.at(), cotangents: bars.at(), a_dot: a_dot.address(), cotangents_dot: dots.at(), out };
        batch.run(operation)?;
        Ok(results)
    }
}

/// f(λ) and f′(λ), `[..., n]`, of a function that is not named.
struct Given([Tensor; 2]);

impl Given {
    /// Checks them for a batch; a named function has none.
    fn of(batch: &Batch, number: i64, tensors: [Tensor; 2]) -> Result<Option<Self>, String> {
        if number >= 0 {
            return Ok(None);
        }
        let real = numbers_of(batch.dtype).1;
        for tensor in &tensors {
            batch.expect("f of the eigenvalues", tensor, &batch.lead, &[batch.n], real)?;
        }
        let [values, slopes] = tensors;
        Ok(Some(Self([values.by_rows()?, slopes.by_rows()?])))
    }
}

/// What the kernels of functions begin with: pairs, a function, and the numbers behind it.
struct FunctionOfPairs {
    pairs: Pairs,
    given: Option<Given>,
    number: i64,
    exponent: f64,
}

impl FunctionOfPairs {
    /// The numbers are that of the function, negative if it is given, its exponent, so many more,
    /// and the request.
    fn of(pairs: [Tensor; 4], given: [Tensor; 2], numbers: &[u64], more: usize) -> Result<Self, String> {
        let &[number, exponent, ref rest @ ..] = numbers else {
            return Err("eigengrad: a function is a number and an exponent".to_owned());
        };
        let pairs = Pairs::of(pairs, rest.get(more..).unwrap_or_default())?;
        let (number, exponent) = (number as i64, f64::from_bits(exponent));
        let given = Given::of(&pairs.batch, number, given)?;
        Ok(Self { pairs, given, number, exponent })
    }

    fn at(&self) -> FunctionAt {
        match &self.given {
            None => FunctionAt::Named(request::function(self.number, self.exponent)),
            Some(Given([values, slopes])) => FunctionAt::Given { values: values.address(), slopes: slopes.address() },
        }
    }
}

/// Function, derivative ↦ f(A) or f′(A), status.
struct SpectralKernel;

impl Operator for SpectralKernel {
    const TENSORS: usize = 6;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, given) = split(tensors)?;
        let of = FunctionOfPairs::of(pairs, given, numbers, 1)?;
        let (results, out) = hermitian(&of.pairs.batch)?;
        let derivative = if numbers[2] == 0 { Derivative::Zeroth } else { Derivative::First };
        of.pairs.batch.run(SpectralOf { pairs: of.pairs.at(), function: of.at(), derivative, out })?;
        Ok(results)
    }
}

/// Function, E ↦ the derivative of f(A) along E, status.
struct SpectralDerivativeKernel;

impl Operator for SpectralDerivativeKernel {
    const TENSORS: usize = 7;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, [values, slopes, e]) = split(tensors)?;
        let of = FunctionOfPairs::of(pairs, [values, slopes], numbers, 0)?;
        let batch = &of.pairs.batch;
        batch.expect("E", &e, &batch.lead, &[batch.n, batch.n], numbers_of(batch.dtype).0)?;
        let (e, (results, out)) = (e.by_rows()?, hermitian(batch)?);
        batch.run(SpectralDerivative { pairs: of.pairs.at(), function: of.at(), e: e.address(), out })?;
        Ok(results)
    }
}

/// Function ↦ tr f(A), status.
struct TraceKernel;

impl Operator for TraceKernel {
    const TENSORS: usize = 6;

    fn run(tensors: Vec<Tensor>, numbers: &[u64]) -> Result<Vec<Tensor>, String> {
        let (pairs, given) = split(tensors)?;
        let of = FunctionOfPairs::of(pairs, given, numbers, 0)?;
        let batch = &of.pairs.batch;
        let trace = batch.shaped(&batch.lead, &[], numbers_of(batch.dtype).1, Order::Rows)?;
        let status = batch.shaped(&batch.lead, &[], INT32, Order::Rows)?;
        let operation = TraceOf { pairs: of.pairs.at(), function: of.at(), trace: trace.address(), status: status.address() };
        batch.run(operation)?;
        Ok(vec![trace, status])
    }
}
