"""A sequence layer as a user calls it, against the model that it is a layer of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref.random import generator
from s5ref.tree import subtree

N, L, H = 3, 20, 4
OPTIONS: dict[str, Any] = {"d_model": H, "ssm_size": 8}


@pytest.mark.parametrize("engine", ["sequential", "numpy", "numba"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_it_is_the_layer_of_a_model(engine: str, norm: str) -> None:
    model = s5ref.Model(s5ref.ModelConfig(n_layers=1, in_dim=H, head="regression", norm=norm, **OPTIONS))
    params, statistics = model.init(3, "float64")
    params |= {"encoder.kernel": np.eye(H), "encoder.bias": np.zeros(H)}
    params |= {"decoder.kernel": np.eye(H, 10), "decoder.bias": np.zeros(10)}
    x = generator("layer", "x").standard_normal((N, L, H))
    layer = s5ref.SequenceLayer(norm=norm, **OPTIONS)
    of_layer = subtree(params, "layers_0"), subtree(statistics, "layers_0")
    out, vjp = layer.forward_and_vjp(*of_layer, x, engine=engine, training=True)
    forward, model_vjp = model.forward_and_vjp(
        params, statistics, s5ref.Batch(x), engine=engine, training=True
    )
    np.testing.assert_array_equal(out.y, forward.output[..., :H])
    np.testing.assert_array_equal(out.state, forward.states[0])
    d = np.zeros(forward.output.shape)
    d[..., :H] = generator("layer", "dy").standard_normal(x.shape)
    dparams, dx, _ = vjp(d[..., :H])
    of_model, dinputs, _ = model_vjp(d)
    np.testing.assert_allclose(dx, dinputs, atol=1e-13)
    for name, leaf in subtree(of_model, "layers_0").items():
        np.testing.assert_allclose(dparams[name], leaf, atol=1e-12, err_msg=name)


def test_what_lies_behind_a_length_counts_nowhere() -> None:
    layer = s5ref.SequenceLayer(bidirectional=True, **OPTIONS)
    params, statistics = layer.init(0, "float64")
    x = generator("layer", "padding").standard_normal((N, L, H))
    lengths = np.array([20, 7, 1])
    found = []
    for seed in (1, 2):
        other = np.where(
            np.arange(L)[None, :, None] < lengths[:, None, None],
            x,
            generator("layer", seed).standard_normal(x.shape),
        )
        out = layer.forward(params, statistics, other, lengths=lengths, training=True, engine="numpy")
        found.append([out.y[n, :length] for n, length in enumerate(lengths)])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_refusals() -> None:
    layer = s5ref.SequenceLayer(**OPTIONS)
    params, statistics = layer.init()
    with pytest.raises(s5ref.ShapeError, match="H=4"):
        layer.forward(params, statistics, np.ones((2, 3, 5)))
    with pytest.raises(s5ref.NumericalError, match="finite"):
        layer.forward(params, statistics, np.full((2, 3, 4), np.nan))
    with pytest.raises(s5ref.DataError, match=r"layer: lengths must lie in 1 … 20 \(L\); got 0"):
        layer.forward(params, statistics, np.zeros((N, L, H)), lengths=np.array([20, 0, 1]))
    with pytest.raises(s5ref.DataError, match="layer: intervals between samples must not be negative"):
        layer.forward(params, statistics, np.zeros((N, L, H)), intervals=-np.ones((N, L)))
    with pytest.raises(s5ref.ConfigError, match="step_rescale"):
        layer.forward(params, statistics, np.ones((2, 3, 4)), **{"steps": 3})  # type: ignore[arg-type]


PLANS: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("numba", {}, {}, "fused", "one pass"),
    ("numba", {"norm": "layer", "gelu": "erf"}, {}, "fused", "one pass"),
    ("numba", {"prenorm": False, "padding": "masked"}, {}, "fused", "one pass"),
    ("numba", {"activation": "full_glu"}, {}, "fused", "one pass"),
    ("numba", {}, {"irregular": True}, "fused", "one pass"),
    ("numba", {"discretization": "bilinear"}, {"irregular": True}, "composed", "irregular"),
    ("numba", {}, {"dtype": "longdouble"}, "composed", "longdouble"),
    ("numpy", {}, {}, "composed", "kernel"),
]


@pytest.mark.parametrize(("engine", "options", "conditions", "name", "word"), PLANS)
def test_a_plan_says_what_runs_and_why(
    engine: str, options: dict[str, Any], conditions: dict[str, Any], name: str, word: str
) -> None:
    plan = s5ref.Model(s5ref.ModelConfig(n_layers=3, **options)).plan(engine, **conditions)
    assert plan.implementation == name
    assert word in plan.why
    assert str(plan).startswith(f"engine {engine}, layers_0 … layers_2: {name} (")
