"""eˣ for x ≤ 0 and the sigmoid, as arithmetic that a loop can vectorise.

x = k ln 2 + r, |r| ≤ ½ ln 2; ln 2 in two parts so that r is nearly exact; eʳ by its Taylor series; 2ᵏ from
the bits of k, in two factors so that results below the smallest normal number come out denormal, not zero.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

LOG2E = 1.4426950408889634
F32_MAGIC, F32_HI, F32_LO = (
    np.float32(1.5 * 2**23),
    np.float32(0.693359375),
    np.float32(-2.12194440054690583e-4),
)
F64_MAGIC, F64_HI, F64_LO = 1.5 * 2.0**52, 6.93147180369123816490e-01, 1.90821492927058770002e-10
F32_LOG2E, F32_SMALLEST, F64_SMALLEST = np.float32(LOG2E), np.float32(-104.0), -746.0
F32_TAYLOR = tuple(np.float32(1 / factorial(k)) for k in range(8))
F64_TAYLOR = tuple(1 / factorial(k) for k in range(14))


@register_jitable
def _exp32(x: Any) -> Any:
    c = F32_TAYLOR
    x = F32_SMALLEST if x < F32_SMALLEST else x  # NaN stays NaN
    shifted = x * F32_LOG2E + F32_MAGIC
    k = shifted - F32_MAGIC
    r = (x - k * F32_HI) - k * F32_LO
    p = ((((c[7] * r + c[6]) * r + c[5]) * r + c[4]) * r + c[3]) * r + c[2]
    p = (p * r) * r + r + c[0]
    n = np.int32(k)
    half = n >> np.int32(1)
    low = np.int32((half + np.int32(127)) << np.int32(23)).view(np.float32)
    high = np.int32((n - half + np.int32(127)) << np.int32(23)).view(np.float32)
    return p * low * high


@register_jitable
def _exp64(x: Any) -> Any:
    c = F64_TAYLOR
    x = F64_SMALLEST if x < F64_SMALLEST else x
    shifted = x * LOG2E + F64_MAGIC
    k = shifted - F64_MAGIC
    r = (x - k * F64_HI) - k * F64_LO
    p = (((c[13] * r + c[12]) * r + c[11]) * r + c[10]) * r + c[9]
    p = ((((p * r + c[8]) * r + c[7]) * r + c[6]) * r + c[5]) * r + c[4]
    p = (p * r + c[3]) * r + c[2]
    p = (p * r) * r + r + c[0]
    n = np.int64(k)
    half = n >> np.int64(1)
    low = np.int64((half + np.int64(1023)) << np.int64(52)).view(np.float64)
    high = np.int64((n - half + np.int64(1023)) << np.int64(52)).view(np.float64)
    return p * low * high


def exp_negative(x: Any) -> Any:
    """eˣ for x ≤ 0 in the precision of x; inside compiled loops only."""
    raise NotImplementedError("exp_negative exists inside compiled loops only")


@overload(exp_negative)
def _exp_negative(x: Any) -> Any:
    return _exp32 if x == types.float32 else _exp64


@register_jitable
def sigmoid(x: Any, one: Any) -> Any:
    """σ(x) = 1/(1 + e⁻ˣ), relatively accurate where it is tiny. ``one`` is 1 in the precision of x."""
    small = exp_negative(-abs(x))
    return (one if x >= 0 else small) / (one + small)
