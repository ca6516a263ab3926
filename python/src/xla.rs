//! Handlers for JAX, by the C interface of XLA's custom calls: structs of `xla/ffi/api/c_api.h`, of
//! which nothing is linked. `eigengrad/jax.py` registers them, and says what their operands are.

use crate::request::{self, Request};
use eigengrad::Derivative;
use eigengrad_door::{
    Address, Backward, BackwardFactor, Call, CotangentsAt, DoubleBackward, Dtype, Eigh, EighFactor, FidelityOf, FunctionAt,
    Memory, Operation, PairsAt, Place, ResultAt, SpectralDerivative, SpectralOf, SpectrumAt, TraceOf,
};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::{ptr, slice, thread};

/// The version of the interface that these structs are of.
const VERSION: (c_int, c_int) = (0, 3);

#[repr(C)]
struct Extension {
    size: usize,
    kind: c_int,
    next: *mut Extension,
}

#[repr(C)]
struct Version {
    size: usize,
    extension: *mut Extension,
    major: c_int,
    minor: c_int,
}

#[repr(C)]
struct Metadata {
    size: usize,
    version: Version,
    traits: u32,
}

/// The extension by which XLA asks for the version of a handler.
#[repr(C)]
struct MetadataExtension {
    base: Extension,
    metadata: *mut Metadata,
}

const METADATA: c_int = 1;

/// The trait of handlers whose work may be captured and replayed.
const COMMAND_BUFFER_COMPATIBLE: u32 = 1;

#[repr(C)]
struct ErrorArguments {
    size: usize,
    extension: *mut Extension,
    message: *const c_char,
    code: c_int,
}

const INVALID_ARGUMENT: c_int = 3;

type Failure = *mut c_void;

/// Of an error that is to be freed.
#[repr(C)]
struct DestroyArguments {
    size: usize,
    extension: *mut Extension,
    error: Failure,
}

/// Of what tells the stream of a call.
#[repr(C)]
struct StreamArguments {
    size: usize,
    extension: *mut Extension,
    context: *mut c_void,
    stream: *mut c_void,
}

/// Of what tells the device of a call.
#[repr(C)]
struct OrdinalArguments {
    size: usize,
    extension: *mut Extension,
    context: *mut c_void,
    ordinal: i32,
}

/// Of what gives memory of the device.
#[repr(C)]
struct AllocateArguments {
    size: usize,
    extension: *mut Extension,
    context: *mut c_void,
    bytes: usize,
    alignment: usize,
    data: *mut c_void,
}

/// Of what takes it back.
#[repr(C)]
struct FreeArguments {
    size: usize,
    extension: *mut Extension,
    context: *mut c_void,
    bytes: usize,
    data: *mut c_void,
}

/// A function of the interface.
type Method<A> = unsafe extern "C" fn(*mut A) -> Failure;

/// The functions of the interface, those that are not used without their types.
#[repr(C)]
struct Api {
    size: usize,
    extension: *mut Extension,
    version: Version,
    internal: *const c_void,
    error: Method<ErrorArguments>,
    message: usize,
    destroy: Method<DestroyArguments>,
    register: usize,
    stream: Method<StreamArguments>,
    /// Types, contexts and states.
    states: [usize; 4],
    allocate: Method<AllocateArguments>,
    free: Method<FreeArguments>,
    /// Threads, futures and runs.
    runs: [usize; 6],
    ordinal: Method<OrdinalArguments>,
}

#[repr(C)]
struct Buffer {
    size: usize,
    extension: *mut Extension,
    dtype: c_int,
    data: *mut c_void,
    rank: i64,
    dims: *const i64,
}

/// Operands, or results.
#[repr(C)]
struct Buffers {
    size: usize,
    extension: *mut Extension,
    count: i64,
    types: *const c_int,
    buffers: *const *const Buffer,
}

#[repr(C)]
struct Name {
    start: *const u8,
    len: usize,
}

#[repr(C)]
struct Number {
    dtype: c_int,
    value: *const c_void,
}

/// Numbers by their names.
#[repr(C)]
struct Attributes {
    size: usize,
    extension: *mut Extension,
    count: i64,
    types: *const c_int,
    names: *const *const Name,
    values: *const *const Number,
}

/// A call.
#[repr(C)]
pub struct Frame {
    size: usize,
    extension: *mut Extension,
    api: *const Api,
    context: *mut c_void,
    stage: c_int,
    operands: Buffers,
    results: Buffers,
    attributes: Attributes,
}

const SCALAR: c_int = 3;
const INT64: c_int = 5;
const FLOAT64: c_int = 12;

/// A handler of an operation.
trait Handler {
    /// Whether it enqueues the same work at each call, and does not wait for it.
    const REPLAYED: bool = true;
    /// Does it.
    ///
    /// # Errors
    /// What the user is told.
    fn run(frame: &Arguments<'_>) -> Result<(), String>;
}

/// Operands, results and attributes of a call, which live as long as it; and whether they are on a
/// GPU.
struct Arguments<'a> {
    frame: &'a Frame,
    cuda: bool,
}

// SAFETY: XLA takes calls to its interface from any thread while a handler runs.
unsafe impl Sync for Arguments<'_> {}

impl<'a> Arguments<'a> {
    fn api(&self) -> &'a Api {
        // SAFETY: XLA's interface outlives the call.
        unsafe { &*self.frame.api }
    }

    /// Calls a function of the interface, and frees the error that it may give.
    fn called<A>(&self, method: Method<A>, arguments: &mut A, what: &str) -> Result<(), String> {
        // SAFETY: the arguments are those of the function.
        let error = unsafe { method(arguments) };
        if error.is_null() {
            return Ok(());
        }
        let mut destroyed = DestroyArguments { size: size_of::<DestroyArguments>(), extension: ptr::null_mut(), error };
        // SAFETY: as above.
        unsafe { (self.api().destroy)(&raw mut destroyed) };
        Err(format!("eigengrad: XLA has no {what} for this call"))
    }

    /// Does the work of an operation, or has it enqueued.
    fn done(&self, call: &Call<'_>, operation: impl Into<Operation>) -> Result<(), String> {
        // SAFETY: `eigengrad/jax.py` makes operands and results of the types and shapes that the
        // handlers name; XLA keeps them during the call, and nobody else has the results.
        let run = |call: &Call<'_>| unsafe { call.run(operation) }.map_err(|e| format!("eigengrad: {e}"));
        if !self.cuda {
            return run(call);
        }
        let (context, extension) = (self.frame.context, ptr::null_mut());
        if self.api().size < size_of::<Api>() {
            return Err("eigengrad needs a newer XLA for GPUs: it does not name the device of a call".to_owned());
        }
        let mut stream = StreamArguments { size: size_of::<StreamArguments>(), extension, context, stream: ptr::null_mut() };
        self.called(self.api().stream, &mut stream, "stream")?;
        let mut device = OrdinalArguments { size: size_of::<OrdinalArguments>(), extension, context, ordinal: 0 };
        self.called(self.api().ordinal, &mut device, "device")?;
        let lent = Mutex::new(Vec::new());
        let memory = |bytes| {
            if bytes == 0 {
                return Some(0);
            }
            let data = ptr::null_mut();
            let (size, extension, alignment) = (size_of::<AllocateArguments>(), ptr::null_mut(), 256);
            let mut asked = AllocateArguments { size, extension, context: self.frame.context, bytes, alignment, data };
            self.called(self.api().allocate, &mut asked, "memory").ok()?;
            let address = asked.data as Address;
            lent.lock().ok()?.push((address, bytes));
            (address != 0).then_some(address)
        };
        let place = Place::Cuda { ordinal: device.ordinal as usize, stream: stream.stream as usize, memory: Memory(&memory) };
        let done = run(&Call { place, ..*call });
        // Whoever is given it next on this stream comes behind what was enqueued.
        for (address, bytes) in lent.into_inner().unwrap_or_default() {
            let (size, data) = (size_of::<FreeArguments>(), address as *mut c_void);
            let mut back = FreeArguments { size, extension, context, bytes, data };
            self.called(self.api().free, &mut back, "way to free memory")?;
        }
        done
    }

    fn buffer(of: &'a Buffers, at: usize) -> Result<&'a Buffer, String> {
        // SAFETY: XLA has as many pointers as it says, to buffers that live during the call.
        let all = unsafe { items(of.buffers.cast::<&Buffer>(), of.count) };
        all.get(at).copied().ok_or_else(|| "eigengrad: a buffer is missing".to_owned())
    }

    fn operand(&self, at: usize) -> Result<Address, String> {
        Ok(Self::buffer(&self.frame.operands, at)?.data as Address)
    }

    fn result(&self, at: usize) -> Result<Address, String> {
        Ok(Self::buffer(&self.frame.results, at)?.data as Address)
    }

    /// A number by its name, as its bits.
    fn attribute(&self, name: &str, dtype: c_int) -> Result<u64, String> {
        let Attributes { count, types, names, values, .. } = self.frame.attributes;
        // SAFETY: XLA has as many types as it says,
        let types = unsafe { items(types, count) };
        // SAFETY: names,
        let names = unsafe { items(names.cast::<&Name>(), count) };
        // SAFETY: and values.
        let values = unsafe { items(values.cast::<&Number>(), count) };
        for ((&kind, of), number) in types.iter().zip(names).zip(values) {
            // SAFETY: a name is so many bytes.
            let bytes = unsafe { items(of.start, of.len as i64) };
            if kind == SCALAR && bytes == name.as_bytes() && number.dtype == dtype {
                // SAFETY: both types of numbers that are asked for have 8 bytes.
                return Ok(unsafe { number.value.cast::<u64>().read_unaligned() });
            }
        }
        Err(format!("eigengrad: the attribute {name} is missing"))
    }

    fn float(&self, name: &str) -> Result<f64, String> {
        self.attribute(name, FLOAT64).map(f64::from_bits)
    }

    fn int(&self, name: &str) -> Result<i64, String> {
        self.attribute(name, INT64).map(|bits| bits as i64)
    }

    fn request(&self) -> Result<Request, String> {
        Ok(Request {
            atol: self.float("atol")?,
            rtol: self.float("rtol")?,
            tie_rtol: self.float("tie_rtol")?,
            rank: self.int("rank")?,
            choices: self.int("choices")?,
        })
    }

    fn function(&self) -> Result<FunctionAt, String> {
        Ok(FunctionAt::Named(request::function(self.int("function")?, self.float("exponent")?)))
    }

    /// The batch whose matrices are operand `at`, `[..., n, n]`.
    fn call(&self, at: usize) -> Result<Call<'static>, String> {
        match self.factors(at)? {
            (call, columns) if call.n == columns => Ok(call),
            (call, columns) => Err(format!("eigengrad: expected square matrices [..., n, n], got [..., {columns}, {}]", call.n)),
        }
    }

    /// The batch whose factors, by their columns, are operand `at`, `[..., k, i]`; and how many
    /// columns they have.
    fn factors(&self, at: usize) -> Result<(Call<'static>, usize), String> {
        let buffer = Self::buffer(&self.frame.operands, at)?;
        let dtype = match buffer.dtype {
            11 => Dtype::F32,
            12 => Dtype::F64,
            15 => Dtype::Complex64,
            18 => Dtype::Complex128,
            _ => return Err("eigengrad: expected float32, float64, complex64 or complex128".to_owned()),
        };
        // SAFETY: a buffer has as many extents as it says.
        let dims = unsafe { items(buffer.dims, buffer.rank) };
        let &[ref lead @ .., columns, n] = dims else {
            return Err("eigengrad: expected matrices [..., n, n]".to_owned());
        };
        let batch = lead.iter().product::<i64>() as usize;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Ok((
            Call { dtype, batch, n: n as usize, options: self.request()?.options(), place: Place::Cpu { threads } },
            columns as usize,
        ))
    }

    /// λ, V by its columns, kept, status: the first operands of what is done with eigenpairs.
    fn pairs(&self) -> Result<(Call<'static>, PairsAt), String> {
        Ok((self.call(1)?, self.pairs_at()?))
    }

    fn pairs_at(&self) -> Result<PairsAt, String> {
        Ok(PairsAt { values: self.operand(0)?, vectors: self.operand(1)?, kept: self.operand(2)?, status: self.operand(3)? })
    }

    /// λ, V, kept, rank, status and the gaps, which results of a decomposition begin with; V is the
    /// second.
    fn spectrum(&self) -> Result<SpectrumAt, String> {
        Ok(SpectrumAt {
            values: self.result(0)?,
            kept: self.result(2)?,
            rank: self.result(3)?,
            status: self.result(4)?,
            gap_kept: self.result(5)?,
            gap_dropped: self.result(6)?,
        })
    }

    fn hermitian(&self) -> Result<ResultAt, String> {
        Ok(ResultAt { data: self.result(0)?, status: self.result(1)? })
    }
}

/// So many of what begins at a pointer, which may be null where there are none.
///
/// # Safety
/// They are live, and nobody writes them, while the result is used.
unsafe fn items<'a, T>(start: *const T, count: i64) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: the caller's.
        Ok(count) if count > 0 => unsafe { slice::from_raw_parts(start, count) },
        _ => &[],
    }
}

struct EighHandler;

impl Handler for EighHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let (a, read, vectors) = (arguments.operand(0)?, arguments.request()?.read(), arguments.result(1)?);
        let spectrum = arguments.spectrum()?;
        arguments.done(&arguments.call(0)?, Eigh { a, read, spectrum, vectors, with_vectors: true })
    }
}

struct BackwardHandler;

impl Handler for BackwardHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let (call, pairs) = arguments.pairs()?;
        let operation = Backward {
            pairs,
            directions: 1,
            cotangents: CotangentsAt { values: arguments.operand(4)?, vectors: arguments.operand(5)?, rows: true },
            a_bar: arguments.result(0)?,
            gauge_defect: arguments.result(1)?,
            tie_defect: arguments.result(2)?,
            status: arguments.result(3)?,
        };
        arguments.done(&call, operation)
    }
}

struct DoubleBackwardHandler;

impl Handler for DoubleBackwardHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let (call, pairs) = arguments.pairs()?;
        let operation = DoubleBackward {
            pairs,
            directions: 1,
            cotangents: CotangentsAt { values: arguments.operand(4)?, vectors: arguments.operand(5)?, rows: true },
            h: arguments.operand(6)?,
            a_bar: arguments.result(0)?,
            values_bar_bar: arguments.result(1)?,
            vectors_bar_bar: arguments.result(2)?,
            status: arguments.result(3)?,
        };
        arguments.done(&call, operation)
    }
}

struct SpectralHandler;

impl Handler for SpectralHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let (call, pairs) = arguments.pairs()?;
        let derivative = if arguments.int("derivative")? == 0 { Derivative::Zeroth } else { Derivative::First };
        let out = arguments.hermitian()?;
        arguments.done(&call, SpectralOf { pairs, function: arguments.function()?, derivative, out })
    }
}

struct SpectralDerivativeHandler;

impl Handler for SpectralDerivativeHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let (call, pairs) = arguments.pairs()?;
        let (e, out) = (arguments.operand(4)?, arguments.hermitian()?);
        arguments.done(&call, SpectralDerivative { pairs, function: arguments.function()?, e, out })
    }
}

struct TraceHandler;

impl Handler for TraceHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let (call, pairs) = arguments.pairs()?;
        let (trace, status) = (arguments.result(0)?, arguments.result(1)?);
        arguments.done(&call, TraceOf { pairs, function: arguments.function()?, trace, status })
    }
}

struct EighFactorHandler;

impl Handler for EighFactorHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let ((call, r), spectrum) = (arguments.factors(0)?, arguments.spectrum()?);
        let (vectors, projection) = (arguments.result(1)?, arguments.result(7)?);
        arguments.done(&call, EighFactor { b: arguments.operand(0)?, r, spectrum, vectors, projection })
    }
}

struct BackwardFactorHandler;

impl Handler for BackwardFactorHandler {
    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let ((call, r), pairs) = (arguments.factors(1)?, arguments.pairs_at()?);
        let operation = BackwardFactor {
            pairs,
            projection: arguments.operand(4)?,
            r,
            cotangents: CotangentsAt { values: arguments.operand(5)?, vectors: arguments.operand(6)?, rows: true },
            b_bar: arguments.result(0)?,
            gauge_defect: arguments.result(1)?,
            tie_defect: arguments.result(2)?,
            status: arguments.result(3)?,
        };
        arguments.done(&call, operation)
    }
}

struct FidelityHandler;

impl Handler for FidelityHandler {
    const REPLAYED: bool = false;

    fn run(arguments: &Arguments<'_>) -> Result<(), String> {
        let operation = FidelityOf {
            a: arguments.operand(0)?,
            b: arguments.operand(1)?,
            read: arguments.request()?.read(),
            root: arguments.result(0)?,
            status: arguments.result(1)?,
            a_bar: arguments.result(2)?,
            b_bar: arguments.result(3)?,
        };
        arguments.done(&arguments.call(0)?, operation)
    }
}

/// Says the version of the interface, or does the work of a call; returns null, or an error of
/// XLA's.
///
/// # Safety
/// The frame is XLA's.
unsafe extern "C" fn handle<H: Handler, const CUDA: bool>(frame: *mut Frame) -> Failure {
    // SAFETY: the caller's.
    let frame = unsafe { &*frame };
    let mut extension = frame.extension;
    while !extension.is_null() {
        // SAFETY: XLA's list ends with null.
        let here = unsafe { &*extension };
        if here.kind == METADATA {
            // SAFETY: an extension of this kind is this struct.
            let asked = unsafe { &*extension.cast::<MetadataExtension>() };
            // SAFETY: it is there to be written.
            let metadata = unsafe { &mut *asked.metadata };
            (metadata.version.major, metadata.version.minor) = VERSION;
            // What a call on a GPU enqueues is the same each time, but for fidelities, which wait.
            metadata.traits = if CUDA && H::REPLAYED { COMMAND_BUFFER_COMPATIBLE } else { 0 };
            return ptr::null_mut();
        }
        extension = here.next;
    }
    let done = catch_unwind(AssertUnwindSafe(|| H::run(&Arguments { frame, cuda: CUDA })));
    let message = match done {
        Ok(Ok(())) => return ptr::null_mut(),
        Ok(Err(message)) => message,
        Err(_) => "a fault in eigengrad: please report it".to_owned(),
    };
    let message = CString::new(message).unwrap_or_default();
    let mut arguments = ErrorArguments {
        size: size_of::<ErrorArguments>(),
        extension: ptr::null_mut(),
        message: message.as_ptr(),
        code: INVALID_ARGUMENT,
    };
    // SAFETY: XLA's interface outlives the call.
    let api = unsafe { &*frame.api };
    // SAFETY: it copies the message.
    unsafe { (api.error)(&raw mut arguments) }
}

/// A handler for a platform, as a capsule knows it.
type Target = unsafe extern "C" fn(*mut Frame) -> Failure;

/// A handler by its name, for CPUs and for GPUs.
type Named<'py> = (&'static str, [Bound<'py, PyCapsule>; 2]);

/// The handlers by name, for CPUs and for GPUs, in capsules that JAX registers.
///
/// # Errors
/// Python's, without memory.
#[pyfunction]
pub fn xla_handlers(py: Python<'_>) -> PyResult<Vec<Named<'_>>> {
    fn both<H: Handler>() -> [Target; 2] {
        [handle::<H, false>, handle::<H, true>]
    }
    let all = [
        ("eigengrad_eigh", both::<EighHandler>()),
        ("eigengrad_backward", both::<BackwardHandler>()),
        ("eigengrad_double_backward", both::<DoubleBackwardHandler>()),
        ("eigengrad_spectral", both::<SpectralHandler>()),
        ("eigengrad_spectral_derivative", both::<SpectralDerivativeHandler>()),
        ("eigengrad_trace", both::<TraceHandler>()),
        ("eigengrad_eigh_factor", both::<EighFactorHandler>()),
        ("eigengrad_backward_factor", both::<BackwardFactorHandler>()),
        ("eigengrad_fidelity", both::<FidelityHandler>()),
    ];
    let capsule = |handler: Target| {
        let address = ptr::NonNull::new(handler as *mut c_void);
        let address = address.unwrap_or_else(|| unreachable!("a function has an address"));
        // SAFETY: a function lives as long as the module.
        unsafe { PyCapsule::new_with_pointer(py, address, c"xla._CUSTOM_CALL_TARGET") }
    };
    all.into_iter().map(|(name, [cpu, cuda])| Ok((name, [capsule(cpu)?, capsule(cuda)?]))).collect()
}
