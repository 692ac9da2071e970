"""The certified statement holds; anything three budgets off, and any wrong formula, is outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from engines import ENGINES

from s5ref import SEQUENTIAL
from s5ref.engine import Engine, Pair
from s5ref.errors import S5Error
from s5ref.verification.proofs.oracles import enclosures
from s5ref.verification.proofs.oracles.balls import balls
from s5ref.verification.proofs.oracles.stages import STAGES
from s5ref.verification.report import Row
from s5ref.verification.rounding.budget import cast
from s5ref.verification.selfcheck import certify as module
from s5ref.verification.selfcheck import operations
from s5ref.verification.selfcheck.certify import SIZES, certify, certify_models, certify_operations, ratio

GROUPS = ("norm", "eigenvalues", "encoder")
KERNELS = {"embed", "linear", "conv_pool", "scan", "gelu_tanh", "gelu_erf", "glu", "layer_norm", "batch_norm"}
COMPOSITE = {"ssm", "step", "mix", "layer", "model"}


@cache
def rows(name: str, dtype: str) -> list[Row]:
    engine = next(engine for engine in ENGINES if engine.name == name)
    return list(certify(engine, dtype, groups=None if dtype == "float64" else GROUPS))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [engine.name for engine in ENGINES])
def test_every_value_and_every_cotangent_is_within_its_budget(name: str, dtype: str) -> None:
    found = rows(name, dtype)
    assert [row for row in found if not row.passed] == []
    stages = {row.name.split(":")[0] for row in found}
    assert stages >= KERNELS | COMPOSITE
    assert (stages >= set(STAGES)) == (name == SEQUENTIAL.name)
    assert all(row.group == "certified" and row.engine == name and row.dtype == dtype for row in found)


def test_the_bounds_are_not_idle() -> None:
    """Of the single operations; the budgets of composites are allowed a factor more."""
    for row in rows(SEQUENTIAL.name, "float64"):
        if row.measured:
            assert row.measured > (0.03 if row.name.split(":")[0] in COMPOSITE | KERNELS else 0.01), row


def leaves_of(dtype: str) -> Iterator[tuple[str, Any, Any, Any, float]]:
    for case in operations.cases():
        given, eps = cast(case, dtype), float(np.finfo(dtype).eps)
        want = module._enclosures(case.field, case.name, dtype)
        bounds = operations.bounds_of(cast(given, np.float64))
        for leaf, got in operations.computed(SEQUENTIAL, given).items():
            yield f"{case.field} {case.name} {leaf}", np.array(got), want[leaf], bounds.get(leaf, 0.0), eps


def test_three_budgets_off_in_any_single_element_is_outside() -> None:
    """Where the bound is 0, one ulp off. The first and the largest element of every leaf of every case."""
    seen = 0
    for name, got, want, bound, eps in leaves_of("float64"):
        limit = np.broadcast_to(np.asarray(bound, np.float64), got.shape)
        for index in {0, int(np.argmax(limit)), int(np.argmax(np.abs(got)))}:
            wrong = got.copy()
            at = np.unravel_index(index, got.shape)
            step = 3 * eps * limit[at] + 2 * np.finfo(np.float64).tiny
            ulp = np.spacing(np.abs(wrong[at])) if limit[at] == 0 else 0.0
            wrong[at] += max(step, ulp)
            if wrong[at] != got[at]:
                assert ratio(wrong, want, bound, eps) > 1, (name, at)
                seen += 1
    assert seen > 250


def mutant(field: str, change: Any) -> Engine:
    pair = getattr(SEQUENTIAL, field)
    changed: dict[str, Any] = {field: change(pair)}
    return replace(SEQUENTIAL, name="mutant", **changed)


MUTANTS = {
    "scan": mutant("scan", lambda p: Pair(p.value, lambda s, d: (np.conj(p.vjp(s, d)[0]), *p.vjp(s, d)[1:]))),
    "gelu_tanh": mutant("gelu_tanh", lambda p: SEQUENTIAL.gelu_erf),
    "linear": mutant(
        "linear", lambda p: Pair(lambda *a: (p.value(*a)[0] * (1 + 1e-13), p.value(*a)[1]), p.vjp)
    ),
    "glu": mutant("glu", lambda p: Pair(p.value, lambda s, dy: (p.vjp(s, dy)[0], 0 * p.vjp(s, dy)[1]))),
}


@pytest.mark.parametrize("field", MUTANTS)
def test_a_wrong_kernel_is_outside(field: str) -> None:
    found = [
        *certify_operations(MUTANTS[field], "float64"),
        *certify_models(MUTANTS[field], "float64", groups=("length",)),
    ]
    failed = {row.name.split(":")[0] for row in found if not row.passed}
    assert field in failed
    assert failed & {"layer", "model"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"conj_sym": False},
        {"gelu": "erf"},
        {"discretization": "bilinear"},
        {"prenorm": False},
        {"norm": "layer"},
        {"activation": "half_glu1"},
        {"step_rescale": 1.0001},
    ],
    ids=str,
)
def test_the_oracle_of_another_model_is_far_away(wrong: dict[str, Any]) -> None:
    """Each option changes the enclosures: none is ignored."""
    composite = module._composites("norm", "batch, pre, training", "float64", "small")[-1]
    got = composite.run(SEQUENTIAL)
    _, budget = module._judged("norm", "batch, pre, training", "float64", "small", 4)
    want = enclosures("model", {**composite.inputs, **wrong})
    assert ratio(got["output"], want["output"], budget["output"], 1.0) > 1000


def test_a_leaf_that_is_missing_or_of_another_dtype_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    only = [case for case in operations.cases() if case.field == "sigmoid"][:1]
    monkeypatch.setattr(operations, "cases", lambda: iter(only))
    for found in ({}, {"y": np.zeros((1, 40, 1), np.float32)}):
        monkeypatch.setattr(operations, "computed", lambda engine, case, found=found: found)
        [row] = certify_operations(SEQUENTIAL, "float64")
        assert not row.passed
        assert row.measured == float("inf")


def test_unknown_size() -> None:
    with pytest.raises(S5Error, match=r"unknown size .*Known: small, base"):
        list(certify(SEQUENTIAL, "float64", size="large"))
    assert set(SIZES) == {"small", "base"}


def test_cases_have_names_of_their_own() -> None:
    names = [(case.field, case.name) for case in operations.cases()]
    assert len(set(names)) == len(names)
    assert {field for field, _ in names} == set(operations.OPERATIONS)


def test_ratio_is_exact_where_the_bound_is_zero() -> None:
    ball = balls(np.array([0.5]))
    assert ratio(np.array([0.5]), ball, 0.0, 1.0) == 0
    assert ratio(np.array([np.nextafter(0.5, 1)]), ball, 0.0, 1.0) > 1
    assert ratio(np.array([0.5 + 2**-52]), ball, 0.5, 2**-52) == pytest.approx(2)
