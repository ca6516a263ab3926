"""Writes the fixtures that tests/suite/reference.rs reads, from the reference implementation beside this file.

    python3 tests/reference/make_fixtures.py        # needs numpy; writes tests/reference/*.npy

For each case, in complex128 and float64:
  a               [batch, n, n]  the matrices
  values, vectors, kept          numpy's eigenpairs and the default cut
  values_bar, vectors_bar        random cotangents of those very eigenpairs
  a_bar                          the reference's gradient of them
  weights         [batch, n, n]  W of the loss sum W |V|^2 + sum values_bar * values, which no choice of phases changes
  a_bar_weighted                 the reference's gradient of that loss
"""
from pathlib import Path

import numpy as np

from eigh_masked import herm, keep_mask, vjp_batched

HERE = Path(__file__).resolve().parent
N = 6


def numbers(rng, real, *shape):
    return rng.standard_normal(shape) + (0 if real else 1j * rng.standard_normal(shape))


def of_rank(rng, real, r, n=N, largest=2.0):
    """Random eigenvectors, r eigenvalues from 1 to `largest` in even steps with alternating signs, the others null."""
    q = np.linalg.qr(numbers(rng, real, n, n))[0][:, :r]
    lam = np.linspace(1, largest, r) * (-1.0) ** np.arange(r)
    return herm((q * lam) @ q.conj().T)


def padded(block):
    a = np.zeros((N, N), block.dtype)
    a[: len(block), : len(block)] = block
    return a


def cases(rng, real):
    null_rows = of_rank(rng, real, 3, 3)
    spread = np.zeros((N, N), null_rows.dtype)
    spread[::2, ::2] = null_rows
    dtype = null_rows.dtype
    return {
        "random": [of_rank(rng, real, N) for _ in range(3)],
        "rank_deficient": [of_rank(rng, real, r, largest=3.0) for r in (1, 2, 4)],
        "tied_null": [padded(null_rows), spread, np.ones((N, N), dtype), np.diag([0, 3.0, 0, -1, 0, 2]).astype(dtype)],
        "ragged": [of_rank(rng, real, r) for r in range(N + 1)] + [np.zeros((N, N), dtype)],
        "badly_scaled": [of_rank(rng, real, 4) * s for s in (1e-12, 1e-5, 1e8, 1e150)],
    }


def main():
    for real in (False, True):
        rng = np.random.default_rng(2)
        for name, matrices in cases(rng, real).items():
            a = np.array(matrices)
            values, vectors = np.linalg.eigh(a)
            kept = np.array([keep_mask(x) for x in values])
            values_bar = rng.standard_normal(values.shape)
            vectors_bar = numbers(rng, real, *vectors.shape)
            weights = rng.standard_normal(vectors.shape)
            arrays = dict(
                a=a, values=values, vectors=vectors, kept=kept, values_bar=values_bar, vectors_bar=vectors_bar,
                a_bar=vjp_batched(values, vectors, kept, values_bar, vectors_bar),
                weights=weights, a_bar_weighted=vjp_batched(values, vectors, kept, values_bar, 2 * weights * vectors),
            )
            for what, x in arrays.items():
                np.save(HERE / f"{name}_{'f64' if real else 'c128'}_{what}.npy", np.ascontiguousarray(x))


if __name__ == "__main__":
    main()
