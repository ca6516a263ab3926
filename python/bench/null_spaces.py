"""First and second derivatives of one loss on named matrices, by torch.linalg.eigh and by ours.

The loss is Σ W_ik |v_ik|² + Σ λ_k² over the r largest eigenvalues, r the rank: it has derivatives
of every order where these do not tie. What is right is found by differences in float64 along paths
of constant rank. Prints a table: python/bench/null_spaces.py [digits_covariance.npy]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

import eigengrad


def matrices(digits: str | None) -> Iterator[tuple[str, Tensor, int]]:
    """Name, matrix and rank."""
    generator = torch.Generator().manual_seed(0)

    def product(n: int, rank: int) -> Tensor:
        b = torch.randn(n, rank, dtype=torch.float64, generator=generator)
        return b @ b.mT

    yield "full rank, 6×6", product(6, 6), 6
    yield "rank 1 of 3", product(3, 1), 1
    yield "rank 2 of 7", product(7, 2), 2
    yield "rank 6 of 7", product(7, 6), 6
    padded = torch.zeros(6, 6, dtype=torch.float64)
    padded[:3, :3] = product(3, 3)
    yield "rows of zeros", padded, 3
    yield "diagonal, two nulls", torch.diag(torch.tensor([0.0, 0, 1, 2, 4]).double()), 3
    yield "diagonal, one null", torch.diag(torch.tensor([0.0, 1, 2, 4]).double()), 3
    laplacian = torch.tensor([[1.0, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 3, -3], [0, 0, -3, 3]])
    yield "graph of two components", laplacian.double(), 2
    repeated = product(3, 3)[[0, 0, 1, 2]][:, [0, 0, 1, 2]]
    yield "a repeated feature", repeated, 3
    if digits is not None:
        covariance = torch.from_numpy(np.load(digits))[0].double()
        yield (
            f"covariance of digits, {len(covariance)}×{len(covariance)}",
            covariance,
            int(eigengrad.eigh(covariance).rank),
        )


Eigh = Callable[[Tensor], tuple[Tensor, Tensor]]


def loss(a: Tensor, rank: int, eigh: Eigh, unit: float) -> Tensor:
    values, vectors = eigh(a)
    values, vectors = values[-rank:], vectors[:, -rank:]
    weights = torch.linspace(0.5, 1.5, vectors.numel(), dtype=a.dtype).reshape(vectors.shape)
    return (weights * vectors**2).sum() + ((values / unit) ** 2).sum()


def derivatives(a: Tensor, rank: int, eigh: Eigh, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The derivative by A along X A + A Xᵀ, and that of this along Y A + A Yᵀ."""
    unit, along_x, along_y = float(a.trace()), x @ a + a @ x.mT, y @ a + a @ y.mT
    a = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(a, rank, eigh, unit), a, create_graph=True)
    first = (gradient * along_x).sum()
    (second,) = torch.autograd.grad(first, a)
    return first.detach(), (second * along_y).sum()


def expected(a: Tensor, rank: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same by differences along (1 + tX) A (1 + tX)ᵀ, which keeps the rank."""
    unit, eye, along_x, step = float(a.trace()), torch.eye(len(a)).double(), x @ a + a @ x.mT, 1e-5

    def eigh(a: Tensor) -> tuple[Tensor, Tensor]:
        return eigengrad.eigh(a, rank=rank)[:2]

    def at(t: float, z: Tensor) -> Tensor:
        return ((eye + t * z) @ a @ (eye + t * z).mT).requires_grad_()

    def slope(a: Tensor) -> Tensor:
        return (torch.autograd.grad(loss(a, rank, eigh, unit), a)[0] * along_x).sum()

    values = [loss(at(t, x), rank, eigh, unit).detach() for t in (step, -step)]
    slopes = [slope(at(t, y)) for t in (step, -step)]
    return (values[0] - values[1]) / (2 * step), (slopes[0] - slopes[1]) / (2 * step)


def said(got: Tensor, right: Tensor) -> str:
    if not torch.isfinite(got):
        return "not finite"
    error = float(abs(got - right) / abs(right).clamp(min=1e-3))
    return "right" if error < 1e-4 else f"wrong by {100 * error:.2g} %"


def main() -> None:
    digits = sys.argv[1] if len(sys.argv) > 1 else None
    generator = torch.Generator().manual_seed(1)
    print("| matrix | gradient, torch | second, torch | gradient, ours | second, ours |")
    print("|---|---|---|---|---|")
    for name, a, rank in matrices(digits):
        x, y = torch.randn(2, *a.shape, dtype=a.dtype, generator=generator) / len(a)
        right = expected(a, rank, x, y)
        cells = [name]
        for eigh in (torch.linalg.eigh, lambda a, rank=rank: eigengrad.eigh(a, rank=rank)[:2]):
            got = derivatives(a, rank, eigh, x, y)
            cells += [said(*pair) for pair in zip(got, right)]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
