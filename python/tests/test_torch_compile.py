"""PyTorch's compiler: whole graphs, dynamic batches, exported programs, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import batch
from test_torch import WEIGHTS, loss, matrices, squares
from torch import Tensor

import eigengrad
import eigengrad.torch

ASKED = (-1.0, -1.0, -1.0, -1, 0)


@pytest.fixture(autouse=True)
def _from_nothing() -> None:
    torch._dynamo.reset()


def gradient(f, a: Tensor) -> Tensor:
    return torch.autograd.grad(f(a), a)[0]


@pytest.mark.parametrize("dynamic", [False, True])
def test_whole_graphs(dtype: str, dynamic: bool) -> None:
    compiled = torch.compile(loss, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for kind in ("ragged", "padded with zeros"):
        a = matrices(kind, dtype)
        assert torch.allclose(compiled(a), loss(a))
        assert torch.allclose(gradient(compiled, a), gradient(loss, a))
    other = matrices("rank 2", dtype).detach()[:2].clone().requires_grad_()
    assert torch.allclose(gradient(compiled, other), gradient(loss, other))


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor compiles by g++")
def test_inductor() -> None:
    compiled = torch.compile(loss, fullgraph=True)
    a = matrices("ragged", "float64")
    assert torch.allclose(gradient(compiled, a), gradient(loss, a))


def test_functions_and_the_probe_compile() -> None:
    rectify = eigengrad.nn.ReEig(0.5)

    def f(a: Tensor, probe: Tensor) -> Tensor:
        pairs = eigengrad.eigh(a, probe=probe)
        values = eigengrad.eigvalsh(a)
        return (
            (WEIGHTS * squares(pairs.eigenvectors * pairs.kept.unsqueeze(-2))).sum()
            + torch.where(values.kept, values.eigenvalues, 0.0).sum()
            + eigengrad.spectral(a, "sqrt").sum()
            + eigengrad.spectral(a, (torch.sin, torch.cos)).square().sum()
            + rectify(a).square().sum()
            + eigengrad.negentropy(a).sum()
            + eigengrad.fidelity(a, a[0]).sum()
            + squares(eigengrad.eigh_factor(a[..., :2]).eigenvectors).square().sum()
        )

    a, reports = matrices("ragged", "float64"), []
    for call in (f, torch.compile(f, fullgraph=True, backend="aot_eager")):
        probe = eigengrad.torch.probe(a)
        reports.append(torch.autograd.grad(call(a, probe), (a, probe)))
    for eager, compiled in zip(*reports):
        assert torch.allclose(eager, compiled)


def test_forward_mode_is_refused_in_whole_graphs_and_right_elsewhere() -> None:
    """The leaves have no forward derivative: a graph of them would have the tangent 0, and tell
    nobody.
    """
    a = matrices("full rank", "float64").detach()

    def tangent(a: Tensor) -> Tensor:
        return torch.func.jvp(loss, (a,), (a,))[1]

    with pytest.raises(Exception, match="exception"):
        torch.compile(tangent, fullgraph=True, backend="aot_eager")(a)
    torch._dynamo.reset()
    assert torch.allclose(torch.compile(tangent, backend="aot_eager")(a), tangent(a))


def test_opcheck(dtype: str) -> None:
    a = torch.from_numpy(batch("rank 2", dtype))
    values, vectors, kept, info, _ = torch.ops.eigengrad.eigh(a, *ASKED)
    pairs, op = (values, vectors, kept, info), torch.ops.eigengrad
    factor = op.eigh_factor(a[..., :2], *ASKED)
    bars, none = (torch.ones_like(values), torch.ones_like(vectors)), (torch.empty(0),) * 2
    calls = [
        (op.eigh, (a,)),
        (op.eigvalsh, (a,)),
        (op.backward, (*pairs, *bars)),
        (op.double_backward, (*pairs, *bars, a)),
        (op.jvp, (*pairs, a)),
        (op.backward_jvp, (*pairs, *bars, a, *bars)),
        (op.spectral, (*pairs, *none, 1, 0.0, 0)),
        (op.spectral_derivative, (*pairs, *none, a, 1, 0.0)),
        (op.trace_of, (*pairs, bars[0], bars[0], -1, 0.0)),
        (op.eigh_factor, (a[..., :2],)),
        (op.backward_factor, (*factor[:4], factor[5], factor[0], factor[1])),
        (op.fidelity, (a, a)),
    ]
    for leaf, arguments in calls:
        torch.library.opcheck(
            leaf.default,
            (*arguments, *ASKED),
            test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_dynamic"),
        )


class Model(torch.nn.Module):
    def forward(self, a: Tensor) -> tuple[Tensor, Tensor]:
        pairs = eigengrad.eigh(a)
        return pairs.eigenvalues, eigengrad.projector(a)


def test_exported_programs() -> None:
    a = torch.from_numpy(batch("rank 2", "float64"))
    dynamic = {"a": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Model(), (a,), dynamic_shapes=dynamic)
    more = torch.cat((a, a))
    for got, expected in zip(program.module()(more), Model()(more)):
        assert torch.equal(got, expected)


FIRST_USED_IN_EXPORT = """
import torch, eigengrad

class Model(torch.nn.Module):
    def forward(self, a):
        return eigengrad.projector(a)

a = torch.eye(3).expand(2, 3, 3).contiguous()
program = torch.export.export(Model(), (a,))
assert torch.equal(program.module()(a), Model()(a))
a.requires_grad_()
Model()(a).sum().backward()
assert torch.isfinite(a.grad).all()
"""


def test_what_is_first_used_while_a_tracer_is_at_work() -> None:
    subprocess.run([sys.executable, "-c", FIRST_USED_IN_EXPORT], check=True)


@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor compiles by g++")
def test_compiled_ahead_of_time(tmp_path: Path) -> None:
    a = torch.from_numpy(batch("rank 2", "float64"))
    dynamic = {"a": {0: torch.export.Dim("batch", min=1, max=64)}}
    program = torch.export.export(Model(), (a,), dynamic_shapes=dynamic)
    package = str(tmp_path / "model.pt2")
    torch._inductor.aoti_compile_and_package(program, package_path=package)
    more = torch.cat((a, a))
    for got, expected in zip(torch._inductor.aoti_load_package(package)(more), Model()(more)):
        assert torch.equal(got, expected)
