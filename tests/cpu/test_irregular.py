"""The recurrence under irregular sampling and its vjp, against the same formulas in a wider precision."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from s5ref.arrays import Array
from s5ref.cpu import simd
from s5ref.cpu.irregular import adjoint_held, adjoint_impulses, scan_held, scan_impulses
from s5ref.random import generator
from s5ref.ssm.phi import phi1_prime

T, P = 40, 19
ULPS = 100  # of the largest number of its kind: 40 steps, each of a complex exponential and a few products


def held(rows: Array, column: int, Z: Array, tau: Array, x: Array, backwards: bool) -> None:
    scan_held(rows, column, Z, tau, x, backwards)


def impulses(rows: Array, column: int, Z: Array, tau: Array, x: Array, backwards: bool) -> None:
    scan_impulses(rows, column, Z, tau, x, backwards)


def held_vjp(*arguments: Any) -> None:
    d, column, x, s, w, Z, tau, c, sums, back = arguments
    adjoint_held(d, column, x, s, w, Z, tau, c, sums, back)


def impulses_vjp(*arguments: Any) -> None:
    d, column, x, s, w, Z, tau, c, sums, back = arguments
    adjoint_impulses(d, column, x, s, w, Z, tau, c, sums, back)


def compiled(function: Any) -> Any:
    """Compiled anew, for the vectors that are in force."""
    return numba.njit(function)


def wide(pairs: Array) -> Array:
    """Pairs (…, 2P) as complex numbers (…, P)."""
    return pairs[..., ::2].astype(np.longdouble) + 1j * pairs[..., 1::2].astype(np.longdouble)


def close(got: Array, want: Array, eps: float) -> None:
    assert np.max(np.abs(got - want)) <= ULPS * eps * np.max(np.abs(want))


@pytest.mark.parametrize(
    ("dtype", "zoh", "backwards", "widths"),
    [("float32", True, False, (16, 64)), ("float64", True, True, (16, 64)), ("float32", False, True, (32,))],
)
def test_steps_of_every_length(dtype: Any, zoh: bool, backwards: bool, widths: tuple[int, ...]) -> None:
    rng, eps = generator("test", "irregular"), float(np.finfo(dtype).eps)
    Z = np.array([-rng.random(P), 10 * rng.standard_normal(P)]).astype(dtype)
    Z[:, ::3] *= np.dtype(dtype).type(1e-4)  # where eᶻ − 1 would cancel
    tau = rng.uniform(0, 2, T).astype(dtype)
    tau[5] = 0
    w, d = (rng.standard_normal((T, 4 * P)).astype(dtype) for _ in range(2))
    x, c = (rng.standard_normal(2 * P).astype(dtype) for _ in range(2))
    column = 2 * P if backwards else 0
    part = slice(column, column + 2 * P)
    z = tau.astype(np.longdouble)[:, None] * (Z[0].astype(np.longdouble) + 1j * Z[1].astype(np.longdouble))
    a = np.exp(z)
    small = z * (1 + z / 2 * (1 + z / 3 * (1 + z / 4)))
    gain = np.where(np.abs(z) < 1e-2, small, a - 1) if zoh else np.ones_like(a)
    slope = z * phi1_prime(z) if zoh else np.zeros_like(a)
    W, D, state = wide(w[:, part]), wide(d[:, part]), wide(x)
    states, before, dw = np.empty_like(W), np.empty_like(W), np.empty_like(W)
    order = list(range(T))[:: -1 if backwards else 1]
    for t in order:
        before[t] = state
        state = states[t] = a[t] * state + gain[t] * W[t]
    g, dZ, dlog = wide(c), np.zeros(P, np.clongdouble), np.zeros(P, np.longdouble)
    for t in reversed(order):
        g = g + D[t]
        dZ += tau[t] * np.conj(a[t] * before[t] + slope[t] * W[t]) * g
        dlog += np.real(np.conj(z[t] * a[t] * (before[t] + (W[t] if zoh else 0))) * g)
        dw[t], g = np.conj(gain[t]) * g, np.conj(a[t]) * g
    seen = set()
    for size in widths:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "BYTES", size)
            pair: Any = (held, held_vjp) if zoh else (impulses, impulses_vjp)
            scan, adjoint = (compiled(function) for function in pair)
            rows, carry = w.copy(), x.copy()
            scan(rows, column, Z, tau, carry, backwards)
            start, drows, dcarry, sums = (
                np.zeros(4 * P, dtype),
                d.copy(),
                c.copy(),
                np.zeros((2, 2 * P), dtype),
            )
            start[part] = x
            of_w = np.ascontiguousarray(w[:, part])
            adjoint(drows, column, rows, start, of_w, Z, tau, dcarry, sums, not backwards)
        close(wide(rows[:, part]), states, eps)
        assert (carry == rows[order[-1], part]).all()
        close(wide(drows[:, part]), dw, eps)
        close(wide(dcarry), g, eps)
        close(sums[0, :P] + 1j * sums[0, P:], dZ, eps)
        close(sums[1, :P], dlog, eps)
        other = np.delete(np.arange(4 * P), np.arange(part.start, part.stop))
        assert (rows[:, other] == w[:, other]).all()
        assert (drows[:, other] == d[:, other]).all()
        seen.add((rows.tobytes(), drows.tobytes(), sums.tobytes()))
    assert len(seen) == 1
