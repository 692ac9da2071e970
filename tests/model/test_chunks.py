"""A sequence in chunks is the whole: loss, gradient, cotangents of the states; what truncation drops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref import NUMPY, SEQUENTIAL, Engine, chunked_loss_and_grad
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.problems import BASE, problem

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


HEADS = [("classifier", "mean"), ("regression", "mean"), ("pooled_regression", "mean+max")]


@given(
    length=st.integers(1, 12),
    chunk=st.integers(1, 13),
    seed=st.integers(0, 100),
    head=st.sampled_from(HEADS),
    resets=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=15)
@by_engine
def test_chunked_equals_whole_for_any_length_and_chunk(
    engine: Engine, length: int, chunk: int, seed: int, head: tuple[str, str], resets: float
) -> None:
    config = replace(BASE, norm="layer", head=head[0], pooling=head[1], learn_initial_state=resets > 0)
    at = problem("any chunk", str(seed), config, length=length, resets=resets)

    def whole(k: Engine) -> Any:
        result = at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=k, **at.call)
        return {"loss": result.loss, "grads": result.grads, "dstates": result.dstates}

    want, budget = composite_budget(whole, SEQUENTIAL, range(4), at.terms)
    got = chunked_loss_and_grad(at.model, at.params, at.statistics, at.batch, chunk, engine=engine, **at.call)
    for path, leaf in leaves({"loss": got.loss, "grads": got.grads, "dstates": got.dstates}):
        assert ratio(leaf, want[path], budget[path], 1.0) <= 1, path


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
