"""The oracle by stage: leaves, dtypes and radii of what it returns, and numbers known without it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from s5ref.errors import S5Error
from s5ref.verification.proofs.oracles import STAGES, oracle

RNG = np.random.default_rng(1)
U = 2.0**-53


def draw(*shape: int) -> Any:
    return RNG.standard_normal(shape)


def z(*shape: int) -> Any:
    return draw(*shape) + 1j * draw(*shape)


PARAMS = {"Lambda": -0.5 + z(2), "B": z(2, 3), "C": z(3, 2), "D": draw(3), "log_step": draw(2) - 2}
LAYER = {f"seq.{k}": v for k, v in PARAMS.items()} | {
    "norm.scale": draw(3),
    "norm.bias": draw(3),
    "out2.kernel": draw(3, 3),
    "out2.bias": draw(3),
}
MODEL = {f"layers_0.{k}": v for k, v in LAYER.items()} | {
    "encoder.kernel": draw(5, 3),
    "encoder.bias": draw(3),
    "decoder.kernel": draw(3, 4),
    "decoder.bias": draw(4),
}
INPUTS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "discretize": (
        {"Lambda": -1 + z(3), "Delta": np.array(0.1), "method": "zoh"},
        {"Lambda_bar": z(3), "gain": None},
    ),
    "scan": ({"Lambda_bar": z(2), "Bu": z(1, 3, 2), "x0": None, "reverse": True}, {"x": z(1, 3, 2)}),
    "ssm": ({"params": PARAMS, "u": draw(1, 3, 3), "step_rescale": 2.0}, {"y": draw(1, 3, 3)}),
    "step": ({"params": PARAMS, "state": z(1, 2), "u": draw(1, 3)}, {"y": draw(1, 3), "state": z(1, 2)}),
    "layer": ({"params": LAYER, "x": draw(2, 3, 3), "norm": "layer", "train": True}, {"y": draw(2, 3, 3)}),
    "model": (
        {
            "params": MODEL,
            "x": np.array([[0, 4, 1]]),
            "lengths": np.array([2]),
            "n_layers": 1,
            "norm": "layer",
        },
        {"output": draw(1, 4)},
    ),
}


@pytest.mark.parametrize("stage", INPUTS)
def test_leaves_of_the_plug_in_protocol(stage: str) -> None:
    """Joined complex parameters, None inputs, a token input; every value half an ulp from the truth,
    cotangents included."""
    inputs, cotangent = INPUTS[stage]
    found = oracle(stage, inputs, cotangent)
    params = inputs.get("params", {})
    assert {name for name in found if name.startswith("d.params")} == {f"d.params.{name}" for name in params}
    for name, (value, radius) in found.items():
        assert value.shape == radius.shape
        assert (radius <= 1.01 * math.sqrt(2) * U * np.abs(value) + 5e-324).all()
        if name.startswith("d.params."):
            assert value.dtype == params[name[9:]].dtype
            assert np.any(value != 0), name
    values = oracle(stage, inputs)
    assert all(np.array_equal(values[name][0], found[name][0]) for name in values)


def test_float32_inputs_are_taken_as_they_are() -> None:
    x = np.array([0.1], np.float32)
    (value, _) = oracle("sigmoid", {"x": x})["y"]
    assert value[0] == oracle("sigmoid", {"x": np.array([float(x[0])])})["y"][0][0]
    assert value[0] != oracle("sigmoid", {"x": np.array([0.1])})["y"][0][0]


@pytest.mark.parametrize(
    ("stage", "x", "want"),
    [
        ("gelu_tanh", -6.0, -8.439646698e-11),
        ("gelu_erf", 1.0, 0.5 * (1 + math.erf(1 / math.sqrt(2)))),
        ("sigmoid", -800.0, 0.0),
        ("gelu_tanh", -64.0, 0.0),
        ("gelu_erf", -50.0, 0.0),
        ("sigmoid", 0.0, 0.5),
    ],
)
def test_known_numbers(stage: str, x: float, want: float) -> None:
    assert oracle(stage, {"x": np.array([x])})["y"][0][0] == pytest.approx(want, rel=1e-9, abs=1e-300)


def test_an_underflow_is_nothing_and_the_radius_says_so() -> None:
    value, radius = oracle("gelu_tanh", {"x": np.array([-64.0])})["y"]
    assert value[0] == 0
    assert 0 < radius[0] <= 5e-324


def test_unknown_stage() -> None:
    with pytest.raises(S5Error, match="stage must be one of"):
        oracle("norm", {})
    assert set(INPUTS) < set(STAGES)
