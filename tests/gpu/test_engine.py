"""The CUDA engine on a mock GPU: arrays that cannot be read by accident, kernels run by the shim, graphs
replayed from what was recorded. Every kind of model, and every recipe's, against the reference within its
budget.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS
from cuda_shim.mock import MockDevice

import s5ref
from s5ref import SEQUENTIAL, Batch, Call, Kernels, Model, recipes
from s5ref.data.tasks import get_task
from s5ref.gpu.engine import engine
from s5ref.random import generator
from s5ref.train.config import RunConfig
from s5ref.tree import leaves
from s5ref.verification.budget import THRESHOLD, cast, composite_budget, ratio
from s5ref.verification.engines import SEEDS, worst_of_field
from s5ref.verification.fields import FIELDS
from s5ref.verification.hosted import hosted
from s5ref.verification.problems import Problem, problems

pytestmark = MARKS

MOCK = engine(MockDevice(), "mock")
ALL = list(problems())
RECIPES = [name for name in recipes.names() if name != "pendulum"]  # whose encoder s5ref does not have


def there(at: Problem, dtype: str) -> Problem:
    """The problem on the device, in ``dtype``."""
    params, statistics, batch, states = (
        MOCK.put(cast(tree, dtype)) for tree in (dict(at.params), dict(at.statistics), at.batch, at.states)
    )
    return replace(at, params=params, statistics=statistics, batch=batch, states=states)


def on_device(at: Problem, dtype: str) -> dict[str, Any]:
    moved = there(at, dtype)
    found: dict[str, Any] = MOCK.take(moved.loss_and_grad(moved.leaves(), MOCK))
    return found


def worst(at: Problem, dtype: str) -> tuple[float, str]:
    """The largest ratio of loss, output, states, statistics and every gradient to its composite budget."""
    inputs = cast(at.leaves(), dtype)
    want, budget = composite_budget(lambda k: at.loss_and_grad(inputs, k), SEQUENTIAL, SEEDS, at.terms)
    got = dict(leaves(on_device(at, dtype)))
    assert got.keys() == want.keys()
    assert {np.asarray(leaf).dtype for leaf in got.values()} == {leaf.dtype for leaf in want.values()}
    return max((ratio(got[path], leaf, budget[path], 1.0), path) for path, leaf in want.items())


@pytest.mark.parametrize("at", ALL, ids=[f"{at.group}: {at.name}" for at in ALL])
def test_models_of_every_kind(at: Problem) -> None:
    assert worst(at, "float32") <= (THRESHOLD, "~")


@pytest.mark.parametrize("name", ["half_glu1, tanh", "full_glu, tanh"])
def test_models_in_float64(name: str) -> None:
    at = next(at for at in ALL if at.name == name)
    assert worst(at, "float64") <= (THRESHOLD, "~")


def of_recipe(name: str) -> Problem:
    """A recipe's model as it is, on a batch of few and short sequences."""
    config = RunConfig.recipe(name).model
    model, task = Model(config), get_task(name)
    params, statistics = model.init(0, "float64")
    N, L = (2, 40) if config.d_model > 300 else (3, 130)
    rng = generator("gpu engine", name)
    documents = (2,) if config.head == "retrieval" else ()
    shape = (N, *documents, L)
    if task.kind == "tokens":
        inputs: Any = rng.integers(0, config.in_dim, shape)
    else:
        inputs = rng.standard_normal((*shape, config.in_dim))
    batch = Batch(inputs, rng.integers(0, config.n_classes, N))
    return Problem(name, name, model, params, statistics, batch, {"training": True, "key": (0, 0)}, None)


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_step_of_every_recipe_agrees_with_numba(name: str) -> None:
    at = of_recipe(name)
    inputs = cast(at.leaves(), "float32")
    want, budget = composite_budget(lambda k: at.loss_and_grad(inputs, k), SEQUENTIAL, range(2), at.terms)
    both = {
        "cuda": dict(leaves(on_device(at, "float32"))),
        "numba": dict(leaves(at.loss_and_grad(inputs, s5ref.NUMBA))),
    }
    for engine_name, got in both.items():
        found = max((ratio(got[path], leaf, budget[path], 1.0), path) for path, leaf in want.items())
        assert found <= (THRESHOLD, "~"), engine_name


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_crosses_from_the_host_and_back(field: str) -> None:
    """What `s5ref verify --engine cuda` asks."""
    kernels: Kernels = hosted(MOCK)
    found = worst_of_field(field, "float32", [kernels])[kernels.name]
    assert found.value <= THRESHOLD, found


def test_evaluation_and_streaming_stay_on_the_device() -> None:
    at = there(next(at for at in ALL if at.name == "batch, pre, evaluation"), "float32")
    call = Call(MOCK, gradient=False)
    forward, _ = at.model.forward(at.params, at.statistics, at.batch, call)
    stream = s5ref.streaming(at.model, at.params, at.statistics, Call(MOCK))
    state = stream.initial_state(at.batch.inputs.shape[0])
    for k in range(at.batch.inputs.shape[1]):
        state, output = stream.step(state, at.batch.inputs[:, k])
    np.testing.assert_allclose(MOCK.take(output), MOCK.take(forward.output), rtol=1e-4, atol=1e-5)
