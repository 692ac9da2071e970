"""What passes through the state under irregular sampling, every option of it, against the reference's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS
from cuda_shim.mock import MockDevice
from fake_device import DeviceArray

from s5ref import SEQUENTIAL, Call, Engine, ModelConfig
from s5ref.arrays import Array
from s5ref.engine import Conditions
from s5ref.gpu.engine import engine_of
from s5ref.gpu.irregular_ssm import irregular_ssm, irregular_ssm_vjp
from s5ref.gpu.launch import Launcher
from s5ref.random import generator
from s5ref.ssm.ssm import DISCRETIZATIONS, SSMOptions, ssm_without_feedthrough, ssm_without_feedthrough_vjp
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import THRESHOLD, cast, composite_budget, ratio

pytestmark = MARKS

N, L, H, P = 3, 70, 5, 4
DEVICE = MockDevice()
ON, KERNELS = Launcher(DEVICE), engine_of(DEVICE)
BILINEAR = DISCRETIZATIONS["bilinear"]
FORMS: dict[str, tuple[SSMOptions, dict[str, Any]]] = {  # options, what else is given
    "plain": (SSMOptions(), {}),
    "bilinear": (SSMOptions(discretization=BILINEAR), {"step_rescale": 0.5}),
    "initial state": (SSMOptions(), {"x0": True}),
    "bidirectional": (SSMOptions(bidirectional=True), {}),
    "bidirectional, bilinear, masked": (SSMOptions(True, True, False, BILINEAR), {"valid": True}),
    "bidirectional, masked, rescaled": (
        SSMOptions(bidirectional=True),
        {"valid": True, "step_rescale": 2.0},
    ),
    "full spectrum, clipped": (SSMOptions(conj_sym=False, clip_eigs=True), {"x0": True}),
    "impulses, bidirectional, masked": (
        SSMOptions(bidirectional=True, discretization=DISCRETIZATIONS["dirac"]),
        {"valid": True},
    ),
    "events, bidirectional, masked": (
        SSMOptions(bidirectional=True, discretization=DISCRETIZATIONS["async"]),
        {"valid": True},
    ),
    "joined C": (SSMOptions(bidirectional=True), {"joined": True}),
}
Given = dict[str, Any]


def given(form: str, dtype: str) -> Given:
    options, also = FORMS[form]
    n = generator("gpu irregular", form).standard_normal
    params = {"Lambda_re": -np.abs(n(P)) - 0.1, "Lambda_im": 3 * n(P), "log_step": n(P) - 2}
    if options.clip_eigs:
        params["Lambda_re"][::2] = 0.3
    params |= {"B": n((P, H, 2)), "D": n(H)}
    if options.bidirectional and "joined" not in also:
        params |= {"C1": n((H, P, 2)), "C2": n((H, P, 2))}
    else:
        params |= {"C": n((H, (1 + options.bidirectional) * P, 2))}
    lengths = np.array([L, 40, 1])
    found: Given = cast(
        {
            "params": params,
            "u": n((N, L, H)),
            "intervals": generator("gpu irregular intervals").uniform(0.5, 2, (N, L)),
            "x0": n((N, P)) + 1j * n((N, P)) if "x0" in also else None,
            "d": (n((N, L, H)), n((N, P)) + 1j * n((N, P))),
        },
        dtype,
    )
    valid = (np.arange(L)[None, :] < lengths[:, None])[:, :, None] if "valid" in also else None
    return found | {"valid": valid, "step_rescale": also.get("step_rescale", 1.0)}


def run(value: Any, vjp: Any, at: Given, options: SSMOptions, engine: Engine) -> tuple[dict[str, Any], Any]:
    call = Call(engine, step_rescale=at["step_rescale"], intervals=at["intervals"], valid=at["valid"])
    (y, x_last), residuals = value(at["params"], at["u"], options, call, at["x0"])
    dparams, du, dx0 = vjp(residuals, at["d"], options, call)
    scan = residuals.forward.scan if engine is not KERNELS else residuals.directions[0][0]
    found = {"y": y, "x": scan.x, "x_last": x_last}
    return found | {"dparams": dparams, "du": du, "dx0": dx0}, residuals


def on_device(form: str, dtype: str) -> tuple[dict[str, Any], Any]:
    def value(*args: Any) -> Any:
        return irregular_ssm(ON, *args)

    def vjp(*args: Any) -> Any:
        return irregular_ssm_vjp(ON, *args)

    found: tuple[dict[str, Any], Any] = KERNELS.to_host(
        run(value, vjp, KERNELS.to_device(given(form, dtype)), FORMS[form][0], KERNELS)
    )
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_every_option(form: str, dtype: str) -> None:
    at, options = given(form, dtype), FORMS[form][0]
    want, budget = composite_budget(
        lambda engine: run(ssm_without_feedthrough, ssm_without_feedthrough_vjp, at, options, engine)[0],
        SEQUENTIAL,
        range(4),
        N * L,
    )
    got = dict(leaves(on_device(form, dtype)[0]))
    assert got.keys() == want.keys()
    for path, leaf in want.items():
        assert got[path].dtype == leaf.dtype, path
        assert ratio(got[path], leaf, budget[path], 1.0) <= THRESHOLD, path


def of_states(x: Any) -> bool:
    return isinstance(x, DeviceArray) and x.shape == (N, L, P) and x.dtype.kind == "c"


@pytest.mark.parametrize("form", FORMS)
def test_no_array_expression_is_as_large_as_the_states(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels and matrix products alone touch them, and what is kept of this size is raw and the states."""
    before = DeviceArray.__array_ufunc__

    def watched(self: DeviceArray, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        result = before(self, ufunc, method, *inputs, **kwargs)
        assert not any(map(of_states, (*inputs, result))), ufunc
        return result

    with monkeypatch.context() as patch:
        patch.setattr(DeviceArray, "__array_ufunc__", watched)
        _, residuals = on_device(form, "float32")
    kept = [leaf for _, leaf in leaves(residuals) if getattr(leaf, "shape", ()) == (N, L, P)]
    distinct: list[Array] = []
    for leaf in kept:
        if not any(np.array_equal(leaf, other) for other in distinct):
            distinct.append(leaf)
    assert len(distinct) == 2 + FORMS[form][0].bidirectional


def test_the_plan_says_what_runs_and_why() -> None:
    regular, irregular = Conditions("float32"), Conditions("float32", irregular=True)
    options = ModelConfig(n_layers=1, d_model=4, ssm_size=4, in_dim=1, n_classes=2).block_options()
    other = replace(options, ssm=SSMOptions(discretization=DISCRETIZATIONS["foh"]))
    assert KERNELS.layer(options, regular).name == KERNELS.layer(other, regular).name == "fused"
    assert KERNELS.layer(options, irregular).name == "fused, multipliers made in the kernel"
    composed = KERNELS.layer(other, irregular)
    assert composed.name == "composed"
    assert "kernels for zoh, bilinear, dirac, async only" in composed.why
