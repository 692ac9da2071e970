"""The mathematics asks nothing of an array that a device cannot answer: every op and whole models, bit for
bit as NumPy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_device import DeviceArray, HiddenTransfer, to_device, to_host
from op import Op
from ops import OPS

from s5ref import NUMPY, SEQUENTIAL, Engine, streaming
from s5ref.model.chunks import chunked_loss_and_grad
from s5ref.tree import leaves, rows
from s5ref.verification.selfcheck.gradcheck import random_like
from s5ref.verification.selfcheck.problems import Problem, packing_problems, problems

# SciPy's error function is not NumPy's: the device brings its own kernel for gelu_erf
DEVICE_OPS = [op for op in OPS if op.name != "gelu_erf"]
DEVICE_PROBLEMS = [at for at in problems() if at.model.config.gelu != "erf"]
DEVICE_PROBLEMS += [packed for _, packed in packing_problems()]
by_engine = pytest.mark.parametrize("engine", [SEQUENTIAL, NUMPY], ids=["sequential", "numpy"])


def assert_same(got: Any, want: Any) -> None:
    on_device, on_host = dict(leaves(got)), dict(leaves(want))
    assert on_device.keys() == on_host.keys()
    for path, leaf in on_host.items():
        if isinstance(leaf, np.ndarray | np.generic):
            assert isinstance(on_device[path], DeviceArray), path
            np.testing.assert_array_equal(to_host(on_device[path]), leaf, err_msg=path)
            assert on_device[path].dtype == leaf.dtype, path
        else:
            assert on_device[path] == leaf, path


@pytest.mark.parametrize("op", DEVICE_OPS, ids=[op.name for op in DEVICE_OPS])
@by_engine
def test_every_op(op: Op, engine: Engine) -> None:
    args = op.args()
    y, residuals = op.value(engine, args)
    outputs = {path: np.asarray(leaf) for path, leaf in leaves(y)}
    values = iter(random_like(outputs, op.name).values())
    dy: Any = tuple(values) if isinstance(y, tuple) else next(values)
    y_device, device_residuals = op.value(engine, to_device(args))
    assert_same(y_device, y)
    assert_same(device_residuals, residuals)
    assert_same(op.vjp(engine, device_residuals, to_device(dy)), op.vjp(engine, residuals, dy))


def on_device(at: Problem) -> Problem:
    return replace(
        at,
        params=to_device(dict(at.params)),
        statistics=to_device(dict(at.statistics)),
        batch=to_device(at.batch),
        states=to_device(at.states),
    )


@pytest.mark.parametrize("at", DEVICE_PROBLEMS, ids=[f"{at.group}: {at.name}" for at in DEVICE_PROBLEMS])
def test_whole_models_forward_and_backward(at: Problem) -> None:
    there = on_device(at)
    assert_same(there.loss_and_grad(there.leaves(), NUMPY), at.loss_and_grad(at.leaves(), NUMPY))
    got = there.model.loss_and_grad(there.params, there.statistics, there.batch, engine=NUMPY, **there.call)
    assert_same(got, at.model.loss_and_grad(at.params, at.statistics, at.batch, engine=NUMPY, **at.call))


def test_streaming_and_chunks() -> None:
    at = next(at for at in problems("norm") if at.name == "layer, pre, evaluation")
    there = on_device(at)
    got, want = (
        chunked_loss_and_grad(p.model, p.params, p.statistics, p.batch, 3, engine=NUMPY, **p.call)
        for p in (there, at)
    )
    assert_same(got, want)
    here, away = (streaming(p.model, p.params, p.statistics, NUMPY) for p in (at, there))
    state, state_away = here.initial_state(3), away.initial_state(3)
    for k in range(3):
        state, output = here.step(state, at.batch.inputs[:, k])
        state_away, output_away = away.step(state_away, there.batch.inputs[:, k])
        assert_same(output_away, output)
    for n, own in ((3, slice(None)), (2, slice(1, 3))):  # a state moves to the device, and so do rows of it
        moved = to_device(rows(state, own))
        fed_away, fed = (
            stream.feed(s, p.batch.inputs[own, 3:])
            for stream, s, p in ((away, moved, there), (here, rows(state, own), at))
        )
        assert_same(fed_away, fed)
        assert fed[1].shape[0] == n


@pytest.mark.parametrize(
    "leak",
    [
        bool,
        float,
        int,
        complex,
        list,
        np.asarray,
        math.sqrt,
        lambda x: x + np.ones(3),
        lambda x: np.ones(3) * x,
        lambda x: np.concatenate([x, np.ones(3)]),
        lambda x: np.where(x > 0, x, np.zeros(3)),
        lambda x: np.ones(3)[x],
        lambda x: x.item(),
        lambda x: 1 if x[0] > 0 else 0,
        lambda x: np.array([x, x]),
    ],
)
def test_the_device_refuses_hidden_transfers(leak: Any) -> None:
    """What makes the tests above able to fail."""
    with pytest.raises((HiddenTransfer, IndexError)):
        leak(DeviceArray(np.ones(3)))


def test_what_a_device_must_offer() -> None:
    """The functions of NumPy that the mathematics uses: a new one here is one more that a device must
    answer."""
    DeviceArray.called.clear()
    for op in DEVICE_OPS:
        y, residuals = op.value(NUMPY, to_device(op.args()))
        dy = y if not isinstance(y, tuple) else tuple(leaf + 0 for leaf in y)
        op.vjp(NUMPY, residuals, dy)
    known = (
        "absolute add arange argmax asarray ascontiguousarray broadcast_to clip concatenate conjugate "
        "divide empty_like equal exp full full_like greater greater_equal less less_equal log matmul max "
        "maximum mean minimum multiply negative not_equal ones_like real repeat sqrt stack subtract sum "
        "tanh where zeros_like"
    )
    assert " ".join(sorted(DeviceArray.called)) == known
