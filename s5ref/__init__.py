"""s5ref: the S5 state-space layer with hand-derived gradients, as a reference for other implementations.

``import s5ref`` loads NumPy only. The NUMBA engine is compiled on first use of ``s5ref.NUMBA``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from s5ref.engine import Call, Engine, Pair
from s5ref.engines import NUMPY, SEQUENTIAL
from s5ref.errors import S5Error
from s5ref.model.batch import Batch
from s5ref.model.chunks import chunked_loss_and_grad
from s5ref.model.config import ModelConfig
from s5ref.model.model import Model
from s5ref.model.streaming import Streaming, streaming

if TYPE_CHECKING:
    from s5ref.cpu import NUMBA
    from s5ref.train.runs import load

__version__ = "0.1.0"
__all__ = [
    "NUMBA",
    "NUMPY",
    "SEQUENTIAL",
    "Batch",
    "Call",
    "Kernels",
    "Model",
    "ModelConfig",
    "Pair",
    "S5Error",
    "Streaming",
    "chunked_loss_and_grad",
    "load",
    "streaming",
]

_ON_FIRST_USE = {"NUMBA": "s5ref.cpu", "load": "s5ref.train.runs"}


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 's5ref' has no attribute {name!r}")
