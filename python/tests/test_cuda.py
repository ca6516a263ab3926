"""PyTorch and JAX on a GPU, beside the CPU. Where there is none nothing of this runs: the door by
addresses is then tested on an emulator, by door/tests/door.rs.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import batch
from test_torch import WEIGHTS, loss, squares
from torch import Tensor

import eigengrad
import eigengrad.torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def first_and_second(a: Tensor) -> tuple[Tensor, Tensor]:
    a = a.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(a), a, create_graph=True)
    return gradient, torch.autograd.grad(squares(gradient).sum(), a)[0]


def near(one: Tensor, other: Tensor) -> None:
    assert torch.allclose(one.cpu(), other.cpu(), rtol=1e-8, atol=1e-9)


def test_derivatives_as_on_the_cpu(kind: str, dtype: str) -> None:
    a = torch.from_numpy(batch(kind, dtype))
    for got, expected in zip(first_and_second(a.cuda()), first_and_second(a)):
        assert got.is_cuda
        near(got, expected)


def test_functions_as_on_the_cpu(kind: str, dtype: str) -> None:
    a = torch.from_numpy(batch(kind, dtype))
    for f in (
        lambda a: eigengrad.eigvalsh(a).eigenvalues,
        lambda a: eigengrad.spectral(a, "sqrt"),
        lambda a: eigengrad.spectral(a, (torch.sin, torch.cos)),
        lambda a: eigengrad.negentropy(a),
        lambda a: eigengrad.fidelity(a, a.flip(0)),
        lambda a: eigengrad.eigh_factor(a[..., :2]).eigenvalues,
        lambda a: torch.func.jvp(lambda a: eigengrad.spectral(a, "exp"), (a,), (a,))[1],
    ):
        near(f(a.cuda()), f(a))


def test_a_stream_of_the_users() -> None:
    a = torch.from_numpy(batch("ragged", "float64"))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        got = first_and_second(a.cuda())
    stream.synchronize()
    for one, expected in zip(got, first_and_second(a)):
        near(one, expected)


def test_memory_is_that_of_torch() -> None:
    a = torch.from_numpy(batch("ragged", "float64")).cuda()
    first_and_second(a)
    torch.cuda.synchronize()
    free = torch.cuda.mem_get_info()[0]
    for _ in range(3):
        first_and_second(a)
    torch.cuda.synchronize()
    assert torch.cuda.mem_get_info()[0] == free


def test_captured_in_a_graph() -> None:
    a = torch.from_numpy(batch("ragged", "float64")).cuda().requires_grad_()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # loads the kernels
        torch.autograd.grad(loss(a), a)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        (gradient,) = torch.autograd.grad(loss(a), a)
    with torch.no_grad():
        a.copy_(torch.from_numpy(batch("rank 2", "float64", seed=5)))
    graph.replay()
    near(gradient, first_and_second(a)[0])


def test_compiled_with_graphs() -> None:
    a = torch.from_numpy(batch("ragged", "float64")).cuda()
    compiled = torch.compile(loss, fullgraph=True, mode="reduce-overhead")
    for _ in range(3):
        x = a.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(compiled(x), x)
    near(gradient, first_and_second(a)[0])


def test_the_probe() -> None:
    a = torch.from_numpy(batch("rank 2", "complex128")).cuda().requires_grad_()
    probe = eigengrad.torch.probe(a)
    eigengrad.eigh(a, probe=probe).eigenvectors[..., 1, -1].real.sum().backward()
    assert probe.grad is not None and probe.grad.is_cuda
    with pytest.raises(eigengrad.MatricesError, match="phase"):
        eigengrad.check(probe)


def test_devices_do_not_mix() -> None:
    a = torch.from_numpy(batch("rank 2", "float64"))
    with pytest.raises(RuntimeError, match="device"):
        eigengrad.fidelity(a, a.cuda())


def test_jax_on_a_gpu(dtype: str) -> None:
    jax = pytest.importorskip("jax")
    if jax.default_backend() != "gpu":
        pytest.skip("JAX has no GPU")
    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    def of(a):
        pairs = eigengrad.eigh(a)
        v = pairs.eigenvectors * pairs.kept[..., None, :]
        return (WEIGHTS.numpy() * (v * jnp.conj(v)).real).sum()

    a = batch("rank 2", dtype)
    gradient = jax.jit(jax.grad(of))
    got = gradient(jnp.asarray(a))
    with jax.default_device(jax.devices("cpu")[0]):
        expected = gradient(jnp.asarray(a))
    assert np.allclose(got, expected, rtol=1e-8, atol=1e-9)


def test_arrays_of_cupy_come_back_as_their_own() -> None:
    cupy = pytest.importorskip("cupy")
    a = batch("rank 2", "float64")
    pairs, expected = eigengrad.eigh(cupy.asarray(a)), eigengrad.eigh(a)
    assert all(isinstance(x, cupy.ndarray) for x in pairs)
    assert np.allclose(pairs.eigenvalues.get(), expected.eigenvalues)
    eigengrad.check(pairs)
    assert np.allclose(
        eigengrad.fidelity(cupy.asarray(a), cupy.asarray(a)).get(), eigengrad.fidelity(a, a)
    )
