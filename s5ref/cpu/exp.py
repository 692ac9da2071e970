"""eˣ for x ≤ 0, the sigmoid and the normal distribution function, as arithmetic that a loop can vectorise.

eˣ: x = k ln 2 + r, |r| ≤ ½ ln 2; ln 2 in two parts so that r is nearly exact; eʳ by its Taylor series; 2ᵏ
from the bits of k, in two factors so that results below the smallest normal number come out denormal, not
zero.

Φ(−a) = e^(−a²/2) P(q)/(a + 4) for a ≥ 0, with q = (a − 4)/(a + 4) between −1 and 1 (Shepherd and
Laframboise 1981). P interpolates (a + 4) e^(a²/2) Φ(−a), which is smooth in q, at Chebyshev's nodes, over
those a at which Φ(−a) is not zero: up to 14.5 in float32, 39 in float64. Its relative error is below 2⁻²⁸ and
2⁻⁵⁷.
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
# P's coefficients, the constant first
F32_NORMAL = tuple(map(np.float32, (
    0.7552851304887489, -0.6078966577636513, 0.3871373823009086, -0.1865213074612191, 0.060397293905870064,
    -0.007545268164187146, -0.0034880755300982533, 0.001646295611864889, 0.00016935545827690643,
    -0.00023462176112985336, -5.264564978400001e-05,
)))  # fmt: skip
F64_NORMAL = (
    0.7552851304157515, -0.6078966419718921, 0.38713740074221453, -0.18652185795965726, 0.06039657489093656,
    -0.007540188966726791, -0.003479692367393595, 0.0016308184575887011, 0.00013334431240964574,
    -0.000231094935169459, -1.9082584797734333e-06, 3.5144686053003464e-05, 7.166663245221031e-07,
    -5.9201733230161025e-06, -6.296965605815823e-07, 1.0215540371961016e-06, 2.7180452962592834e-07,
    -1.549649174224745e-07, -8.540841815685125e-08, 1.3280797787310328e-08, 1.961961086135556e-08,
    1.91827702037334e-09, -2.5220994578780736e-09, -7.262419810409579e-10,
)  # fmt: skip


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


@register_jitable
def _normal32(q: Any) -> Any:
    c = F32_NORMAL
    p = (((c[10] * q + c[9]) * q + c[8]) * q + c[7]) * q + c[6]
    p = (((p * q + c[5]) * q + c[4]) * q + c[3]) * q + c[2]
    return (p * q + c[1]) * q + c[0]


@register_jitable(forceinline=True)  # a call would keep the loop from being vectorised
def _normal64(q: Any) -> Any:
    c = F64_NORMAL
    p = (((c[23] * q + c[22]) * q + c[21]) * q + c[20]) * q + c[19]
    p = ((((p * q + c[18]) * q + c[17]) * q + c[16]) * q + c[15]) * q + c[14]
    p = ((((p * q + c[13]) * q + c[12]) * q + c[11]) * q + c[10]) * q + c[9]
    p = ((((p * q + c[8]) * q + c[7]) * q + c[6]) * q + c[5]) * q + c[4]
    return (((p * q + c[3]) * q + c[2]) * q + c[1]) * q + c[0]


def normal_polynomial(q: Any) -> Any:
    """P(q) in the precision of q; inside compiled loops only."""
    raise NotImplementedError("normal_polynomial exists inside compiled loops only")


@overload(normal_polynomial)
def _normal_polynomial(q: Any) -> Any:
    return _normal32 if q == types.float32 else _normal64


@register_jitable(forceinline=True)
def normal(x: Any, one: Any) -> Any:
    """(Φ(x), e^(−x²/2)), Φ relatively accurate where it is tiny. x² must not overflow. ``one`` as above."""
    two = one + one
    four = two + two
    inverse = one / (abs(x) + four)
    bell = exp_negative(-(x * x) / two)
    tail = bell * (normal_polynomial((abs(x) - four) * inverse) * inverse)
    return (one - tail if x >= 0 else tail), bell
