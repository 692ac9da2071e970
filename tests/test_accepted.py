"""What is not refused: lists, read-only and strided arrays, one step, another precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from boundary import (
    AT,
    BU,
    CALL,
    LAMBDA,
    POOLED,
    REGRESSION,
    RETRIEVAL,
    SEQ,
    TOKENS,
    L,
    N,
    X,
    Y,
    run,
)

from s5ref import NUMPY, Batch, Call, Engine, ModelConfig
from s5ref.ssm.scan import sequential_scan
from s5ref.ssm.ssm import SSMOptions, ssm, ssm_vjp
from s5ref.ssm.step import initial_state, stepper
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.problems import BASE, Problem, problem


def same(got: Any, want: Any) -> None:
    assert got.loss == want.loss
    for name, grad in want.grads.items():
        np.testing.assert_array_equal(got.grads[name], grad, err_msg=name)


def read_only(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


def test_lists_work() -> None:
    same(run(inputs=X.tolist(), targets=Y.tolist(), lengths=[7, 3, 1]), run(lengths=np.array([7, 3, 1])))
    tokens = TOKENS.batch
    assert tokens.targets is not None
    same(run(TOKENS, inputs=tokens.inputs.tolist(), targets=tokens.targets.tolist()), run(TOKENS))
    u: Any = np.ones((1, 2, 5)).tolist()
    y, _ = ssm(SEQ, u, SSMOptions(), CALL)
    np.testing.assert_array_equal(y[0], ssm(SEQ, np.ones((1, 2, 5)), SSMOptions(), CALL)[0][0])
    Lambda_bar: Any = LAMBDA.tolist()
    Bu: Any = BU.tolist()
    x, _ = sequential_scan(Lambda_bar, Bu)
    np.testing.assert_array_equal(x[0], sequential_scan(LAMBDA, BU)[0][0])


@pytest.mark.parametrize(
    "relay", [read_only, lambda x: np.asarray(x, order="F"), lambda x: np.repeat(x, 2, axis=-1)[..., ::2]]
)
def test_read_only_and_non_contiguous_arrays_work(relay: Callable[[Any], Any]) -> None:
    params = {name: relay(leaf) for name, leaf in AT.params.items()}
    batch = AT.batch._replace(inputs=relay(X))
    got = AT.model.loss_and_grad(params, AT.statistics, batch, engine=NUMPY)

    def contiguous(k: Engine) -> Any:
        return run(call=Call(k)).grads

    want, budget = composite_budget(
        contiguous, NUMPY, range(6), AT.terms
    )  # another layout may sum in another order
    for name, grad in got.grads.items():
        assert ratio(grad, want[name], budget[name], 1.0) <= 1, name


@pytest.mark.parametrize("at", [AT, REGRESSION, POOLED, RETRIEVAL], ids=lambda at: at.name)
def test_a_sequence_of_one_step_works(at: Problem) -> None:
    one = at.batch._replace(inputs=at.batch.inputs[..., :1, :])
    if at is REGRESSION:
        assert at.batch.targets is not None
        one = one._replace(targets=at.batch.targets[:, :1])
    result = at.model.loss_and_grad(at.params, at.statistics, one, engine=NUMPY)
    assert np.isfinite(result.loss)
    assert all(np.isfinite(grad).all() for grad in result.grads.values())


def test_an_interval_of_0_repeats_the_step_before() -> None:
    """Under zero-order hold Λ̄ = 1 and the gain is 0."""
    intervals = np.ones((N, L))
    intervals[:, 3] = 0.0
    u = np.ones((N, L, 5))
    (y, _), residuals = ssm(SEQ, u, SSMOptions(), replace(CALL, intervals=intervals))
    x = residuals.forward.scan.x
    np.testing.assert_array_equal(x[:, 3], x[:, 2])
    dparams, du, _ = ssm_vjp(residuals, (np.ones_like(y), None), SSMOptions(), CALL)
    assert all(np.isfinite(leaf).all() for leaf in dparams.values())
    np.testing.assert_array_equal(du[:, 3], np.broadcast_to(SEQ["D"], (N, 5)))


def test_inputs_of_another_precision_are_converted_to_the_models() -> None:
    params = {name: leaf.astype("f") for name, leaf in REGRESSION.params.items()}
    statistics = {name: leaf.astype("f") for name, leaf in REGRESSION.statistics.items()}
    batch = REGRESSION.batch._replace(lengths=np.array([7, 3, 1]))
    result = REGRESSION.model.loss_and_grad(
        params, statistics, batch, engine=NUMPY, training=True, step_rescale=np.float64(2.0)
    )
    leaves = [result.loss, result.output, *result.grads.values(), *result.statistics.values()]
    assert {np.asarray(leaf).dtype.name for leaf in leaves} == {"float32"}
    assert {state.dtype.name for state in result.states} == {"complex64"}


def test_masked_batch_norm_keeps_float32() -> None:
    at = problem("errors", "masked", replace(BASE, padding="masked"), padded=True)
    params = {name: leaf.astype("f") for name, leaf in at.params.items()}
    statistics = {name: leaf.astype("f") for name, leaf in at.statistics.items()}
    result = at.model.loss_and_grad(params, statistics, at.batch, engine=NUMPY, training=True)
    assert {leaf.dtype.name for leaf in result.grads.values()} == {"float32"}


def test_the_state_of_a_stream_starts_at_zero() -> None:
    s = stepper(SEQ, SSMOptions())
    assert initial_state(s, 3).shape == (3, 4)
    assert not initial_state(s, 3).any()
    assert Batch(X).targets is None
    assert ModelConfig().padding == "upstream"
