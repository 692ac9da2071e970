"""The engines by name: fills `s5ref.engine.NAMES`. NUMBA and CUDA are loaded when they are asked for."""

from __future__ import annotations

from s5ref.engine import NAMES, Engine
from s5ref.engines import NUMPY, SEQUENTIAL


def _numba() -> Engine:
    from s5ref.cpu import NUMBA  # compiles at first use

    return NUMBA


def _cuda(mode: str) -> Engine:
    from s5ref.gpu import cuda

    engine: Engine = cuda(mode)
    return engine


NAMES.update(
    {
        "sequential": lambda: SEQUENTIAL,
        "numpy": lambda: NUMPY,
        "numba": _numba,
        "cuda": lambda: _cuda("cuda"),
        "cuda-tf32": lambda: _cuda("cuda-tf32"),
    }
)
