"""The recurrence x_k = Λ̄_k x_{k−1} + Bu_k and its adjoint on a device: kernels/scan.cu. The pair is
`s5ref.ssm.scan.sequential_scan`'s, by the same signature and saved values.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array
from s5ref.gpu.launch import THREADS as CARRY_THREADS
from s5ref.gpu.launch import Launcher, blocks_for, contiguous, launch
from s5ref.gpu.rows import column_sum
from s5ref.gpu.tiling import Tiling, tiling
from s5ref.ssm.scan import Scan, blocked_scan, blocked_scan_vjp, checked


def scan(
    on: Launcher, Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> tuple[tuple[Array, Array], Scan]:
    """x (N, L, P) and the final state (N, P)."""
    Lambda_bar, Bu, x0 = checked(Lambda_bar, Bu, x0)
    if Bu.dtype.kind == "f":  # no model has real states
        return blocked_scan(Lambda_bar, Bu, x0, reverse)
    N, L, P = Bu.shape
    cut, kind = tiling(N, L, P), _kind(Lambda_bar)
    kernel = on.kernel("scan", f"scan_{kind}", Bu.dtype, cut.macros)
    multipliers, inputs = contiguous(Lambda_bar), contiguous(Bu)
    first = None if x0 is None else contiguous(x0)
    x, last = on.like(Bu), on.empty((N, cut.chunks, P), Bu.dtype)
    sizes = _sizes(L, P, cut, reverse)

    def run(start: Array | None, x: Array | None, product: Array | None) -> None:
        launch(kernel, cut.blocks(N, P), cut.threads, multipliers, inputs, start, x, last, product, *sizes)

    if cut.chunks == 1:
        run(first, x, None)
    else:
        product = _product(on, Lambda_bar, cut)
        run(None, None, product)
        run(_carry(on, multipliers, product, last, first, cut, False), x, None)
    return (x, contiguous(last[:, -1])), Scan(Lambda_bar, x, x0, reverse)


def scan_vjp(on: Launcher, saved: Scan, d: tuple[Array | None, Array | None]) -> tuple[Array, Array, Array]:
    """(dΛ̄ like Λ̄, dBu, dx0) from (dx, dx_last); either may be None."""
    Lambda_bar, x, x0, reverse = saved
    if x.dtype.kind == "f":
        return blocked_scan_vjp(saved, d)  # type: ignore[arg-type]
    dx, dx_last = (None if z is None else contiguous(z) for z in d)
    N, L, P = x.shape
    cut, constant = tiling(N, L, P), Lambda_bar.ndim == 1
    kernel = on.kernel("scan", f"adjoint_{_kind(Lambda_bar)}", x.dtype, cut.macros)
    multipliers, states = contiguous(Lambda_bar), contiguous(x)
    before = None if x0 is None else contiguous(x0)
    g, dx0 = on.like(x), on.empty((N, P), x.dtype)
    dLambda = on.empty((N, cut.chunks, P) if constant else (N, L, P), x.dtype)
    sizes = _sizes(L, P, cut, reverse)

    def run(start: Array | None, g: Array | None, last: Array | None, product: Array | None) -> None:
        arguments = (multipliers, states, before, dx, dx_last, start, g, dLambda, dx0, last, product)
        launch(kernel, cut.blocks(N, P), cut.threads, *arguments, *sizes)

    if cut.chunks == 1:
        run(None, g, None, None)
    else:
        last, product = on.empty((N, cut.chunks, P), x.dtype), _product(on, Lambda_bar, cut)
        run(None, None, last, product)
        run(_carry(on, multipliers, product, last, None, cut, True), g, None, None)
    if constant:
        parts = dLambda.reshape(N * cut.chunks, P).view(x.real.dtype)
        dLambda = column_sum(on, parts).view(x.dtype)
    return dLambda, g, dx0


def _kind(Lambda_bar: Array) -> str:
    return "constant" if Lambda_bar.ndim == 1 else "varying"


def _product(on: Launcher, Lambda_bar: Array, cut: Tiling) -> Array | None:
    """Memory for the product of every chunk's multipliers, which a constant one does not need."""
    if Lambda_bar.ndim == 1:
        return None
    N, _L, P = Lambda_bar.shape
    product: Array = on.empty((N, cut.chunks, P), Lambda_bar.dtype)
    return product


def _sizes(L: int, P: int, cut: Tiling, reverse: bool) -> tuple[np.generic, ...]:
    return np.int64(L), np.int32(P), np.int32(cut.chunks), np.int64(cut.length), np.int32(reverse)


def _carry(
    on: Launcher,
    multipliers: Array,
    product: Array | None,
    leaving: Array,
    first: Array | None,
    cut: Tiling,
    conjugated: bool,
) -> Array:
    """The state that enters every chunk (N, chunks, P)."""
    N, chunks, P = leaving.shape
    start: Array = on.like(leaving)
    dtype = leaving.dtype
    blocks = blocks_for(N * P)
    if product is None:
        kernel = on.kernel("scan", "carry_constant", dtype, cut.macros)
        sizes = np.int64(N), np.int32(P), np.int32(chunks), np.int64(cut.length), np.int32(conjugated)
        launch(kernel, blocks, CARRY_THREADS, multipliers, leaving, first, start, *sizes)
    else:
        kernel = on.kernel("scan", "carry_varying", dtype, cut.macros)
        sizes3 = np.int64(N), np.int32(P), np.int32(chunks)
        launch(kernel, blocks, CARRY_THREADS, product, leaving, first, start, *sizes3)
    return start
