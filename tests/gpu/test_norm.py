"""BatchNorm's statistics in one pass, those that the gate leaves, and LayerNorm of any width."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice

from s5ref import Batch, Model, ModelConfig
from s5ref.arrays import Array
from s5ref.gpu import norm
from s5ref.gpu.engine import engine_of
from s5ref.gpu.launch import Launcher
from s5ref.gpu.norm import batch_norm, batch_norm_by_moments, moments_of
from s5ref.gpu.rows import SLAB, rows_of
from s5ref.gpu.tail import gate
from s5ref.nn.dropout import dropout_mask
from s5ref.nn.norm import Running
from s5ref.nn.norm import batch_norm as reference
from s5ref.random import generator
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import THRESHOLD, cast
from s5ref.verification.selfcheck.fields import Case, field_ratios, judged

pytestmark = MARKS

ENGINE = engine_of(ShimDevice())
EPS = float(np.finfo(np.float32).eps)


def statistics(x: Array, valid: Array | None, how: Any) -> tuple[Array, Array]:
    """(mean, variance) of x in its own precision: all that running statistics with momentum 0 are."""
    zero, one = np.zeros_like(x[0, 0]), np.ones_like(x[0, 0])
    (_, running), _ = how(x, one, one, Running(zero, one), 0.0, True, valid)
    return running.mean, running.var


@pytest.mark.parametrize("shape", [(2, 65, 4), (3, 70, 33), (16, 1000, 8)])
@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4, 1e6])
def test_one_pass_is_as_good_as_two_about_the_mean(shape: tuple[int, int, int], mean: float) -> None:
    """At 10⁴ standard deviations from 0, E[x²] − E[x]² has no digit left in float32."""
    x = (generator("gpu norm", *shape).standard_normal(shape) + mean).astype(np.float32)
    wide = x.astype(np.float64)
    exact = wide.mean((0, 1)), wide.var((0, 1))
    ours, two_passes = statistics(x, None, ENGINE.batch_norm.value), statistics(x, None, reference)

    def error(got: tuple[Array, Array]) -> float:
        return float(np.max(np.abs(got[1] - exact[1]) / exact[1])) / EPS

    assert np.max(np.abs(ours[0] - exact[0])) <= EPS * max(1.0, mean)
    assert error(ours) <= max(3.0, error(two_passes))
    if mean == 1e4:
        naive = np.mean(x * x, axis=(0, 1)) - np.mean(x, axis=(0, 1)) ** 2
        assert error((naive, naive)) > 1e5 > 1e4 * error(ours)


def worst(case: Case, dtype: str) -> float:
    ratios: dict[str, float] = field_ratios(ENGINE, judged(case, dtype))
    return max(ratios.values())


def norm_case(x: Array, valid: Array | None) -> Case:
    n = generator("gpu norm case", *x.shape).standard_normal
    H = x.shape[-1]
    running = Running(np.asarray(n(H)), np.asarray(n(H) ** 2 + 0.1))
    return Case("batch_norm", "", (x, n(H), n(H), running, 0.95, True, valid), n(x.shape))


ROWS = {
    "first slab empty": lambda row: row >= SLAB,
    "a slab in the middle empty": lambda row: row // SLAB != 3,
    "one row": lambda row: row == 200,
    "one warp's rows": lambda row: row % 8 == 3,
    "scattered": lambda row: generator("gpu norm rows").random(row.size) < 0.05,
    "last rows": lambda row: row >= 447,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("chosen", ROWS)
def test_slabs_and_warps_without_a_valid_row(chosen: str, dtype: str) -> None:
    valid = ROWS[chosen](np.arange(450)).reshape(3, 150, 1)
    x = np.where(valid, generator("gpu norm valid").standard_normal((3, 150, 5)) + 50, -1000)
    assert rows_of(x).slabs == 8
    case = norm_case(x, valid)
    assert worst(case, dtype) <= THRESHOLD
    args = cast(case.args, dtype)
    np.testing.assert_array_equal(ENGINE.batch_norm.value(*args)[1].count, [valid.sum()])


def test_a_value_far_from_the_others_and_a_channel_that_does_not_vary() -> None:
    x = generator("gpu norm far").standard_normal((2, 150, 3))
    x[0, 0, 0], x[1, 7, 0], x[..., 1] = 1e4, -1e4, 0.1
    assert worst(norm_case(x, None), "float32") <= THRESHOLD
    _, var = statistics(x.astype(np.float32), None, ENGINE.batch_norm.value)
    assert var[1] == 0


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("form", ["plain", "dropped", "masked", "no gate"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gate_leaves_the_bits_that_the_norm_would_make(form: str, order: int, dtype: str) -> None:
    on, shape = Launcher(ShimDevice(order)), (3, 90, 37)
    n = generator("gpu moments", form).standard_normal
    h, z, skip = cast([n(shape), None if form == "no gate" else n(shape), n(shape) + 3], dtype)
    mask = dropout_mask((0, 1), 3, 37, 0.3, h) if form == "dropped" else None
    valid = np.arange(270).reshape(3, 90, 1) % 11 < 7 if form == "masked" else None
    (alone, nothing), _ = gate(on, h, z, mask, skip)
    (out, moments), _ = gate(on, h, z, mask, skip, True, valid)
    assert nothing is None
    np.testing.assert_array_equal(out, alone)
    np.testing.assert_array_equal(moments, moments_of(on, out, valid))
    _, scale, bias, running, *_ = cast(norm_case(n(shape), valid).args, dtype)
    given = batch_norm_by_moments(on, moments, out, scale, bias, running, 0.9, valid)
    made = batch_norm(on, out, scale, bias, running, 0.9, True, valid)
    for (path, leaf), (_, other) in zip(leaves(given), leaves(made), strict=True):
        np.testing.assert_array_equal(leaf, other, err_msg=path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("H", [1, 2, 31, 32, 33, 100, 1024, 1500])
def test_layer_norm_of_any_width(H: int, dtype: str) -> None:
    for rows, mean in ((1, 0.0), (31, 1000.0), (33, 1.0), (70, 0.0)):
        n = generator("gpu layer norm", H, rows).standard_normal
        args = (n((1, rows, H)) + mean, n(H), n(H))
        assert worst(Case("layer_norm", "", args, n((1, rows, H))), dtype) <= THRESHOLD


@pytest.mark.parametrize("mean", [1e2, 1e4])
def test_layer_norm_of_a_row_far_from_zero(mean: float) -> None:
    """What is left is the rounding of the mean itself, where E[x²] − E[x]² has no digit left."""
    x = (generator("gpu layer norm far").standard_normal((1, 40, 256)) + mean).astype(np.float32)
    one = np.ones(256, np.float32)
    _, residuals = ENGINE.layer_norm.value(x, one, 0 * one)
    assert np.max(np.abs(residuals.rstd[..., 0] * x.astype(np.float64).std(-1) - 1)) < 1e-4


def test_a_norm_uses_the_moments_that_the_layer_before_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three layers the first alone makes a pass over its input for moments."""
    passes: list[Array] = []

    def watched(on: Launcher, x: Array, valid: Array | None) -> Array:
        passes.append(x)
        moments: Array = moments_of(on, x, valid)
        return moments

    monkeypatch.setattr(norm, "moments_of", watched)
    model = Model(ModelConfig(n_layers=3, d_model=4, ssm_size=4, in_dim=1, n_classes=2))
    batch = Batch(np.ones((2, 9, 1), np.float32), np.array([0, 1]))
    model.loss_and_grad(*model.init(0, "float32"), batch, engine=ENGINE, training=True, key=(0, 0))
    assert len(passes) == 1
