"""The page of a run: which sections there are, and what they say."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref import Model, ModelConfig, S5Error
from s5ref.data.batches import Dataset
from s5ref.data.user import from_arrays
from s5ref.errors import DataError
from s5ref.interop import folder
from s5ref.show.page import headline, page, view
from s5ref.train import plot
from s5ref.train.api import train
from s5ref.train.config import RunConfig, TrainConfig

CLASSIFIER = [
    "Configuration", "Curves", "Confusion matrix", "Classes", "What an answer rests on", "Eigenvalues",
    "Time scales", "Impulse and frequency responses",
]  # fmt: skip


def titles(html: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", html)


def well_formed(html: str) -> None:
    """Every tag is closed; void elements apart, the page is XML."""
    body = html[html.index("<body>") : html.index("</html>")]
    ET.fromstring(body.replace("<br>", "<br/>"))
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<pre>.*?</pre>", "", body, flags=re.DOTALL))
    assert "src=" not in html
    assert "<script" not in html


def test_a_classifier(run: Path, digits: Dataset) -> None:
    shown = view(run, dataset=lambda _: digits, engine="numpy")
    html = page(shown)
    assert titles(html) == CLASSIFIER
    well_formed(html)
    assert headline(shown) in html
    assert html.count("<svg") == html.count("role='img'") == html.count("aria-label=")
    assert f"<h1>s5ref show {run}</h1>" in html


def test_without_data_the_rest_is_shown(run: Path) -> None:
    def missing(config: RunConfig) -> Dataset:
        raise DataError("the data are gone.", "Get them.")

    html = page(view(run, dataset=missing))
    assert "the data are gone. Get them." in html
    assert "on the validation set at best" in html
    assert titles(html) == [*CLASSIFIER[:2], "Answers", *CLASSIFIER[5:]]
    well_formed(html)


def test_a_class_that_no_answer_names(run: Path, digits: Dataset) -> None:
    shown = view(run, dataset=lambda _: digits, engine="numpy")
    assert shown.answers is not None
    output = shown.answers.output.copy()
    output[:, 4] = -50.0
    html = page(replace(shown, answers=replace(shown.answers, output=output)))
    assert re.search(r"No answer names class [\d, ]*4", html)
    well_formed(html)


def test_an_interrupted_run(interrupted: Path, digits: Dataset) -> None:
    html = page(view(interrupted, dataset=lambda _: digits, engine="numpy"))
    assert "The run has not ended: 0 of 2 epochs are done." in html
    assert "for no epoch has ended" in html
    assert titles(html) == CLASSIFIER
    well_formed(html)


def test_several_seeds(seeds: Path, digits: Dataset) -> None:
    shown = view(seeds, dataset=lambda _: digits, engine="numpy")
    html = page(shown)
    assert titles(html) == [CLASSIFIER[0], "Seeds", *CLASSIFIER[1:]]
    assert f"(seed {shown.record.facts['seed']}, the median of 3)" in html
    well_formed(html)


def test_a_split_that_is_not_there(run: Path, digits: Dataset) -> None:
    with pytest.raises(S5Error, match="no test split"):
        view(run, dataset=lambda _: replace(digits, test=None))


def test_converted_weights_have_no_before(run: Path, digits: Dataset, tmp_path: Path) -> None:
    weights, config = folder.read(run)
    folder.write(tmp_path / "theirs", weights, config, run / "config.toml")
    html = page(view(tmp_path / "theirs", dataset=lambda _: digits, engine="numpy"))
    assert "The weights were converted, not trained here." in html
    assert "No update is recorded." in html
    assert titles(html) == CLASSIFIER
    well_formed(html)


def _own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, Any], **more: Any
) -> tuple[Path, Dataset]:
    monkeypatch.setattr(plot, "curves", lambda run: None)
    config = ModelConfig(n_layers=1, d_model=6, ssm_size=4, **more)
    trained = TrainConfig(batch=10, epochs=2)
    train(Model(config), arrays, trained, run=tmp_path / "run", engine="numpy")
    head: Any = config.head
    return tmp_path / "run", from_arrays(arrays, head=head, n_classes=config.n_classes, in_dim=config.in_dim)


@pytest.mark.parametrize("head", ["regression", "gaussian_regression"])
def test_a_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 12, 1))
    y = np.cumsum(x, axis=1) / 3
    arrays = {"train": (x[:40], y[:40]), "validation": (x[40:50], y[40:50]), "test": (x[50:], y[50:])}
    run, data = _own(tmp_path, monkeypatch, arrays, in_dim=1, n_classes=1, head=head)
    shown = view(run, dataset=lambda _: data, engine="numpy")
    html = page(shown)
    assert titles(html) == [*CLASSIFIER[:2], "Answers and targets", *CLASSIFIER[5:]]
    assert "mean squared error" in headline(shown)
    assert ("squared error on the validation set" in html) == (head != "regression")  # it is not the loss
    assert "Example 5 of the test set" in html
    well_formed(html)


@pytest.mark.parametrize("axes", [(60,), (60, 1), (60, 2)])
def test_a_regression_with_one_answer_a_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 12, 1)), rng.standard_normal(axes)
    arrays = {"train": (x[:40], y[:40]), "validation": (x[40:50], y[40:50]), "test": (x[50:], y[50:])}
    K = axes[-1] if len(axes) == 2 else 1
    run, data = _own(tmp_path, monkeypatch, arrays, in_dim=1, n_classes=K, head="pooled_regression")
    html = page(view(run, dataset=lambda _: data, engine="numpy"))
    assert titles(html) == [*CLASSIFIER[:2], "Answers and targets", *CLASSIFIER[5:]]
    assert html.count("answer against target") == K
    well_formed(html)


def test_retrieval_and_a_class_without_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (60, 2, 12)), rng.integers(0, 2, 60)
    arrays = {"train": (x[:40], y[:40]), "validation": (x[40:50], y[40:50]), "test": (x[50:], 0 * y[50:])}
    run, data = _own(tmp_path, monkeypatch, arrays, in_dim=5, n_classes=2, head="retrieval")
    html = page(view(run, dataset=lambda _: data, engine="numpy"))
    assert titles(html) == CLASSIFIER
    assert re.search(r"Strongest: token \d at step \d+", html)
    well_formed(html)


def test_many_classes_are_listed_by_their_confusions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((120, 8, 3)), rng.permutation(120) % 50
    arrays = {"train": (x[:60], y[:60]), "validation": (x[60:90], y[60:90]), "test": (x[90:], y[90:])}
    run, data = _own(tmp_path, monkeypatch, arrays, in_dim=3, n_classes=50)
    html = page(view(run, dataset=lambda _: data, engine="numpy"))
    assert "Confusions" in titles(html)
    well_formed(html)


def test_the_example_of_the_documentation_runs(run: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "show.md").read_text(encoding="utf-8")
    code, _ = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(code.replace('"runs/digits"', repr(str(run))), "example", "exec"), names)
    assert names["confusion"].sum() == 360
    assert [len(steps) for steps in names["steps"]] == [2, 2]
    assert titles(names["html"]) == CLASSIFIER
