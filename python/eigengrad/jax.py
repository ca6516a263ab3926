"""JAX: custom calls of XLA on CPUs and NVIDIA GPUs, differentiated in reverse mode, twice.

``jit``, ``vmap``, ``grad`` and, of ``eigh``, ``grad`` of ``grad`` work. Forward mode does not:
second derivatives that are written in JAX's operations divide by gaps between null eigenvalues. As
everywhere in JAX, the gradient of a real loss is the conjugate of PyTorch's.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _core, _cuda
from ._request import Function, Request, coarsest, same_matrices, slope, with_precision
from ._result import PASS, Eigh, Spectrum

__all__ = ["probe"]

for _name, (_on_cpu, _on_cuda) in _core.xla_handlers():
    jax.ffi.register_ffi_target(_name, _on_cpu, platform="cpu")
    jax.ffi.register_ffi_target(_name, _on_cuda, platform="CUDA")

_COMPUTED = ("float32", "float64", "complex64", "complex128")


def _like(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _real(dtype: Any) -> Any:
    return jnp.finfo(dtype).dtype


def _call(name: str, results: Any, *operands: Any, asked: Request, **numbers: Any) -> Any:
    attributes = {
        "atol": np.float64(asked.atol),
        "rtol": np.float64(asked.rtol),
        "tie_rtol": np.float64(asked.tie_rtol),
        "rank": np.int64(asked.rank),
        "choices": np.int64(asked.choices),
        **numbers,
    }
    call = jax.ffi.ffi_call(f"eigengrad_{name}", results, vmap_method="broadcast_all")
    return call(*operands, **attributes)


def _numbers(f: Function) -> dict[str, Any]:
    return {"function": np.int64(f.number), "exponent": np.float64(f.exponent)}


def _float0(x: Any) -> Any:
    """The cotangent of what is no number that is differentiated by."""
    return np.zeros(x.shape, jax.dtypes.float0)


def _decomposed(a: Any) -> tuple[Any, ...]:
    """λ, V one vector after the other, kept, rank, status, the gaps: of ``a`` by its columns."""
    lead, pairs, real = a.shape[:-2], a.shape[-2], _real(a.dtype)
    return (
        _like((*lead, pairs), real),
        _like(a.shape, a.dtype),
        _like((*lead, pairs), jnp.bool_),
        _like(lead, jnp.int32),
        _like(lead, jnp.int32),
        _like(lead, real),
        _like(lead, real),
    )


def _decompose(a: Any, asked: Request) -> tuple[Any, ...]:
    return _call("eigh", _decomposed(a), a, asked=asked)


@functools.partial(jax.custom_vjp, nondiff_argnums=(7,))
def _backward(a, values, vectors, kept, status, values_bar, vectors_bar, asked):
    """Ā, in PyTorch's convention, of λ̄ and V̄ by rows, ρ, the tie defect and the status. The pairs
    are constants here: what they depend on A by goes to ``a``."""
    lead, n, real = a.shape[:-2], a.shape[-1], _real(a.dtype)
    results = (
        _like(a.shape, a.dtype),
        _like((*lead, n), real),
        _like(lead, real),
        _like(lead, jnp.int32),
    )
    operands = (values, vectors, kept, status, values_bar, vectors_bar)
    return tuple(_call("backward", results, *operands, asked=asked))


def _backward_forward(a, *rest):
    return _backward(a, *rest), rest[:-1]


def _backward_backward(asked, operands, bars):
    h, *_ = bars
    values, vectors, kept, status, _values_bar, _vectors_bar = operands
    lead, n = vectors.shape[:-2], vectors.shape[-1]
    results = (
        _like(vectors.shape, vectors.dtype),
        _like((*lead, n), values.dtype),
        _like(vectors.shape, vectors.dtype),
        _like(lead, jnp.int32),
    )
    a_bar, values_bar_bar, columns, _ = _double(results, *operands, jnp.conj(h), asked)
    vectors_bar_bar = jnp.conj(jnp.swapaxes(columns, -1, -2))
    zeros = jnp.zeros_like(values), jnp.zeros_like(vectors), _float0(kept), _float0(status)
    return jnp.conj(a_bar), *zeros, values_bar_bar, vectors_bar_bar


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 8))
def _double(results, values, vectors, kept, status, values_bar, vectors_bar, h, asked):
    operands = (values, vectors, kept, status, values_bar, vectors_bar, h)
    return tuple(_call("double_backward", results, *operands, asked=asked))


def _double_forward(results, *operands):
    return _double(results, *operands), None


def _third(*_: Any) -> Any:
    raise NotImplementedError("eigengrad has first and second derivatives: a third was asked for")


_backward.defvjp(_backward_forward, _backward_backward)
_double.defvjp(_double_forward, _third)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _eigh(a: Any, probe: Any, asked: Request) -> tuple[Any, ...]:
    values, columns, *rest = _decompose(a, asked)
    return values, jnp.swapaxes(columns, -1, -2), *rest


def _eigh_forward(a, probe, asked):
    results = _eigh(a, probe, asked)
    values, vectors, kept, _, status, *_ = jax.lax.stop_gradient(results)
    saved = a, values, jnp.swapaxes(vectors, -1, -2), kept, status
    return results, (saved, probe is not None)


def _eigh_backward(asked, saved, bars):
    pairs, probed = saved
    a_bar, gauge, *rest = _backward(*pairs, bars[0], jnp.conj(bars[1]), asked)
    if not probed:
        return jnp.conj(a_bar), None
    tie, status = (x[..., None].astype(gauge.dtype) for x in rest)
    return jnp.conj(a_bar), jnp.concatenate((gauge, tie, status + PASS), -1)


_eigh.defvjp(_eigh_forward, _eigh_backward)


def _spectral_call(name: str, a: Any, f: Function, asked: Request, *operands: Any, **numbers: Any):
    values, columns, kept, _, status, *_ = _decompose(a, asked)
    results = _like(a.shape, a.dtype), _like(a.shape[:-2], jnp.int32)
    numbers = {**_numbers(f), **numbers}
    return _call(name, results, values, columns, kept, status, *operands, asked=asked, **numbers)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _spectral(a: Any, f: Function, asked: Request) -> Any:
    return _spectral_call("spectral", a, f, asked, derivative=np.int64(0))


def _spectral_forward(a, f, asked):
    return _spectral(a, f, asked), a


def _spectral_backward(f, asked, a, bar):
    return (jnp.conj(_along(a, jnp.conj(bar), f, asked)),)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _along(a: Any, e: Any, f: Function, asked: Request) -> Any:
    return _spectral_call("spectral_derivative", a, f, asked, e)


def _no_second(*_: Any) -> Any:
    raise NotImplementedError(
        "eigengrad has no second derivative of spectral(A, f): differentiate a loss of "
        "eigh(A) twice"
    )


_along.defvjp(lambda a, e, f, asked: (_along(a, e, f, asked), None), _no_second)
_spectral.defvjp(_spectral_forward, _spectral_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _trace(a: Any, f: Function, asked: Request) -> Any:
    values, columns, kept, _, status, *_ = _decompose(a, asked)
    lead = a.shape[:-2]
    results = _like(lead, values.dtype), _like(lead, jnp.int32)
    return _call("trace", results, values, columns, kept, status, asked=asked, **_numbers(f))[0]


def _trace_forward(a, f, asked):
    return _trace(a, f, asked), a


def _trace_backward(f, asked, a, bar):
    terms = [factor * _spectral(a, g, asked) for factor, g in slope(f)]
    return (bar[..., None, None] * jnp.conj(sum(terms[1:], terms[0])),)


_trace.defvjp(_trace_forward, _trace_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _eigh_factor(columns: Any, asked: Request) -> tuple[Any, ...]:
    """Of factors by their columns: λ, V likewise, kept, rank, status, the gaps, S."""
    shape = (*columns.shape[:-1], columns.shape[-2])
    results = *_decomposed(columns), _like(shape, columns.dtype)
    return tuple(_call("eigh_factor", results, columns, asked=asked))


def _eigh_factor_forward(columns, asked):
    made = _eigh_factor(columns, asked)
    values, vectors, kept, _, status, *_, projection = jax.lax.stop_gradient(made)
    return made, (columns, values, vectors, kept, status, projection)


def _eigh_factor_backward(asked, saved, bars):
    vectors_bar = jnp.conj(jnp.swapaxes(bars[1], -1, -2))
    return (jnp.conj(_backward_factor(*saved, bars[0], vectors_bar, asked)),)


@functools.partial(jax.custom_vjp, nondiff_argnums=(8,))
def _backward_factor(b, values, vectors, kept, status, projection, values_bar, vectors_bar, asked):
    """B̄ by its columns, of λ̄ and V̄ by rows; ``b`` is what a derivative would go to."""
    lead, r, real = vectors.shape[:-2], vectors.shape[-2], values.dtype
    results = (
        _like(vectors.shape, vectors.dtype),
        _like((*lead, r), real),
        _like(lead, real),
        _like(lead, jnp.int32),
    )
    operands = (values, vectors, kept, status, projection, values_bar, vectors_bar)
    return _call("backward_factor", results, *operands, asked=asked)[0]


def _no_second_of(what: str) -> Any:
    def raises(*_: Any) -> Any:
        raise NotImplementedError(f"eigengrad has no second derivative of {what}")

    return raises


_eigh_factor.defvjp(_eigh_factor_forward, _eigh_factor_backward)
_backward_factor.defvjp(
    lambda *operands: (_backward_factor(*operands), None),
    _no_second_of("eigh_factor(B): take eigh(B @ B.mT.conj())"),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _fidelity(a: Any, b: Any, asked: Request) -> Any:
    return jnp.square(_fidelity_call(a, b, asked)[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _fidelity_call(a: Any, b: Any, asked: Request) -> tuple[Any, ...]:
    """The root of the fidelity, the status, and the gradients of the fidelity."""
    lead = a.shape[:-2]
    like = _like(a.shape, a.dtype)
    results = _like(lead, _real(a.dtype)), _like(lead, jnp.int32), like, like
    return tuple(_call("fidelity", results, a, b, asked=asked))


def _fidelity_forward(a, b, asked):
    root, _, a_bar, b_bar = _fidelity_call(a, b, asked)
    return jnp.square(root), (a_bar, b_bar)


def _fidelity_backward(asked, gradients, bar):
    return tuple(jnp.conj(bar[..., None, None] * of) for of in gradients)


_fidelity.defvjp(_fidelity_forward, _fidelity_backward)
_fidelity_call.defvjp(
    lambda a, b, asked: (_fidelity_call(a, b, asked), None), _no_second_of("fidelity(A, B)")
)


def _checked(a: Any, asked: Request, square: bool = True) -> tuple[Any, Request]:
    if jax.default_backend() == "gpu":  # not before there are arrays, and with them devices
        _cuda.preload()
    if a.dtype in (jnp.float16, jnp.bfloat16):
        return a.astype(jnp.float32), with_precision(asked, str(a.dtype))
    if str(a.dtype) not in _COMPUTED:
        raise TypeError(
            f"arrays of {a.dtype} are not decomposed: convert it to float32, float64, "
            "complex64 or complex128"
        )
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        expected = "square matrices [..., n, n]" if square else "factors [..., n, r]"
        raise ValueError(f"expected {expected}, got an array of shape {a.shape}")
    return a, asked


def probe(a: Any) -> Any:
    """Zeros whose gradient is the report of the backward pass: give it to :func:`eigengrad.eigh`
    beside ``a``, and differentiate by both.

    The gradient is ``[..., n + 2]``: ρ of each eigenvector, that is how much the loss depends on
    its phase; the tie defect; and the status as a number, plus 1/32. :func:`eigengrad.check` takes
    it. A probe is for one call and one backward pass.
    """
    dtype = jnp.float32 if a.dtype in (jnp.float16, jnp.bfloat16) else a.dtype
    return jnp.zeros((*a.shape[:-2], a.shape[-1] + 2), _real(dtype))


def eigh(a: Any, asked: Request, probe: Any = None) -> Eigh:
    """As :func:`eigengrad.eigh`."""
    a, asked = _checked(a, asked)
    shape = (*a.shape[:-2], a.shape[-1] + 2)
    if probe is not None and (probe.shape != shape or probe.dtype != _real(a.dtype)):
        raise ValueError(
            f"a probe of this batch is {_real(a.dtype)} of shape {shape}: see eigengrad.jax.probe"
        )
    values, vectors, kept, rank, status, gap_kept, gap_dropped = _eigh(a, probe, asked)
    gaps = jnp.stack((gap_kept, gap_dropped))
    return Eigh(values, vectors, kept, jnp.stack((rank, status)), jax.lax.stop_gradient(gaps))


def eigvalsh(a: Any, asked: Request) -> Spectrum:
    """As :func:`eigengrad.eigvalsh`, by the eigenvectors that a gradient wants."""
    values, _, kept, info, gaps = eigh(a, asked)
    return Spectrum(values, kept, info, gaps)


def eigh_factor(b: Any, asked: Request) -> Eigh:
    """As :func:`eigengrad.eigh_factor`."""
    b, asked = _checked(b, asked, square=False)
    values, columns, kept, rank, status, gap_kept, gap_dropped, _ = _eigh_factor(
        jnp.swapaxes(b, -1, -2), asked
    )
    gaps = jax.lax.stop_gradient(jnp.stack((gap_kept, gap_dropped)))
    return Eigh(values, jnp.swapaxes(columns, -1, -2), kept, jnp.stack((rank, status)), gaps)


def fidelity(a: Any, b: Any, asked: Request) -> Any:
    """As :func:`eigengrad.fidelity`."""
    same_matrices(a.shape, b.shape)
    both = [_checked(x, asked)[0] for x in (a, b)]
    asked = coarsest(asked, *(str(jnp.finfo(x.dtype).dtype) for x in (a, b)))
    a, b = both
    kind = jnp.promote_types(a.dtype, b.dtype)
    a, b = jnp.broadcast_arrays(a.astype(kind), b.astype(kind))
    return _fidelity(a, b, asked)


def _named(f: Function) -> Function:
    if f.given is not None:
        raise NotImplementedError("functions that are given by f and f' are for PyTorch and NumPy")
    return f


def spectral(a: Any, f: Function, asked: Request) -> Any:
    """As :func:`eigengrad.spectral`."""
    a, asked = _checked(a, asked)
    return _spectral(a, _named(f), asked)


def trace_of(a: Any, f: Function, asked: Request) -> Any:
    """As :func:`eigengrad.trace_of`."""
    a, asked = _checked(a, asked)
    return _trace(a, _named(f), asked)
