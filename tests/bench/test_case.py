"""What is timed: sizes, data, operations counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from s5ref.bench.case import CHECK_BATCH, CHECK_LENGTH, Case, layer_case, recipe_case
from s5ref.bench.ours import build
from s5ref.recipes import names


def test_smnist_by_hand() -> None:
    case = recipe_case("smnist")
    assert (case.batch, case.length) == (50, 784)
    # B̃u: 96 × 128 real columns, C̃x the same, gate 96 × 96; 4 layers; encoder 1 × 96; 2 per multiply-add
    row = 4 * 2 * (96 * 128 + 128 * 96 + 96 * 96) + 2 * 96
    assert row == 270_528
    assert case.flops("forward") == 39_200 * row
    assert case.flops("train_step") == pytest.approx(31.8e9, rel=1e-3)
    assert case.flops("step") == row


def test_listops_by_hand() -> None:
    case = recipe_case("listops")  # bidirectional, tokens, 8 kept states, half_glu2
    row = 8 * 2 * (128 * 16 + 2 * 16 * 128 + 128 * 128)
    assert case.flops("forward") == 50 * 2048 * row


def test_other_forms_by_hand() -> None:
    model = replace(recipe_case("smnist").model, activation="full_glu", conj_sym=False, n_layers=1)
    base = recipe_case("smnist")
    case = replace(base, config=replace(base.config, model=model), batch=1, length=1)
    assert case.flops("forward") == 2 * (96 * 256 + 256 * 96 + 2 * 96 * 96) + 2 * 96
    assert layer_case().flops("forward") == 39_200 * 2 * (96 * 256 + 256 * 96)
    row = 6 * 2 * (128 * 256 + 2 * 256 * 128 + 128 * 128)  # two documents of tokens, bidirectional
    assert recipe_case("retrieval").flops("forward") == 2 * 32 * 4000 * row
    pathx = recipe_case("pathx")
    assert (pathx.batch, pathx.length) == (1, 16384)


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_a_case(name: str) -> None:
    case = recipe_case(name)
    assert Case.of_message(json.loads(json.dumps(case.message()))) == case
    assert (case.small().batch, case.small().length) <= (CHECK_BATCH, max(CHECK_LENGTH, case.length))
    assert case.config.train.dtype == "float32"
    assert ("step" in case.whats()) == (name in ("smnist", "psmnist", "pendulum"))


def test_data_has_the_shape_of_the_recipe_and_is_the_same_every_time() -> None:
    case = recipe_case("listops", quick=True)
    batch = case.data()
    assert batch.inputs.shape == (4, 256)
    assert batch.inputs.dtype.kind == "i"
    np.testing.assert_array_equal(batch.inputs, case.data().inputs)
    assert recipe_case("retrieval", quick=True).data().inputs.shape == (4, 2, 256)
    assert recipe_case("scifar", quick=True).data().inputs.shape == (4, 256, 3)
    assert recipe_case("scifar", quick=True).data().inputs.dtype == np.float32


def test_ours_does_what_it_says() -> None:
    case = replace(recipe_case("digits"), batch=2, length=8)
    values = build(case, "train_step").values()
    assert values["output"].shape == (2, 10)
    assert {"grad.encoder.kernel", "new.layers_0.norm.mean"} <= set(values)
    work = build(replace(recipe_case("smnist"), batch=2, length=8), "step")
    work.once()
    assert work.values()["output"].shape == (1, 10)
    assert work.calls >= 2000
    layer = replace(layer_case(), batch=2, length=8)
    assert build(layer, "train_step").values()["grad.B"].shape == (128, 96, 2)
    assert build(layer, "forward").values()["output"].shape == (2, 8, 96)
