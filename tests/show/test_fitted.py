"""The page of a run of `s5ref fit`: which sections there are, and what they say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
from s5ref.errors import DataError, S5Error
from s5ref.estimators import folder
from s5ref.series import Table, read
from s5ref.show.fitted import headline, page, view
from tests.show.conftest import fit_run
from tests.show.test_page import titles, well_formed

CLASSES = ["Fit", "Confusion matrix", "Classes", "Which filters matter", "What a prediction rests on"]
GRADIENT = ["Curves", "Eigenvalues"]
REAL = ["Fit", "Answers and targets", "Which filters matter", "What a prediction rests on"]


def test_a_classifier(classifier: Path) -> None:
    shown = view(classifier)
    html = page(shown)
    assert titles(html) == CLASSES
    well_formed(html)
    estimator, table = folder.read(classifier)[0], read(classifier / "test.npz", target="y")
    answers = shown.answers
    assert answers is not None
    assert answers.labels == ("<fast>", "slow")
    assert answers.score == estimator.score(table.series, table.y)
    assert np.trace(answers.confusion) / 24 == answers.score
    assert answers.confusion.sum(axis=1).tolist() == [np.sum(table.y == name) for name in answers.labels]
    assert "&lt;fast&gt;" in html
    assert headline(shown).startswith(f"accuracy {100 * (answers.score or 0):.2f} % on the 24 series of")
    for one in shown.occlusions:
        assert one.truth == str(table.y[one.row])  # type: ignore[index]
        assert one.answer == str(estimator.predict(table.series)[one.row])
        assert np.array_equal(one.values, table.series[one.row].values)


def test_a_regressor(regressor: Path) -> None:
    shown = view(regressor)
    html = page(shown)
    assert titles(html) == REAL
    well_formed(html)
    estimator, table = folder.read(regressor)[0], read(regressor / "test.npz", target="y")
    answers = shown.answers
    assert answers is not None
    assert answers.score == estimator.score(table.series, table.y)
    errors = np.abs(estimator.predict(table.series) - table.y)
    assert [one.row for one in shown.occlusions][::2] == [np.argmin(errors), np.argmax(errors)]


def test_a_run_without_a_test_file_and_one_whose_file_is_gone(classifier: Path, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path / "run")
    estimator, facts = folder.read(classifier)
    for name, says in ((None, "without a test file"), (str(tmp_path / "gone.npz"), "gone.npz")):
        folder.write(tmp_path / "run", estimator, facts | {"test_file": name, "test": None})
        shown = view(tmp_path / "run")
        html = page(shown)
        assert titles(html) == ["Fit", "Answers", "Which filters matter"]
        assert says in html
        assert f"s5ref show {tmp_path / 'run'} --data FILE" in html
        assert "each series by a model of the others" in headline(shown)
        well_formed(html)
    assert page(view(tmp_path / "run", str(classifier / "test.npz"))).count("<h2>") == len(CLASSES)
    with pytest.raises(DataError, match=r"gone\.npz"):
        view(tmp_path / "run", str(tmp_path / "gone.npz"))
    without = tmp_path / "without.npz"
    np.savez(without, X=np.zeros((3, 2, 30)))
    with pytest.raises(S5Error):
        view(tmp_path / "run", str(without))


def test_a_class_that_training_did_not_have(classifier: Path) -> None:
    def other(path: str, **how: Any) -> Table:
        table = read(path, **how)
        assert table.y is not None
        table.y[:2] = "new"
        return table

    shown = view(classifier, read=other)
    assert shown.answers is not None
    assert shown.answers.labels == ("<fast>", "new", "slow")
    assert shown.answers.confusion[1].sum() == 2
    assert shown.answers.confusion[:, 1].sum() == 0
    assert "new" not in {one.truth for one in shown.occlusions}  # it has no log-odds
    html = page(shown)
    assert "No answer names class new." in html
    well_formed(html)


def test_few_whole_numbers_are_of_the_task_of_the_run(tmp_path: Path) -> None:
    """Three different classes of three series would be read as real numbers."""
    X, y = np.random.default_rng(0).standard_normal((12, 1, 20)), np.arange(12) % 3
    estimator = fit_classifier(X, y)
    np.savez(tmp_path / "few.npz", X=X[:3], y=y[:3])
    facts = {"file": "a", "description": "", "method": "", "seconds": 0.1, "left_out": 0.5,
             "read": {"target": "y", "task": "classes"}, "test": None,
             "test_file": str(tmp_path / "few.npz")}  # fmt: skip
    folder.write(tmp_path, estimator, facts)
    answers = view(tmp_path).answers
    assert answers is not None
    assert answers.labels == ("0", "1", "2")


def fit_classifier(X: np.ndarray, y: np.ndarray) -> Any:
    from s5ref.estimators import S5FeatureClassifier

    return S5FeatureClassifier(n_filters=10, random_state=0).fit(X, y)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("S5Classifier", [*CLASSES[:3], *GRADIENT, CLASSES[4]]),
        ("S5Regressor", [*REAL[:2], *GRADIENT, REAL[3]]),
    ],
)
def test_a_model_trained_by_gradient_has_curves_and_eigenvalues_instead_of_filters(
    tmp_path: Path, kind: str, expected: list[str]
) -> None:
    run = fit_run(tmp_path / "run", kind, d_model=4, ssm_size=4, n_layers=2, n_estimators=2, steps=3)
    shown = view(run)
    html = page(shown)
    assert shown.losses is not None
    assert shown.losses.shape == (2, 2)  # 24 series are two batches
    params = shown.estimator.params_
    for k, poles in enumerate(shown.poles):
        assert np.array_equal(poles.Lambda.imag, params[f"layers_{k}.seq.Lambda_im"].ravel())
    assert titles(html) == expected
    well_formed(html)


def test_facts_that_are_not_whole_are_refused(classifier: Path, tmp_path: Path) -> None:
    estimator, facts = folder.read(classifier)
    for name in facts:
        folder.write(tmp_path, estimator, facts | {name: [1]})
        with pytest.raises(DataError, match=f"must hold {name}"):
            view(tmp_path)


def test_the_example_of_the_documentation_runs(classifier: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "show.md").read_text(encoding="utf-8")
    _, code = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for written, there in (("runs/gunpoint", classifier), ("GunPoint_TEST.csv", classifier / "test.npz")):
        assert f'"{written}"' in code
        code = code.replace(f'"{written}"', repr(str(there)))
    names: dict[str, Any] = {}
    exec(compile(code, "example", "exec"), names)
    assert names["confusion"].sum() == 24
    assert len(names["table"].tau) == 60
    assert titles(names["html"]) == CLASSES
