"""The compiled step equals the reference whatever the model is, takes no memory, and is quick."""

from __future__ import annotations

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

import s5ref
from s5ref import NUMPY, SEQUENTIAL, Model, ModelConfig, Streaming, streaming
from s5ref.cpu.stream import CompiledStreaming
from s5ref.engine import Pair
from s5ref.model.config import ACTIVATIONS
from s5ref.model.leaves import GATES
from s5ref.model.mix import gelu_only_vjp
from s5ref.train.config import RunConfig
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import cast, composite_budget, ratio
from s5ref.verification.selfcheck.problems import BASE, problem

LENGTH = 9
KINDS: list[dict[str, Any]] = [  # what goes around while activation, norm and prenorm take all values
    {},
    {"conj_sym": False},
    {"head": "regression"},
    {"pooling": "last"},
    {"pooling": "max"},
    {"pooling": "mean+max", "head": "pooled_regression"},
    {"discretization": "bilinear", "clip_eigs": True},
]
SIZES = [
    {"d_model": 5, "ssm_size": 8, "n_layers": 2},
    {"d_model": 16, "ssm_size": 16, "n_layers": 1},
    {"d_model": 19, "ssm_size": 20, "n_layers": 3, "in_dim": 11},
    {"d_model": 1, "ssm_size": 2, "n_layers": 2, "blocks": 1, "in_dim": 1, "n_classes": 1},
]
CONFIGS = [
    replace(BASE, activation=activation, norm=norm, prenorm=prenorm, **KINDS[i % 7], **SIZES[(i // 2) % 4])
    for i, (activation, norm, prenorm) in enumerate(
        product(["gelu", "half_glu1", "half_glu2", "full_glu"], ["batch", "layer"], [True, False])
    )
]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("i", range(len(CONFIGS)))
def test_every_configuration_equals_reference_and_whole(i: int, dtype: str, n: int) -> None:
    at = problem("compiled", str(i), CONFIGS[i], n=n, length=LENGTH, tokens=i % 3 == 1, training=False)
    params, statistics, inputs = (cast(x, dtype) for x in (at.params, at.statistics, at.batch.inputs))

    def whole(engine: Any) -> dict[str, Any]:
        forward = at.model.forward(params, statistics, at.batch._replace(inputs=inputs), engine=engine)
        return {"output": forward.output, "states": forward.states}

    want, budget = composite_budget(whole, SEQUENTIAL, range(4), at.terms)
    compiled, reference = (
        streaming(at.model, params, statistics, engine) for engine in (s5ref.NUMBA, SEQUENTIAL)
    )
    assert isinstance(compiled, CompiledStreaming)
    assert not isinstance(reference, CompiledStreaming)
    state, other = compiled.initial_state(n), reference.initial_state(n)
    for k in range(LENGTH):
        state, output = compiled.step(state, inputs[:, k])
        other, expected = reference.step(other, inputs[:, k])
        if at.model.head.stepwise:
            assert ratio(output, want["output"][:, k], budget["output"], 1.0) <= 1
        assert ratio(output, expected, budget["output"], 2.0) <= 1
    if not at.model.head.stepwise:
        assert ratio(output, want["output"], budget["output"], 1.0) <= 1
    for path, leaf in leaves(list(state.states)):
        assert ratio(leaf, want[f"states.{path}"], budget[f"states.{path}"], 1.0) <= 1
    assert {output.dtype.name, state.total.dtype.name} == {dtype}
    for one, other_one in ((state.total, other.total), (state.largest, other.largest)):
        assert ratio(one, other_one, 1000 * np.max(np.abs(other_one)), np.finfo(dtype).eps) <= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mean_far_from_zero_does_not_cancel(dtype: str) -> None:
    """A BatchNorm whose mean is a thousand times its deviation, as the reference rounds it."""
    at = problem("compiled", "mean", replace(BASE, head="regression", n_layers=1), n=1, training=False)
    params, statistics = cast(at.params, dtype), cast(at.statistics, dtype)
    params["encoder.bias"] = params["encoder.bias"] + np.array(1000, dtype)
    statistics["layers_0.norm.mean"] = statistics["layers_0.norm.mean"] + np.array(1000, dtype)
    u = cast(at.batch.inputs[:, 0], dtype)
    one, other = (
        stream.step(stream.initial_state(), u)[0].states[0]
        for stream in (streaming(at.model, params, statistics, k) for k in (s5ref.NUMBA, NUMPY))
    )
    assert ratio(one, other, 100 * np.max(np.abs(other)), np.finfo(dtype).eps) <= 1


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [({"gelu": "erf"}, "float32"), ({"gelu": "erf"}, "float64"), ({}, "longdouble")],
)
def test_what_is_not_compiled_runs_the_reference(changes: dict[str, Any], dtype: str) -> None:
    at = problem("compiled", "not", replace(BASE, **changes), training=False)
    params, statistics, inputs = (cast(x, dtype) for x in (at.params, at.statistics, at.batch.inputs))
    stream = streaming(at.model, params, statistics, s5ref.NUMBA)
    assert type(stream) is Streaming
    _, output = stream.step(stream.initial_state(3), inputs[:, 0])
    assert output.dtype == np.dtype(dtype)


def test_an_activation_that_is_not_compiled_runs_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/tour.md adds one: without a gate, and not the GELU."""
    monkeypatch.setitem(
        ACTIVATIONS, "halved", Pair(lambda params, y, masks, gelu, call: (y / 2, None), gelu_only_vjp)
    )
    monkeypatch.setitem(GATES, "halved", ())
    at = problem("compiled", "halved", replace(BASE, activation="halved"), n=3, training=False)
    params, statistics, inputs = (cast(x, "float32") for x in (at.params, at.statistics, at.batch.inputs))
    one, other = (
        stream.step(stream.initial_state(3), inputs[:, 0])[1]
        for stream in (streaming(at.model, params, statistics, k) for k in (s5ref.NUMBA, SEQUENTIAL))
    )
    np.testing.assert_allclose(one, other, rtol=1e-5)


AT = problem("compiled", "inputs", replace(BASE, in_dim=4), n=3, training=False)
FLOAT32 = cast(AT.params, "float32"), cast(AT.statistics, "float32")
STREAM = streaming(AT.model, *FLOAT32, s5ref.NUMBA)
U = np.asarray(np.arange(12).reshape(3, 4) % 4 / 4, dtype="float32")


def read_only(u: Any) -> Any:
    u = u.copy()
    u.flags.writeable = False
    return u


@pytest.mark.parametrize(
    "form",
    [
        lambda u: u.astype("float64"),
        lambda u: u.astype("float16"),
        lambda u: u.astype(np.longdouble),
        lambda u: u.astype(">f4"),
        lambda u: u.tolist(),
        lambda u: np.asarray(u, order="F"),
        lambda u: np.repeat(u, 2, axis=1)[:, ::2],
        read_only,
    ],
)
def test_reals_of_every_form_give_the_same_bits(form: Any) -> None:
    state = STREAM.initial_state(3)
    want, got = STREAM.step(state, U), STREAM.step(state, form(U))
    for (_, one), (_, other) in zip(leaves(want), leaves(got), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint64", ">i4", "list"])
def test_tokens_of_every_form_give_the_same_bits(dtype: str) -> None:
    state, tokens = STREAM.initial_state(3), np.array([2, 0, 3])
    onehot = np.asarray(tokens[:, None] == np.arange(4), "float32")
    _, want = STREAM.step(state, onehot)
    _, got = STREAM.step(state, tokens.tolist() if dtype == "list" else tokens.astype(dtype))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_array_equal(got, STREAM.step(state, tokens)[1])


def test_parameters_of_another_layout_give_the_same_bits() -> None:
    params = {name: read_only(np.asarray(leaf, order="F")) for name, leaf in FLOAT32[0].items()}
    other = streaming(AT.model, params, FLOAT32[1], s5ref.NUMBA)
    np.testing.assert_array_equal(
        other.step(other.initial_state(3), U)[1], STREAM.step(STREAM.initial_state(3), U)[1]
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_output_that_overflows_is_the_references() -> None:
    params = {
        name: leaf * np.float32(1e38) if name == "decoder.kernel" else leaf
        for name, leaf in FLOAT32[0].items()
    }
    params["decoder.bias"] = np.full_like(params["decoder.bias"], 3e38)
    config = replace(AT.model.config, head="regression")
    outputs = []
    for engine in (s5ref.NUMBA, NUMPY):
        stream = streaming(Model(config), params, FLOAT32[1], engine)
        _, output = stream.step(stream.initial_state(3), 100 * U)
        outputs.append(np.isfinite(output))
    assert not outputs[0].all()
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_two_threads_on_one_stream_do_not_meet() -> None:
    def run(seed: int) -> bytes:
        state, u = STREAM.initial_state(3), U + np.float32(seed)
        for _ in range(300):
            state, output = STREAM.step(state, u)
        return output.tobytes()

    want = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == want


def smnist() -> tuple[Any, Any, Any]:
    model = Model(replace(RunConfig.recipe("smnist").model, dropout=0.0))
    assert model.config == replace(ModelConfig(), dropout=0.0)
    params, statistics = model.init(0, "float32")
    stream = streaming(model, params, statistics, s5ref.NUMBA)
    u: Any = np.full((1, 1), 0.3, "float32")
    return stream, u, stream.step(stream.initial_state(), u)


def test_with_out_no_memory_is_taken() -> None:
    stream, u, out = smnist()
    state, output = out
    held: list[int] = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(1000):
                state, output = stream.step(state, u, out=(state, output))
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 100  # one number may have grown
    assert state.count.tolist() == [2001]


def test_a_step_is_quick() -> None:
    """Five to fifty times what it takes, so that only a mistake makes it fail: a compilation, a slow path."""
    stream, u, out = smnist()
    state = out[0]
    seconds = []
    for _ in range(500):
        start = time.perf_counter()
        stream.step(state, u)
        stream.step(state, u, out)
        seconds.append((time.perf_counter() - start) / 2)
    assert min(seconds) < 100e-6
