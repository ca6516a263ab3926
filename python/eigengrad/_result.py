"""What a decomposition gives, in arrays of any framework, and what findings mean."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from . import _core

Status = enum.IntFlag("Status", {name: bit for name, bit in _core.findings()}, module=__name__)
Status.__doc__ = """What is to be known of one matrix; 0 is well.

The numbers do not change from version to version.
"""


class EigengradError(ValueError):
    """What eigengrad raises of its own."""


class MatricesError(EigengradError, np.linalg.LinAlgError):
    """Matrices of a batch have findings: the text names them and says what to do."""


class Eigh(NamedTuple):
    """Eigenpairs A = V diag(λ) Vᴴ of a batch, and which of them the cut keeps.

    It holds arrays alone, so that it passes through ``vmap``, ``jit`` and ``torch.compile``.
    """

    #: λ ascending, ``[..., n]``.
    eigenvalues: Any
    #: V, whose column k belongs to λ_k, ``[..., n, n]``.
    eigenvectors: Any
    #: Whether each pair is kept, ``[..., n]``. Gradients are those of kept pairs alone.
    kept: Any
    #: Rank and status of each matrix, ``[2, ...]``.
    info: Any
    #: The smallest gaps between kept eigenvalues, and between kept and dropped ones, ``[2, ...]``.
    gaps: Any

    @property
    def rank(self) -> Any:
        """How many pairs are kept, ``[...]``."""
        return self.info[0]

    @property
    def status(self) -> Any:
        """Findings as bits of :class:`Status`, ``[...]``."""
        return self.info[1]


class Spectrum(NamedTuple):
    """Eigenvalues alone; as :class:`Eigh`."""

    eigenvalues: Any
    kept: Any
    info: Any
    gaps: Any

    @property
    def rank(self) -> Any:
        """How many eigenvalues are kept, ``[...]``."""
        return self.info[0]

    @property
    def status(self) -> Any:
        """Findings as bits of :class:`Status`, ``[...]``."""
        return self.info[1]


def raise_unless_clear(statuses: Iterable[int]) -> None:
    """Raises :class:`MatricesError` if a status, one for each matrix, is a failure."""
    text = _core.describe([int(status) for status in statuses])
    if text is not None:
        raise MatricesError(text)
