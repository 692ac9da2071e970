"""The image encoder and the uses of intervals, as parts of whole models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES

from s5ref import SEQUENTIAL, Batch, Engine, Model, ModelConfig, S5Error, streaming
from s5ref.model.chunks import chunked_loss_and_grad
from s5ref.model.leaves import parameter_count, parameter_shapes
from s5ref.train.config import RunConfig

CONFIG = ModelConfig(
    n_layers=2, d_model=6, ssm_size=4, blocks=1, in_dim=64, n_classes=2, activation="half_glu2", norm="layer",
    prenorm=False, encoder="image", head="gaussian_regression",
)  # fmt: skip
RNG = np.random.default_rng(0)
BATCH = Batch(RNG.random((2, 5, 64)), RNG.normal(size=(2, 5, 2)), intervals=RNG.uniform(0.5, 3, (2, 5)))
by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
by_use = pytest.mark.parametrize("use", ["used", "ignored", "appended"])


def model_of(use: str, **options: Any) -> tuple[Model, dict[str, Any]]:
    model = Model(replace(CONFIG, intervals=use, **options))
    return model, model.init(0, "float64")[0]


def test_the_parameters_of_the_recipe_are_the_papers() -> None:
    config = RunConfig.recipe("pendulum").model
    assert parameter_count(config) == 15820
    count = {
        part: sum(np.prod(shape) for name, shape in parameter_shapes(config).items() if name.startswith(part))
        for part in ("encoder", "layers_0", "decoder")
    }
    assert count == {"encoder": 5820, "layers_0": 2004, "decoder": 1984}


@by_use
def test_init_has_the_leaves_of_the_configuration(use: str) -> None:
    model, params = model_of(use)
    assert {name: leaf.shape for name, leaf in params.items()} == parameter_shapes(model.config)
    assert params["encoder.kernel"].shape == (31 if use == "appended" else 30, 6)
    spread = params["encoder.conv2.kernel"].std() * np.sqrt(3 * 3 * 12)
    assert 0.9 < spread < 1.1  # lecun: 1/√(inputs of an output)


@by_engine
def test_ignored_intervals_change_nothing_and_used_ones_do(engine: Engine) -> None:
    regular = BATCH._replace(intervals=None)
    for use, changes in (("used", True), ("ignored", False), ("appended", True)):
        model, params = model_of(use)
        with_them = model.forward(params, {}, BATCH, engine=engine).output
        assert np.array_equal(with_them, model.forward(params, {}, regular, engine=engine).output) != changes


@by_engine
def test_an_appended_interval_is_one_more_input_of_the_last_matrix(engine: Engine) -> None:
    model, params = model_of("appended")
    output = model.forward(params, {}, BATCH, engine=engine).output
    plain, _ = model_of("ignored")
    rest = {**params, "encoder.kernel": params["encoder.kernel"][:30]}
    one = BATCH._replace(intervals=np.ones((2, 5)))
    biased = {**rest, "encoder.bias": params["encoder.bias"] + params["encoder.kernel"][30]}
    np.testing.assert_allclose(
        model.forward(params, {}, one, engine=engine).output,
        plain.forward(biased, {}, one, engine=engine).output,
        atol=1e-12,
    )
    assert not np.allclose(output, plain.forward(biased, {}, BATCH, engine=engine).output)


@by_engine
@by_use
def test_chunks_and_streams_give_the_same(engine: Engine, use: str) -> None:
    model, params = model_of(use)
    whole = model.loss_and_grad(params, {}, BATCH, engine=engine)
    pieces = chunked_loss_and_grad(model, params, {}, BATCH, 2, engine=engine)
    assert np.isclose(whole.loss, pieces.loss, rtol=1e-12)
    for name, gradient in whole.grads.items():
        np.testing.assert_allclose(pieces.grads[name], gradient, atol=1e-10, err_msg=name)
    stream = streaming(model, params, {}, engine)
    assert BATCH.intervals is not None
    state = stream.initial_state(2)
    for k in range(5):
        state, output = stream.step(state, BATCH.inputs[:, k], intervals=BATCH.intervals[:, k])
        np.testing.assert_allclose(output, whole.output[:, k], atol=1e-11)
    fed = stream.feed(stream.initial_state(2), BATCH.inputs, intervals=BATCH.intervals)[1]
    np.testing.assert_allclose(fed, whole.output, atol=1e-11)


def test_the_cotangent_of_the_images_is_there_when_asked_for() -> None:
    model, params = model_of("used")
    forward, vjp = model.forward_and_vjp(params, {}, BATCH, engine=SEQUENTIAL)
    direction, h = RNG.normal(size=BATCH.inputs.shape), 1e-6
    doutput = RNG.normal(size=forward.output.shape)
    moved = [
        np.sum(
            doutput * model.forward(params, {}, BATCH._replace(inputs=BATCH.inputs + t * direction)).output
        )
        for t in (h, -h)
    ]
    assert np.isclose((moved[0] - moved[1]) / (2 * h), np.sum(vjp(doutput)[1] * direction), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_dim": 36}, "in_dim must be the square of a multiple of 8"),
        ({"in_dim": 128}, "in_dim must be the square of a multiple of 8"),
        ({"encoder": "linear", "intervals": "appended"}, "intervals must be used or ignored"),
        ({"encoder": "images"}, "encoder must be one of linear, image"),
        ({"intervals": "use"}, "intervals must be one of used, ignored, appended"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(S5Error, match=words):
        replace(CONFIG, **options)
