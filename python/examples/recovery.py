"""Recovers rank-deficient cross-spectra from their eigenpairs, by eigengrad and by torch alone.

Each matrix of the file is positive semi-definite, of rank 5 of 12. Factors B are learned such that
the kept eigenpairs of B Bᴴ become those of the file: the loss is what the eigenvectors do not
overlap, and what the eigenvalues differ by. B begins with rows of zeros, as of dead channels, so
that null eigenvalues tie to the bit: there torch.linalg.eigh gives NaN. Draws `recovery.svg` where
matplotlib is installed.

    python python/examples/recovery.py data/macro_cross_spectra.npy
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import eigengrad

Eigh = Callable[[Tensor], tuple[Tensor, Tensor]]


def loss(b: Tensor, values: Tensor, vectors: Tensor, eigh: Eigh) -> Tensor:
    """Of the r largest pairs: 1 − |v* · v|², and the squared difference of λ."""
    r = vectors.shape[-1]
    found, v = eigh(b @ b.mH)
    overlap = (vectors.conj() * v[..., -r:]).sum(-2)
    return (1 - (overlap * overlap.conj()).real).sum() + ((found[..., -r:] - values) ** 2).sum()


def train(name: str, target: Tensor, rank: int, eigh: Eigh, steps: int = 600) -> list[float]:
    pairs = torch.linalg.eigh(target)
    values, vectors = pairs.eigenvalues[:, -rank:], pairs.eigenvectors[..., -rank:]
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(*target.shape[:-1], rank, dtype=target.dtype, generator=generator)
    start = torch.linalg.cholesky(target + 1e-3 * torch.eye(target.shape[-1]))[..., :rank]
    b = start + 0.3 * start.abs().mean() * b
    b[:, -4:] = 0  # four dead channels
    b.requires_grad_()
    optimizer = torch.optim.Adam([b], 0.02)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        try:
            value = loss(b, values, vectors, eigh)
        except torch.linalg.LinAlgError as error:  # of B that is NaN
            print(f"{name:10} stops at step {step}: {str(error).split(':')[0]} failed")
            break
        value.backward()
        optimizer.step()
        scheduler.step()
        losses.append(value.item())
        if step % 100 == 0 or step == steps - 1:
            finite = bool(torch.isfinite(b.grad).all())
            print(f"{name:10} step {step:4}  loss {losses[-1]:10.3e}  gradient finite: {finite}")
    return losses


def main() -> None:
    target = torch.from_numpy(np.load(sys.argv[1]))
    target = target / torch.linalg.matrix_norm(target, keepdim=True)
    rank = int(eigengrad.eigh(target).rank.max())
    curves = {
        "torch": train("torch", target, rank, torch.linalg.eigh),
        "eigengrad": train("eigengrad", target, rank, lambda a: eigengrad.eigh(a, rank=rank)[:2]),
    }
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        return
    plt.figure(figsize=(6, 3.5), layout="constrained")
    for (name, losses), marker in zip(curves.items(), "xo"):
        every = max(1, len(losses) // 12)
        drawn = {"marker": marker, "markevery": every, "markerfacecolor": "white"}
        plt.semilogy(losses, label=name, color="black", **drawn)
    plt.xlabel("step"), plt.ylabel("loss"), plt.legend(frameon=False)
    plt.savefig("recovery.svg", metadata={"Date": None})
    print("written: recovery.svg")


if __name__ == "__main__":
    main()
