"""JAX: jit, vmap, first and second derivatives, errors, two host devices."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import batch

import eigengrad

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402

import eigengrad.jax  # noqa: E402

WEIGHTS = np.linspace(0.3, 1.7, 25).reshape(5, 5)


def squares(v):
    return (v * jnp.conj(v)).real


def loss(a):
    """Of kept pairs, whatever their phases."""
    pairs = eigengrad.eigh(a)
    v = pairs.eigenvectors * pairs.kept[..., None, :]
    values = jnp.where(pairs.kept, pairs.eigenvalues, 0.0)
    return (WEIGHTS * squares(v)).sum() + (values[..., None, :] * squares(v) ** 2).sum()


def curve(a: np.ndarray, seed: int = 3):
    """A path of matrices of constant rank through `a`, and its velocity."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=a.shape) + (1j * rng.normal(size=a.shape) if a.dtype.kind == "c" else 0.0)
    eye, adjoint = np.eye(a.shape[-1]), x.conj().swapaxes(-1, -2)
    return lambda t: (eye + t * x) @ a @ (eye + t * adjoint), x @ a + a @ adjoint


def test_eigenpairs(kind: str, dtype: str) -> None:
    a = batch(kind, dtype)
    pairs, expected = jax.jit(eigengrad.eigh)(jnp.asarray(a)), eigengrad.eigh(a)
    for one, other in zip(pairs, expected):
        assert np.array_equal(one, other)


def test_derivatives_by_differences(kind: str, dtype: str) -> None:
    a, step = batch(kind, dtype), 1e-5
    path, direction = curve(a)
    gradient = jax.jit(jax.grad(loss))
    first = np.real(np.sum(gradient(a) * direction))
    assert np.isclose(
        first, (loss(path(step)) - loss(path(-step))) / (2 * step), rtol=1e-6, atol=1e-7
    )
    second = jax.grad(lambda a: jnp.real(jnp.sum(jax.grad(loss)(a) * direction)))(jnp.asarray(a))
    slopes = [np.real(np.sum(gradient(path(t)) * direction)) for t in (step, -step)]
    expected = (slopes[0] - slopes[1]) / (2 * step)
    assert np.isclose(np.real(np.sum(second * direction)), expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_the_conjugate_of_that_of_torch(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    import test_torch

    a = batch("rank 2", dtype)
    at = torch.from_numpy(a).requires_grad_()
    pairs = eigengrad.eigh(at)
    v = pairs.eigenvectors * pairs.kept.unsqueeze(-2)
    (test_torch.WEIGHTS * test_torch.squares(v)).sum().backward()

    def f(a):
        pairs = eigengrad.eigh(a)
        return (WEIGHTS * squares(pairs.eigenvectors * pairs.kept[..., None, :])).sum()

    assert np.allclose(jax.grad(f)(jnp.asarray(a)), at.grad.conj().resolve_conj().numpy())


def test_vmap(dtype: str) -> None:
    a = jnp.asarray(batch("ragged", dtype))
    whole, mapped = eigengrad.eigh(a), jax.vmap(eigengrad.eigh)(a)
    assert np.array_equal(mapped.eigenvectors, whole.eigenvectors)
    assert np.array_equal(mapped.info.T, whole.info)
    assert np.allclose(jax.vmap(jax.grad(loss))(a), jax.grad(loss)(a))
    twice = jax.vmap(jax.vmap(eigengrad.eigh))(jnp.stack((a, a)))
    assert np.array_equal(twice.eigenvalues[1], whole.eigenvalues)


@pytest.mark.parametrize("f", ["projector", "sqrt", "pinv", "log", "exp", ("pow", 1.5)])
def test_functions(f: object, dtype: str) -> None:
    a, step = batch("rank 2", dtype), 1e-5
    path, direction = curve(a)
    assert np.allclose(eigengrad.spectral(jnp.asarray(a), f), eigengrad.spectral(a, f))

    def of_function(a):
        return jnp.real(jnp.sum(WEIGHTS * eigengrad.spectral(a, f)))

    for g in (of_function, lambda a: jnp.sum(eigengrad.trace_of(a, f))):
        difference = (g(jnp.asarray(path(step))) - g(jnp.asarray(path(-step)))) / (2 * step)
        slope = np.real(np.sum(jax.grad(g)(jnp.asarray(a)) * direction))
        assert np.isclose(slope, difference, rtol=1e-5, atol=1e-6)
    with pytest.raises(NotImplementedError, match="second derivative of spectral"):
        jax.grad(lambda a: jnp.real(jax.grad(of_function)(a).sum()))(jnp.asarray(a))


@pytest.mark.parametrize("real", ["float32", "complex64", "float16", "bfloat16"])
def test_other_types(real: str) -> None:
    a = jnp.diag(jnp.asarray([0.0, 1.0, 2.0])).astype(real)
    pairs = eigengrad.eigh(a)
    assert pairs.eigenvalues.dtype == jnp.float32 and pairs.rank == 2

    def f(a):
        pairs = eigengrad.eigh(a)
        return jnp.where(pairs.kept, pairs.eigenvalues, 0.0).sum()

    gradient = jax.grad(f)(a)
    assert gradient.dtype == a.dtype
    assert np.array_equal(gradient.astype(jnp.complex64), jnp.diag(jnp.asarray([0.0, 1.0, 1.0])))


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="int"):
        eigengrad.eigh(jnp.ones((2, 2), int))
    with pytest.raises(ValueError, match="square"):
        eigengrad.eigh(jnp.ones((2, 3)))
    a = jnp.asarray(batch("full rank", "float64")).at[1, 2, 0].set(jnp.nan)
    with pytest.raises(eigengrad.MatricesError, match="matrix 1: not finite"):
        eigengrad.check(eigengrad.eigh(a))


def test_forward_mode_and_third_derivatives_raise() -> None:
    a = jnp.asarray(batch("full rank", "float64"))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(loss, (a,), (a,))

    def first(a):
        return jax.grad(loss)(a).sum()

    with pytest.raises(NotImplementedError, match="third"):
        jax.grad(lambda a: jax.grad(first)(a).sum())(a)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np, eigengrad
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
jax.config.update("jax_enable_x64", True)
mesh = Mesh(jax.devices(), ("batch",))
b = np.random.default_rng(0).normal(size=(8, 5, 3))
a = jnp.asarray(b @ b.swapaxes(1, 2))
split = jax.device_put(a, NamedSharding(mesh, P("batch")))
f = lambda a: eigengrad.eigh(a).eigenvalues
mapped = jax.jit(jax.shard_map(f, mesh=mesh, in_specs=P("batch"), out_specs=P("batch")))
assert np.array_equal(mapped(split), f(a))
assert "all-gather" not in mapped.lower(split).compile().as_text()
assert mapped(split).sharding.is_equivalent_to(NamedSharding(mesh, P("batch")), 2)
"""


def test_two_host_devices() -> None:
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run([sys.executable, "-c", SHARDED], check=True, env=environment)


def of_factors(b, weights):
    pairs = eigengrad.eigh_factor(b)
    v = pairs.eigenvectors
    return (weights * (v * v.conj()).real).sum() + pairs.eigenvalues.sum()


def of_states(b, weights):
    a = b @ b.conj().swapaxes(-1, -2)
    return eigengrad.fidelity(a, a + weights @ weights.swapaxes(-1, -2)).sum()


@pytest.mark.parametrize("f", [of_factors, of_states])
def test_factors_and_fidelity(f, dtype: str) -> None:
    """The gradients of torch, conjugated, under jit and vmap; second derivatives raise."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    b, weights = rng.normal(size=(3, 5, 2)), rng.normal(size=(5, 2))
    if dtype == "complex128":
        b = b + 1j * rng.normal(size=b.shape)
    gradient = jax.jit(jax.grad(f))
    got = gradient(jnp.asarray(b), weights)
    x = torch.from_numpy(b).requires_grad_()
    (expected,) = torch.autograd.grad(f(x, torch.from_numpy(weights)), x)
    assert np.allclose(got, expected.numpy().conj(), rtol=1e-9, atol=1e-10)
    mapped = jax.vmap(jax.grad(f), in_axes=(0, None))(jnp.asarray(b), weights)
    assert np.allclose(mapped, got, rtol=1e-12, atol=1e-14)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        jax.grad(lambda b: squares(jax.grad(f)(b, weights)).sum())(jnp.asarray(b))


def test_the_probe_and_check(dtype: str) -> None:
    a = jnp.asarray(batch("rank 2", dtype))

    def phase(a, probe):
        pairs = eigengrad.eigh(a, probe=probe)
        return (pairs.eigenvectors * pairs.kept[..., None, :])[..., 1, :].real.sum()

    probe = eigengrad.jax.probe(a)
    assert probe.shape == (3, 7) and probe.dtype == "float64"
    _, report = jax.jit(jax.grad(phase, argnums=(0, 1)))(a, probe)
    assert report.shape == probe.shape
    if dtype == "complex128":
        assert report[..., :5].max() > 1e-3
        with pytest.raises(eigengrad.MatricesError, match="phase"):
            eigengrad.check(report)
    (clear,) = jax.grad(lambda probe: loss_with(a, probe), argnums=(0,))(probe)
    eigengrad.check(clear)
    eigengrad.check(eigengrad.eigh(a))
    with pytest.raises(ValueError, match="no backward pass"):
        eigengrad.check(probe)
    with pytest.raises(TypeError, match="expected what eigh"):
        eigengrad.check(eigengrad.eigh(a).eigenvalues)
    with pytest.raises(ValueError, match="a probe of this batch"):
        eigengrad.eigh(a, probe=probe[0])


def loss_with(a, probe):
    pairs = eigengrad.eigh(a, probe=probe)
    return (WEIGHTS * squares(pairs.eigenvectors * pairs.kept[..., None, :])).sum()
