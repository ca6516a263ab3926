//! libnvrtc: programs, compiled by g++ into what the emulator's driver loads.

use crate::answer::{store, text};
use crate::census::{self, Kind};
use crate::compile::{self, Unit};
use crate::fault;
use crate::handle::{self, Table, lock};
use crate::options::{ARCHITECTURES, Options};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex};

const PROGRAM_CREATION_FAILURE: c_int = 2;
const INVALID_INPUT: c_int = 3;
const INVALID_PROGRAM: c_int = 4;
const INVALID_OPTION: c_int = 5;
const COMPILATION: c_int = 6;
const NO_NAMES_AFTER_COMPILATION: c_int = 8;
const NO_LOWERED_NAMES_BEFORE_COMPILATION: c_int = 9;
const NAME_NOT_VALID: c_int = 10;
const INTERNAL_ERROR: c_int = 11;

struct Program {
    source: String,
    name: String,
    headers: Vec<(String, String)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    expressions: Vec<String>,
    outcome: Option<Outcome>,
}

struct Outcome {
    log: String,
    image: Option<Image>,
}

struct Image {
    bytes: Vec<u8>,
    is_virtual: bool,
    /// The lowered names by their expressions.
    names: Vec<(CString, String)>,
}

static PROGRAMS: Table<Program> = Table::new();

fn of(program: *mut c_void) -> Result<Arc<Program>, c_int> {
    PROGRAMS.get(program).ok_or(INVALID_PROGRAM)
}

fn answer(call: &'static str, body: impl FnOnce() -> Result<(), c_int>) -> c_int {
    if fault::strikes(call) {
        return INTERNAL_ERROR;
    }
    match body() {
        Ok(()) => 0,
        Err(1) => INVALID_INPUT, // from `store`
        Err(code) => code,
    }
}

/// An array of strings.
fn texts(strings: *const *const c_char, count: c_int) -> Result<Vec<String>, c_int> {
    let count = usize::try_from(count).map_err(|_| INVALID_INPUT)?;
    if count > 0 && strings.is_null() {
        return Err(INVALID_INPUT);
    }
    // SAFETY: the caller says that so many strings are there.
    (0..count).map(|i| text(unsafe { *strings.add(i) }).ok_or(INVALID_INPUT)).collect()
}

#[unsafe(no_mangle)]
extern "C" fn nvrtcVersion(major: *mut c_int, minor: *mut c_int) -> c_int {
    answer("nvrtcVersion", || store(major, 13).and(store(minor, 0)))
}

#[unsafe(no_mangle)]
extern "C" fn nvrtcGetNumSupportedArchs(out: *mut c_int) -> c_int {
    answer("nvrtcGetNumSupportedArchs", || store(out, ARCHITECTURES.len() as c_int))
}

#[unsafe(no_mangle)]
extern "C" fn nvrtcGetSupportedArchs(out: *mut [c_int; ARCHITECTURES.len()]) -> c_int {
    answer("nvrtcGetSupportedArchs", || store(out, ARCHITECTURES))
}

#[unsafe(no_mangle)]
extern "C" fn nvrtcCreateProgram(
    out: *mut *mut c_void,
    source: *const c_char,
    name: *const c_char,
    headers: c_int,
    contents: *const *const c_char,
    names: *const *const c_char,
) -> c_int {
    if fault::strikes("nvrtcCreateProgram") {
        return PROGRAM_CREATION_FAILURE;
    }
    let create = || {
        let source = text(source).ok_or(INVALID_INPUT)?;
        let name = text(name).filter(|name| !name.is_empty()).unwrap_or_else(|| "default_program".to_owned());
        let headers = texts(names, headers)?.into_iter().zip(texts(contents, headers)?).collect();
        let program = handle::fresh();
        store(out, program as *mut c_void).map_err(|_| INVALID_INPUT)?;
        PROGRAMS.insert(program, Arc::new(Program { source, name, headers, state: Mutex::default() }));
        census::born(Kind::Program, program);
        Ok(())
    };
    create().err().unwrap_or(0)
}

/// Destroys the program even if it then fails on purpose.
#[unsafe(no_mangle)]
extern "C" fn nvrtcDestroyProgram(program: *mut *mut c_void) -> c_int {
    let strikes = fault::strikes("nvrtcDestroyProgram");
    if program.is_null() {
        return INVALID_PROGRAM;
    }
    // SAFETY: not null, and a pointer to a program by the documentation.
    let name = unsafe { program.read() };
    match PROGRAMS.remove(name) {
        Some(_) => {
            census::died(Kind::Program, name.addr());
            // cudarc gives a pointer to what must not change, so that it is not set to null.
            if strikes { INTERNAL_ERROR } else { 0 }
        }
        None => INVALID_PROGRAM,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvrtcAddNameExpression(program: *mut c_void, expression: *const c_char) -> c_int {
    answer("nvrtcAddNameExpression", || {
        let (program, expression) = (of(program)?, text(expression).ok_or(INVALID_INPUT)?);
        let mut state = lock(&program.state);
        if state.outcome.is_some() {
            return Err(NO_NAMES_AFTER_COMPILATION);
        }
        state.expressions.push(expression);
        Ok(())
    })
}

/// The names of `extern "C" __global__` functions, which need no name expression.
fn plain_kernels(source: &str) -> Vec<String> {
    let after = |text: &str| -> Option<String> {
        let text = text.trim_start().strip_prefix("__global__")?;
        let mut text = text.trim_start().strip_prefix("void")?.trim_start();
        if let Some(bounds) = text.strip_prefix("__launch_bounds__") {
            text = bounds.split_once(')')?.1.trim_start();
        }
        let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!name.is_empty()).then_some(name)
    };
    source.split("extern \"C\"").skip(1).filter_map(after).collect()
}

#[unsafe(no_mangle)]
extern "C" fn nvrtcCompileProgram(program: *mut c_void, count: c_int, options: *const *const c_char) -> c_int {
    answer("nvrtcCompileProgram", || {
        let program = of(program)?;
        let mut state = lock(&program.state);
        let options = Options::parse(&texts(options, count)?);
        let options = options.map_err(|log| {
            state.outcome = Some(Outcome { log: format!("nvrtc: error: {log}\n"), image: None });
            INVALID_OPTION
        })?;
        let lowered = (0..).map(|i: usize| format!("eigengrad_kernel_{i}"));
        let plain = plain_kernels(&program.source).into_iter().map(|name| (name.clone(), name));
        let kernels: Vec<_> = lowered.zip(state.expressions.iter().cloned()).chain(plain).collect();
        let unit = Unit { name: &program.name, source: &program.source, headers: &program.headers, kernels: &kernels };
        match compile::compile(&unit, &options) {
            Ok((bytes, log)) => {
                let names = kernels.into_iter().filter_map(|(name, expression)| Some((CString::new(name).ok()?, expression)));
                state.outcome =
                    Some(Outcome { log, image: Some(Image { bytes, is_virtual: options.is_virtual(), names: names.collect() }) });
                Ok(())
            }
            Err(log) => {
                state.outcome = Some(Outcome { log, image: None });
                Err(COMPILATION)
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvrtcGetLoweredName(program: *mut c_void, expression: *const c_char, out: *mut *const c_char) -> c_int {
    answer("nvrtcGetLoweredName", || {
        let (program, expression) = (of(program)?, text(expression).ok_or(INVALID_INPUT)?);
        let state = lock(&program.state);
        let outcome = state.outcome.as_ref().and_then(|outcome| outcome.image.as_ref());
        let image = outcome.ok_or(NO_LOWERED_NAMES_BEFORE_COMPILATION)?;
        let (name, _) = image.names.iter().find(|(_, known)| *known == expression).ok_or(NAME_NOT_VALID)?;
        store(out, name.as_ptr()) // valid as long as the program
    })
}

/// What is read from a compiled program.
#[derive(Clone, Copy)]
enum Part {
    /// None for a virtual architecture.
    Cubin,
    /// The same bytes.
    Ptx,
    /// With a final zero.
    Log,
}

impl Part {
    fn with<T>(self, program: *mut c_void, use_it: impl FnOnce(&[u8]) -> Result<T, c_int>) -> Result<T, c_int> {
        let program = of(program)?;
        let state = lock(&program.state);
        let outcome = state.outcome.as_ref().ok_or(INVALID_PROGRAM)?;
        match (self, &outcome.image) {
            (Self::Log, _) => use_it(CString::new(outcome.log.replace('\0', "")).unwrap_or_default().as_bytes_with_nul()),
            (_, None) => Err(INVALID_PROGRAM),
            (Self::Cubin, Some(image)) if image.is_virtual => use_it(&[]),
            (_, Some(image)) => use_it(&image.bytes),
        }
    }

    fn copy(self, program: *mut c_void, out: *mut u8) -> Result<(), c_int> {
        self.with(program, |bytes| {
            if out.is_null() {
                return Err(INVALID_INPUT);
            }
            // SAFETY: by the documentation there is room for as many bytes as the function for the
            // size tells.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, bytes.len()) };
            Ok(())
        })
    }
}

macro_rules! parts {
    ($($size:ident $get:ident = $part:ident;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $size(program: *mut c_void, out: *mut usize) -> c_int {
            answer(stringify!($size), || store(out, Part::$part.with(program, |bytes| Ok(bytes.len()))?))
        }

        #[unsafe(no_mangle)]
        extern "C" fn $get(program: *mut c_void, out: *mut u8) -> c_int {
            answer(stringify!($get), || Part::$part.copy(program, out))
        }
    )*};
}
parts! {
    nvrtcGetCUBINSize nvrtcGetCUBIN = Cubin;
    nvrtcGetPTXSize nvrtcGetPTX = Ptx;
    nvrtcGetProgramLogSize nvrtcGetProgramLog = Log;
}

const RESULTS: [&CStr; 13] = [
    c"NVRTC_SUCCESS",
    c"NVRTC_ERROR_OUT_OF_MEMORY",
    c"NVRTC_ERROR_PROGRAM_CREATION_FAILURE",
    c"NVRTC_ERROR_INVALID_INPUT",
    c"NVRTC_ERROR_INVALID_PROGRAM",
    c"NVRTC_ERROR_INVALID_OPTION",
    c"NVRTC_ERROR_COMPILATION",
    c"NVRTC_ERROR_BUILTIN_OPERATION_FAILURE",
    c"NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION",
    c"NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION",
    c"NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID",
    c"NVRTC_ERROR_INTERNAL_ERROR",
    c"NVRTC_ERROR_TIME_FILE_WRITE_FAILED",
];

#[unsafe(no_mangle)]
extern "C" fn nvrtcGetErrorString(code: c_int) -> *const c_char {
    usize::try_from(code).ok().and_then(|code| RESULTS.get(code)).unwrap_or(&c"NVRTC_ERROR unknown").as_ptr()
}
