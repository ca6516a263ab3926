"""Layers of PyTorch on matrices and features of any rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._api import eigh, spectral
from ._request import request

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._request import Options

__all__ = ["ReEig", "SpdExp", "SpdLog", "Whiten"]


class _Spectral(torch.nn.Module):
    """f(A) of Hermitian matrices ``[..., n, n]``; options are those of :func:`eigengrad.eigh`."""

    def __init__(self, f: Any, **options: Unpack[Options]) -> None:
        super().__init__()
        request(**options)  # raises where one is wrong
        self.f, self.options = f, options

    def forward(self, a: Tensor) -> Tensor:
        return spectral(a, self.f, **self.options)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


def _keeping_all(options: Options) -> Options:
    """The options, which keep everything unless they say what is kept."""
    return options if {"rtol", "atol", "rank"} & options.keys() else {"keep_all": True, **options}


class SpdLog(_Spectral):
    """log A on the range of A, the log-Euclidean chart; null eigenvalues stay 0."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__("log", **options)


class SpdExp(_Spectral):
    """exp A on all of the space."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__("exp", **_keeping_all(options))


class ReEig(_Spectral):
    """V max(Λ, ε) Vᴴ, rectified eigenvalues, null ones too: a matrix of full rank.

    Where an eigenvalue is ε the derivative from below is taken, 0.
    """

    def __init__(self, epsilon: float = 1e-4, **options: Unpack[Options]) -> None:
        self.epsilon = epsilon
        f = (self._value, self._slope)
        super().__init__(f, **_keeping_all(options))

    def _value(self, values: Tensor) -> Tensor:
        return values.clamp(min=self.epsilon)

    def _slope(self, values: Tensor) -> Tensor:
        return (values > self.epsilon).to(values.dtype)

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon}"


class Whiten(torch.nn.Module):
    """Features ``[batch, n]`` with covariance 1 on the range of their own.

    While training the statistics are those of the batch, otherwise running ones.

    Directions without variance, as of dead or repeated features and of batches smaller than n, come
    out as 0 and have finite gradients: nothing is added to the diagonal.

    Parameters
    ----------
    n
        The number of features.
    mode
        "zca" multiplies by C^(−½), which is nearest to the identity; "pca" gives coordinates along
        the eigenvectors of C, whose signs, and bases where eigenvalues tie, are those of the
        eigensolver.
    momentum
        How much of the running statistics a batch replaces.
    options
        Of :func:`eigengrad.eigh`, above all ``rtol`` and ``rank``.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(
        self,
        n: int,
        mode: str = "zca",
        momentum: float = 0.1,
        dtype: torch.dtype | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        if mode not in ("zca", "pca"):
            raise ValueError(f"mode is {mode!r}: expected 'zca' or 'pca'")
        request(**options)  # raises where one is wrong
        self.mode, self.momentum, self.options = mode, momentum, options
        self.register_buffer("mean", torch.zeros(n, dtype=dtype))
        self.register_buffer("covariance", torch.eye(n, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        mean, covariance = self.mean, self.covariance
        if x.dim() != 2 or x.shape[1] != mean.shape[0] or x.dtype != mean.dtype:
            raise ValueError(
                f"expected {mean.dtype} of shape [batch, {mean.shape[0]}], got {x.dtype} of shape "
                f"{tuple(x.shape)}: see the arguments n and dtype"
            )
        if self.training and len(x):
            mean = x.mean(0)
            centred = x - mean
            covariance = centred.mT @ centred.conj() / x.shape[0]
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.covariance.lerp_(covariance, self.momentum)
        return (x - mean) @ self._by(covariance)

    def _by(self, covariance: Tensor) -> Tensor:
        if self.mode == "zca":
            return spectral(covariance, "rsqrt", **self.options).mT
        pairs = eigh(covariance, **self.options)
        values = torch.where(pairs.kept, pairs.eigenvalues, 1.0)
        scale = torch.where(pairs.kept, values.rsqrt(), 0.0)
        return pairs.eigenvectors.conj() * scale.unsqueeze(-2)

    def extra_repr(self) -> str:
        return f"{self.mean.shape[0]}, mode={self.mode!r}, momentum={self.momentum}"
