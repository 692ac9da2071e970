"""Parameter counts of the paper's models, and that init makes the leaves that the configuration promises."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref import Model, ModelConfig
from s5ref.model.leaves import parameter_count, parameter_shapes, statistics_shapes
from s5ref.train.config import RunConfig
from s5ref.verification.selfcheck.golden import PARAMETERS, SMALL_SMNIST, parameter_counts
from s5ref.verification.selfcheck.problems import problems


def test_golden_counts() -> None:
    assert [(off, name) for off, name in parameter_counts() if off] == []
    assert parameter_count(SMALL_SMNIST[0]) == 26_058


@pytest.mark.parametrize("name", ["listops", "pathx", "speech35"])
def test_counts_of_the_arrays_themselves(name: str) -> None:
    params, _ = Model(RunConfig.recipe(name).model).init()
    assert sum(leaf.size for leaf in params.values()) == PARAMETERS[name]


def test_counts_by_the_formula() -> None:
    """Layer = 3P' + 2P'H + (1 or 2) 2P'H + H + H² + H + 2H; encoder in·H + H; decoder H·out + out."""
    for both in (False, True):
        c = ModelConfig(n_layers=3, d_model=6, ssm_size=8, in_dim=5, n_classes=7, bidirectional=both)
        H, kept = 6, 4
        layer = 3 * kept + 2 * kept * H + (2 if both else 1) * 2 * kept * H + H + H * H + H + 2 * H
        assert parameter_count(c) == 3 * layer + 5 * H + H + H * 7 + 7


@pytest.mark.parametrize("at", list(problems()), ids=lambda at: f"{at.group}: {at.name}")
def test_init_makes_the_promised_leaves(at) -> None:  # type: ignore[no-untyped-def]
    params, statistics = at.model.init(seed=3, dtype="float64")
    assert {name: leaf.shape for name, leaf in params.items()} == parameter_shapes(at.model.config)
    assert {name: leaf.shape for name, leaf in statistics.items()} == statistics_shapes(at.model.config)


def test_norms_biases_and_statistics_start_neutral() -> None:
    params, statistics = Model(ModelConfig(n_layers=1, d_model=4, ssm_size=4)).init()
    for name, leaf in {**params, **statistics}.items():
        last = name.rpartition(".")[2]
        if last in ("scale", "var"):
            assert (leaf == 1).all(), name
        if last in ("bias", "mean"):
            assert (leaf == 0).all(), name
        assert leaf.dtype == np.float32
