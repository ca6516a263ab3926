"""NumPy: values, layouts that are taken or refused, and errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import batch

import eigengrad

ROUND_OFF = 1e-12


def test_eigenpairs_make_the_matrix(kind: str, dtype: str) -> None:
    a = batch(kind, dtype)
    pairs = eigengrad.eigh(a)
    v = pairs.eigenvectors
    assert np.allclose(
        v * pairs.eigenvalues[..., None, :] @ v.conj().swapaxes(-1, -2), a, atol=ROUND_OFF
    )
    assert np.allclose(pairs.eigenvalues, np.linalg.eigvalsh(a), atol=ROUND_OFF)
    assert (pairs.rank == np.linalg.matrix_rank(a, hermitian=True)).all()
    assert (pairs.rank == pairs.kept.sum(-1)).all()
    assert (eigengrad.eigvalsh(a).kept == pairs.kept).all()
    eigengrad.check(pairs)


@pytest.mark.parametrize("real", ["float32", "complex64", "float16"])
def test_other_types(real: str) -> None:
    a = batch("rank 2", "complex128" if real == "complex64" else "float64").astype(real)
    pairs = eigengrad.eigh(a)
    assert pairs.eigenvectors.dtype == (np.complex64 if real == "complex64" else np.float32)
    assert pairs.eigenvalues.dtype == np.float32
    assert (pairs.rank == 2).all()


def test_one_triangle_is_read() -> None:
    a = batch("full rank", "complex128")
    lower, upper = np.tril(a), np.triu(a)
    assert np.array_equal(eigengrad.eigh(lower).eigenvalues, eigengrad.eigh(a).eigenvalues)
    assert np.allclose(
        eigengrad.eigh(upper, "U").eigenvalues, eigengrad.eigh(a).eigenvalues, atol=ROUND_OFF
    )


def test_any_layout_is_right() -> None:
    a = batch("full rank", "float64")
    expected = eigengrad.eigh(a).eigenvalues
    wide = np.zeros((3, 10, 10))
    wide[:, ::2, ::2] = a
    unaligned = np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(np.float64).reshape(a.shape)
    read_only = a.copy()
    read_only.flags.writeable = False
    others = [
        np.asfortranarray(a),
        a[:, ::-1, ::-1][:, ::-1, ::-1],
        wide[:, ::2, ::2],
        a.astype(">f8"),
        unaligned,
        read_only,
    ]
    for other in others:
        assert np.array_equal(eigengrad.eigh(other).eigenvalues, expected)
    reversed_order = eigengrad.eigh(a[::-1]).eigenvalues
    assert np.array_equal(reversed_order, expected[::-1])


def test_empty_shapes() -> None:
    for shape in [(0, 0), (0, 3, 3), (2, 0, 0), (2, 0, 4, 4)]:
        pairs = eigengrad.eigh(np.zeros(shape))
        assert pairs.eigenvectors.shape == shape and pairs.eigenvalues.shape == shape[:-1]
        assert pairs.rank.shape == shape[:-2]


def test_options_reach_the_cut() -> None:
    a = np.diag([0.0, 1e-3, 1.0, 2.0])
    assert eigengrad.eigh(a).rank == 3
    assert eigengrad.eigh(a, rtol=0.01).rank == 2
    assert eigengrad.eigh(a, atol=1.5).rank == 1
    assert eigengrad.eigh(a, rank=1).rank == 1
    assert eigengrad.eigh(a, keep_all=True).rank == 4
    assert eigengrad.eigh(np.diag([1e-9, 1.0]), computed_in="float32").rank == 1
    assert (
        eigengrad.eigh(np.diag([1.0, 1.0, 2.0]), rank=2).status == eigengrad.Status.TIE_ACROSS_CUT
    )


def test_the_numbers_of_findings() -> None:
    from eigengrad import _core

    assert dict(_core.findings()) == {finding.name: finding.value for finding in eigengrad.Status}


def test_a_function_that_is_given() -> None:
    a = batch("rank 2", "float64")
    cubed = eigengrad.spectral(a, (lambda x: x**3, lambda x: 3 * x**2))
    assert np.allclose(cubed, np.linalg.matrix_power(a, 3))


def test_functions() -> None:
    a = batch("rank 2", "complex128")
    assert np.allclose(eigengrad.spectral(a, "pinv"), np.linalg.pinv(a, hermitian=True), atol=1e-10)
    root = eigengrad.spectral(a, "sqrt")
    assert np.allclose(root @ root, a, atol=1e-10)
    assert np.allclose(eigengrad.spectral(a, ("pow", 0.5)), root, atol=1e-10)
    assert np.allclose(eigengrad.projector(a) @ a, a, atol=1e-10)
    kept = np.linalg.eigvalsh(a)[:, -2:]
    assert np.allclose(eigengrad.negentropy(a), (kept * np.log(kept)).sum(-1))
    assert np.allclose(eigengrad.trace_of(a, "exp"), np.exp(kept).sum(-1))


@pytest.mark.parametrize(
    ("a", "error", "text"),
    [
        (np.ones((2, 3)), ValueError, "square"),
        (np.ones(3), ValueError, "square"),
        (np.ones((2, 2), int), TypeError, "int64"),
        (np.ones((2, 2), object), TypeError, "object"),
        ([[1.0]], TypeError, "list"),
    ],
)
def test_bad_input(a: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        eigengrad.eigh(a)


def test_unknown_options_are_named_beside_those_that_there_are() -> None:
    with pytest.raises(TypeError, match="unknown option cut: expected UPLO, rtol, "):
        eigengrad.eigh(np.eye(2), cut=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"rtol": -1.0},
        {"atol": float("nan")},
        {"rank": -1},
        {"ties": "no"},
        {"computed_in": "int8"},
        {"keep_all": True, "rtol": 0.1},
    ],
)
def test_bad_options(options: dict) -> None:
    with pytest.raises(ValueError):
        eigengrad.eigh(np.eye(2), **options)


def test_one_bad_matrix_spoils_no_other() -> None:
    a = batch("full rank", "float64")
    good = eigengrad.eigh(a)
    a[1, 2, 0] = np.nan
    pairs = eigengrad.eigh(a)
    assert np.array_equal(pairs.eigenvectors[[0, 2]], good.eigenvectors[[0, 2]])
    assert np.isnan(pairs.eigenvectors[1]).all()
    with pytest.raises(eigengrad.MatricesError, match="matrix 1: not finite"):
        eigengrad.check(pairs)
    with pytest.raises(np.linalg.LinAlgError, match="outside the function's domain"):
        eigengrad.spectral(-np.eye(2), "sqrt")


def test_the_drop_in() -> None:
    a = batch("full rank", "float64")
    values, vectors = eigengrad.linalg.eigh(a)
    assert np.allclose(values, np.linalg.eigh(a)[0])
    assert np.allclose(np.abs(np.einsum("bik,bik->bk", vectors, np.linalg.eigh(a)[1])), 1.0)
    assert np.allclose(eigengrad.linalg.eigvalsh(a), values)


class Foreign:
    """An array of another library, by the array API standard."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __array_namespace__(self) -> type[Foreign]:
        return Foreign

    @classmethod
    def from_dlpack(cls, array: object) -> Foreign:
        return cls(np.from_dlpack(array))


def test_arrays_of_other_libraries_come_back_as_their_own() -> None:
    a = batch("rank 2", "complex128")
    pairs, expected = eigengrad.eigh(Foreign(a)), eigengrad.eigh(a)
    for one, other in zip(pairs, expected):
        assert isinstance(one, Foreign) and np.array_equal(one.array, other)
    assert np.array_equal(
        eigengrad.spectral(Foreign(a), "pinv").array, eigengrad.spectral(a, "pinv")
    )
    assert np.array_equal(eigengrad.eigvalsh(Foreign(a)).kept.array, expected.kept)


def test_nothing_heavy_is_imported() -> None:
    code = "import eigengrad, sys; assert not {'torch', 'jax'} & set(sys.modules); eigengrad.nn"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_random_arrays_crash_nothing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(rng.integers(0, 4, rng.integers(0, 5)))
        a = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300)
        with np.errstate(over="ignore", invalid="ignore"):
            a = a.astype(rng.choice(["f2", "f4", "f8", "c8", "c16", "i4", ">f4", "?"]))
        a = a.swapaxes(*rng.integers(0, a.ndim, 2)) if a.ndim else a
        a = a[(slice(None, None, rng.choice([1, -1, 2])),) * a.ndim]
        for call in (
            eigengrad.eigh,
            eigengrad.eigvalsh,
            lambda a: eigengrad.spectral(a, "exp"),
            lambda a: eigengrad.trace_of(a, "log"),
        ):
            try:
                call(a)
            except (ValueError, TypeError):
                pass


def test_factors(dtype: str) -> None:
    rng = np.random.default_rng(5)
    b = rng.normal(size=(2, 3, 6, 2)) + (1j * rng.normal(size=(6, 2)) if dtype[0] == "c" else 0.0)
    a = b @ b.conj().swapaxes(-1, -2)
    pairs, product = eigengrad.eigh_factor(b), eigengrad.eigh(a)
    assert np.array_equal(pairs.rank, product.rank) and pairs.rank.min() == 2
    assert np.allclose(pairs.eigenvalues, product.eigenvalues[..., -2:])
    v = pairs.eigenvectors
    assert np.allclose((v * pairs.eigenvalues[..., None, :]) @ v.conj().swapaxes(-1, -2), a)
    with pytest.raises(ValueError, match="r"):
        eigengrad.eigh_factor(b.swapaxes(-1, -2))
    with pytest.raises(ValueError, match="expected factors"):
        eigengrad.eigh_factor(b[0, 0, 0])
    assert eigengrad.eigh_factor(np.zeros((0, 4, 2))).eigenvectors.shape == (0, 4, 2)


def test_fidelity(dtype: str) -> None:
    rng = np.random.default_rng(6)
    x, y = (rng.normal(size=(3, 5, r)).astype(dtype) for r in (2, 4))
    a, b = x @ x.swapaxes(-1, -2), y @ y.swapaxes(-1, -2)
    expected = np.linalg.svd(x.swapaxes(-1, -2).conj() @ y, compute_uv=False).sum(-1) ** 2
    assert np.allclose(eigengrad.fidelity(a, b), expected)
    assert np.allclose(eigengrad.fidelity(a[0], b)[0], expected[0])
    with pytest.raises(eigengrad.MatricesError, match="0"):
        eigengrad.fidelity(-a, b)
    with pytest.raises(ValueError):
        eigengrad.fidelity(a, b[:, :4, :4])
