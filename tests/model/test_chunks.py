"""A sequence in chunks is the whole: loss, gradient, states and their cotangents; what truncation drops."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref import NUMPY, SEQUENTIAL, Batch, ConfigError, Engine, Model, chunked_loss_and_grad
from s5ref.model.chunks import chunked_forward
from s5ref.model.packing import packed
from s5ref.tree import leaves
from s5ref.verification.draws import Normal
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.engines import whole_budget
from s5ref.verification.selfcheck.problems import BASE, problem

OPTIONS: dict[str, list[Any]] = {
    "norm": ["layer", "batch"],
    "prenorm": [True, False],
    "activation": ["gelu", "half_glu1", "half_glu2", "full_glu"],
    "head": ["classifier", "regression", "pooled_regression", "retrieval"],
    "pooling": ["mean", "last", "max", "mean+max"],
    "padding": ["masked", "upstream"],
    "conj_sym": [True, False],
    "discretization": ["zoh", "bilinear", "foh"],
    "learn_initial_state": [True, False],
}
VARIANTS: dict[str, list[Any]] = {
    "padded": [True, False],
    "irregular": [True, False],
    "states": [True, False],
    "resets": [0.0, 0.3],
}


def choices(of: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: st.sampled_from(values) for name, values in of.items()})


@given(choices(OPTIONS), choices(VARIANTS), st.integers(2, 12), st.integers(1, 11), st.integers(0, 100))
@settings(max_examples=12)
def test_chunks_are_the_whole_in_every_option(
    options: dict[str, Any], variant: dict[str, Any], length: int, chunk: int, seed: int
) -> None:
    """Value and gradient in parameters and initial states, with cotangents of the final states."""
    config = replace(BASE, dropout=0.3, **options, n_classes=2 if options["head"] == "retrieval" else 4)
    training = config.norm == "layer"
    at = problem("any chunk", str(seed), config, n=2, length=length, training=training, **variant)
    draw, rows = Normal("any chunk", seed), 4 if config.head == "retrieval" else 2
    states, dstates = (
        [draw.complex(rows, config.state_size) for _ in range(config.n_layers)] for _ in range(2)
    )
    carried: dict[str, Any] = {"initial_state": states if at.states else None, "dstates": dstates}
    given_ = at.params, at.statistics, at.batch

    def parts(result: Any) -> dict[str, Any]:
        return {name: getattr(result, name) for name in ("loss", "output", "states", "grads", "dstates")}

    def whole(engine: Engine) -> Any:
        return parts(at.model.loss_and_grad(*given_, engine=engine, **carried, **at.call))

    want, budget = whole_budget(at, whole)
    for engine in ENGINES:
        how = {**carried, **at.call}
        got = chunked_loss_and_grad(at.model, *given_, chunk, engine=engine, **how)
        for path, leaf in leaves(parts(got)):
            assert ratio(leaf, want[path], budget[path], 1.0) <= 1, (engine.name, path)
        start = {"initial_state": carried["initial_state"], **at.call}
        forward = chunked_forward(at.model, *given_, chunk, engine=engine, **start)
        for path, leaf in leaves({"output": forward.output, "states": forward.states}):
            assert ratio(leaf, want[path], budget[path], 1.0) <= 1, (engine.name, path)


@given(st.integers(1, 11), st.sampled_from(ENGINES))
@settings(max_examples=8)
def test_calls_that_hand_states_on_and_cotangents_back_are_one_call(border: int, engine: Engine) -> None:
    """A regression split over two calls of `loss_and_grad`."""
    at = problem("two calls", "regression", replace(BASE, norm="layer", head="regression"), length=12)
    L = 12
    pieces = [slice(0, border), slice(border, L)]

    def whole(engine: Engine) -> Any:
        result = at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=engine, **at.call)
        return {"loss": result.loss, "grads": result.grads, "states": result.states}

    states: Any = None
    scale = [border / L, (L - border) / L]
    batches = [
        at.batch._replace(inputs=at.batch.inputs[:, p], targets=at.batch.targets[:, p]) for p in pieces
    ]
    starts: list[Any] = []
    for batch in batches:
        starts.append(states)
        forward = at.model.forward(
            at.params, at.statistics, batch, engine=engine, initial_state=states, **at.call
        )
        states = forward.states
    loss: Any = 0.0
    grads: dict[str, Any] = dict.fromkeys(at.params, 0.0)
    dstates: Any = None
    for batch, start, share in reversed(list(zip(batches, starts, scale, strict=True))):
        result = at.model.loss_and_grad(
            at.params, at.statistics, batch, dstates and [d / share for d in dstates], engine=engine,
            initial_state=start, **at.call,
        )  # fmt: skip
        loss += share * result.loss
        grads = {name: d + share * result.grads[name] for name, d in grads.items()}
        dstates = [share * d for d in result.dstates]
    want, budget = composite_budget(whole, SEQUENTIAL, range(4), at.terms)
    for path, leaf in leaves({"loss": loss, "grads": grads, "states": states}):
        assert ratio(leaf, want[path], budget[path], 1.0) <= 1, path


def test_memory_is_that_of_a_chunk() -> None:
    """More steps in chunks of one size take no memory for their features."""
    model = Model(replace(BASE, norm="layer", d_model=32))
    params, statistics = model.init(0, "float32")

    def peak(length: int) -> int:
        batch = Batch(np.ones((1, length, 3), np.float32), np.array([0]))
        tracemalloc.start()
        chunked_loss_and_grad(model, params, statistics, batch, 256, engine=NUMPY)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    features = (4096 - 1024) * 32 * np.dtype("float32").itemsize
    assert peak(4096) - peak(1024) < 0.1 * features


def test_truncation_drops_what_crosses_a_boundary_and_nothing_else() -> None:
    at = problem("truncated", "layer", replace(BASE, norm="layer"), length=9)
    whole, cut, single = (
        chunked_loss_and_grad(
            at.model, at.params, at.statistics, at.batch, chunk, truncate, engine=NUMPY, **at.call
        )
        for chunk, truncate in ((3, False), (3, True), (9, True))
    )
    assert whole.loss == cut.loss
    np.testing.assert_array_equal(whole.grads["decoder.kernel"], cut.grads["decoder.kernel"])
    last = "layers_1.seq.Lambda_im"
    assert np.max(np.abs(whole.grads[last] - cut.grads[last])) > 1e-3 * np.max(np.abs(whole.grads[last]))
    plain = at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=NUMPY, **at.call)
    np.testing.assert_array_equal(single.grads[last], plain.grads[last])


def test_packed_rows_of_a_regression_pass_by_chunks_and_pooled_ones_are_refused() -> None:
    config = replace(BASE, norm="layer", head="regression", dropout=0.3)
    at = problem("packed chunks", "regression", replace(config, padding="masked"), padded=True, length=9)
    batch = packed(at.batch)
    want = at.model.loss_and_grad(at.params, at.statistics, batch, engine=NUMPY, **at.call)
    got = chunked_loss_and_grad(at.model, at.params, at.statistics, batch, 4, engine=NUMPY, **at.call)
    np.testing.assert_allclose(got.loss, want.loss, rtol=1e-14)
    for name, d in want.grads.items():
        np.testing.assert_allclose(got.grads[name], d, rtol=0, atol=1e-13, err_msg=name)
    pooled = problem("packed chunks", "pooled", replace(BASE, norm="layer", padding="masked"), padded=True)
    given = pooled.model, pooled.params, pooled.statistics, packed(pooled.batch)
    with pytest.raises(ConfigError, match="pooled whole"):
        chunked_loss_and_grad(*given, 3, engine=NUMPY, **pooled.call)
