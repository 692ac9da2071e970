"""The time that a step cannot go below on a device: the passes of its layers over memory, and their products.

The model is that of separate kernels: every pass reads its arrays from memory and writes them there, at the
rate of a copy, and a product takes the longer of its bytes and its operations. BatchNorm costs no pass of its
own in forward (its statistics come with the gate, its affine map goes into B̃). Encoder, decoder and optimiser
are left out. A kernel that keeps arrays on chip between two passes can be faster than this.
"""

from __future__ import annotations

from typing import NamedTuple

from s5ref.bench.case import Case
from s5ref.model.leaves import GATES

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


class Sizes(NamedTuple):
    """rows = B L of a layer, H features, P = P' kept states, directions, gates, layers."""

    rows: int
    H: int
    P: int
    directions: int
    gates: int
    layers: int

    def bytes(self, one: Pass) -> int:
        return self.rows * (one.features * REAL * self.H + one.states * COMPLEX * self.P)


def sizes(case: Case) -> Sizes:
    m = case.model
    rows = (2 if m.head == "retrieval" else 1) * case.batch * case.length
    kept = m.ssm_size // 2 if m.conj_sym else m.ssm_size
    directions = 2 if m.bidirectional else 1
    return Sizes(rows, m.d_model, kept, directions, len(GATES[m.activation]), m.n_layers)


def forward_passes(s: Sizes) -> list[Pass]:
    """Of one layer."""
    R, H, P, D = s[:4]
    dense = Pass("gate product", 2, product=Product(R, H, H))
    return [
        Pass("B̃u", 1, 1, Product(R, H, 2 * P)),
        Pass("scan", 0, 2 * D),
        Pass("C̃x", 1, D, Product(R, 2 * P * D, H)),
        Pass("y = C̃x + D∘u, GELU", 3),
        *[dense] * s.gates,
        Pass("gate, dropout, skip, statistics", 4 if s.gates else 3),
    ]


def backward_passes(s: Sizes) -> list[Pass]:
    """Of one layer."""
    R, H, P, D = s[:4]
    to_input, to_kernel = Product(R, H, H, b_transposed=True), Product(H, R, H, a_transposed=True)
    gates = [
        Pass("gate product to its input" + (", added" if i == 0 else ""), 3 if i == 0 else 2, 0, to_input)
        for i in range(s.gates)
    ]
    return [
        *([Pass("gate", 5)] if s.gates else []),
        *gates,
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
    s = sizes(case)
    return forward_passes(s) + (backward_passes(s) if what.startswith("train_step") else [])


def moved(case: Case, what: str) -> int:
    """Bytes of all passes of all layers."""
    s = sizes(case)
    return s.layers * sum(s.bytes(one) for one in passes(case, what))


def floor(case: Case, what: str, copy: float, product: float) -> float:
    """Seconds, at ``copy`` bytes and ``product`` operations a second."""
    s = sizes(case)
    times = [
        max(s.bytes(one) / copy, one.product.flops / product if one.product else 0.0)
        for one in passes(case, what)
    ]
    return s.layers * sum(times)
