"""PyTorch in eager mode: derivatives of every order there is, layouts, copies, findings."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
import torch
from conftest import batch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

import eigengrad
import eigengrad.torch
from eigengrad import nn


def matrices(kind: str, dtype: str) -> Tensor:
    return torch.from_numpy(batch(kind, dtype)).requires_grad_()


def hermitian(a: Tensor) -> Tensor:
    return (a + a.mH) / 2


def tangents(a: Tensor, seed: int = 3) -> Tensor:
    """Directions in which the rank stays what it is: those of B Bᴴ."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(a.shape, dtype=a.dtype, generator=generator)
    return x @ a.detach() + a.detach() @ x.mH


WEIGHTS = torch.linspace(0.3, 1.7, 25, dtype=torch.float64).reshape(5, 5)


def squares(v: Tensor) -> Tensor:
    """|v|²; `v.abs() ** 2` has the second derivative 0 at 0."""
    return (v * v.conj()).real


def loss(a: Tensor) -> Tensor:
    """Of kept pairs, whatever their phases."""
    pairs = eigengrad.eigh(a)
    v = pairs.eigenvectors * pairs.kept.unsqueeze(-2)
    values = torch.where(pairs.kept, pairs.eigenvalues, 0.0)
    return (
        (WEIGHTS.to(a.device) * squares(v)).sum()
        + (values**2).sum()
        + (values.unsqueeze(-2) * squares(v) ** 2).sum()
    )


def along(a: Tensor, direction: Tensor) -> Tensor:
    """Re tr(aᴴ direction)."""
    return (a.conj() * direction).sum().real


def curve(a: Tensor, seed: int = 3):
    """A path of matrices of constant rank through `a`, and its velocity."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(a.shape, dtype=a.dtype, generator=generator)
    eye = torch.eye(a.shape[-1], dtype=a.dtype)
    return lambda t: (eye + t * x) @ a.detach() @ (eye + t * x).mH


def test_the_gradient_by_differences(kind: str, dtype: str) -> None:
    a, step = matrices(kind, dtype), 1e-5
    (gradient,) = torch.autograd.grad(loss(a), a)
    path = curve(a)
    difference = (loss(path(step)) - loss(path(-step))) / (2 * step)
    assert torch.isfinite(gradient).all() and torch.allclose(gradient, gradient.mH)
    assert torch.allclose(along(gradient, tangents(a)), difference, rtol=1e-6, atol=1e-7)


def test_the_second_derivative_by_differences(kind: str, dtype: str) -> None:
    a, step = matrices(kind, dtype), 1e-5
    path, direction = curve(a), tangents(a)
    (gradient,) = torch.autograd.grad(loss(a), a, create_graph=True)
    (hvp,) = torch.autograd.grad(along(gradient, direction), a)

    def slope(t: float) -> Tensor:
        at = path(t).requires_grad_()
        return torch.autograd.grad(loss(at), at)[0]

    # d/dt of tr(Ā D) along the path, D constant.
    difference = along(slope(step) - slope(-step), direction) / (2 * step)
    assert torch.allclose(along(hvp, direction), difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["full rank", "rank 2"])
def test_gradcheck(kind: str, dtype: str) -> None:
    """On B of B Bᴴ, so that no perturbation leaves the rank."""
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(
        2, 4, 4 if kind == "full rank" else 2, dtype=getattr(torch, dtype), generator=generator
    ).requires_grad_()

    def f(b: Tensor) -> tuple[Tensor, Tensor]:
        pairs = eigengrad.eigh(b @ b.mH)
        v = pairs.eigenvectors * pairs.kept.unsqueeze(-2)
        return torch.where(pairs.kept, pairs.eigenvalues, 0.0), v.abs() ** 2

    batched = dtype == "float64"  # torch's own eigh of complex matrices fails that one
    assert gradcheck(
        f, b, check_forward_ad=True, check_batched_grad=batched, check_batched_forward_grad=batched
    )
    assert gradgradcheck(f, b, check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize(
    "f", ["projector", "sqrt", "rsqrt", "pinv", "log", "exp", "xlogx", ("pow", 1.5)]
)
def test_functions_by_gradcheck(f: object, dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(2, 4, 2, dtype=getattr(torch, dtype), generator=generator).requires_grad_()
    assert gradcheck(lambda b: eigengrad.spectral(b @ b.mH, f), b, check_forward_ad=True)
    assert gradcheck(lambda b: eigengrad.trace_of(b @ b.mH, f), b, check_forward_ad=True)
    assert gradgradcheck(lambda b: eigengrad.trace_of(b @ b.mH, f), b)


RECTIFIED = (lambda x: x.clamp(min=0.5), lambda x: (x > 0.5).to(x.dtype))


def test_a_function_that_is_given(dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(2, 4, 2, dtype=getattr(torch, dtype), generator=generator).requires_grad_()
    cube = (lambda x: x**3, lambda x: 3 * x**2)
    assert torch.allclose(
        eigengrad.spectral(b @ b.mH, cube), torch.linalg.matrix_power(b @ b.mH, 3)
    )
    assert gradcheck(lambda b: eigengrad.spectral(b @ b.mH, cube), b, check_forward_ad=True)
    assert gradcheck(lambda b: eigengrad.spectral(b @ b.mH, RECTIFIED), b)
    assert gradcheck(lambda b: eigengrad.trace_of(b @ b.mH, cube), b)
    assert gradcheck(lambda b: eigengrad.trace_of(b @ b.mH, cube), b, check_forward_ad=True)
    a = (b @ b.mH).detach()
    by_func = torch.func.grad(lambda a: eigengrad.trace_of(a, cube).sum())(a)
    assert torch.allclose(by_func, 3 * torch.linalg.matrix_power(a, 2))
    mapped = torch.vmap(torch.func.grad(lambda a: eigengrad.trace_of(a, cube)))(a)
    assert torch.allclose(mapped, by_func)
    (first,) = torch.autograd.grad(eigengrad.trace_of(b @ b.mH, cube).sum(), b, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(first.abs().sum(), b)
    with pytest.raises(ValueError, match="comes with its derivative"):
        eigengrad.spectral(b, torch.exp)


def test_layers_have_gradients(dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(2, 4, 3, dtype=getattr(torch, dtype), generator=generator).requires_grad_()
    for layer in (nn.SpdLog(), nn.SpdExp(), nn.ReEig(0.5)):
        assert gradcheck(lambda b: layer(b @ b.mH), b)


@pytest.mark.parametrize("mode", ["zca", "pca"])
def test_whitening(mode: str) -> None:
    """The covariance of what comes out is the projector on the range of that of what goes in."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, dtype=torch.float64, generator=generator) @ torch.randn(
        3, 6, dtype=torch.float64, generator=generator
    )
    layer = nn.Whiten(6, mode=mode, momentum=1.0, dtype=torch.float64)
    y = layer(x)
    covariance = y.mT @ y / len(y)
    assert torch.allclose(
        torch.linalg.eigvalsh(covariance), torch.tensor([0.0, 0, 0, 1, 1, 1]).double(), atol=1e-8
    )
    layer.eval()
    assert torch.allclose(layer(x), y)
    # Differences leave the range of x; of a given rank that does not matter.
    layer = nn.Whiten(6, mode=mode, rank=3, dtype=torch.float64)
    few = x[:12].clone().requires_grad_()
    assert gradcheck(lambda x: layer(x) ** 2 @ torch.arange(6.0).double(), few)


def test_watching_tells_where(dtype: str) -> None:
    a = matrices("full rank", dtype)
    with (
        pytest.warns(UserWarning, match=r"test_torch.py:\d+: 3 matrices .*: .*phase")
        if dtype == "complex128"
        else contextlib.nullcontext()
    ):
        with eigengrad.torch.watch():
            eigengrad.eigh(a).eigenvectors[:, 1].real.sum().backward()


def test_hessians_three_ways() -> None:
    b = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def f(b: Tensor) -> Tensor:
        pairs = eigengrad.eigh(b @ b.mT)
        v = pairs.eigenvectors * pairs.kept.unsqueeze(-2)
        return (WEIGHTS[:3, :3] * v**2).sum() + (
            torch.where(pairs.kept, pairs.eigenvalues, 0.0) ** 2
        ).sum()

    forward_over_reverse = torch.func.hessian(f)(b)
    assert torch.allclose(
        forward_over_reverse, torch.func.jacrev(torch.func.jacrev(f))(b), atol=1e-8
    )
    assert torch.allclose(forward_over_reverse, torch.autograd.functional.hessian(f, b), atol=1e-8)
    assert torch.allclose(
        forward_over_reverse, torch.func.jacrev(torch.func.jacfwd(f))(b), atol=1e-8
    )
    flat = forward_over_reverse.reshape(6, 6)
    assert torch.allclose(flat, flat.T, atol=1e-8)


def test_vmap(dtype: str) -> None:
    a = matrices("ragged", dtype).detach()
    whole = eigengrad.eigh(a)
    for dim in (0, 1):
        mapped = torch.vmap(eigengrad.eigh, in_dims=dim)(a.movedim(0, dim))
        assert torch.equal(mapped.eigenvalues, whole.eigenvalues)
        assert torch.equal(mapped.kept, whole.kept)
    gradient = torch.vmap(torch.func.grad(loss))(a)
    b = a.clone().requires_grad_()
    assert torch.allclose(gradient, torch.autograd.grad(loss(b), b)[0])
    if dtype == "float64":  # jacrev is for real inputs
        jacobian = torch.func.jacrev(lambda a: eigengrad.eigh(a).eigenvalues)(a)
        assert jacobian.shape == (3, 5, 3, 5, 5)
        for matrix, k in [(0, 4), (2, 1)]:
            b = a.clone().requires_grad_()
            (row,) = torch.autograd.grad(eigengrad.eigh(b).eigenvalues[matrix, k], b)
            assert torch.allclose(jacobian[matrix, k], row)


def test_a_third_derivative_raises() -> None:
    a = matrices("full rank", "float64")
    (first,) = torch.autograd.grad(loss(a), a, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), a, create_graph=True)
    with pytest.raises(NotImplementedError, match="third"):
        torch.autograd.grad(second.sum(), a)
    (first,) = torch.autograd.grad(eigengrad.spectral(a, "sqrt").sum(), a, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivative of spectral"):
        torch.autograd.grad(first.sum(), a)


class Operators(TorchDispatchMode):
    """The names of the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def test_nothing_is_copied(dtype: str) -> None:
    a = matrices("rank 2", dtype)
    with Operators() as operators:
        pairs = eigengrad.eigh(a)
        bars = (
            torch.ones_like(pairs.eigenvalues),
            torch.empty_strided(a.shape, pairs.eigenvectors.stride(), dtype=a.dtype).zero_(),
        )
        torch.autograd.grad((pairs.eigenvalues, pairs.eigenvectors), a, bars)
    assert not [
        name
        for name in operators.names
        if "clone" in name or "copy" in name or "contiguous" in name
    ], operators.names
    assert pairs.eigenvectors.stride() == torch.linalg.eigh(a).eigenvectors.stride()


def test_memory_that_is_not_cleared() -> None:
    """Deterministic mode fills new memory with NaN: every kernel writes all of every output."""
    torch.use_deterministic_algorithms(True)
    try:
        a = matrices("ragged", "complex128")
        (gradient,) = torch.autograd.grad(loss(a), a, create_graph=True)
        (second,) = torch.autograd.grad(along(gradient, tangents(a)), a)
        assert torch.isfinite(gradient).all() and torch.isfinite(second).all()
        _, tangent = torch.func.jvp(loss, (a.detach(),), (tangents(a),))
        assert torch.isfinite(tangent)
        assert (
            torch.isfinite(eigengrad.spectral(a, "pinv")).all()
            and torch.isfinite(eigengrad.trace_of(a, "log")).all()
        )
    finally:
        torch.use_deterministic_algorithms(False)


def test_any_layout_is_right(dtype: str) -> None:
    a = matrices("full rank", dtype).detach()
    expected = eigengrad.eigh(a).eigenvalues
    wide = torch.zeros(3, 10, 10, dtype=a.dtype)
    wide[:, ::2, ::2] = a
    for other in (
        a.mT.contiguous().mT,
        wide[:, ::2, ::2],
        a.conj().resolve_conj().conj(),
        a.mH,
        a.flip(0).flip(0),
    ):
        assert torch.allclose(eigengrad.eigh(other).eigenvalues, expected)
    repeated = eigengrad.eigh(a[:1].expand(4, 5, 5))
    assert torch.equal(repeated.eigenvalues, expected[:1].expand(4, 5))


@pytest.mark.parametrize(
    "shape", [(5, 5), (0, 0), (0, 5, 5), (2, 5, 5), (1, 1, 5, 5), (2, 0, 0), (3, 1, 1)]
)
def test_shapes_and_strides_are_those_of_torch(shape: tuple[int, ...]) -> None:
    a = hermitian(torch.randn(shape, dtype=torch.float64)).requires_grad_()
    pairs, expected = eigengrad.linalg.eigh(a), torch.linalg.eigh(a)
    assert (
        pairs.eigenvalues.shape == expected.eigenvalues.shape
        and pairs.eigenvectors.shape == expected.eigenvectors.shape
    )
    if a.numel():
        assert pairs.eigenvectors.stride() == expected.eigenvectors.stride()
    (gradient,) = torch.autograd.grad(pairs.eigenvalues.sum(), a)
    assert torch.allclose(gradient, torch.eye(shape[-1], dtype=torch.float64).expand(shape))


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_halves_in_float32_out(half: torch.dtype) -> None:
    a = torch.diag(torch.tensor([0.0, 1.0, 2.0])).to(half).requires_grad_()
    pairs = eigengrad.eigh(a)
    assert pairs.eigenvalues.dtype == pairs.eigenvectors.dtype == torch.float32 and pairs.rank == 2
    torch.where(pairs.kept, pairs.eigenvalues, 0.0).sum().backward()
    assert a.grad.dtype == half and torch.equal(
        a.grad.float(), torch.diag(torch.tensor([0.0, 1.0, 1.0]))
    )


def test_the_case_that_turns_nan() -> None:
    b = torch.zeros(3, 3, dtype=torch.float64)
    b[0] = torch.tensor([1.0, 2.0, 3.0])

    def gradient(eigh) -> Tensor:
        at = b.clone().requires_grad_()
        pairs = eigh(at @ at.mT)
        (pairs.eigenvectors[:, -1:].abs() ** 2).sum().backward()
        return at.grad

    assert not torch.isfinite(gradient(torch.linalg.eigh)).all()
    assert torch.isfinite(gradient(eigengrad.eigh)).all()


def test_the_probe_and_check(dtype: str) -> None:
    a = matrices("full rank", dtype)
    probe = eigengrad.torch.probe(a)
    pairs = eigengrad.eigh(a, probe=probe)
    (pairs.eigenvectors.abs() ** 2 * WEIGHTS).sum().backward()
    assert probe.grad.shape == (3, 7) and (probe.grad[..., :5].abs() < 1e-10).all()
    eigengrad.check(pairs)
    eigengrad.check(probe)
    if dtype == "complex128":
        probe = eigengrad.torch.probe(a)
        eigengrad.eigh(a, probe=probe).eigenvectors[:, 1].real.sum().backward()
        assert (probe.grad[..., :5].max(-1).values > 1e-3).all()
        with pytest.raises(eigengrad.MatricesError, match="phase"):
            eigengrad.check(probe)


def test_a_matrix_that_is_not_finite_is_named() -> None:
    a = matrices("full rank", "float64").detach()
    a[2, 1, 0] = torch.inf
    with pytest.raises(eigengrad.MatricesError, match="matrix 2: not finite"):
        eigengrad.check(eigengrad.eigh(a))


@pytest.mark.parametrize(
    ("a", "error", "text"),
    [
        (torch.ones(2, 3), RuntimeError, "square"),
        (torch.ones(3), RuntimeError, "square"),
        (torch.ones(2, 2, dtype=torch.int64), TypeError, "int64"),
        (torch.ones(2, 2, dtype=torch.bool), TypeError, "bool"),
    ],
)
def test_bad_input(a: Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        eigengrad.eigh(a)


def test_cotangents_of_another_shape_are_refused() -> None:
    a = matrices("full rank", "float64").detach()
    pairs = eigengrad.eigh(a)
    backward = torch.ops.eigengrad.backward.default
    rest = (pairs.eigenvalues, pairs.eigenvectors, pairs.kept, pairs.info)
    asked = (-1.0, -1.0, -1.0, -1, 0)
    for bars in [
        (torch.ones(3, 4).double(), torch.empty(0)),
        (torch.empty(0), torch.ones(3, 5, 4).double()),
        (torch.ones(2, 5).double(), torch.empty(0)),
        (torch.ones(3, 5), torch.empty(0)),
    ]:
        with pytest.raises(RuntimeError, match="eigengrad"):
            backward(*rest, *bars, *asked)


def test_threads_have_the_same_bits() -> None:
    a = torch.from_numpy(np.stack([batch("full rank", "float64", seed)[0] for seed in range(64)]))
    expected, wrong = eigengrad.eigh(a).eigenvectors, []

    def work() -> None:
        for _ in range(50):
            if not torch.equal(eigengrad.eigh(a).eigenvectors, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


def test_a_child_that_fork_made() -> None:
    import os

    a = torch.randn(512, 16, 16, dtype=torch.float64)
    a = a @ a.mT
    expected = eigengrad.eigh(a).eigenvalues
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(eigengrad.eigh(a).eigenvalues, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def factors(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=getattr(torch, dtype), generator=generator).requires_grad_()


def of_pairs(pairs: eigengrad.Eigh) -> tuple[Tensor, Tensor]:
    """What does not depend on phases: kept λ, and |v|² of kept v."""
    v = pairs.eigenvectors * pairs.kept.unsqueeze(-2)
    return torch.where(pairs.kept, pairs.eigenvalues, 0.0), squares(v)


def test_factors(dtype: str) -> None:
    """The pairs and the gradient of B Bᴴ, of full column rank and of less, by any layout of B."""
    full = factors((3, 6, 2), dtype)
    deficient = torch.cat((full, full[..., :1] - 2 * full[..., 1:]), -1).detach().requires_grad_()
    for b in (full, deficient, deficient.detach().mT.contiguous().mT.requires_grad_()):
        r, by_factor = b.shape[-1], eigengrad.eigh_factor(b)
        product = eigengrad.eigh(b @ b.mH, rtol=1e-10)
        values, squared = of_pairs(by_factor)
        expected, expected_squares = of_pairs(product)
        assert torch.equal(by_factor.rank, product.rank) and by_factor.kept.shape == (3, r)
        assert torch.allclose(values, expected[..., -r:])
        assert torch.allclose(squared, expected_squares[..., -r:])
        weights = torch.linspace(0.3, 1.7, 6 * r, dtype=torch.float64).reshape(6, r)
        (got,) = torch.autograd.grad((weights * squared).sum() + values.sum(), b)
        loss = (weights * expected_squares[..., -r:]).sum() + expected.sum()
        assert torch.allclose(got, torch.autograd.grad(loss, b)[0], rtol=1e-7, atol=1e-9)


def test_factors_by_gradcheck(dtype: str) -> None:
    b = factors((2, 5, 3), dtype)
    assert gradcheck(lambda b: of_pairs(eigengrad.eigh_factor(b)), b, check_batched_grad=True)
    mapped = torch.func.vmap(lambda b: of_pairs(eigengrad.eigh_factor(b)))(b)
    for one, other in zip(mapped, of_pairs(eigengrad.eigh_factor(b))):
        assert torch.equal(one, other)


def test_fidelity(dtype: str) -> None:
    """At fixed rank, by factors; of a state and itself it is the square of the trace."""
    x, y = factors((2, 4, 2), dtype), factors((2, 4, 3), dtype, 1)
    assert gradcheck(
        lambda x, y: eigengrad.fidelity(x @ x.mH, y @ y.mH),
        (x, y),
        check_forward_ad=True,
        check_batched_grad=True,
    )
    a = x @ x.mH
    trace = torch.diagonal(a, dim1=-2, dim2=-1).sum(-1).real
    assert torch.allclose(eigengrad.fidelity(a, a), trace**2)
    assert eigengrad.fidelity(a[0], y @ y.mH).shape == (2,)
    assert torch.isnan(eigengrad.fidelity(-a, a)).all()
    mapped = torch.func.vmap(eigengrad.fidelity, in_dims=(0, None))(a, a[0])
    assert torch.equal(mapped, eigengrad.fidelity(a, a[0]))


def test_second_derivatives_that_there_are_not(dtype: str) -> None:
    b = factors((5, 3), dtype)
    for f, text in (
        (lambda b: of_pairs(eigengrad.eigh_factor(b))[1].square().sum(), "eigh_factor"),
        (lambda b: eigengrad.fidelity(b @ b.mH, (2 * b) @ b.mH), "fidelity"),
    ):
        (gradient,) = torch.autograd.grad(f(b), b, create_graph=True)
        with pytest.raises(NotImplementedError, match=f"no second derivative of {text}"):
            torch.autograd.grad(squares(gradient).sum(), b)
    with pytest.raises(RuntimeError, match="columns"):
        eigengrad.eigh_factor(b.mT)


def test_fidelity_of_several_precisions() -> None:
    """The cut is that of the coarser data, in whatever type both are computed."""
    x, y = factors((8, 6, 2), "float64").detach(), factors((8, 6, 3), "float64", 1).detach()
    a, b = x @ x.mT, y @ y.mT
    expected = eigengrad.fidelity(a, b)
    for kind in (torch.float32, torch.float16, torch.bfloat16, torch.complex64):
        for one, other in ((a.to(kind), b), (a, b.to(kind)), (a.to(kind), b.to(kind))):
            got = eigengrad.fidelity(one, other).double()
            assert torch.allclose(got, expected, rtol=0.1), kind
    for one, other in ((a, torch.eye(1)), (torch.ones(6), a), (a, torch.eye(5))):
        with pytest.raises(ValueError, match="one order"):
            eigengrad.fidelity(one, other)


def test_a_probe_is_for_one_pass() -> None:
    d = torch.diag(torch.tensor([1.0, 1.0, 2.0])).double().requires_grad_()
    probe = eigengrad.torch.probe(d)
    eigengrad.eigh(d, probe=probe).eigenvalues.sum().backward()
    eigengrad.check(probe)
    assert probe.grad is not None
    eigengrad.check(probe.grad)
    eigengrad.eigh(d, probe=probe).eigenvalues.sum().backward()
    with pytest.raises(ValueError, match="several backward passes"):
        eigengrad.check(probe)


@pytest.mark.parametrize(
    "what", [None, (), 3.0, torch.eye(3), eigengrad.linalg.eigh(torch.eye(3)), np.eye(3)]
)
def test_what_cannot_be_checked(what: object) -> None:
    with pytest.raises(TypeError, match="expected what eigh"):
        eigengrad.check(what)


def test_remedies_have_the_names_of_the_package() -> None:
    with pytest.raises(eigengrad.MatricesError, match="rtol, atol or rank"):
        eigengrad.check(eigengrad.eigh(torch.eye(4), rank=2))


@pytest.mark.parametrize("f", ["eigh", "eigh_factor", "projector", "fidelity"])
def test_watching_sees_every_function(f: str) -> None:
    bad = torch.eye(4).double()
    bad[0, 0] = torch.nan

    def call(a: Tensor) -> object:
        return eigengrad.fidelity(a, a) if f == "fidelity" else getattr(eigengrad, f)(a)

    with pytest.warns(UserWarning, match="test_torch.*not finite"), eigengrad.torch.watch():
        call(bad)


def test_watching_sees_gradients_of_every_kind() -> None:
    z = factors((5, 5), "complex128").detach()
    a = (z @ z.mH).requires_grad_()
    for f in (eigengrad.eigh, eigengrad.eigh_factor):
        with pytest.warns(UserWarning, match="phase"), eigengrad.torch.watch():
            torch.autograd.grad(f(a).eigenvectors.real.sum(), a)


def test_arguments_that_are_wrong() -> None:
    a = torch.eye(3)
    for call, error, text in (
        (lambda: eigengrad.eigh_factor(a, UPLO="U"), TypeError, "no UPLO"),
        (lambda: eigengrad.eigh(a, rank=2.7), TypeError, "integer"),
        (lambda: eigengrad.eigh(a, probe=True), TypeError, "a probe is a tensor"),
        (lambda: eigengrad.eigh(a.to_sparse()), TypeError, "to_dense"),
        (lambda: eigengrad.fidelity(a.long(), a), TypeError, "int64"),
        (lambda: eigengrad.eigh(np.ma.masked_array(np.eye(3))), TypeError, "masked"),
        (lambda: nn.Whiten(3)(a.double()), ValueError, "expected torch.float32"),
        (lambda: nn.Whiten(3)(a[:, :2]), ValueError, "shape"),
        (lambda: nn.Whiten(3, rtoll=1.0), TypeError, "rtoll"),
        (lambda: torch.func.jvp(eigengrad.eigh_factor, (a,), (a,)), NotImplementedError, "mH"),
    ):
        with pytest.raises(error, match=text):
            call()
    whiten = nn.Whiten(3)
    whiten(a[:0])
    assert torch.isfinite(whiten.covariance).all()
