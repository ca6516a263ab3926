"""What two processes do together: torchrun --nproc-per-node 2 python/tests/distributed.py"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import eigengrad


class Model(torch.nn.Module):
    """Matrices of rank 3 of 8, and a loss of their kept pairs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = torch.nn.Linear(5, 24, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        b = self.linear(x).view(-1, 8, 3)
        pairs = eigengrad.eigh(b @ b.mT, rtol=1e-9)
        v = pairs.eigenvectors * pairs.kept.unsqueeze(-2)
        return (v**4).sum((-1, -2)) + torch.where(pairs.kept, pairs.eigenvalues, 0.0).sum(-1)


def same_steps(rank: int, size: int, x: Tensor) -> None:
    """Five steps of both processes are those of one."""
    parallel, single = DistributedDataParallel(Model()), Model()
    for model, part in [(parallel, x.chunk(size)[rank]), (single, x)]:
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        for _ in range(5):
            optimizer.zero_grad()
            model(part).mean().backward()
            optimizer.step()
    for one, other in zip(parallel.parameters(), single.parameters()):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)


def compiled(rank: int, size: int, x: Tensor) -> None:
    model, eager = torch.compile(DistributedDataParallel(Model()), backend="aot_eager"), Model()
    model(x.chunk(size)[rank]).mean().backward()
    eager(x).mean().backward()
    for one, other in zip(model.parameters(), eager.parameters()):
        assert torch.allclose(one.grad, other.grad, rtol=1e-10, atol=1e-12)


def fully_sharded(rank: int, size: int, x: Tensor, mesh) -> None:
    model, eager = Model(), Model()
    fully_shard(model.linear, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model(x.chunk(size)[rank]).mean().backward()
    eager(x).mean().backward()
    for one, other in zip(model.parameters(), eager.parameters()):
        assert torch.allclose(one.grad.full_tensor(), other.grad, rtol=1e-10, atol=1e-12)


def split_batches(mesh) -> None:
    """A batch that no process has whole; an axis of the matrices is gathered."""
    generator = torch.Generator().manual_seed(2)
    b = torch.randn(8, 2, 5, 3, dtype=torch.float64, generator=generator)
    a = b @ b.mT

    def loss(a: Tensor) -> tuple[Tensor, Tensor]:
        pairs = eigengrad.eigh(a, rank=3)
        v = pairs.eigenvectors * pairs.kept.unsqueeze(-2)
        factors = eigengrad.eigh_factor(a[..., :3]).eigenvectors
        others = (factors**4).sum() + eigengrad.fidelity(a, 2 * a).sum()
        return (v**4).sum() + eigengrad.spectral(a, "sqrt").sum() + others, pairs.info

    whole = a.clone().requires_grad_()
    loss(whole)[0].backward()
    for axis in (0, 1, 2):
        split = distribute_tensor(a, mesh, [Shard(axis)]).requires_grad_()
        total, info = loss(split)
        total.full_tensor().backward()
        assert torch.allclose(split.grad.full_tensor(), whole.grad)
        if axis < 2:
            assert info.placements == (Shard(axis + 1),), info.placements
            assert split.grad.placements == (Shard(axis),), split.grad.placements


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    mesh = init_device_mesh("cpu", (size,))
    x = torch.randn(16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    same_steps(rank, size, x)
    compiled(rank, size, x)
    fully_sharded(rank, size, x, mesh)
    split_batches(mesh)
    dist.destroy_process_group()
    print(f"process {rank} of {size}: passed")


if __name__ == "__main__":
    main()
