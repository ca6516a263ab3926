"""Batched Hermitian eigendecomposition that you can train through.

One function serves arrays of every kind: PyTorch tensors and JAX arrays, which are differentiated,
and NumPy arrays. Importing this imports neither torch nor jax.

Conventions
-----------
``A`` is ``[..., n, n]``, Hermitian, of which one triangle is read. λ is ascending; column k of the
eigenvectors belongs to λ_k. Which pairs are *kept* is said by the cut: |λ| > max(atol,
rtol·max|λ|), at most ``rank`` of them. Gradients are those of kept pairs: what a loss does with the
others is not read. As everywhere in PyTorch, the gradient Ā of a real loss is that for which dL =
Re tr(Āᴴ dA).
"""

import importlib
from typing import Any

from . import linalg
from ._api import (
    check,
    eigh,
    eigh_factor,
    eigvalsh,
    fidelity,
    negentropy,
    projector,
    spectral,
    trace_of,
)
from ._result import EigengradError, Eigh, MatricesError, Spectrum, Status

__version__ = "0.1.0"
__all__ = [
    "EigengradError",
    "Eigh",
    "MatricesError",
    "Spectrum",
    "Status",
    "check",
    "eigh",
    "eigh_factor",
    "eigvalsh",
    "fidelity",
    "linalg",
    "negentropy",
    "projector",
    "spectral",
    "trace_of",
]


def __getattr__(name: str) -> Any:
    if name in ("distributed", "jax", "nn", "torch"):  # imported when they are first named
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
