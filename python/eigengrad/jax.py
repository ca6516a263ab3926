"""JAX: custom calls of XLA on the CPU, differentiated in reverse mode, twice.

``jit``, ``vmap``, ``grad`` and ``grad`` of ``grad`` work. Forward mode does not: it would need
derivatives of the leaves in JAX's own operations, whose second ones divide by gaps between null
eigenvalues. As everywhere in JAX, the gradient of a real loss is the conjugate of PyTorch's.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _core
from ._request import Function, Request, slope, with_precision
from ._result import Eigh, Spectrum

__all__: list[str] = []  # `eigengrad.eigh` and the others are what is called

for _name, _handler in _core.xla_handlers():
    jax.ffi.register_ffi_target(_name, _handler, platform="cpu")

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


def _decompose(a: Any, asked: Request) -> tuple[Any, ...]:
    """λ, V one vector after the other, kept, rank, status, the gaps."""
    lead, n, real = a.shape[:-2], a.shape[-1], _real(a.dtype)
    results = (
        _like((*lead, n), real),
        _like(a.shape, a.dtype),
        _like((*lead, n), jnp.bool_),
        _like(lead, jnp.int32),
        _like(lead, jnp.int32),
        _like(lead, real),
        _like(lead, real),
    )
    return _call("eigh", results, a, asked=asked)


@functools.partial(jax.custom_vjp, nondiff_argnums=(7,))
def _backward(a, values, vectors, kept, status, values_bar, vectors_bar, asked):
    """Ā, in PyTorch's convention, of λ̄ and V̄ by rows. The pairs are constants here: what they
    depend on A by goes to ``a``."""
    lead, n, real = a.shape[:-2], a.shape[-1], _real(a.dtype)
    results = (
        _like(a.shape, a.dtype),
        _like((*lead, n), real),
        _like(lead, real),
        _like(lead, jnp.int32),
    )
    operands = (values, vectors, kept, status, values_bar, vectors_bar)
    return _call("backward", results, *operands, asked=asked)[0]


def _backward_forward(a, *rest):
    return _backward(a, *rest), rest[:-1]


def _backward_backward(asked, operands, h):
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _eigh(a: Any, asked: Request) -> tuple[Any, ...]:
    values, columns, *rest = _decompose(a, asked)
    return values, jnp.swapaxes(columns, -1, -2), *rest


def _eigh_forward(a, asked):
    results = _eigh(a, asked)
    values, vectors, kept, _, status, *_ = jax.lax.stop_gradient(results)
    return results, (a, values, jnp.swapaxes(vectors, -1, -2), kept, status)


def _eigh_backward(asked, saved, bars):
    return (jnp.conj(_backward(*saved, bars[0], jnp.conj(bars[1]), asked)),)


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


def _checked(a: Any, asked: Request) -> tuple[Any, Request]:
    if a.dtype in (jnp.float16, jnp.bfloat16):
        return a.astype(jnp.float32), with_precision(asked, str(a.dtype))
    if str(a.dtype) not in _COMPUTED:
        raise TypeError(
            f"arrays of {a.dtype} are not decomposed: convert it to float32, float64, "
            "complex64 or complex128"
        )
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"expected square matrices [..., n, n], got an array of shape {a.shape}")
    return a, asked


def eigh(a: Any, asked: Request, probe: Any = None) -> Eigh:
    """As :func:`eigengrad.eigh`."""
    if probe is not None:
        raise TypeError("a probe is for PyTorch: JAX has none yet")
    a, asked = _checked(a, asked)
    values, vectors, kept, rank, status, gap_kept, gap_dropped = _eigh(a, asked)
    gaps = jnp.stack((gap_kept, gap_dropped))
    return Eigh(values, vectors, kept, jnp.stack((rank, status)), jax.lax.stop_gradient(gaps))


def eigvalsh(a: Any, asked: Request) -> Spectrum:
    """As :func:`eigengrad.eigvalsh`, by the eigenvectors that a gradient wants."""
    values, _, kept, info, gaps = eigh(a, asked)
    return Spectrum(values, kept, info, gaps)


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
