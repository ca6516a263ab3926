//! The door for NumPy: arrays of the caller's by their addresses, results in arrays that are made
//! here.

use crate::error::raised;
use crate::request::{self, Request};
use eigengrad::Derivative;
use eigengrad::num_complex::Complex;
use eigengrad_door::{
    Address, Call, Dtype, Eigh, EighFactor, FidelityOf, FunctionAt, Operation, PairsAt, Place, ResultAt, SpectralOf, SpectrumAt,
    TraceOf,
};
use numpy::{Element, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods, dtype};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

type Untyped<'py> = Bound<'py, PyUntypedArray>;

/// atol, rtol, tie_rtol, rank, choices: a [`Request`].
type RequestTuple = (f64, f64, f64, i64, i64);

fn request((atol, rtol, tie_rtol, rank, choices): RequestTuple) -> Request {
    Request { atol, rtol, tie_rtol, rank, choices }
}

/// The type of an array that lies without gaps in the order of C.
fn dtype_of(array: &Untyped<'_>) -> PyResult<Dtype> {
    let py = array.py();
    let types = [
        (Dtype::F32, dtype::<f32>(py)),
        (Dtype::F64, dtype::<f64>(py)),
        (Dtype::Complex64, dtype::<Complex<f32>>(py)),
        (Dtype::Complex128, dtype::<Complex<f64>>(py)),
    ];
    let of = array.dtype();
    let found = types.into_iter().find_map(|(dtype, other)| of.is_equiv_to(&other).then_some(dtype));
    let found = found.ok_or_else(|| {
        PyTypeError::new_err(format!("arrays of {of} are not decomposed: expected float32, float64, complex64 or complex128"))
    })?;
    if array.is_c_contiguous() { Ok(found) } else { Err(PyValueError::new_err("the array is not contiguous")) }
}

fn address(array: &Untyped<'_>) -> Address {
    // SAFETY: it is an array; the type of its elements does not matter for where they begin.
    unsafe { array.cast_unchecked::<PyArrayDyn<u8>>() }.data() as Address
}

/// The batch shape and n of matrices `[..., n, n]`.
fn matrices<'a>(array: &'a Untyped<'_>) -> PyResult<(&'a [usize], usize)> {
    match array.shape() {
        [batch @ .., rows, columns] if rows == columns => Ok((batch, *rows)),
        shape => Err(PyValueError::new_err(format!("expected square matrices [..., n, n], got an array of shape {shape:?}"))),
    }
}

/// An array without values, and where it is.
fn empty<'py, T: Element>(py: Python<'py>, shape: &[usize]) -> (Untyped<'py>, Address) {
    // SAFETY: whoever asks for it has every element written before it reaches Python.
    let array = unsafe { PyArrayDyn::<T>::new(py, shape, false) };
    let address = array.data() as Address;
    (array.as_untyped().clone(), address)
}

/// As [`empty`], in a type that is known at run time, or the real one beside it.
fn empty_of<'py>(py: Python<'py>, dtype: Dtype, real: bool, shape: &[usize]) -> (Untyped<'py>, Address) {
    match (dtype, real) {
        (Dtype::F32, _) | (Dtype::Complex64, true) => empty::<f32>(py, shape),
        (Dtype::F64, _) | (Dtype::Complex128, true) => empty::<f64>(py, shape),
        (Dtype::Complex64, false) => empty::<Complex<f32>>(py, shape),
        (Dtype::Complex128, false) => empty::<Complex<f64>>(py, shape),
    }
}

fn joined(head: &[usize], tail: &[usize]) -> Vec<usize> {
    [head, tail].concat()
}

/// Does the work without holding the interpreter.
fn run(py: Python<'_>, call: &Call<'_>, operation: impl Into<Operation>) -> PyResult<()> {
    let operation = operation.into();
    // SAFETY: the callers of this have checked types, shapes and contiguity of what they name, and
    // hold it; that nobody writes to an array in another thread is the user's part, as in NumPy.
    py.detach(|| unsafe { call.run(operation) }).map_err(raised)
}

type Decomposed<'py> = (Untyped<'py>, Option<Bound<'py, PyAny>>, Untyped<'py>, Untyped<'py>, Untyped<'py>);

/// λ, V, kept, (rank, status), (gap_kept, gap_dropped) of `a`; V is None where only λ is asked for.
#[pyfunction]
pub fn eigh<'py>(
    py: Python<'py>,
    a: &Untyped<'py>,
    asked: RequestTuple,
    threads: usize,
    with_vectors: bool,
) -> PyResult<Decomposed<'py>> {
    let (dtype, (lead, n), asked) = (dtype_of(a)?, matrices(a)?, request(asked));
    let batch = lead.iter().product();
    let ([values, kept, info, gaps], spectrum) = spectrum(py, dtype, lead, n);
    let (vectors, vectors_at) = match with_vectors {
        true => empty_of(py, dtype, false, a.shape()),
        false => empty::<f32>(py, &[0]),
    };
    let operation = Eigh { a: address(a), read: asked.read(), spectrum, vectors: vectors_at, with_vectors };
    run(py, &Call { dtype, batch, n, options: asked.options(), place: Place::Cpu { threads } }, operation)?;
    let vectors = with_vectors.then(|| vectors.call_method1(intern!(py, "swapaxes"), (-1, -2))).transpose()?;
    Ok((values, vectors, kept, info, gaps))
}

/// Memory for λ, kept, (rank, status) and the gaps of so many pairs a matrix, and where it is.
fn spectrum<'py>(py: Python<'py>, dtype: Dtype, lead: &[usize], pairs: usize) -> ([Untyped<'py>; 4], SpectrumAt) {
    let (batch, rows) = (lead.iter().product::<usize>(), joined(lead, &[pairs]));
    let (values, values_at) = empty_of(py, dtype, true, &rows);
    let (kept, kept_at) = empty::<bool>(py, &rows);
    let (info, info_at) = empty::<i32>(py, &joined(&[2], lead));
    let (gaps, gaps_at) = empty_of(py, dtype, true, &joined(&[2], lead));
    let at = SpectrumAt {
        values: values_at,
        kept: kept_at,
        rank: info_at,
        status: info_at + 4 * batch,
        gap_kept: gaps_at,
        gap_dropped: gaps_at + dtype.real_size() * batch,
    };
    ([values, kept, info, gaps], at)
}

/// As [`eigh`], of B Bᴴ for factors by their columns, `[..., k, i]`.
#[pyfunction]
pub fn eigh_factor<'py>(py: Python<'py>, b: &Untyped<'py>, asked: RequestTuple, threads: usize) -> PyResult<Decomposed<'py>> {
    let (dtype, asked) = (dtype_of(b)?, request(asked));
    let &[ref lead @ .., r, n] = b.shape() else {
        return Err(PyValueError::new_err(format!("expected factors [..., n, r], got an array of shape {:?}", b.shape())));
    };
    let ([values, kept, info, gaps], spectrum) = spectrum(py, dtype, lead, r);
    let (vectors, vectors_at) = empty_of(py, dtype, false, b.shape());
    let (_projection, projection) = empty_of(py, dtype, false, &joined(lead, &[r, r]));
    let call = Call { dtype, batch: lead.iter().product(), n, options: asked.options(), place: Place::Cpu { threads } };
    run(py, &call, EighFactor { b: address(b), r, spectrum, vectors: vectors_at, projection })?;
    Ok((values, Some(vectors.call_method1(intern!(py, "swapaxes"), (-1, -2))?), kept, info, gaps))
}

/// The root of the fidelity of A and B, and statuses.
#[pyfunction]
pub fn fidelity<'py>(
    py: Python<'py>,
    a: &Untyped<'py>,
    b: &Untyped<'py>,
    asked: RequestTuple,
    threads: usize,
) -> PyResult<(Untyped<'py>, Untyped<'py>)> {
    let (dtype, (lead, n), asked) = (dtype_of(a)?, matrices(a)?, request(asked));
    if dtype_of(b)? != dtype || b.shape() != a.shape() {
        return Err(PyValueError::new_err("A and B have another type or shape than each other"));
    }
    let (root, root_at) = empty_of(py, dtype, true, lead);
    let (statuses, status) = empty::<i32>(py, lead);
    let ((_a_bar, a_bar), (_b_bar, b_bar)) = (empty_of(py, dtype, false, a.shape()), empty_of(py, dtype, false, a.shape()));
    let call = Call { dtype, batch: lead.iter().product(), n, options: asked.options(), place: Place::Cpu { threads } };
    run(py, &call, FidelityOf { a: address(a), b: address(b), read: asked.read(), root: root_at, status, a_bar, b_bar })?;
    Ok((root, statuses))
}

/// Eigenpairs that [`eigh`] made: λ, V, kept, info.
type Pairs<'py> = (Untyped<'py>, Untyped<'py>, Untyped<'py>, Untyped<'py>);

/// Checks eigenpairs, whose V is given by its columns `[..., k, i]`.
fn pairs(pairs: &Pairs<'_>, asked: Request, threads: usize) -> PyResult<(Call<'static>, PairsAt)> {
    let (values, vectors, kept, info) = pairs;
    let (dtype, (lead, n)) = (dtype_of(vectors)?, matrices(vectors)?);
    let (batch, rows, py) = (lead.iter().product(), joined(lead, &[n]), vectors.py());
    let real = empty_of(py, dtype, true, &[0]).0.dtype();
    let fits = |array: &Untyped<'_>, dtype: &Bound<'_, numpy::PyArrayDescr>, shape: &[usize]| {
        array.is_c_contiguous() && array.dtype().is_equiv_to(dtype) && array.shape() == shape
    };
    let all = fits(values, &real, &rows)
        && fits(kept, &numpy::dtype::<bool>(py), &rows)
        && fits(info, &numpy::dtype::<i32>(py), &joined(&[2], lead));
    if !all {
        return Err(PyValueError::new_err("these are not the eigenvalues, kept and info of these eigenvectors"));
    }
    let at =
        PairsAt { values: address(values), kept: address(kept), status: address(info) + 4 * batch, vectors: address(vectors) };
    Ok((Call { dtype, batch, n, options: asked.options(), place: Place::Cpu { threads } }, at))
}

/// A function by its number and exponent, or f(λ) and f′(λ) as arrays.
#[derive(FromPyObject)]
pub enum FunctionOf<'py> {
    Named((i64, f64)),
    Given((Untyped<'py>, Untyped<'py>)),
}

impl FunctionOf<'_> {
    /// Checks it for eigenvalues like these.
    fn at(&self, eigenvalues: &Untyped<'_>) -> PyResult<FunctionAt> {
        match self {
            &Self::Named((number, exponent)) => Ok(FunctionAt::Named(request::function(number, exponent))),
            Self::Given((values, slopes)) => {
                let like = |array: &Untyped<'_>| {
                    array.is_c_contiguous()
                        && array.shape() == eigenvalues.shape()
                        && array.dtype().is_equiv_to(&eigenvalues.dtype())
                };
                if !like(values) || !like(slopes) {
                    return Err(PyValueError::new_err("f and f' of the eigenvalues have another shape or type than those"));
                }
                Ok(FunctionAt::Given { values: address(values), slopes: address(slopes) })
            }
        }
    }
}

/// f(A) of eigenpairs, and statuses.
#[pyfunction]
pub fn spectral<'py>(
    py: Python<'py>,
    of: Pairs<'py>,
    function: FunctionOf<'py>,
    asked: RequestTuple,
    threads: usize,
) -> PyResult<(Untyped<'py>, Untyped<'py>)> {
    let (call, at) = pairs(&of, request(asked), threads)?;
    let (result, status, out) = hermitian(py, &call, of.1.shape());
    run(py, &call, SpectralOf { pairs: at, function: function.at(&of.0)?, derivative: Derivative::Zeroth, out })?;
    Ok((result, status))
}

/// Memory for a Hermitian matrix and a status for each.
fn hermitian<'py>(py: Python<'py>, call: &Call<'_>, shape: &[usize]) -> (Untyped<'py>, Untyped<'py>, ResultAt) {
    let (result, data) = empty_of(py, call.dtype, false, shape);
    let (statuses, status) = empty::<i32>(py, &shape[..shape.len() - 2]);
    (result, statuses, ResultAt { data, status })
}

/// tr f(A) of eigenpairs, and statuses.
#[pyfunction]
pub fn trace<'py>(
    py: Python<'py>,
    of: Pairs<'py>,
    function: FunctionOf<'py>,
    asked: RequestTuple,
    threads: usize,
) -> PyResult<(Untyped<'py>, Untyped<'py>)> {
    let (call, at) = pairs(&of, request(asked), threads)?;
    let lead = &of.1.shape()[..of.1.shape().len() - 2];
    let (result, trace) = empty_of(py, call.dtype, true, lead);
    let (statuses, status) = empty::<i32>(py, lead);
    run(py, &call, TraceOf { pairs: at, function: function.at(&of.0)?, trace, status })?;
    Ok((result, statuses))
}
