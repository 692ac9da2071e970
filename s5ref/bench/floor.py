"""The time that a step cannot go below on a device: the passes of its layers over memory, and their products.

The model is that of separate kernels: every pass reads its arrays from memory and writes them there, at the
rate of a copy, and a product takes the longer of its bytes and its operations. BatchNorm costs no pass of its
own in forward (its statistics come with the gate, its affine map goes into B̃). Encoder, decoder and optimiser
are left out. A kernel that keeps arrays on chip between two passes can be faster than this.
"""

from __future__ import annotations

from typing import NamedTuple

from s5ref.bench.case import Case, Sizes

REAL, COMPLEX = 4, 8  # bytes, in float32


class Product(NamedTuple):
    """op(a) op(b), (m, k) by (k, n), real; op transposes where ``a_transposed``, ``b_transposed``."""

    m: int
    k: int
    n: int
    a_transposed: bool = False
    b_transposed: bool = False

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n

    @property
    def bytes(self) -> int:
        """Both factors read once, the product written once."""
        return REAL * (self.m * self.k + self.k * self.n + self.m * self.n)


class Pass(NamedTuple):
    """features: arrays of (B, L, H) real numbers that are read or written; states: of (B, L, P') complex."""

    name: str
    features: int
    states: int = 0
    product: Product | None = None

    def bytes(self, s: Sizes) -> int:
        return s.rows * (self.features * REAL * s.H + self.states * COMPLEX * s.P)


def forward_passes(s: Sizes) -> list[Pass]:
    """Of one layer."""
    R, H, P, D = s.rows, s.H, s.P, s.directions
    return [
        Pass("B̃u", 1, 1, Product(R, H, 2 * P)),
        Pass("scan", 0, 2 * D),
        Pass("C̃x", 1, D, Product(R, 2 * P * D, H)),
        Pass("y = C̃x + D∘u, GELU", 3),
        *[Pass("gate product", 2, 0, Product(R, H, H))] * s.gates,
        Pass("gate, dropout, skip, statistics", 4 if s.gates else 3),
    ]


def backward_passes(s: Sizes) -> list[Pass]:
    """Of one layer."""
    R, H, P, D = s.rows, s.H, s.P, s.directions
    to_input, to_kernel = Product(R, H, H, b_transposed=True), Product(H, R, H, a_transposed=True)
    inputs = [
        Pass("gate product to its input, added", 3, 0, to_input),
        Pass("gate product to its input", 2, 0, to_input),
    ]
    return [
        *([Pass("gate", 5)] if s.gates else []),
        *inputs[: s.gates],
        *[Pass("gate product to its kernel", 2, 0, to_kernel)] * s.gates,
        Pass("GELU", 4),
        Pass("C̃x to x", 1, D, Product(R, H, 2 * P * D, b_transposed=True)),
        Pass("C̃x to C̃", 1, D, Product(2 * P * D, R, H, a_transposed=True)),
        Pass("adjoint", 0, 3 * D),
        *([Pass("sum of the directions", 0, D)] if D > 1 else []),
        Pass("B̃u to B̃", 1, 1, Product(H, R, 2 * P, a_transposed=True)),
        Pass("B̃u to u, added", 2, 1, Product(R, 2 * P, H, b_transposed=True)),
        Pass("BatchNorm", 6),
    ]


def passes(case: Case, what: str) -> list[Pass]:
    """Of one layer: forward, and backward where ``what`` trains."""
    s = case.sizes
    return forward_passes(s) + (backward_passes(s) if what.startswith("train_step") else [])


def moved(case: Case, what: str) -> int:
    """Bytes of all passes of all layers."""
    return case.sizes.layers * sum(one.bytes(case.sizes) for one in passes(case, what))


def floor(case: Case, what: str, copy: float, product: float) -> float:
    """Seconds, at ``copy`` bytes and ``product`` operations a second."""
    return case.sizes.layers * sum(
        max(one.bytes(case.sizes) / copy, one.product.flops / product if one.product else 0.0)
        for one in passes(case, what)
    )
