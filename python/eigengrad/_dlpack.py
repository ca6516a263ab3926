"""Arrays of any other library in host memory, by ``__dlpack__``: taken without a copy, and results
given back as its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _numpy
from ._request import Function, Request
from ._result import Eigh, Spectrum

_HOST = 1


def taken(a: Any) -> np.ndarray | None:
    """The array as NumPy has it; None if it is none, or elsewhere than in host memory."""
    if not hasattr(a, "__dlpack__") or a.__dlpack_device__()[0] != _HOST:
        return None
    return np.from_dlpack(a)


class Served:
    """The functions for arrays of a namespace of the array API standard, or as NumPy's without."""

    def __init__(self, of: Any) -> None:
        namespace = getattr(of, "__array_namespace__", None)
        self._from_dlpack = np.asarray if namespace is None else namespace().from_dlpack

    def eigh(self, a: np.ndarray, asked: Request, probe: Any = None) -> Eigh:
        return Eigh(*map(self._from_dlpack, _numpy.eigh(a, asked, probe)))

    def eigvalsh(self, a: np.ndarray, asked: Request) -> Spectrum:
        return Spectrum(*map(self._from_dlpack, _numpy.eigvalsh(a, asked)))

    def spectral(self, a: np.ndarray, f: Function, asked: Request) -> Any:
        return self._from_dlpack(_numpy.spectral(a, f, asked))

    def trace_of(self, a: np.ndarray, f: Function, asked: Request) -> Any:
        return self._from_dlpack(_numpy.trace_of(a, f, asked))

    def eigh_factor(self, b: np.ndarray, asked: Request) -> Eigh:
        return Eigh(*map(self._from_dlpack, _numpy.eigh_factor(b, asked)))

    def fidelity(self, a: np.ndarray, b: np.ndarray, asked: Request) -> Any:
        return self._from_dlpack(_numpy.fidelity(a, b, asked))
