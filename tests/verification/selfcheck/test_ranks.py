"""Ranks that share a batch are one process: every problem, every way to share it, on threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import NUMPY
from s5ref.ranks import Ranks
from s5ref.ssm import across as across_text
from s5ref.verification.selfcheck.problems import PROBLEMS
from s5ref.verification.selfcheck.ranks import across
from s5ref.verification.selfcheck.threads import on_ranks


@pytest.mark.parametrize("size", [2, 3, 4])
def test_ranks_are_one_process(size: int) -> None:
    rows, *others = on_ranks(size, lambda ranks: list(across(ranks, [NUMPY], ["float64"])))
    assert all(other == rows for other in others)
    assert not [(row.name, row.detail, row.measured) for row in rows if not row.passed]
    ways = {row.name.partition(":")[0] for row in rows}
    assert (
        sorted(ways) == {2: ["1 × 2", "2 × 1"], 3: ["1 × 3", "3 × 1"], 4: ["1 × 4", "2 × 2", "4 × 1"]}[size]
    )
    problems = sum(map(len, PROBLEMS.values()))
    assert len(rows) > (1.8 if size < 4 else 2.5) * problems  # all but those that are too small to share


def test_in_single_precision() -> None:
    [rows, _] = on_ranks(2, lambda ranks: list(across(ranks, [NUMPY], ["float32"], ["norm", "episodes"])))
    assert rows
    assert not [(row.name, row.detail, row.measured) for row in rows if not row.passed]


@pytest.mark.parametrize(
    ("broken", "groups"),
    [
        (
            "before",
            ["direction and discretisation"],
        ),  # what a first-order hold and intervals need of the next
        ("_folded", ["length"]),  # the state that enters a rank
        ("_product", ["episodes"]),  # which a reset makes zero
    ],
)
def test_a_mistake_between_ranks_fails(broken: str, groups: list[str], monkeypatch: Any) -> None:
    if broken == "before":
        monkeypatch.setattr(Ranks, "before", lambda self, x, edge, reverse=False: edge)
    elif broken == "_folded":
        monkeypatch.setattr(across_text, "_folded", lambda ranks, product, end, reverse: (0 * end, end))
    else:
        monkeypatch.setattr(across_text, "_product", lambda Lambda_bar, Bu, resets: np.ones_like(Bu[:, 0]))
    [rows, _] = on_ranks(2, lambda ranks: list(across(ranks, [NUMPY], ["float64"], groups)))
    assert [row for row in rows if not row.passed]
