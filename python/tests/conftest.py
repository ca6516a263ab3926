"""Batches that every test is run on: full rank, rank-deficient, tied to the bit, padded with zeros,
ragged.
"""

from __future__ import annotations

import numpy as np
import pytest


def low_rank(rng: np.random.Generator, n: int, rank: int, dtype: str) -> np.ndarray:
    b = rng.normal(size=(n, rank))
    if dtype.startswith("complex"):
        b = b + 1j * rng.normal(size=(n, rank))
    return (b @ b.conj().T).astype(dtype)


def batch(kind: str, dtype: str, seed: int = 1) -> np.ndarray:
    """Three 5×5 matrices of a kind."""
    rng, n = np.random.default_rng(seed), 5
    if kind == "full rank":
        return np.stack([low_rank(rng, n, n, dtype) for _ in range(3)])
    if kind == "rank 2":
        return np.stack([low_rank(rng, n, 2, dtype) for _ in range(3)])
    if kind == "ragged":
        return np.stack([low_rank(rng, n, rank, dtype) for rank in (1, 3, 5)])
    if kind == "padded with zeros":
        a = np.zeros((3, n, n), dtype)
        a[:, :3, :3] = np.stack([low_rank(rng, 3, 3, dtype) for _ in range(3)])
        return a
    assert kind == "tied nulls"
    return np.stack([np.diag([0.0, 0.0, 0.0, 1.0, 3.0]).astype(dtype)] * 3)


KINDS = ("full rank", "rank 2", "ragged", "padded with zeros", "tied nulls")
DTYPES = ("float64", "complex128")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param
