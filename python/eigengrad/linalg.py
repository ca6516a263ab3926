"""Drop-in replacements: the outputs of ``torch.linalg`` and ``numpy.linalg``, and nothing besides.

Every pair counts, and eigenvectors of the null space are read, as there; tied eigenvalues do not
make NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._api import eigh as _eigh
from ._api import eigvalsh as _eigvalsh


class EighResult(NamedTuple):
    """λ and V."""

    eigenvalues: Any
    eigenvectors: Any


def eigh(A: Any, UPLO: str = "L") -> EighResult:
    """``torch.linalg.eigh(A, UPLO)`` or ``numpy.linalg.eigh(A, UPLO)``: λ ``[..., n]`` and V
    ``[..., n, n]``.
    """
    pairs = _eigh(A, UPLO, keep_all=True)
    return EighResult(pairs.eigenvalues, pairs.eigenvectors)


def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """``torch.linalg.eigvalsh(A, UPLO)`` or ``numpy.linalg.eigvalsh(A, UPLO)``: λ ``[..., n]``."""
    return _eigvalsh(A, UPLO, keep_all=True).eigenvalues
