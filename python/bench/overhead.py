"""Times calls of small batches beside torch's, and beside a function that only allocates.

Minima of many rounds, in microseconds, on one machine in one run: python/bench/overhead.py. It
exits with 1 where a bar is missed. One matrix with a graph takes no more than what only allocates.
From 8 matrices on, forward and backward take no more than torch. An operator of one small matrix
takes 6 µs and a call of NumPy 5 on a machine where torch's and NumPy's own take 4.9 and 4.4, and as
much longer as these elsewhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import eigengrad
import eigengrad.torch


class Allocates(torch.autograd.Function):
    """Makes memory for the results of `eigh` and of its backward pass, and nothing else."""

    @staticmethod
    def forward(a: Tensor) -> tuple[Tensor, ...]:
        lead, n = a.shape[:-2], a.shape[-1]
        return (
            a.new_empty((*lead, n)),
            a.new_empty((*lead, n, n)).mT,
            a.new_empty((*lead, n), dtype=torch.bool),
            a.new_empty((2, *lead), dtype=torch.int32),
            a.new_empty((2, *lead)),
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(*output[2:])
        ctx.save_for_backward(*inputs, *output[:4])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *_):
        a = ctx.saved_tensors[0]
        lead = a.shape[:-1]
        a.new_empty(lead), a.new_empty(lead[:-1]), a.new_empty(lead[:-1], dtype=torch.int32)
        return torch.empty_like(a)


def least(
    *calls: Callable[[], object] | None, rounds: int = 30, repeats: int = 300
) -> list[float | None]:
    """The least time of each call, in µs: in turn, so that all of them see the same machine."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, of in zip(calls, times):
            if call is None:
                continue
            begin = time.perf_counter()
            for _ in range(repeats):
                call()
            of.append((time.perf_counter() - begin) / repeats)
    return [min(of) * 1e6 if of else None for of in times]


def both(eigh: Callable[[Tensor], tuple[Tensor, ...]], a: Tensor) -> Callable[[], None]:
    """Forward and backward."""

    def call() -> None:
        a.grad = None
        vectors = eigh(a)[1]
        vectors.backward(vectors.detach())

    return call


def main() -> bool:
    all_met = True
    asked = (-1.0, -1.0, -1.0, -1, 0)
    print(f"{'batch':>5} {'n':>3}  {'call':32} {'eigengrad':>10} {'torch':>10} {'allocates':>10}")
    for batch, n in [(1, 4), (8, 4), (8, 8), (64, 8), (1000, 16)]:
        x = torch.randn(batch, n, n, dtype=torch.float64)
        a = x @ x.mT
        with_grad = a.clone().requires_grad_()
        repeats = 300 if batch < 100 else 10
        rows = {
            "operator": [
                lambda: torch.ops.eigengrad.eigh.default(a, *asked),
                lambda: torch.linalg.eigh(a),
                None,
            ],
            "eigh, grad": [
                lambda: eigengrad.eigh(with_grad),
                lambda: torch.linalg.eigh(with_grad),
                lambda: Allocates.apply(with_grad),
            ],
            "eigh, grad, backward": [
                both(eigengrad.eigh, with_grad),
                both(torch.linalg.eigh, with_grad),
                both(Allocates.apply, with_grad),
            ],
            "NumPy": [
                lambda: eigengrad.eigh(a.numpy()),
                lambda: np.linalg.eigh(a.numpy()),
                None,
            ],
        }
        for name, row in rows.items():
            ours, theirs, allocates = least(*row, repeats=repeats)
            bars = [allocates] if allocates and batch == 1 else []
            bars += [theirs] if batch >= 8 and name == "eigh, grad, backward" else []
            if batch == 1 and not allocates:
                bar, own = {"operator": (6.0, 4.9), "NumPy": (5.0, 4.4)}[name]
                bars.append(bar * max(1.0, theirs / own))
            missed = any(ours > bar for bar in bars)
            all_met &= not missed
            times = " ".join(f"{x:10.1f}" if x else " " * 10 for x in (ours, theirs, allocates))
            print(f"{batch:5} {n:3}  {name:32} {times}{'  missed' if missed else ''}")
    return all_met


if __name__ == "__main__":
    sys.exit(not main())
