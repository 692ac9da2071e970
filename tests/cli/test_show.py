"""``s5ref show``, ``s5ref compare`` and ``s5ref report``: one screen, a page, JSON, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from s5ref.train import checkpoint

Cli = Callable[..., Any]


def test_show_and_compare(cli: Cli, tiny: Cli) -> None:
    assert tiny("--out", "one").code == 0
    shown = cli("show", "one", "--engine", "numpy", "--html", "one.html")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) < 120
    words = ("% right on the test set", "parameters", "3 of 3 epochs", "taken for", "page      one.html")
    assert [said for said in words if said not in shown.out] == []
    assert Path("one.html").read_text(encoding="utf-8").startswith("<!doctype html>")

    facts = cli("show", "one", "--engine", "numpy", "--json").json
    confusion = facts["confusion"]
    right = sum(confusion[k][k] for k in range(10))
    evaluated = cli("eval", "one", "--engine", "numpy", "--json").json
    assert right / 360 == facts["accuracy"] == evaluated["accuracy"]
    assert [row["support"] for row in facts["classes"]] == [sum(row) for row in confusion]
    assert facts["seeds"][0]["seed"] == facts["seed"] == 0


def test_seeds_and_a_comparison(cli: Cli, tiny: Cli) -> None:
    assert tiny("--out", "one").code == 0
    assert tiny("--out", "several", "--seeds", "0,1", "--steps", "2").code == 0
    shown = cli("show", "several", "--engine", "numpy")
    assert shown.code == 0
    assert "for no epoch has ended" in shown.out
    assert "the median of them" in shown.out
    compared = cli("compare", "one", "several", "--html", "both.html")
    assert compared.code == 0
    assert "the runs have the same configuration" in compared.out
    assert "Results" in Path("both.html").read_text(encoding="utf-8")
    facts = cli("compare", "one", "several", "--json").json
    assert [row["seeds"] for row in facts["runs"]] == ["1", "2"]


def test_a_report(cli: Cli, tiny: Cli) -> None:
    assert tiny("--out", "one").code == 0
    assert tiny("--out", "several", "--seeds", "0,1", "--steps", "2").code == 0
    reported = cli("report", "one", "several", "--html", "report.html")
    assert reported.code == 0
    words = ("Digits 8×8, test set", "of 1 seeds", "of 2 seeds", "3 of 3", "0 of 3", "embedded", "Learned: ")
    assert [said for said in words if said not in reported.out] == []
    assert "eigenvalues of several" in Path("report.html").read_text(encoding="utf-8")
    facts = cli("report", "one", "several", "--json").json["tasks"]["digits"]
    trained = cli("eval", "one", "--engine", "numpy", "--json").json
    assert facts["runs"][0]["test"] == [100 * trained["accuracy"]]
    assert [run["ended"] for run in facts["runs"]] == [1, 2]
    assert facts["published"] == []


def test_data_that_are_missing_are_said(cli: Cli, tiny: Cli) -> None:
    assert tiny("--out", "one").code == 0
    text = Path("one/config.toml").read_text(encoding="utf-8")
    for which in ("best", "last"):  # of a version that did not record the configuration
        _without_config(Path("one") / which / "state.npz")
    Path("one/config.toml").write_text(text.replace('"digits"', '"smnist"'), encoding="utf-8")
    shown = cli("show", "one", "--engine", "numpy", "--html", "one.html")
    assert shown.code == 0
    assert "smnist: data not found" in shown.out
    assert "smnist: data not found" in Path("one.html").read_text(encoding="utf-8")


def _without_config(path: Path) -> None:
    arrays, meta = checkpoint.load(path)
    checkpoint.save(path, arrays, {k: v for k, v in meta.items() if not k.startswith("config")})
