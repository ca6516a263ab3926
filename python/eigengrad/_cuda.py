"""NVIDIA's libraries, where pip put them: PyTorch and JAX bring them as wheels, which no loader
searches."""

from __future__ import annotations

import ctypes
import glob
import os
import sysconfig

#: In the order in which they need each other.
_NAMES = ("nvJitLink", "cusparse", "cublasLt", "cublas", "cusolver", "nvrtc")


_sought = False


def preload() -> None:
    """Loads them, so that the kernels find by their names those that the framework works with;
    unless a folder is named by ``EIGENGRAD_CUDA_LIB_DIR``. One that is missing is told by the first
    operation."""
    global _sought
    if _sought or os.environ.get("EIGENGRAD_CUDA_LIB_DIR"):
        return
    _sought = True
    roots = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    for name in _NAMES:
        for root in roots:
            for path in sorted(glob.glob(f"{root}/nvidia/*/lib/lib{name}.so.[0-9]*")):
                try:
                    ctypes.CDLL(path)
                except OSError:
                    continue
                break
