"""The recurrence x_k = Λ̄_k x_{k−1} + Bu_k and its adjoint on a device: kernels/scan.cu. The pair is
`s5ref.ssm.scan.sequential_scan`'s, by the same signature and saved values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import Launcher, contiguous, launch
from s5ref.gpu.rows import column_sum
from s5ref.gpu.tiling import Tiling, tiling
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
    walk(on, ("scan", name), x, (contiguous(Lambda_bar), *arguments), reverse, varying)


def walk(
    on: Launcher, kernel: tuple[str, str], x: Array, arguments: tuple[Any, ...], reverse: bool, varying: bool
) -> None:
    """A kernel (file, name) that walks the steps of x (N, L, P): its arguments, what a chain needs, sizes."""
    N, L, P = x.shape
    cut = tiling(N, L, P)
    sizes = np.int64(N), np.int64(L), np.int32(P), np.int32(reverse)
    shared = _chain(on, cut, N, P, x.dtype, varying)
    function = on.kernel(*kernel, x.dtype, cut.macros)
    launch(function, cut.blocks(N, P), cut.threads, *arguments, *shared, *sizes)


def _chain(
    on: Launcher, cut: Tiling, N: int, P: int, dtype: Any, varying: bool
) -> tuple[Array | None, Array | None]:
    """What the blocks of a chain share: the ticket counter and a flag for every chunk and channel, zeroed by
    the device, and memory for what they publish.
    """
    if not cut.chained:
        return None, None
    entries = N * cut.chunks * P
    flags = on.empty((1 + entries,), np.uint32)
    flags[...] = 0
    return flags, on.empty(((1 + varying) * entries,), dtype)
