"""Runs beside each other: what differs, and figures with their spread."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from s5ref.show import compare
from s5ref.show.record import read


def test_only_what_differs_is_named(run: Path, seeds: Path) -> None:
    a, b = read(run), read(seeds)
    assert compare.differences({"a": a, "b": b}) == {"model.n_layers": [2, 1], "train.epochs": [2, 1]}
    assert compare.differences({"b": b, "a": a, "c": b}) == {
        "model.n_layers": [1, 2, 1], "train.epochs": [1, 2, 1],
    }  # fmt: skip
    assert compare.differences({"a": a, "b": a}) == {}


def test_figures_have_a_mean_and_a_spread(run: Path, seeds: Path) -> None:
    one, several = compare.rows({"a": read(run), "b": read(seeds)})
    assert (one["run"], one["seeds"], one["epochs"]) == ("a", "1", "2")
    best = [100 * record.best["accuracy"] for record in read(seeds) if record.best]
    sd = statistics.stdev(best)
    expected = f"{statistics.fmean(best):.2f}" + (f" ± {sd:.2f}" if sd else "")
    assert several["best accuracy"] == expected
    assert "±" in several["training loss"]
    assert "±" not in one["training loss"]


def test_the_page(run: Path, seeds: Path, interrupted: Path) -> None:
    runs = {"<a>": read(run), "b": read(seeds), "c": read(interrupted)}
    html = compare.page(runs)
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Results", "Configuration", "Curves"]
    assert "&lt;a&gt;" in html
    for color in ("s0", "s1"):  # a dot in the table, and lines on the plot
        assert f'class="s {color}"' in html
        assert f"class='line {color}'" in html
    assert "The runs have the same configuration." in compare.page({"a": read(run), "b": read(run)})
