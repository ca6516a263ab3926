"""The functions that users call: each finds out what kind of array it was given."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _dlpack, _numpy
from ._request import function as _function
from ._request import request as _request
from ._result import Eigh, Spectrum, raise_unless_clear

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._request import Options


def _of(a: Any) -> tuple[Any, Any]:
    """What serves arrays of this kind, and the array."""
    if isinstance(a, np.ndarray):
        return _numpy, a
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(a, torch.Tensor):
        return sys.modules.get("eigengrad.torch") or importlib.import_module("eigengrad.torch"), a
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(a, jax.Array):
        return sys.modules.get("eigengrad.jax") or importlib.import_module("eigengrad.jax"), a
    if (served := _dlpack.taken(a)) is not None:
        return served
    raise TypeError(
        f"{type(a).__name__} is no array that eigengrad takes: expected an array of NumPy or "
        "JAX, a tensor of PyTorch, or one that has __dlpack__ in host memory or on a GPU"
    )


def eigh(A: Any, UPLO: str = "L", *, probe: Any = None, **options: Unpack[Options]) -> Eigh:
    """Eigenpairs A = V diag(λ) Vᴴ of each matrix of a batch.

    Parameters
    ----------
    A
        ``[..., n, n]``, float32, float64, complex64 or complex128; halves are computed in float32.
    UPLO
        The triangle that is read, "L" or "U". The other one is not looked at.
    rtol, atol
        What is dropped: |λ| ≤ max(atol, rtol·max|λ|). By default rtol is max(n, 10)·ε of the data's
        precision; with atol alone it is 0.
    rank
        At most so many pairs are kept, those of largest |λ|.
    keep_all
        Keeps everything: for matrices of full rank.
    computed_in
        "float32" and the like: the precision in which the data were computed, if it is not theirs.
    ties, tie_rtol
        What the derivative does among kept eigenvalues within tie_rtol·max|λ| of each other: "zero"
        takes the group as a subspace, "exact" divides by tiny gaps too, "nan" gives NaN gradients.
    dropped
        "zero" declares that what is dropped is zero: the gradient then needs kept vectors alone.
    probe
        Of :func:`eigengrad.torch.probe` or :func:`eigengrad.jax.probe`: receives the report of the
        backward pass as its gradient.

    Returns
    -------
    Eigh
        eigenvalues ``[..., n]``, eigenvectors ``[..., n, n]``, kept ``[..., n]``, info ``[2, ...]``
        (rank, status), gaps ``[2, ...]``. A matrix that is not finite has NaN and a status; it
        spoils no other.
    """
    served, a = _of(A)
    return served.eigh(a, _request(UPLO, **options), probe)


def eigvalsh(A: Any, UPLO: str = "L", **options: Unpack[Options]) -> Spectrum:
    """Eigenvalues alone, ascending, and what the cut makes of them; parameters as :func:`eigh`."""
    served, a = _of(A)
    return served.eigvalsh(a, _request(UPLO, **options))


def eigh_factor(B: Any, **options: Unpack[Options]) -> Eigh:
    """Eigenpairs of B Bᴴ of each factor ``[..., n, r]`` of a batch, r ≤ n, without B Bᴴ.

    There are r pairs: eigenvalues and kept ``[..., r]``, eigenvectors ``[..., n, r]``. The other
    n - r eigenvalues are zero, and dropped. It takes 4nr² + 9r³ multiply-adds where :func:`eigh` of
    the product takes 9n³. Only first derivatives by B, in reverse mode, exist. For more columns
    than rows form B Bᴴ. Parameters are those of :func:`eigh`, without its triangle.
    """
    if "UPLO" in options:
        raise TypeError("eigh_factor takes no UPLO: a factor has no triangles")
    served, b = _of(B)
    return served.eigh_factor(b, _request(**options))


def fidelity(A: Any, B: Any, UPLO: str = "L", **options: Unpack[Options]) -> Any:
    """(tr √(√A B √A))² of positive semi-definite matrices of any rank, ``[...]``.

    The gradients, of first order, are those at fixed rank, and finite whatever the ranks. Of a
    matrix that keeps a negative eigenvalue the result is NaN; for NumPy arrays that is an error.
    Parameters are those of :func:`eigh`.
    """
    served, a = _of(A)
    other, b = _of(B)
    if type(served) is not type(other) or getattr(served, "__name__", 0) != getattr(
        other, "__name__", 0
    ):
        raise TypeError(f"A is {type(A).__name__} and B {type(B).__name__}: expected one kind")
    return served.fidelity(a, b, _request(UPLO, **options))


def spectral(A: Any, f: Any, UPLO: str = "L", **options: Unpack[Options]) -> Any:
    """f(A) = V_K f(Λ_K) V_Kᴴ on the kept spectrum, ``[..., n, n]``; the dropped eigenvalues count
    as mapped to 0.

    ``f`` is "sqrt", "rsqrt", "pinv", "log", "exp", "xlogx", "projector", ("pow", p), or a pair of
    functions of the eigenvalues, f and f′, which are called with arrays and taken as constants. The
    derivative is exact wherever eigenvalues tie. Of a matrix that keeps an eigenvalue outside the
    domain of f the result is NaN; for NumPy arrays that is an error. Other parameters are those of
    :func:`eigh`.
    """
    served, a = _of(A)
    return served.spectral(a, _function(f), _request(UPLO, **options))


def projector(A: Any, UPLO: str = "L", **options: Unpack[Options]) -> Any:
    """V_K V_Kᴴ, the projector on the range of A, ``[..., n, n]``: as :func:`spectral`."""
    return spectral(A, "projector", UPLO, **options)


def trace_of(A: Any, f: Any, UPLO: str = "L", **options: Unpack[Options]) -> Any:
    """tr f(A) = Σ_K f(λ_k), ``[...]``: as :func:`spectral`."""
    served, a = _of(A)
    return served.trace_of(a, _function(f), _request(UPLO, **options))


def negentropy(A: Any, UPLO: str = "L", **options: Unpack[Options]) -> Any:
    """tr(A log A), minus the von Neumann entropy, ``[...]``: finite whatever the rank."""
    return trace_of(A, "xlogx", UPLO, **options)


def check(result: Any) -> None:
    """Raises :class:`MatricesError` if a matrix has a failure, and names the matrices and a remedy.

    ``result`` is what :func:`eigh`, :func:`eigvalsh` or :func:`eigh_factor` gave, for what was
    found forward; or a probe behind the backward pass, in JAX its gradient. This waits for the
    device.
    """
    torch = sys.modules.get("torch")
    of = result.info if isinstance(result, (Eigh, Spectrum)) else result
    if torch is not None and isinstance(of, torch.Tensor):
        from . import torch as served

        raise_unless_clear(served.statuses(result))
    elif isinstance(result, (Eigh, Spectrum)) or hasattr(of, "__array__"):
        raise_unless_clear(_numpy.statuses(result))
    else:
        raise TypeError(
            f"there is nothing to check in {type(result).__name__}: expected what eigh or eigvalsh "
            "gave, or a probe"
        )
