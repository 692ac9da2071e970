"""verify(): everything passes on the engines as they are, the denominator is honest, and a failure is
reported as one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES

import s5ref
from s5ref.engine import Pair
from s5ref.verification import Report, Row, verify
from s5ref.verification.selfcheck import verify as ladder

SEEN: list[Row] = []


@pytest.fixture(scope="module")
def report() -> Report:
    return verify(engines=ENGINES, report=SEEN.append)


def test_everything_passes(report: Report) -> None:
    assert [row for row in report.rows if not row.passed] == []
    assert report.selected == report.ran == report.passed == len(report.rows) > 50
    assert report.failed == 0
    assert report.rows == SEEN
    assert report.seconds > 0


def test_every_engine_and_precision_is_there(report: Report) -> None:
    for name in NAMES:
        for dtype in ("float32", "float64"):
            assert any(row.engine == name and row.dtype == dtype for row in report.rows)
    assert {row.group for row in report.rows} == {
        "gradient",
        "kernel",
        "model",
        "identity",
        "exact",
        "golden",
        "theorems",
        "vectors",
    }


def test_gradients_agree_to_the_limit(report: Report) -> None:
    rows = [row for row in report.rows if row.group == "gradient"]
    assert len(rows) == 10 * len(NAMES)
    assert all(0 < row.measured <= row.bound == 1e-7 for row in rows)


def test_the_engine_numba_is_taken_by_default() -> None:
    assert s5ref.NUMBA in ENGINES


def broken(residuals: Any, dy: Any) -> Any:
    raise ZeroDivisionError("no such kernel")


def only(monkeypatch: pytest.MonkeyPatch, *fields: str) -> None:
    """Keep the kernel checks of these fields alone, so that the tests below are quick."""
    for name in ("PROBLEMS", "IDENTITIES", "GOLDEN"):
        monkeypatch.setattr(ladder, name, {})
    monkeypatch.setattr(ladder, "FIELDS", fields)
    for name in ("STATEMENTS", "STAGES"):
        monkeypatch.setattr(ladder, name, ())
    for name in ("theorems", "stored"):
        monkeypatch.setattr(ladder, name, lambda *_: iter(()))
    monkeypatch.setattr(ladder, "problems", lambda: [])
    monkeypatch.setattr(
        ladder, "long_problem", lambda: next(s5ref.verification.selfcheck.problems.problems("length"))
    )


def test_a_kernel_that_raises_is_a_failure_and_the_rest_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "glu", "gelu_tanh")
    engine = replace(s5ref.SEQUENTIAL, name="broken", glu=Pair(s5ref.SEQUENTIAL.glu.value, broken))
    report = verify(engines=[engine])
    assert report.failed > 0
    assert report.ran < report.selected
    assert any("ZeroDivisionError" in row.detail for row in report.rows)
    assert any(row.passed and row.name == "gelu_tanh" for row in report.rows)


def test_a_wrong_kernel_is_a_failure_that_names_the_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "glu")
    wrong = Pair(s5ref.SEQUENTIAL.glu.value, lambda residuals, dy: tuple(np.zeros_like(dy) for _ in range(2)))
    report = verify(engines=[replace(s5ref.SEQUENTIAL, name="wrong", glu=wrong)])
    failed = [row for row in report.rows if not row.passed]
    assert {(row.group, row.engine) for row in failed} == {("kernel", "wrong"), ("model", "wrong")}
    assert all(row.detail.startswith(("d.", "grads.")) for row in failed)
    assert report.passed + report.failed == len(report.rows)
