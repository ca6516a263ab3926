"""Two processes, by torchrun."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_two_processes() -> None:
    program = Path(__file__).with_name("distributed.py")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        program,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("passed") == 2
