"""What a decomposition gives, in arrays of any framework, and what findings mean."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from . import _core


class Status(enum.IntFlag):
    """What is to be known of one matrix; 0 is well.

    The numbers do not change from version to version.
    """

    #: An entry of A is NaN or infinite: λ, V and gradients are NaN, nothing is kept.
    NOT_FINITE = 1 << 0
    #: The eigensolver did not converge: likewise.
    NOT_CONVERGED = 1 << 1
    #: A kept and a dropped eigenvalue are within round-off: the gradient is infinite or round-off.
    TIE_ACROSS_CUT = 1 << 2
    #: Information: kept eigenvalues tie. Right for losses that see the group as a subspace.
    TIED = 1 << 3
    #: The loss depends on the phase of an eigenvector: it has no gradient.
    PHASE_DEPENDENT = 1 << 4
    #: An entry of the gradient is not finite.
    GRADIENT_NOT_FINITE = 1 << 5
    #: An eigenvalue overflows.
    VALUES_OVERFLOW = 1 << 6
    #: V is not orthonormal, where that was looked at.
    NOT_ORTHONORMAL = 1 << 7
    #: A kept eigenvalue is outside the domain of the function.
    OUTSIDE_DOMAIN = 1 << 8
    #: An entry of a function, a tangent or a second derivative is not finite.
    RESULT_NOT_FINITE = 1 << 9
    #: ``rank`` chose between λ and -λ.
    AMBIGUOUS_RANK = 1 << 10
    #: The loss depends on the basis of tied eigenvectors.
    TIE_DEFECT = 1 << 11
    #: Kept eigenvalues tie, which ``ties="nan"`` refuses.
    TIES_REFUSED = 1 << 12
    #: The largest eigenvalue underflows.
    VALUES_UNDERFLOW = 1 << 13
    #: λ and V do not make A, where that was looked at.
    LARGE_RESIDUAL = 1 << 14


class EigengradError(ValueError):
    """What eigengrad raises of its own."""


class MatricesError(EigengradError, np.linalg.LinAlgError):
    """Matrices of a batch have findings: the text names them and says what to do."""


class Eigh(NamedTuple):
    """Eigenpairs A = V diag(λ) Vᴴ of a batch, and which of them the cut keeps.

    It holds arrays alone, so that it passes through ``vmap``, ``jit`` and ``torch.compile``.
    """

    #: λ ascending, ``[..., n]``; of factors ``[..., r]``, as all that belongs to pairs.
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


#: What each backward pass adds to the status in the gradient of a probe: passes that add up are
#: told by it.
PASS = 1 / 32


def of_report(numbers: Iterable[float]) -> list[int]:
    """The statuses of the last numbers of a probe's gradient.

    Raises ``TypeError`` if it is none, ``ValueError`` if several backward passes added up, or none
    went through it.
    """
    numbers = list(numbers)
    passes = {(number % 1.0) / PASS for number in numbers}
    if passes == {0.0} and not any(numbers):
        raise ValueError("no backward pass went through this probe: check its gradient behind one")
    if not all(of == int(of) and of > 0 for of in passes):
        raise TypeError("expected what eigh or eigvalsh gave, or a probe")
    if passes - {1.0}:
        raise ValueError(
            "several backward passes added up in this probe: take a new one for each call and pass"
        )
    return [int(number) for number in numbers]


def described(statuses: Iterable[int]) -> str | None:
    """What is wrong with the matrices of these statuses, and what to do; None if nothing is."""
    text = _core.describe([int(status) for status in statuses])
    return None if text is None else text.replace("at_most", "rank")


def raise_unless_clear(statuses: Iterable[int]) -> None:
    """Raises :class:`MatricesError` if a status, one for each matrix, is a failure."""
    text = described(statuses)
    if text is not None:
        raise MatricesError(text)
