"""The flat update against `s5ref.optim.adamw.adamw`, leaf by leaf."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice
from cuda_shim.module import LaunchError

from s5ref.arrays import Array
from s5ref.gpu.adamw import Flat, adamw_flat, flatten, layout, settings, unflatten
from s5ref.gpu.launch import Launcher
from s5ref.gpu.source import source
from s5ref.optim.adamw import B1, B2, EPS, Group, Moments, adamw
from s5ref.random import generator
from s5ref.verification.rounding.budget import THRESHOLD, UNIT, cast, ratio, wider

SHAPES = {"a": (1,), "layers_0.seq.B": (3, 5, 2), "b": (), "layers_0.seq.Lambda_re": (7,), "kernel": (40, 9)}
GROUPS = {
    "a": Group("regular", "lr", 0.05),
    "layers_0.seq.B": Group("ssm", "ssm_lr", 0.0),
    "b": Group("ssm decayed", "ssm_lr", 0.02),
    "layers_0.seq.Lambda_re": Group("ssm", "ssm_lr", 0.0),
    "kernel": Group("regular", "lr", 0.05),
}
pytestmark = MARKS

ON = Launcher(ShimDevice())
RATES = {"ssm_lr": 1e-3, "lr": 4e-3}


def leaves_of(what: str, positive: bool = False) -> dict[str, Array]:
    n = generator("gpu adamw", what).standard_normal
    return {name: np.asarray(n(shape) ** 2 if positive else n(shape)) for name, shape in SHAPES.items()}


def test_the_flat_buffer_is_the_leaves_in_their_order() -> None:
    params = leaves_of("params")
    at = layout(params)
    back = unflatten(at, flatten(at, params))
    assert list(back) == list(params)
    for name, leaf in params.items():
        np.testing.assert_array_equal(back[name], leaf)
    assert {begin % 64 for begin in at.begins} == {0}


@pytest.mark.parametrize("count", [1, 2, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_update(dtype: str, count: int) -> None:
    wide, eps = wider(dtype), float(np.finfo(dtype).eps)
    trees = [leaves_of("params"), leaves_of("grads"), leaves_of("first"), leaves_of("second", True)]
    params, grads, first, second = cast(trees, dtype)
    at = layout(params)
    state = Flat(*(flatten(at, tree) for tree in (params, first, second)))
    given = settings(at, count, GROUPS, RATES).astype(dtype)
    adamw_flat(ON, state, flatten(at, grads), at.ends, given)
    got_p, got_m, got_v = (unflatten(at, buffer) for buffer in state)

    p, g, m, v = cast([params, grads, first, second], wide)
    want_p, want = adamw(p, g, Moments(m, v), count, GROUPS, RATES)
    for name in params:
        # each constant is rounded, each product and sum; and so on through the quotient
        e_m = UNIT * 3 * (np.abs(B1 * m[name]) + np.abs((1 - B1) * g[name]))
        e_v = UNIT * 4 * want.second[name]
        c1, c2 = 1 - B1**count, 1 - B2**count
        root = np.sqrt(want.second[name] / c2)
        step = want.first[name] / c1 / (root + EPS)
        decay, rate = GROUPS[name].weight_decay, RATES[GROUPS[name].rate]
        e_step = e_m / c1 / (root + EPS) + np.abs(step) * (0.5 * 4 * UNIT + 7 * UNIT)
        e_step = e_step + UNIT * (3 * np.abs(decay * p[name]) + np.abs(step + decay * p[name]))
        e_p = rate * (e_step + 2 * UNIT * np.abs(step + decay * p[name])) + UNIT * np.abs(want_p[name])
        for got, exact, bound in (
            (got_p[name], want_p[name], e_p),
            (got_m[name], want.first[name], e_m),
            (got_v[name], want.second[name], e_v),
        ):
            assert got.dtype == dtype
            assert ratio(got, exact, bound, eps) <= THRESHOLD, name


def test_update_of_as_many_parameters_as_a_large_layer_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "kernel", (512, 1024))
    test_update("float32", 3)


# Faults planted in adamw.cu: old text, new text.
FAULTS = {
    "a leaf's last element is the next leaf's": ("if (ends[middle] > i)", "if (ends[middle] >= i)"),
    "the search stops one leaf early": ("high = segments - 1", "high = segments - 2"),
    "rates for decays": ("settings[2 + segments + low]", "settings[2 + low]"),
    "decay is coupled: part of the gradient": (
        "REAL first = b1 * m[i] + rest1 * g[i]",
        "REAL first = b1 * m[i] + rest1 * (g[i] + settings[2 + segments + low] * p[i])",
    ),
    "decay without the rate": (
        "settings[2 + low] * step",
        "settings[2 + low] * step + settings[2 + segments + low] * p[i]",
    ),
    "the first moment's bias stays": ("first / settings[0]", "first"),
    "the second moment's bias stays": ("sqrt(second / settings[1])", "sqrt(second)"),
    "biases change places": (
        "first / settings[0] / (sqrt(second / settings[1])",
        "first / settings[1] / (sqrt(second / settings[0])",
    ),
    "eps under the root": ("(sqrt(second / settings[1]) + eps)", "sqrt(second / settings[1] + eps)"),
    "eps before the bias correction": (
        "(sqrt(second / settings[1]) + eps)",
        "((sqrt(second) + eps) / sqrt(settings[1]))",
    ),
    "no square of the gradient": ("rest2 * (g[i] * g[i])", "rest2 * g[i]"),
    "beyond the end": ("if (i >= size) return;", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = FAULTS[fault]
    assert source("adamw").count(old) == 1
    monkeypatch.setitem(globals(), "ON", Launcher(ShimDevice(change=lambda code: code.replace(old, new))))
    with pytest.raises((AssertionError, LaunchError)):
        test_update("float64", 2)
