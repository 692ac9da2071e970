"""What padding, dropout and statistics do to a model's output and gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref import NUMPY, SEQUENTIAL, Call, Engine
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.identities import padding_outcome
from s5ref.verification.selfcheck.problems import BASE, problem

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


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
    whole = at.model.value(at.params, at.statistics, at.batch, call)[0].output
    assert at.batch.lengths is not None
    for n, length in enumerate(at.batch.lengths):
        alone = at.batch._replace(inputs=at.batch.inputs[n : n + 1, :length], lengths=None, targets=None)

        def run(k: Engine, alone: Any = alone) -> Any:
            return at.model.forward(at.params, at.statistics, alone, engine=k, **at.call).output

        want, budget = composite_budget(run, SEQUENTIAL, range(4), at.terms)
        assert ratio(whole[n : n + 1], want[""], budget[""], 1.0) <= 1


def test_dropout_and_statistics_only_in_training() -> None:
    at = problem("mode", "dropout", replace(BASE, dropout=0.5))
    train, again, other = (
        at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=NUMPY, training=True, key=key)
        for key in ((0, 0), (0, 0), (0, 1))
    )
    assert train.loss == again.loss != other.loss
    evaluated = at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=NUMPY)
    for name, leaf in at.statistics.items():
        np.testing.assert_array_equal(evaluated.statistics[name], leaf)
        assert not np.array_equal(train.statistics[name], leaf)
