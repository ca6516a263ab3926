"""How the operators are split over devices: along any axis of the batch, without communication.

Importing this registers the rules with ``torch.distributed.tensor``; :func:`eigengrad.eigh` of a
``DTensor`` does so by itself. A tensor that is split along an axis of its matrices is gathered
first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.experimental import register_sharding

from . import torch as _torch  # noqa: F401, which defines the operators

_op = torch.ops.eigengrad

#: Of each operator the tensors that it takes and gives, by the axes that they have beside those of
#: the batch: "m" two behind it, "v" one behind it, "s" none, "i" one before it.
_AXES = {
    _op.eigh: ("m", "vmvii"),
    _op.eigvalsh: ("m", "vvii"),
    _op.backward: ("vmvivm", "mvss"),
    _op.double_backward: ("vmvivmm", "mvms"),
    _op.jvp: ("vmvim", "vms"),
    _op.backward_jvp: ("vmvivmmvm", "ms"),
    _op.spectral: ("vmvivv", "ms"),
    _op.spectral_derivative: ("vmvivvm", "ms"),
    _op.trace_of: ("vmvivv", "ss"),
    _op.eigh_factor: ("m", "vmviim"),
    _op.backward_factor: ("vmvimvm", "mvss"),
    _op.fidelity: ("mm", "ssmm"),
}
_BEHIND = {"m": 2, "v": 1, "s": 0, "i": 1}


def _rule(takes: str, gives: str) -> Callable[..., list[tuple[list[Any], list[Any]]]]:
    def placed(kind: str, axis: int) -> Any:
        return Shard(axis + 1 if kind == "i" else axis)

    def rule(*args: Any) -> list[tuple[list[Any], list[Any]]]:
        tensors, numbers = args[: len(takes)], [None] * (len(args) - len(takes))
        whole: list[Any] = [Replicate()] * len(takes)
        all_placements = [([Replicate()] * len(gives), whole + numbers)]
        absent = [tuple(tensor.shape) == (0,) for tensor in tensors]
        axes = {x.ndim - _BEHIND[k] for k, x, none in zip(takes, tensors, absent) if not none}
        if len(axes) > 1:  # directions in front of the batch
            return all_placements
        for axis in range(*axes):
            inputs: list[Any] = [
                Replicate() if none else placed(k, axis) for k, none in zip(takes, absent)
            ]
            all_placements.append(([placed(k, axis) for k in gives], inputs + numbers))
        return all_placements

    return rule


for _operator, (_takes, _gives) in _AXES.items():
    register_sharding(_operator.default)(_rule(_takes, _gives))
