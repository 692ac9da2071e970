"""The recurrence under irregular sampling on a device: kernels/irregular_scan.cu.

x_k = Λ̄_k x_{k−1} + gain_k raw_k. The kernels compute Λ̄_k and gain_k (N, L, P) in registers from Λ and
Δ_k = step · interval_k, by a discretisation rule of `s5ref.ssm.discretize`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, check_shape, real_dtype
from s5ref.gpu.launch import Launcher, contiguous
from s5ref.gpu.rows import column_sum
from s5ref.gpu.scan import launch_scan
from s5ref.gpu.tiling import tiling
from s5ref.ssm.ssm import DISCRETIZATIONS

# Of the discretisation rules that have one: the kernel in irregular_scan.cu. The gain of async does not
# depend on the interval: it is a factor of B̃ already, and the rest is dirac.
KERNELS = {"zoh": "zoh", "bilinear": "bilinear", "dirac": "dirac", "async": "dirac"}
RULES = {DISCRETIZATIONS[rule]: kernel for rule, kernel in KERNELS.items()}


class PerStepCoefficients(NamedTuple):
    """What Λ̄_k and gain_k are computed from: a rule that is a kernel, Λ (P,) complex, step (P,) > 0 and
    intervals (N, L) ≥ 0.
    """

    rule: str
    Lambda: Array
    step: Array
    intervals: Array

    def launch(
        self, on: Launcher, kernel: str, raw: Array, arguments: tuple[object, ...], reverse: bool
    ) -> None:
        name, arrays = f"{kernel}_{self.rule}", map(contiguous, (self.Lambda, self.step, self.intervals))
        launch_scan(on, ("irregular_scan", name), raw, (*arrays, *arguments), reverse, True)


class IrregularScanResiduals(NamedTuple):
    """Residuals of `irregular_scan`; x, x0 and reverse are those of `s5ref.ssm.scan.ScanResiduals`."""

    coefficients: PerStepCoefficients
    raw: Array
    x: Array
    x0: Array | None
    reverse: bool


def irregular_scan(
    on: Launcher, coefficients: PerStepCoefficients, raw: Array, x0: Array | None = None,
    reverse: bool = False,
) -> tuple[tuple[Array, Array], IrregularScanResiduals]:  # fmt: skip
    """x (N, L, P) and the final state (N, P) from raw (N, L, P) complex and x0 (N, P).

    Raises S5Error on shapes that do not fit and on mixed precisions.
    """
    raw = contiguous(check_shape("irregular_scan", "raw", raw, "N L P", {}))
    sizes = dict(zip("NLP", raw.shape, strict=True))
    for name, shape in (("Lambda", "P"), ("step", "P"), ("intervals", "N L")):
        check_shape("irregular_scan", name, getattr(coefficients, name), shape, sizes)
    if x0 is not None:
        x0 = contiguous(check_shape("irregular_scan", "x0", x0, "N P", sizes))
    x, last = on.like(raw), on.empty((sizes["N"], sizes["P"]), raw.dtype)
    coefficients.launch(on, "irregular_scan", raw, (raw, x0, x, last), reverse)
    return (x, last), IrregularScanResiduals(coefficients, raw, x, x0, reverse)


def irregular_scan_vjp(
    on: Launcher, residuals: IrregularScanResiduals, d: tuple[Array | None, Array | None],
    add_to: Array | None = None,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """(dΛ (P,), dstep (P,), draw, dx0) from (dx, dx_last); either may be None. With ``add_to`` (N, L, P) draw
    is added to that array in place, and the array is returned as draw.
    """
    coefficients, raw, x, x0, reverse = residuals
    N, L, P = raw.shape
    dx, dx_last = map(contiguous, d)
    draw, dx0 = on.like(raw) if add_to is None else add_to, on.empty((N, P), raw.dtype)
    sums = on.empty((N * tiling(N, L, P).chunks, 3 * P), real_dtype(raw))
    arguments = raw, x, x0, dx, dx_last, np.int32(add_to is not None), draw, sums, dx0
    coefficients.launch(on, "adjoint", raw, arguments, reverse)
    totals = column_sum(on, sums).reshape(3, P)
    return totals[0] + 1j * totals[1], totals[2], draw, dx0
