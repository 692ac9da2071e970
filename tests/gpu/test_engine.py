"""The CUDA engine: every kind of model, and every recipe's, against the reference within its budget.

On the mock GPU arrays cannot be read by accident, the shim runs the kernels, and a graph replays what was
recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from devices import kernels_on, on_devices

import s5ref
from s5ref import Batch, Engine, Model, recipes
from s5ref.data.tasks import get_task
from s5ref.engine import Conditions, Pair
from s5ref.random import generator
from s5ref.train.config import RunConfig
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import THRESHOLD, cast, ratio
from s5ref.verification.selfcheck.engines import model_budget, worst_of_field
from s5ref.verification.selfcheck.fields import FIELDS
from s5ref.verification.selfcheck.hosted import hosted
from s5ref.verification.selfcheck.problems import BASE, Problem, packing_problems, problem, problems

ALL = [*problems(), *(packed for _, packed in packing_problems())]
RECIPES = recipes.names()


def there(at: Problem, dtype: str, engine: Engine) -> Problem:
    """The problem on the device, in ``dtype``."""
    params, statistics, batch, states = (
        engine.to_device(cast(tree, dtype))
        for tree in (dict(at.params), dict(at.statistics), at.batch, at.states)
    )
    return replace(at, params=params, statistics=statistics, batch=batch, states=states)


def on_device(at: Problem, dtype: str, engine: Engine) -> dict[str, Any]:
    moved = there(at, dtype, engine)
    found: dict[str, Any] = engine.to_host(moved.loss_and_grad(moved.leaves(), engine))
    return found


def worst(at: Problem, dtype: str, engine: Engine) -> tuple[float, str]:
    """The largest ratio of loss, output, states, statistics and every gradient to its composite budget."""
    want, budget = model_budget(at, dtype)
    got = dict(leaves(on_device(at, dtype, engine)))
    assert got.keys() == want.keys()
    assert {np.asarray(leaf).dtype for leaf in got.values()} == {leaf.dtype for leaf in want.values()}
    return max((ratio(got[path], leaf, budget[path], 1.0), path) for path, leaf in want.items())


@pytest.mark.parametrize("at", ALL, ids=[f"{at.group}: {at.name}" for at in ALL])
@on_devices
def test_models_of_every_kind(at: Problem, device: str) -> None:
    assert worst(at, "float32", kernels_on(device)) <= (THRESHOLD, "~")


@pytest.mark.parametrize("name", ["half_glu1, tanh", "full_glu, tanh"])
@on_devices
def test_models_in_float64(name: str, device: str) -> None:
    at = next(at for at in ALL if at.name == name)
    assert worst(at, "float64", kernels_on(device)) <= (THRESHOLD, "~")


def of_recipe(name: str, size: tuple[int, int] | None = (3, 130)) -> Problem:
    """A recipe's model as it is, on (sequences, steps), or on a whole batch of its own."""
    recipe, task = RunConfig.recipe(name), get_task(name)
    config, model = recipe.model, Model(recipe.model)
    params, statistics = model.init(0, "float64")
    N, L = size or (recipe.train.batch, task.length)
    rng = generator("gpu engine", name)
    documents = (2,) if config.head == "retrieval" else ()
    shape = (N, *documents, L)
    if task.kind == "tokens":
        inputs: Any = rng.integers(0, config.in_dim, shape)
    else:
        inputs = rng.standard_normal((*shape, config.in_dim))
    target_shape = model.head.target_shape(N=N, L=L, K=config.n_classes)
    classes = model.head.classifies
    targets = rng.integers(0, config.n_classes, target_shape) if classes else rng.random(target_shape)
    batch = Batch(inputs, targets)
    return Problem(name, name, model, params, statistics, batch, {"training": True, "key": (0, 0)}, None)


@pytest.mark.parametrize("name", RECIPES)
@on_devices
def test_a_training_step_of_every_recipe_agrees_with_numba(name: str, device: str) -> None:
    at = of_recipe(name, (2, 40) if RunConfig.recipe(name).model.d_model > 300 else (3, 130))
    inputs = cast(at.leaves(), "float32")
    want, budget = model_budget(at, "float32")
    both = {
        "cuda": dict(leaves(on_device(at, "float32", kernels_on(device)))),
        "numba": dict(leaves(at.loss_and_grad(inputs, s5ref.NUMBA))),
    }
    for engine_name, got in both.items():
        found = max((ratio(got[path], leaf, budget[path], 1.0), path) for path, leaf in want.items())
        assert found <= (THRESHOLD, "~"), engine_name


@on_devices
def test_an_activation_without_a_kernel_is_composed(device: str) -> None:
    options = Model(RunConfig.recipe("smnist").model).options
    other = replace(options, mix=Pair(lambda *_: None, lambda *_: None))
    names = [kernels_on(device).layer(o, Conditions("float32")).name for o in (options, other)]
    assert names == ["fused", "composed"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["smnist", "listops"])
def test_a_step_of_the_recipe_s_own_size_is_as_near_the_truth_as_numba_s(name: str) -> None:
    """The truth: NUMBA in float64. Of a leaf, the largest error in units of its largest element."""
    at, engine = of_recipe(name, None), kernels_on("cuda")
    truth = dict(leaves(at.loss_and_grad(at.leaves(), s5ref.NUMBA)))
    errors = []
    for found in (
        on_device(at, "float32", engine),
        at.loss_and_grad(cast(at.leaves(), "float32"), s5ref.NUMBA),
    ):
        got = dict(leaves(found))
        errors.append(
            {path: np.max(np.abs(got[path] - leaf)) / np.max(np.abs(leaf)) for path, leaf in truth.items()}
        )
    for path, error in errors[0].items():
        assert error <= THRESHOLD * max(errors[1][path], np.finfo(np.float32).eps), path


@pytest.mark.parametrize("field", FIELDS)
@on_devices
def test_every_field_crosses_from_the_host_and_back(field: str, device: str) -> None:
    """What `s5ref verify --engine cuda` asks."""
    engine: Engine = hosted(kernels_on(device))
    found = worst_of_field(field, "float32", [engine])[engine.name]
    assert found.value <= THRESHOLD, found


@on_devices
def test_bits_are_the_same_from_run_to_run(device: str) -> None:
    at, engine = of_recipe("smnist"), kernels_on(device)
    first, second = (dict(leaves(on_device(at, "float32", engine))) for _ in range(2))
    for path, leaf in first.items():
        np.testing.assert_array_equal(second[path], leaf, err_msg=path)


@on_devices
@pytest.mark.parametrize("pooling", ["mean", "mean+max"])
def test_evaluation_and_streaming_stay_on_the_device(pooling: str, device: str) -> None:
    engine = kernels_on(device)
    at = problem("gpu", "streaming", replace(BASE, pooling=pooling), training=False)
    at = there(at, "float32", engine)
    forward = at.model.forward(at.params, at.statistics, at.batch, engine=engine)
    stream = s5ref.streaming(at.model, at.params, at.statistics, engine)
    state = stream.initial_state(at.batch.inputs.shape[0])
    for k in range(at.batch.inputs.shape[1]):
        state, output = stream.step(state, at.batch.inputs[:, k])
    np.testing.assert_allclose(engine.to_host(output), engine.to_host(forward.output), rtol=1e-4, atol=1e-5)
