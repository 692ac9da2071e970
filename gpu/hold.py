"""The recurrence of a held state-space model on a device, irregular sampling without Λ̄ or gain in memory:
kernels/hold.cu.

x_k = Λ̄_k x_{k−1} + gain_k raw_k, where Λ̄_k and gain_k (N, L, P) follow from Λ, Δ_k = step · interval_k and a
rule of `s5ref.ssm.discretize` as a kernel runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, check_shape, real_dtype
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.rows import column_sum
from s5ref.gpu.scan import walk
from s5ref.gpu.tiling import tiling
from s5ref.ssm.ssm import DISCRETIZATIONS

RULES = {pair: name for name, pair in DISCRETIZATIONS.items()}  # of which there are kernels


class Held(NamedTuple):
    """What Λ̄_k and gain_k are made of: Λ (P,) complex, step (P,), intervals (N, L), all steps positive."""

    rule: str
    Lambda: Array
    step: Array
    intervals: Array


class Hold(NamedTuple):
    """Residuals of `hold_scan`; x, x0 and reverse are those of `s5ref.ssm.scan.ScanResiduals`."""

    held: Held
    raw: Array
    x: Array
    x0: Array | None
    reverse: bool


def hold_scan(
    on: Launcher, held: Held, raw: Array, x0: Array | None = None, reverse: bool = False
) -> tuple[tuple[Array, Array], Hold]:
    """x (N, L, P) and the final state (N, P) from raw (N, L, P) complex and x0 (N, P).

    Raises S5Error on shapes that do not fit and on mixed precisions.
    """
    raw = contiguous(check_shape("hold_scan", "raw", raw, "N L P", {}))
    N, L, P = raw.shape
    sizes = {"N": N, "L": L, "P": P}
    check_shape("hold_scan", "Lambda", held.Lambda, "P", sizes)
    check_shape("hold_scan", "step", held.step, "P", sizes)
    check_shape("hold_scan", "intervals", held.intervals, "N L", sizes)
    if x0 is not None:
        x0 = contiguous(check_shape("hold_scan", "x0", x0, "N P", sizes))
    x, last = on.like(raw), on.empty((N, P), raw.dtype)
    _launch(on, "hold", held, raw, (raw, x0, x, last), reverse)
    return (x, last), Hold(held, raw, x, x0, reverse)


def hold_scan_vjp(
    on: Launcher, residuals: Hold, d: tuple[Array | None, Array | None], onto: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """(dΛ (P,), dstep (P,), draw, dx0) from (dx, dx_last); either may be None. ``onto``: an array (N, L, P)
    that draw is added to in place, and which is then returned for it.
    """
    held, raw, x, x0, reverse = residuals
    N, L, P = raw.shape
    dx, dx_last = map(contiguous, d)
    draw, dx0 = on.like(raw) if onto is None else onto, on.empty((N, P), raw.dtype)
    sums = on.empty((N * tiling(N, L, P).chunks, 3 * P), real_dtype(raw))
    arguments = raw, x, x0, dx, dx_last, np.int32(onto is not None), draw, sums, dx0
    _launch(on, "adjoint", held, raw, arguments, reverse)
    totals = column_sum(on, sums).reshape(3, P)
    return totals[0] + 1j * totals[1], totals[2], draw, dx0


def _launch(
    on: Launcher, name: str, held: Held, raw: Array, arguments: tuple[object, ...], reverse: bool
) -> None:
    made_of = map(contiguous, (held.Lambda, held.step, held.intervals))
    walk(on, ("hold", f"{name}_{held.rule}"), raw, (*made_of, *arguments), reverse, True)
