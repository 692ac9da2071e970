"""Runs beside what others published: figures, which seeds learned, and the page."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s5ref.data.tasks import TASKS
from s5ref.errors import DataError
from s5ref.recipes.published import published
from s5ref.show import report
from s5ref.show.record import Record, read


def named(records: Sequence[Record], task: str, **result: Any) -> list[Record]:
    """The records as of a run of another task, with some facts of its results changed."""
    return [
        replace(
            record,
            loaded=replace(record.loaded, config=replace(record.config, task=task)),
            result=None if record.result is None else record.result | result,
        )
        for record in records
    ]


def test_figures_are_those_of_the_test_set(run: Path, seeds: Path) -> None:
    facts = report.row("several", read(seeds))
    results = [json.loads((seeds / f"seed-{seed}" / "result.json").read_text()) for seed in (0, 1, 2)]
    assert facts["test"] == [100 * result["test_accuracy"] for result in results]
    assert facts["mean"] == pytest.approx(statistics.fmean(facts["test"]))
    assert facts["sd"] == pytest.approx(statistics.stdev(facts["test"]))
    assert (facts["seeds"], facts["ended"]) == (3, 3)
    assert facts["learned"] == sum(result["learned"] for result in results)
    assert (facts["epochs"], facts["of"], facts["sources"]) == ([1, 1, 1], 1, ["embedded"])
    assert report.row("one", read(run))["sd"] is None


def test_a_run_without_a_result_says_so(interrupted: Path, run: Path) -> None:
    """Also where it was continued after its result was written."""
    records = read(interrupted)
    assert report.row("run", records)["ended"] == 1  # it was told to stop there
    (interrupted / "result.json").unlink()
    records = read(interrupted)
    assert (report.row("run", records)["ended"], report.tested(records)) == (0, [])
    assert "no result yet" in "".join(report.remarks({"run": records}))
    (interrupted / "result.json").write_bytes((run / "result.json").read_bytes())
    assert read(interrupted)[0].result is None  # it is of another number of updates


@pytest.mark.parametrize("text", ["[]", "{}", '{"steps": "4"}', "nonsense"])
def test_a_result_that_no_run_wrote_is_refused(interrupted: Path, text: str) -> None:
    (interrupted / "result.json").write_text(text)
    with pytest.raises(DataError, match=r"result\.json"):
        read(interrupted)


def test_published_figures_are_those_of_the_paper() -> None:
    """The paper's row, its average, and one figure of each other source."""
    paper = {
        task: published(task)[0] for task in ("listops", "text", "retrieval", "image", "pathfinder", "pathx")
    }
    assert {one.model for one in paper.values()} == {"S5, paper"}
    assert statistics.fmean(one.figure for one in paper.values()) == pytest.approx(87.46, abs=0.005)
    for task in TASKS:
        assert task == "digits" or published(task)
    assert published("mine") == []
    assert "LRU" not in {one.model for one in published("image")}  # it has none of grey images
    names = [one.model for one in published("listops")]
    assert names[:2] == ["S5, paper", "S5, eight seeds of a user"]
    assert len(names) == len(set(names)) == 8


def test_published_figures_agree_with_the_recipes() -> None:
    from s5ref import recipes

    for task in TASKS:
        if task != "digits":
            one = published(task)[0]
            said = f"{one.figure:.2f} %" if one.figure > 1 else f"{one.figure:.2e}".replace("e-0", "e-")
            assert f"Paper: {said}" in recipes.text(task) or f"Paper: MSE {said}" in recipes.text(task)


def test_the_page(run: Path, seeds: Path) -> None:
    runs = {
        "<a>": named(read(run), "listops", source="regenerated, seed 0"),
        "b": named(read(seeds), "listops"),
    }
    html = report.page(runs | {"mine": read(run)})
    assert re.findall(r"<h2>(.*?)</h2>", html)[:3] == [
        "ListOps: results", "ListOps: eigenvalues of &lt;a&gt;",
        f"ListOps: eigenvalues of b, seed {seed_in_the_middle(seeds)}, the median of 3",
    ]  # fmt: skip
    assert "The majority class has 17 %" in html
    assert "on data made here" in html
    assert "Digits 8×8: results" in html
    assert report.CRITERION[:40] in html
    for one in published("listops"):
        assert one.model.replace("'", "&#x27;") in html
        assert f"{one.figure:.2f}" in html


def seed_in_the_middle(seeds: Path) -> int:
    from s5ref.show.record import median

    return int(median(read(seeds)).facts["seed"])


def test_the_headline(run: Path, seeds: Path) -> None:
    one = report.by_task({"a": named(read(run), "pathx", test_accuracy=0.5)})
    assert report.headline(one) == "Path-X: 50.00 %; the paper has 98.58 %"
    assert report.headline(report.by_task({"a": read(run), "b": read(seeds)})) == "Digits 8×8: 2 runs"


def test_a_regression_is_measured_by_its_error(run: Path) -> None:
    (record,) = named(read(run), "pendulum", test_mse=3.5e-3, test_accuracy=None)
    config = record.config
    config = replace(config, model=replace(config.model, head="gaussian_regression"))
    records = [replace(record, loaded=replace(record.loaded, config=config))]
    assert report.tested(records) == [3.5e-3]
    assert report.figure(report.tested(records), True) == "0.0035"
    assert report.written(published("pendulum")[0]) == "0.00341 ± 0.00027"
