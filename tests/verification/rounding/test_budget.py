"""The ratio and the budgets: what they let pass, and what they must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES

from s5ref import NUMPY, SEQUENTIAL, Engine
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import COMPOSITE, composite_budget, perturbed, ratio
from s5ref.verification.selfcheck.engines import worst_of_field
from s5ref.verification.selfcheck.fields import FIELDS, candidates, cases, field_ratios, judged
from s5ref.verification.selfcheck.problems import BASE, problem

EPS = float(np.finfo(np.float64).eps)


def test_ratio_is_dimensionless() -> None:
    want = np.array([1.0, -2.0])
    for scale in (1.0, 2.0**-600, 2.0**600):
        got = want * scale * (1 + np.array([EPS, 0]))
        assert ratio(got, want * scale, np.abs(want * scale), EPS) == pytest.approx(1)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (np.array([np.nan]), np.array([1.0])),
        (np.array([np.inf]), np.array([1.0])),
        (np.ones(2), np.ones(3)),
        (np.array([1]), np.array([2])),
        (np.array([True]), np.array([False])),
        (np.array([1.0 + EPS]), np.array([1.0])),
    ],
)
def test_ratio_of_what_can_never_pass(got: Any, want: Any) -> None:
    """NaN, infinity, another shape, other integers; any difference where the bound is 0."""
    assert ratio(got, want, 0.0, EPS) > 1


def test_ratio_sees_one_wrong_element_among_many() -> None:
    want = np.ones(10_000)
    got = want.copy()
    got[1234] += 3 * EPS
    assert ratio(got, want, 1.0, EPS) == pytest.approx(3)


def test_perturbed_runs_move_every_result_by_one_rounding_and_no_more() -> None:
    x, W = np.ones((2, 3, 4)), np.full((4, 5), 0.5)
    (plain, _), (moved, residuals) = (
        SEQUENTIAL.linear.value(x, W),
        perturbed(SEQUENTIAL, 0).linear.value(x, W),
    )
    relative = np.abs(moved / plain - 1)
    assert (relative <= 1.5 * EPS).all()
    assert (relative > 0).any()
    assert residuals.x is x  # an argument that is passed on is no result
    again, other = (perturbed(SEQUENTIAL, seed).linear.value(x, W)[0] for seed in (0, 1))
    np.testing.assert_array_equal(moved, again)
    assert not np.array_equal(moved, other)


def test_composite_budget_is_a_multiple_of_the_largest_deviation() -> None:
    at = problem("budget", "any", replace(BASE, n_layers=1))

    def run(k: Engine) -> Any:
        return at.loss_and_grad(at.leaves(), k)["grads"]

    want, budget = composite_budget(run, SEQUENTIAL, range(3), terms=4)
    for name, leaf in leaves(run(perturbed(SEQUENTIAL, 2))):
        assert np.max(np.abs(leaf - want[name])) <= budget[name] / (2 * COMPOSITE)
        assert 0 < budget[name] < 1e-8 * np.max(np.abs(want[name])), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_every_engine_is_within_its_bound(field: str, dtype: str) -> None:
    """And the bounds are not idle: the worst of them is nearer than a factor of 20."""
    engines = candidates(field, dtype, ENGINES)
    worst = worst_of_field(field, dtype, engines)
    for engine in engines:
        assert worst[engine.name].value <= 1, worst[engine.name].where
        assert worst[engine.name].value > 0.05


def test_candidates_are_judged_once_and_never_by_themselves() -> None:
    assert [k.name for k in candidates("scan", "float32", ENGINES)] == NAMES
    assert [k.name for k in candidates("layer_norm", "float32", [SEQUENTIAL, NUMPY])] == ["sequential"]
    assert candidates("gelu_erf", "float64", [SEQUENTIAL, NUMPY]) == []


def test_a_leaf_of_the_wrong_dtype_is_infinitely_wrong() -> None:
    from s5ref.engine import Pair
    from s5ref.verification.selfcheck.fields import Case

    def silently_wide(x: Any) -> Any:
        y, residuals = SEQUENTIAL.gelu_tanh.value(x)
        return y.astype(np.float64), residuals

    case = Case("gelu_tanh", "any", (np.ones((1, 2, 3)),), np.ones((1, 2, 3)))
    engine = replace(SEQUENTIAL, gelu_tanh=Pair(silently_wide, SEQUENTIAL.gelu_tanh.vjp))
    assert field_ratios(engine, judged(case, "float32"))["y"] == float("inf")


def test_ratios_come_in_the_order_of_the_leaves() -> None:
    """Of equal ratios the first is named, the same one in every process."""
    reference = judged(next(cases("scan")), "float32")
    assert list(field_ratios(NUMPY, reference)) == [path for path in reference.want if path[0] in "ysd"]
