"""The training scripts: plain torch has no finite gradient, ours trains."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import eigengrad

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "data").is_dir(), reason="without the repository")


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"python/examples/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_digits(capsys: pytest.CaptureFixture[str]) -> None:
    digits = example("digits")
    covariances = torch.from_numpy(np.load(ROOT / "data/digits_covariance.npy")).float()
    roots = eigengrad.spectral(covariances, "sqrt")
    history = digits.train("eigengrad", digits.by_eigengrad, roots, steps=21)
    assert history[-1][1] > 0.5 > history[0][1]
    assert "gradient finite: False" not in capsys.readouterr().out
    digits.train("torch", digits.by_torch, roots, steps=1)
    assert "gradient finite: False" in capsys.readouterr().out


def test_recovery(capsys: pytest.CaptureFixture[str]) -> None:
    recovery = example("recovery")
    target = torch.from_numpy(np.load(ROOT / "data/macro_cross_spectra.npy"))
    target = target / torch.linalg.matrix_norm(target, keepdim=True)
    losses = recovery.train(
        "eigengrad", target, 5, lambda a: eigengrad.eigh(a, rank=5)[:2], steps=40
    )
    assert losses[-1] < 0.5 * losses[0]
    assert "gradient finite: False" not in capsys.readouterr().out
    recovery.train("torch", target, 5, torch.linalg.eigh, steps=1)
    assert "gradient finite: False" in capsys.readouterr().out
