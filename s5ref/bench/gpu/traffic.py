"""The bytes that each kernel must move: docs/gpu.md's table, for the shapes of a case."""

from __future__ import annotations

import math
from typing import NamedTuple

from s5ref.bench.case import Case
from s5ref.model.leaves import parameter_shapes


class Traffic(NamedTuple):
    """Bytes in float32 for each element of the array that the kernel runs over. ``over``: H, real (B, L, H);
    P, complex (B, L, P'); parameters.
    """

    over: str
    bytes: int


TRAFFIC = {
    "scan": Traffic("P", 16),
    "adjoint": Traffic("P", 24),
    "batch_norm": Traffic("H", 12),
    "batch_norm_vjp": Traffic("H", 20),
    "activate": Traffic("H", 16),
    "activate_vjp": Traffic("H", 24),
    "gate": Traffic("H", 16),
    "gate_vjp": Traffic("H", 20),
    "gelu": Traffic("H", 8),
    "gelu_vjp": Traffic("H", 12),
    "adamw": Traffic("parameters", 28),
}


def traffic(case: Case, kernel: str) -> int:
    """Bytes of one launch, or of the launches that one call of the kernel makes."""
    over, size = TRAFFIC[kernel]
    if over == "parameters":
        return size * sum(math.prod(shape) for shape in parameter_shapes(case.model).values())
    return size * case.sizes.rows * (case.sizes.H if over == "H" else case.sizes.P)
