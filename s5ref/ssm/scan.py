"""The recurrence x_k = Λ̄_k x_{k−1} + Bu_k, one step after the other and as a blocked parallel scan.

Bu (N, L, P); Λ̄ (P,), or (N, L, P) when it varies with time; initial state x0 (N, P), zero if None.
``reverse`` runs from the last step to the first, over the same elements. The state that leaves the scan is x
at the last step processed. Derivation: docs/derivations/scan.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array, as_array, check_kind, check_shape
from s5ref.errors import ShapeError

BLOCK = 64  # steps per block of the blocked scan


class ScanResiduals(NamedTuple):
    """Saved by a scan: Bu is not needed once x is known."""

    Lambda_bar: Array
    x: Array
    x0: Array | None
    reverse: bool


def sequential_scan(
    Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> tuple[tuple[Array, Array], ScanResiduals]:
    """x_k = Λ̄_k x_{k−1} + Bu_k, the plain loop. Returns x (N, L, P) and the final state (N, P)."""
    Lambda_bar, Bu, x0 = checked(Lambda_bar, Bu, x0)
    x = np.empty_like(Bu)
    state = np.zeros_like(Bu[:, 0]) if x0 is None else x0
    for k in _steps(Bu.shape[1], reverse):
        state = _at(Lambda_bar, k) * state + Bu[:, k]
        x[:, k] = state
    return (x, state), ScanResiduals(Lambda_bar, x, x0, reverse)


def sequential_scan_vjp(
    residuals: ScanResiduals, d: tuple[Array, Array | None]
) -> tuple[Array, Array, Array]:
    """(dΛ̄ like Λ̄, dBu, dx0) from (dx, dx_last); either may be None.

    The adjoint state g_k = dx_k + conj(Λ̄_{k+1}) g_{k+1} runs against the scan; dBu_k = g_k, dΛ̄_k = g_k
    conj(x_{k−1}).
    """
    Lambda_bar, x, x0, reverse = residuals
    dx, dx_last = d
    _N, L, _P = x.shape
    start = np.zeros_like(x[:, 0]) if x0 is None else x0
    g = np.zeros_like(x[:, 0]) if dx_last is None else dx_last
    dBu, dLambda_bar = np.empty_like(x), np.zeros_like(Lambda_bar)
    order = list(_steps(L, reverse))
    for i in reversed(range(L)):
        k = order[i]
        if dx is not None:
            g = g + dx[:, k]
        dBu[:, k] = g
        dk = g * np.conj(x[:, order[i - 1]] if i else start)
        if Lambda_bar.ndim == 1:
            dLambda_bar = dLambda_bar + np.sum(dk, axis=0)
        else:
            dLambda_bar[:, k] = dk
        g = np.conj(_at(Lambda_bar, k)) * g
    return dLambda_bar, dBu, g


def blocked_scan(
    Lambda_bar: Array, Bu: Array, x0: Array | None = None, reverse: bool = False
) -> tuple[tuple[Array, Array], ScanResiduals]:
    """The same recurrence in three phases: within blocks, across carries, apply.

    Elements (a, b) compose by (a_i, b_i) • (a_j, b_j) = (a_j a_i, a_j b_i + b_j), i earlier. All blocks run
    their first phase at once, so the sequential depth falls from L to BLOCK + L/BLOCK. The tail block is
    padded with the identity (1, 0).
    """
    Lambda_bar, Bu, x0 = checked(Lambda_bar, Bu, x0)
    N, L, P = Bu.shape
    B, J = min(BLOCK, L), -(-L // BLOCK)
    forward = _flip(Bu) if reverse else Bu
    x = _in_blocks(forward, J, B, np.zeros_like(forward[:, :1]))
    if Lambda_bar.ndim == 1:  # within a block the product of the first k multipliers is the k-th power
        a = np.broadcast_to(Lambda_bar, (B, P))
    else:
        a = _in_blocks(_flip(Lambda_bar) if reverse else Lambda_bar, J, B, np.ones_like(Bu[:, :1]))
    a = a.copy()
    for k in range(1, B):  # 1. within every block
        x[:, :, k] += a[..., k, :] * x[:, :, k - 1] if Lambda_bar.ndim > 1 else Lambda_bar * x[:, :, k - 1]
        a[..., k, :] = a[..., k, :] * a[..., k - 1, :]
    carry = np.zeros_like(Bu[:, 0]) if x0 is None else x0
    carries = np.empty_like(x[:, :, 0])
    for j in range(J):  # 2. across carries
        carries[:, j] = carry
        carry = (a[-1] if Lambda_bar.ndim == 1 else a[:, j, -1]) * carry + x[:, j, -1]
    x += a * carries[:, :, None]  # 3. apply
    x = x.reshape(N, J * B, P)[:, :L]
    x = _flip(x) if reverse else x
    return (x, x[:, 0] if reverse else x[:, L - 1]), ScanResiduals(Lambda_bar, x, x0, reverse)


def blocked_scan_vjp(residuals: ScanResiduals, d: tuple[Array, Array | None]) -> tuple[Array, Array, Array]:
    """(dΛ̄ like Λ̄, dBu, dx0) from (dx, dx_last); either may be None. The adjoint recurrence is itself a
    blocked scan.
    """
    Lambda_bar, x, x0, reverse = residuals
    dx, dx_last = d
    source = np.zeros_like(x) if dx is None else dx + np.zeros_like(x)
    first, last = (-1, 0) if reverse else (0, -1)
    if dx_last is not None:
        source[:, last] = source[:, last] + dx_last
    ahead = (
        Lambda_bar
        if Lambda_bar.ndim == 1
        else _shift(Lambda_bar, np.ones_like(Lambda_bar[:, :1]), not reverse)
    )
    (g, _), _ = blocked_scan(np.conj(ahead), source, None, not reverse)
    before = _shift(x, np.zeros_like(x[:, :1]) if x0 is None else x0[:, None], reverse)
    dLambda_bar = g * np.conj(before)
    if Lambda_bar.ndim == 1:
        dLambda_bar = np.sum(np.sum(dLambda_bar, axis=1), axis=0)
    return dLambda_bar, g, np.conj(Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, first]) * g[:, first]


def checked(Lambda_bar: Array, Bu: Array, x0: Array | None) -> tuple[Array, Array, Array | None]:
    """The arguments of a scan as arrays of consistent shapes; S5Error otherwise."""
    Bu = check_kind("scan", "Bu", check_shape("scan", "Bu", Bu, "N L P", {}), "fc", "real or complex")
    N, L, P = Bu.shape
    Lambda_bar = as_array(Lambda_bar)
    if Lambda_bar.shape not in ((P,), (N, L, P)):
        raise ShapeError(
            f"scan: Lambda_bar must be (P,) or (N, L, P) with N={N}, L={L}, P={P} (from Bu); got "
            f"{Lambda_bar.shape}.",
            "Broadcast it to one of these shapes.",
        )
    if x0 is not None:
        x0 = check_shape("scan", "x0", x0, "N P", {"N": N, "P": P})
    for name, other in (("Lambda_bar", Lambda_bar), ("x0", x0)):
        if other is not None and other.dtype != Bu.dtype:
            raise ShapeError(
                f"scan: {name} must have the dtype of Bu, {Bu.dtype}; got {other.dtype}.",
                f"Convert {name} first (astype).",
            )
    return Lambda_bar, Bu, x0


def _steps(L: int, reverse: bool) -> range:
    return range(L - 1, -1, -1) if reverse else range(L)


def _at(Lambda_bar: Array, k: int) -> Array:
    return Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, k]


def _flip(x: Array) -> Array:
    return x[:, ::-1]


def _shift(x: Array, first: Array, reverse: bool) -> Array:
    """x_{k−1} in the direction of the scan, with ``first`` before the first step."""
    return np.concatenate([x[:, 1:], first] if reverse else [first, x[:, :-1]], axis=1)


def _in_blocks(x: Array, J: int, B: int, fill: Array) -> Array:
    """(N, L, P) → a new (N, J, B, P), the tail filled with ``fill`` (N, 1, P)."""
    N, L, P = x.shape
    tail = np.broadcast_to(fill, (N, J * B - L, P))
    return np.concatenate([x, tail], axis=1).reshape(N, J, B, P)
