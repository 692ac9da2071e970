"""The four forms of `s5ref.model.mix`, run by `activate`, matrix products and `gate` alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice

from s5ref.arrays import Array
from s5ref.engine import Call, Engine
from s5ref.engines import SEQUENTIAL
from s5ref.gpu.launch import Launcher
from s5ref.gpu.tail import activate, activate_vjp, gate, gate_vjp
from s5ref.model.config import ACTIVATIONS, GELUS
from s5ref.nn.dense import linear, linear_vjp
from s5ref.nn.dropout import dropout_mask
from s5ref.random import generator
from s5ref.verification.rounding.budget import THRESHOLD, cast, composite_budget, ratio

pytestmark = MARKS

ON = Launcher(ShimDevice())
N, L, H = 3, 40, 6
Leaves = dict[str, Array]


def given(dtype: str, dropped: bool) -> tuple[Leaves, Any]:
    n = generator("gpu mix").standard_normal
    at = {name: n((N, L, H)) for name in ("v", "u", "x", "dout")} | {"D": n(H)}
    at |= {f"out{i}.kernel": n((H, H)) / 2 for i in (1, 2)} | {f"out{i}.bias": n(H) for i in (1, 2)}
    masks = [dropout_mask((0, i), N, H, 0.4, at["v"]) if dropped else None for i in (1, 2)]
    found: tuple[Leaves, Any] = cast((at, masks), dtype)
    return found


def reference(form: str, gelu: str, at: Leaves, masks: Any, engine: Engine) -> Leaves:
    """mix(v + D∘u) + x and all cotangents."""
    call, pair = Call(engine), GELUS[gelu](engine)
    out, residuals = ACTIVATIONS[form].value(at, at["v"] + at["D"] * at["u"], tuple(masks), pair, call)
    dparams, dy = ACTIVATIONS[form].vjp(residuals, at["dout"], pair, call)
    du, dD = at["D"] * dy, (dy * at["u"]).sum((0, 1))
    return {"out": out + at["x"], "dv": dy, "du": du, "dD": dD, "dx": at["dout"], **dparams}


def fused(form: str, gelu: str, at: Leaves, masks: Any) -> Leaves:
    """The same, as an engine would run it."""
    (y, g), residuals = activate(ON, at["v"], at["u"], at["D"], masks[0], gelu == "erf")
    h: Any = y if form == "half_glu2" else g
    z, mask, dense = None, None, {}
    if form != "gelu":
        mask = masks[1]
        z, dense["out2"] = linear(g, at["out2.kernel"], at["out2.bias"])
    if form == "full_glu":
        h, dense["out1"] = linear(g, at["out1.kernel"], at["out1.bias"])
    (out, _), gate_residuals = gate(ON, h, z, mask, at["x"])
    dh, dz, dx = gate_vjp(ON, gate_residuals, at["dout"])
    d: dict[str, Any] = {"out": out, "dx": dx}
    dg: Any = dh if form in ("gelu", "half_glu1") else 0
    for name, cotangent in (("out1", dh), ("out2", dz)):
        if name in dense:
            through, d[f"{name}.kernel"], d[f"{name}.bias"] = linear_vjp(dense[name], cotangent)
            dg = dg + through
    d["dv"], d["du"], d["dD"] = activate_vjp(ON, residuals, (dh if form == "half_glu2" else None, dg))
    return d


@pytest.mark.parametrize("dropped", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("gelu", GELUS)
@pytest.mark.parametrize("form", ACTIVATIONS)
def test_every_form_of_the_mix(form: str, gelu: str, dropped: bool) -> None:
    at, masks = given("float32", dropped)
    want, budget = composite_budget(
        lambda engine: reference(form, gelu, at, masks, engine), SEQUENTIAL, range(4), N * L
    )
    got = fused(form, gelu, at, masks)
    assert got.keys() == want.keys()
    for name, leaf in want.items():
        assert ratio(got[name], leaf, budget[name], 1.0) <= THRESHOLD, name
    assert np.any(got["dv"])
