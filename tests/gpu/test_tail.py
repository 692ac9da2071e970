"""The fused tail of a layer: every value and cotangent within the bounds of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice
from cuda_shim.module import LaunchError

from s5ref.engines import SEQUENTIAL
from s5ref.gpu.launch import Launcher
from s5ref.gpu.source import source
from s5ref.gpu.tail import activate, activate_vjp, gate, gate_vjp
from s5ref.nn.activation import glu, glu_vjp
from s5ref.nn.dropout import dropout_mask
from s5ref.random import generator
from s5ref.verification.rounding.bounds import BOUNDS
from s5ref.verification.rounding.budget import THRESHOLD, UNIT, accumulated, cast, ratio, wider
from s5ref.verification.selfcheck.fields import judge_of

pytestmark = MARKS

ON = Launcher(ShimDevice())
SHAPES = [(1, 1, 1), (2, 9, 5), (3, 70, 33), (5, 130, 40)]


def inputs(shape: tuple[int, int, int], dtype: str, dropped: bool) -> tuple[Any, ...]:
    """Four arrays (N, L, H), one (H,) and a mask, in ``dtype``."""
    n = generator("gpu tail", *shape).standard_normal
    arrays = [3 * n(shape) for _ in range(4)]
    mask = dropout_mask((0, 1), shape[0], shape[2], 0.4, arrays[0]) if dropped else None
    given: tuple[Any, ...] = cast((*arrays, n(shape[-1]), mask), dtype)
    return given


def close(got: Any, want: Any, bound: Any, dtype: str) -> None:
    assert got.dtype == dtype
    assert ratio(got, want, bound, float(np.finfo(dtype).eps)) <= THRESHOLD


@pytest.mark.parametrize("dropped", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gelu", ["gelu_tanh", "gelu_erf"])
@pytest.mark.parametrize("shape", SHAPES)
def test_activate(shape: tuple[int, int, int], gelu: str, dtype: str, dropped: bool) -> None:
    v, u, dg, direct, D, mask = inputs(shape, dtype, dropped)
    (y, g), residuals = activate(ON, v, u, D, mask, gelu == "gelu_erf")
    dv, du, dD = activate_vjp(ON, residuals, (direct, dg))
    dv_alone, _, _ = activate_vjp(ON, residuals, (None, dg))
    wv, wu, wdg, wdirect, wD, wmask, wy = cast((v, u, dg, direct, D, mask, y), wider(dtype))
    factor = 1 if wmask is None else wmask
    close(y, wv + wD * wu, UNIT * (np.abs(wD * wu) + np.abs(wy)), dtype)

    # from here on at the very y that was computed
    pair, judge = getattr(SEQUENTIAL, gelu), judge_of(gelu, dtype)
    ay, ag = cast((wy, wdg * factor), judge)
    value, at = pair.value(ay)
    bound = BOUNDS[gelu](ay, ag)
    if judge == dtype:  # then the reference errs as well
        bound = {path: 2 * b for path, b in bound.items()}
    close(g, value * factor, bound["y"] * factor + UNIT * np.abs(value * factor), dtype)
    through = pair.vjp(at, ag)
    rounded = bound["d"] + UNIT * np.abs(through)
    close(dv_alone, through, rounded, dtype)
    total = through + wdirect
    error = rounded + UNIT * np.abs(total)
    close(dv, total, error, dtype)
    close(du, wD * total, np.abs(wD) * (error + UNIT * np.abs(total)), dtype)
    terms = accumulated(shape[0] * shape[1] + 1) * np.abs(total * wu)
    close(dD, (total * wu).sum((0, 1)), (terms + error * np.abs(wu)).sum((0, 1)), dtype)


@pytest.mark.parametrize("dropped", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gate(shape: tuple[int, int, int], dtype: str, dropped: bool) -> None:
    h, z, skip, dout, _D, mask = inputs(shape, dtype, dropped)
    (out, _), residuals = gate(ON, h, z, mask, skip)
    dh, dz, dskip = gate_vjp(ON, residuals, dout)
    wh, wz, wskip, wdout, wmask = cast((h, z, skip, dout, mask), wider(dtype))
    factor = 1 if wmask is None else wmask
    value, at = glu(wh, wz)
    bound = BOUNDS["glu"](wh, wz, wdout * factor)
    want = value * factor + wskip
    close(out, want, bound["y"] * factor + UNIT * (np.abs(value * factor) + np.abs(want)), dtype)
    for got, exact, path in zip((dh, dz), glu_vjp(at, wdout * factor), ("d.0", "d.1"), strict=True):
        close(got, exact, bound[path] + UNIT * np.abs(exact), dtype)
    assert dskip is dout


@pytest.mark.parametrize("dropped", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_a_gate_it_is_dropout_and_skip(dtype: str, dropped: bool) -> None:
    h, _z, skip, dout, _D, mask = inputs((3, 70, 33), dtype, dropped)
    (out, _), residuals = gate(ON, h, None, mask, skip)
    dh, dz, dskip = gate_vjp(ON, residuals, dout)
    wh, wskip, wmask = cast((h, skip, mask), wider(dtype))
    want = (wh if wmask is None else wh * wmask) + wskip
    close(out, want, UNIT * np.abs(want), dtype)
    np.testing.assert_array_equal(dh, dout if mask is None else dout * mask)
    assert dz is None
    assert dskip is dout
    assert residuals.h is None


@pytest.mark.parametrize("shape", [(50, 784, 96), (50, 2048, 128)], ids=["sMNIST", "ListOps"])
def test_at_the_sizes_of_recipes(shape: tuple[int, int, int]) -> None:
    test_activate(shape, "gelu_tanh", "float32", True)
    test_gate(shape, "float32", True)


# Faults planted in tail.cu: (test, old text, new text).
FAULTS = {
    "the mask is one row for all": (
        "activate",
        "(Index)((unsigned)row / (unsigned)L) * H +",
        "(Index)0 * H +",
    ),
    "D is left out": ("activate", "REAL sum = v[j] + weight * u[j];", "REAL sum = v[j] + u[j];"),
    "D is left out of du": ("activate", "du[j] = weight * d;", "du[j] = d;"),
    "what reaches y past the GELU is lost": ("activate", "if (direct) d += direct[j];", ""),
    "and so it is in dD": ("activate", "sum += d * u[j];", "sum += (direct ? d - direct[j] : d) * u[j];"),
    "dD is one row's": ("activate", "sum += d * u[j];", "sum = d * u[j];"),
    "dD is one warp's": ("activate", "  sum = across_warps(sum, scratch);\n", ""),
    "no barrier in the sum across warps": ("activate", "= value;\n  __syncthreads();", "= value;"),
    "the mask is left out of dg": ("activate", "dg[j] * MASK(mask) *", "dg[j] *"),
    "gate: σ by cancellation": ("gate", "(s * sigmoid(-z[j]))", "(s * (1 - s))"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, old, new = FAULTS[fault]
    assert source("tail").count(old) == 1

    def check() -> None:
        for order in (0, 1):
            monkeypatch.setitem(
                globals(), "ON", Launcher(ShimDevice(order, lambda code: code.replace(old, new)))
            )
            if name == "gate":
                test_gate(SHAPES[-1], "float32", True)
            else:
                test_activate(SHAPES[-1], "gelu_tanh", "float32", True)

    with pytest.raises((AssertionError, LaunchError)), np.errstate(all="ignore"):
        check()
