"""Arrays of any other library by ``__dlpack__``: taken without a copy, and results given back as
its own. In host memory NumPy's functions serve them; on a GPU, as CuPy's, PyTorch's."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from . import _numpy
from ._request import Function, Request
from ._result import Eigh, Spectrum

_HOST, _CUDA = 1, 2


def taken(a: Any) -> tuple[Served, Any] | None:
    """What serves the array, and the array; None if it is none, or on a device of another kind."""
    if not hasattr(a, "__dlpack__"):
        return None
    device = a.__dlpack_device__()[0]
    if device == _HOST:
        return Served(a, _numpy), np.from_dlpack(a)
    if device != _CUDA:
        return None
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise TypeError(
            f"{type(a).__name__} is on a GPU, where PyTorch serves it: install torch"
        ) from None
    return Served(a, importlib.import_module("eigengrad.torch")), torch.from_dlpack(a)


class Served:
    """The functions for arrays of a library, which takes what they give by ``from_dlpack``; NumPy's
    arrays where it has none."""

    def __init__(self, of: Any, by: Any) -> None:
        namespace = getattr(of, "__array_namespace__", None)
        home = sys.modules.get(type(of).__module__.partition(".")[0])
        self._by = by
        self._from_dlpack = getattr(
            home if namespace is None else namespace(), "from_dlpack", np.asarray
        )

    def eigh(self, a: Any, asked: Request, probe: Any = None) -> Eigh:
        return Eigh(*map(self._from_dlpack, self._by.eigh(a, asked, probe)))

    def eigvalsh(self, a: Any, asked: Request) -> Spectrum:
        return Spectrum(*map(self._from_dlpack, self._by.eigvalsh(a, asked)))

    def spectral(self, a: Any, f: Function, asked: Request) -> Any:
        return self._from_dlpack(self._by.spectral(a, f, asked))

    def trace_of(self, a: Any, f: Function, asked: Request) -> Any:
        return self._from_dlpack(self._by.trace_of(a, f, asked))

    def eigh_factor(self, b: Any, asked: Request) -> Eigh:
        return Eigh(*map(self._from_dlpack, self._by.eigh_factor(b, asked)))

    def fidelity(self, a: Any, b: Any, asked: Request) -> Any:
        return self._from_dlpack(self._by.fidelity(a, b, asked))
