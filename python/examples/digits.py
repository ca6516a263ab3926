"""Learns to tell digits by covariance matrices of few images, by eigengrad and by torch alone.

The file has a covariance matrix of 64 pixels for each digit. An example is the covariance of 4
images that are drawn from it, of the left half of the pixels: of rank 3 at most, with rows of
zeros where pixels are blank. The network has a gate for each pixel, the matrix logarithm, and a
linear layer: a log-Euclidean classifier. Null eigenvalues tie to the bit: the gradient of the
logarithm that is written with torch.linalg.eigh is NaN from the first step on. Draws `digits.svg`
where matplotlib is installed.

    python python/examples/digits.py data/digits_covariance.npy
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

import eigengrad

Log = Callable[[Tensor], Tensor]

IMAGES = 4


def by_torch(a: Tensor) -> Tensor:
    """log A, that of what is not positive as 0: what one writes without thinking of ties."""
    values, v = torch.linalg.eigh(a)
    positive = values > 1e-5 * values[..., -1:]
    logs = torch.where(positive, values.clamp(min=1e-30).log(), 0.0)
    return (v * logs.unsqueeze(-2)) @ v.mT


def by_eigengrad(a: Tensor) -> Tensor:
    return eigengrad.spectral(a, "log", rtol=1e-5)


class Classifier(nn.Module):
    """Gates on pixels, a logarithm, a linear layer on its entries."""

    def __init__(self, pixels: int, classes: int, log: Log) -> None:
        super().__init__()
        self.log = log
        self.gates = nn.Parameter(torch.ones(pixels))
        self.linear = nn.Linear(pixels * pixels, classes)

    def forward(self, a: Tensor) -> Tensor:
        gates = self.gates.relu()
        return self.linear(self.log(gates[:, None] * a * gates).flatten(1))


def examples(roots: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Covariances of four images each, and the digits that they are of."""
    digits = torch.randint(len(roots), (count,), generator=generator)
    noise = torch.randn(count, IMAGES, roots.shape[-1], generator=generator)
    images = noise @ roots[digits]
    images = images.unflatten(-1, (8, 8))[..., :4].flatten(-2)
    images = images - images.mean(1, keepdim=True)
    return images.mT @ images / ((IMAGES - 1) * images.var()), digits


def train(name: str, log: Log, roots: Tensor, steps: int = 150) -> list[tuple[float, float]]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    seen = examples(roots, 512, torch.Generator().manual_seed(1))
    model = Classifier(32, len(roots), log)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    history = []
    for step in range(steps):
        a, digits = examples(roots, 64, generator)
        loss = nn.functional.cross_entropy(model(a), digits)
        optimizer.zero_grad()
        loss.backward()
        finite = all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())
        optimizer.step()
        if step % 10 == 0 or step == steps - 1:
            try:
                with torch.no_grad():
                    right = (model(seen[0]).argmax(-1) == seen[1]).float().mean().item()
            except torch.linalg.LinAlgError:  # of a model that is NaN
                right = float("nan")
            history.append((loss.item(), right))
            print(
                f"{name:10} step {step:4}  loss {loss.item():6.3f}  right {right:6.1%}"
                f"  gradient finite: {finite}"
            )
            if not finite:
                break
    return history


def main() -> None:
    covariances = torch.from_numpy(np.load(sys.argv[1])).float()
    roots = eigengrad.spectral(covariances, "sqrt")
    curves = {
        "torch": train("torch", by_torch, roots),
        "eigengrad": train("eigengrad", by_eigengrad, roots),
    }
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        return
    plt.figure(figsize=(6, 3.5), layout="constrained")
    for (name, history), marker in zip(curves.items(), "xo"):
        steps = [10 * at for at in range(len(history))]
        right = [100 * right for _, right in history]
        plt.plot(steps, right, label=name, marker=marker, color="black", markerfacecolor="white")
    plt.xlabel("step"), plt.ylabel("% right of 512 not trained on"), plt.legend(frameon=False)
    plt.savefig("digits.svg", metadata={"Date": None})
    print("written: digits.svg")


if __name__ == "__main__":
    main()
