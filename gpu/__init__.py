"""s5ref.gpu: the engine of an NVIDIA GPU, `CUDA` (docs/gpu.md). Importing this needs no GPU and no CuPy.

Where there is no usable GPU, taking `CUDA` from here raises S5Error, with the remedy::

    from s5ref.gpu import CUDA
    trees = map(CUDA.to_device, (params, statistics, batch))
    loss = CUDA.to_host(model.loss_and_grad(*trees, engine=CUDA, training=True, key=(0, 0)).loss)
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from s5ref.errors import S5Error

if TYPE_CHECKING:
    from s5ref.engine import Engine

    CUDA: Engine

MODES = ("cuda", "cuda-tf32", "cuda-strict")

__all__ = ["CUDA", "MODES", "cuda"]


@functools.cache
def cuda(mode: str = "cuda", *, graphs: bool = True) -> Engine:
    """The engine on the current GPU.

    mode    cuda; cuda-tf32: float32 matrix products in TF32; cuda-strict: kernels without contracted a b + c
    graphs  record a training step once and replay it
    """
    if mode not in MODES:
        raise S5Error(f"A CUDA engine is one of {', '.join(MODES)}; got {mode!r}.", "Choose one of them.")
    from s5ref.gpu.cupy_device import Cupy
    from s5ref.gpu.engine import engine_of

    made: Engine = engine_of(
        Cupy(tf32=mode == "cuda-tf32"), mode, strict=mode == "cuda-strict", graphs=graphs
    )
    return made


def __getattr__(name: str) -> Any:
    if name == "CUDA":
        return cuda()
    raise AttributeError(f"module 's5ref.gpu' has no attribute {name!r}")
