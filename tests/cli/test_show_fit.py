"""``s5ref show`` and ``s5ref compare`` of runs of ``s5ref fit``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
from s5ref.cli.units import bars
from tests.cli.test_fit import write_waves

Cli = Callable[..., Any]


@pytest.fixture
def fitted(cli: Cli) -> str:
    write_waves("train.csv")
    write_waves("test.csv", seed=1)
    ran = cli("fit", "train.csv", "--target", "label", "--test", "test.csv", "--json")
    return str(ran.json["run"])


def test_one_screen_a_page_and_the_same_facts(cli: Cli, fitted: str) -> None:
    shown = cli("show", fitted, "--html", "one.html")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) < 125
    words = ("accuracy 100.00 % on the 24 series of test.csv", "train.csv --target label", "time constant",
             "taken for", "rests on", "page      one.html")  # fmt: skip
    assert [said for said in words if said not in shown.out] == []
    assert Path("one.html").read_text(encoding="utf-8").startswith("<!doctype html>")

    facts = cli("show", fitted, "--json").json
    assert (facts["score"], facts["labels"]) == (1.0, ["fast", "slow"])
    assert facts["confusion"] == [[12, 0], [0, 12]]
    filters = facts["filters"]
    assert len(filters["top"]) == 10
    assert filters["top"][0]["share"] == max(one["share"] for one in filters["top"])
    assert 0.1 <= filters["top_share"] < 1
    assert {len(one["losses"]) for one in facts["occlusions"]} == {15}  # 60 steps

    other = cli("show", fitted, "--data", "train.csv", "--json").json
    assert (other["data"], other["examples"]) == ("train.csv", 24)


def test_runs_beside_each_other(cli: Cli, fitted: str) -> None:
    cli("fit", "train.csv", "--target", "label", "--seed", "1")
    compared = cli("compare", fitted, "runs/train-2", "--html", "both.html")
    assert compared.code == 0
    assert "accuracy 100.00 %" in compared.out
    assert "Results" in Path("both.html").read_text(encoding="utf-8")
    facts = cli("compare", fitted, "runs/train-2", "--json").json
    assert (facts["runs"][fitted]["test"], facts["runs"]["runs/train-2"]["test"]) == (1.0, None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "RUN", "--split", "train"], "--split is of runs of `s5ref train`"),
        (["show", "RUN", "--data", "nowhere.csv"], "nowhere.csv"),
        (["show", "RUN", "--data", "new.csv"], "target must be one of its columns"),
        (["compare", "RUN", "other"], "other is not"),
        (["compare", "RUN"], "two different runs"),
    ],
)
def test_what_is_refused(cli: Cli, fitted: str, arguments: list[str], says: str) -> None:
    write_waves("new.csv", label=False)
    ran = cli(*[fitted if word == "RUN" else word for word in arguments])
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_bars() -> None:
    assert bars([1.0, None, 2.0]) == "▁ █"
    assert bars([1.0, -2.0, 0.0], zero=True) == "▅▁▁"
