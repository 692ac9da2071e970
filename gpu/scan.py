"""The recurrence x_k = Λ̄_k x_{k−1} + Bu_k and its adjoint on a device: kernels/scan.cu. The pair has the
signature and the residuals of `s5ref.ssm.scan.sequential_scan`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous, launch
from s5ref.gpu.rows import column_sum
from s5ref.gpu.tiling import tiling
from s5ref.ssm.scan import ScanResiduals, blocked_scan, blocked_scan_vjp, checked


def scan(
    on: Launcher, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> tuple[tuple[Array, Array], ScanResiduals]:
    """x (N, L, P) and the final state (N, P)."""
    Lambda_bar, Bu, x0 = checked(Lambda_bar, Bu, x0)
    if Bu.dtype.kind == "f":  # no model has real states
        return blocked_scan(Lambda_bar, Bu, x0, reverse)
    N, _L, P = Bu.shape
    x, last = on.like(Bu), on.empty((N, P), Bu.dtype)
    _launch(on, "scan", Lambda_bar, x, (contiguous(Bu), contiguous(x0), x, last), reverse)
    return (x, last), ScanResiduals(Lambda_bar, x, x0, reverse)


def scan_vjp(
    on: Launcher, residuals: ScanResiduals, d: tuple[Array | None, Array | None]
) -> tuple[Array, Array, Array]:
    """(dΛ̄ like Λ̄, dBu, dx0) from (dx, dx_last); either may be None."""
    Lambda_bar, x, x0, reverse = residuals
    if x.dtype.kind == "f":
        return blocked_scan_vjp(residuals, d)  # type: ignore[arg-type]
    dx, dx_last = map(contiguous, d)
    N, L, P = x.shape
    chunks, constant = tiling(N, L, P).chunks, Lambda_bar.ndim == 1
    g, dx0 = on.like(x), on.empty((N, P), x.dtype)
    dLambda = on.empty((N, chunks, P) if constant else (N, L, P), x.dtype)
    arguments = contiguous(x), contiguous(x0), dx, dx_last, g, dLambda, dx0
    _launch(on, "adjoint", Lambda_bar, x, arguments, reverse)
    if constant:
        parts = dLambda.reshape(N * chunks, P).view(x.real.dtype)
        dLambda = column_sum(on, parts).view(x.dtype)
    return dLambda, g, dx0


def _launch(
    on: Launcher, name: str, Lambda_bar: Array, x: Array, arguments: tuple[Any, ...], reverse: bool
) -> None:
    varying = Lambda_bar.ndim > 1
    name = f"{name}_{'varying' if varying else 'constant'}"
    launch_scan(on, ("scan", name), x, (contiguous(Lambda_bar), *arguments), reverse, varying)


def launch_scan(
    on: Launcher, kernel: tuple[str, str], x: Array, arguments: tuple[Any, ...], reverse: bool, varying: bool
) -> None:
    """Launches a kernel (file, name) that scans the steps of x (N, L, P). After its own ``arguments`` come
    the memory of the decoupled look-back (flags, published; null without it) and the sizes.
    """
    N, L, P = x.shape
    cut, flags, published = tiling(N, L, P), None, None
    if cut.lookback:
        entries = N * cut.chunks * P
        flags = on.empty((1 + entries,), np.uint32)  # the ticket counter, then a flag per chunk and channel
        flags[...] = 0
        published = on.empty(((1 + varying) * entries,), x.dtype)
    sizes = np.int64(N), np.int64(L), np.int32(P), np.int32(reverse)
    function = on.kernel(*kernel, x.dtype, cut.macros)
    launch(function, cut.blocks(N, P), cut.threads, *arguments, flags, published, *sizes)
