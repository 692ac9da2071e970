"""step = offline, chunked = whole, padding: for any length, chunk and content."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref import NUMPY, SEQUENTIAL, Call, Engine, chunked_loss_and_grad, streaming
from s5ref.tree import leaves
from s5ref.verification.budget import composite_budget, ratio
from s5ref.verification.identities import IDENTITIES, padding_outcome
from s5ref.verification.problems import BASE, problem

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", IDENTITIES)
@by_engine
def test_identities_of_the_ladder(engine: Engine, name: str, dtype: str) -> None:
    found = list(IDENTITIES[name](engine, dtype))
    assert len(found) > 10
    assert [(value, where) for value, where in found if not value <= 1] == []


@given(
    length=st.integers(1, 12), chunk=st.integers(1, 13), seed=st.integers(0, 100), regression=st.booleans()
)
@settings(max_examples=15)
@by_engine
def test_chunked_equals_whole_for_any_length_and_chunk(
    engine: Engine, length: int, chunk: int, seed: int, regression: bool
) -> None:
    config = replace(BASE, norm="layer", head="regression" if regression else "classifier")
    at = problem("any chunk", str(seed), config, length=length)

    def whole(k: Engine) -> Any:
        result = at.model.loss_and_grad(at.params, at.statistics, at.batch, Call(k, **at.call))
        return {"loss": result.loss, "grads": result.grads, "dstates": result.dstates}

    want, budget = composite_budget(whole, SEQUENTIAL, range(4), at.terms)
    got = chunked_loss_and_grad(at.model, at.params, at.statistics, at.batch, Call(engine, **at.call), chunk)
    for path, leaf in leaves({"loss": got.loss, "grads": got.grads, "dstates": got.dstates}):
        assert ratio(leaf, want[path], budget[path], 1.0) <= 1, path


@given(
    length=st.integers(1, 12),
    seed=st.integers(0, 100),
    bilinear=st.booleans(),
    norm=st.sampled_from(["batch", "layer"]),
)
@settings(max_examples=15)
@by_engine
def test_every_step_equals_the_offline_regression(
    engine: Engine, length: int, seed: int, bilinear: bool, norm: str
) -> None:
    config = replace(BASE, head="regression", norm=norm, discretization="bilinear" if bilinear else "zoh")
    at = problem("any step", str(seed), config, length=length, training=False, step_rescale=0.5)

    def offline(k: Engine) -> Any:
        return at.model.forward(at.params, at.statistics, at.batch, Call(k, **at.call))[0].output

    want, budget = composite_budget(offline, SEQUENTIAL, range(4), at.terms)
    stream = streaming(at.model, at.params, at.statistics, Call(engine, **at.call))
    state = stream.initial_state(3)
    for k in range(length):
        state, output = stream.step(state, at.batch.inputs[:, k])
        assert ratio(output, want[""][:, k], budget[""], 1.0) <= 1, k


def test_streaming_tokens_and_lists() -> None:
    at = problem("stream", "tokens", BASE, tokens=True, training=False)
    stream = streaming(at.model, at.params, at.statistics, Call(NUMPY))
    state, want = (
        stream.initial_state(3),
        at.model.forward(at.params, at.statistics, at.batch, Call(NUMPY))[0].output,
    )
    for k in range(at.batch.inputs.shape[1]):
        state, output = stream.step(state, at.batch.inputs[:, k].tolist())
    _, budget = composite_budget(
        lambda k: at.model.forward(at.params, at.statistics, at.batch, Call(k))[0].output,
        SEQUENTIAL,
        range(4),
        at.terms,
    )
    assert ratio(output, want, budget[""], 1.0) <= 1


def test_truncation_drops_what_crosses_a_boundary_and_nothing_else() -> None:
    at = problem("truncated", "layer", replace(BASE, norm="layer"), length=9)
    call = Call(NUMPY, **at.call)
    whole, cut, single = (
        chunked_loss_and_grad(at.model, at.params, at.statistics, at.batch, call, chunk, truncate)
        for chunk, truncate in ((3, False), (3, True), (9, True))
    )
    assert whole.loss == cut.loss
    np.testing.assert_array_equal(whole.grads["decoder.kernel"], cut.grads["decoder.kernel"])
    last = "layers_1.seq.Lambda_im"
    assert np.max(np.abs(whole.grads[last] - cut.grads[last])) > 1e-3 * np.max(np.abs(whole.grads[last]))
    plain = at.model.loss_and_grad(at.params, at.statistics, at.batch, call)
    np.testing.assert_array_equal(single.grads[last], plain.grads[last])


@given(
    seeds=st.tuples(st.integers(0, 50), st.integers(51, 100)),
    both=st.booleans(),
    norm=st.sampled_from(["batch", "layer"]),
)
@settings(max_examples=15)
@by_engine
def test_padding_content_changes_no_bit_when_masked(
    engine: Engine, seeds: tuple[int, int], both: bool, norm: str
) -> None:
    config = replace(BASE, bidirectional=both, norm=norm, padding="masked")
    at = problem("padding", "any", config, padded=True, length=8)
    one, other = (padding_outcome(at, engine, "float64", seed) for seed in seeds)
    for path, leaf in one.items():
        np.testing.assert_array_equal(leaf, other[path], err_msg=path)


@pytest.mark.parametrize(("both", "norm"), [(True, "layer"), (False, "batch")])
def test_padding_content_does_change_the_result_in_upstreams_mode(both: bool, norm: str) -> None:
    """Through the backward scan, and through the batch statistics: so the tests above are able to fail."""
    at = problem("padding", "any", replace(BASE, bidirectional=both, norm=norm), padded=True, length=8)
    one, other = (padding_outcome(at, NUMPY, "float64", seed) for seed in (1, 2))
    for path in ("loss", "output", "grads.layers_0.seq.B", "grads.encoder.kernel"):
        assert np.max(np.abs(one[path] - other[path])) > 1e-6 * np.max(np.abs(one[path])), path


def test_masked_equals_upstream_without_padding_and_the_shorter_sequence_alone() -> None:
    """A masked padded sequence is the sequence itself."""
    config = replace(BASE, norm="layer", bidirectional=True, padding="masked")
    at = problem("padding", "alone", config, padded=True, length=8)
    call = Call(SEQUENTIAL, **at.call)
    whole = at.model.forward(at.params, at.statistics, at.batch, call)[0].output
    assert at.batch.lengths is not None
    for n, length in enumerate(at.batch.lengths):
        alone = at.batch._replace(inputs=at.batch.inputs[n : n + 1, :length], lengths=None, targets=None)

        def run(k: Engine, alone: Any = alone) -> Any:
            return at.model.forward(at.params, at.statistics, alone, Call(k, **at.call))[0].output

        want, budget = composite_budget(run, SEQUENTIAL, range(4), at.terms)
        assert ratio(whole[n : n + 1], want[""], budget[""], 1.0) <= 1


def test_dropout_and_statistics_only_in_training() -> None:
    at = problem("mode", "dropout", replace(BASE, dropout=0.5))
    train, again, other = (
        at.model.loss_and_grad(at.params, at.statistics, at.batch, Call(NUMPY, training=True, key=key))
        for key in ((0, 0), (0, 0), (0, 1))
    )
    assert train.loss == again.loss != other.loss
    evaluated = at.model.loss_and_grad(at.params, at.statistics, at.batch, Call(NUMPY))
    for name, leaf in at.statistics.items():
        np.testing.assert_array_equal(evaluated.statistics[name], leaf)
        assert not np.array_equal(train.statistics[name], leaf)
