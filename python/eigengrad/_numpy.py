"""NumPy: arrays in, arrays out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import _core
from ._request import Function, Request, coarsest, same_matrices, with_precision
from ._result import Eigh, Spectrum, of_report, raise_unless_clear

_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def matrices(a: np.ndarray, asked: Request) -> tuple[np.ndarray, Request]:
    """The array as the door takes it, copied where it lies otherwise: Fortran order, strides of any
    sign, another byte order. float16 is computed in float32."""
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError("masked arrays are not decomposed: fill what is masked, by filled(…)")
    kind = a.dtype
    if kind == np.float16:
        a, asked = a.astype(np.float32), with_precision(asked, "float16")
    elif kind.char not in "fdFD":
        raise TypeError(
            f"arrays of {kind} are not decomposed: convert it to float32, float64, "
            "complex64 or complex128"
        )
    if not (a.flags.c_contiguous and kind.isnative and a.flags.aligned):
        a = np.ascontiguousarray(a, a.dtype.newbyteorder("="))
        if not a.flags.aligned:
            a = a.copy()
    return a, asked


def eigh(a: np.ndarray, asked: Request, probe: Any = None) -> Eigh:
    if probe is not None:
        raise TypeError("a probe is for PyTorch and JAX: NumPy has no backward pass")
    a, asked = matrices(a, asked)
    return Eigh(*_core.eigh(a, asked, _threads, True))


def eigvalsh(a: np.ndarray, asked: Request) -> Spectrum:
    a, asked = matrices(a, asked)
    values, _, kept, info, gaps = _core.eigh(a, asked, _threads, False)
    return Spectrum(values, kept, info, gaps)


def eigh_factor(b: np.ndarray, asked: Request) -> Eigh:
    if b.ndim < 2:
        raise ValueError(f"expected factors [..., n, r], got an array of shape {b.shape}")
    b, asked = matrices(b.swapaxes(-1, -2), asked)
    return Eigh(*_core.eigh_factor(b, asked, _threads))


def fidelity(a: np.ndarray, b: np.ndarray, asked: Request) -> np.ndarray:
    same_matrices(a.shape, b.shape)
    both = [matrices(x, asked)[0] for x in (a, b)]
    asked = coarsest(asked, *(np.finfo(x.dtype).dtype.name for x in (a, b)))
    a, b = np.broadcast_arrays(*both)
    kind = np.result_type(a, b)
    (a, asked), b = matrices(a.astype(kind), asked), matrices(b.astype(kind), asked)[0]
    root, status = _core.fidelity(a, b, asked, _threads)
    raise_unless_clear(status.ravel())
    return np.square(root)


def _pairs(a: np.ndarray, asked: Request) -> tuple[tuple, Request]:
    a, asked = matrices(a, asked)
    values, vectors, kept, info, _ = _core.eigh(a, asked, _threads, True)
    return (values, vectors.swapaxes(-1, -2), kept, info), asked


def _evaluated(f: Function, values: np.ndarray) -> tuple:
    """The function as the door takes it."""
    if f.given is None:
        return f[:2]
    with np.errstate(all="ignore"):  # of dropped eigenvalues nothing is read
        made = [np.broadcast_to(np.asarray(g(values), values.dtype), values.shape) for g in f.given]
    return tuple(np.ascontiguousarray(x) for x in made)


def spectral(a: np.ndarray, f: Function, asked: Request) -> np.ndarray:
    pairs, asked = _pairs(a, asked)
    result, status = _core.spectral(pairs, _evaluated(f, pairs[0]), asked, _threads)
    raise_unless_clear(status.ravel())
    return result


def trace_of(a: np.ndarray, f: Function, asked: Request) -> np.ndarray:
    pairs, asked = _pairs(a, asked)
    result, status = _core.trace(pairs, _evaluated(f, pairs[0]), asked, _threads)
    raise_unless_clear(status.ravel())
    return result


def statuses(result: Any) -> np.ndarray:
    """The statuses of a result, or of the gradient of a probe, one after the other."""
    if hasattr(result, "status"):
        found = result.status  # CuPy's arrays come to the host by get() alone
        return np.asarray(found.get() if hasattr(found, "get") else found).ravel()
    gradient = np.asarray(result)
    if gradient.ndim == 0 or gradient.dtype.kind != "f":
        raise TypeError("expected what eigh or eigvalsh gave, or the gradient of a probe")
    return np.array(of_report(gradient[..., -1].ravel().tolist()))
