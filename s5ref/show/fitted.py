"""`s5ref show` of a run of `s5ref fit`: what it was fitted to, what it answers, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError, S5Error
from s5ref.page import html
from s5ref.page.html import Section, soft
from s5ref.series import Series, Table
from s5ref.series import read as read_file
from s5ref.series.series import shown
from s5ref.show import fit_sections, sections
from s5ref.show.answers import confusion_matrix
from s5ref.show.attribution import choose
from s5ref.show.dynamics import Poles, layer_poles
from s5ref.show.filters import FilterTable, channel_names, filter_table
from s5ref.show.occlusion import Occlusion, log_odds, losses
from s5ref.terminal import score

NAMED = 12  # channels in the words about a run
EXAMPLES = 3  # whose windows are occluded: right ones, and as many wrong ones


@dataclass(frozen=True)
class FitAnswers:
    """What an estimator says of the series of a file.

    Parameters
    ----------
    file : str
    series : Series
    labels : tuple of str
        The K classes of the estimator and of the file; () of a regression.
    output : (n, K) log-probabilities; of a regression (n, 1) values
    targets : (n,) classes as integers; of a regression values
    """

    file: str
    series: Series
    labels: tuple[str, ...]
    output: Array
    targets: Array

    @property
    def confusion(self) -> Array:
        """(K, K) counts: row the class, column the answer."""
        return confusion_matrix(self.targets, np.argmax(self.output, axis=1), len(self.labels))

    @property
    def score(self) -> float | None:
        """Accuracy, or R² (None of a single series)."""
        if self.labels:
            return float(np.mean(np.argmax(self.output, axis=1) == self.targets))
        from sklearn.metrics import r2_score

        return float(r2_score(self.targets, self.output[:, 0])) if len(self.targets) > 1 else None


@dataclass(frozen=True)
class Fitted:
    """All that `show` shows of a run of `s5ref fit`.

    Parameters
    ----------
    run : Path
    estimator : SeriesEstimator
    facts : dict
        Of fit.json.
    answers : FitAnswers or None
    occlusions : sequence of Occlusion
    missing : str
        Why there are no answers.
    """

    run: Path
    estimator: Any
    facts: dict[str, Any]
    answers: FitAnswers | None
    occlusions: Sequence[Occlusion]
    missing: str

    @property
    def classifies(self) -> bool:
        return bool(self.facts["read"]["task"] == "classes")

    @property
    def filters(self) -> FilterTable | None:
        """None of a model trained by gradient."""
        return filter_table(self.estimator)

    @property
    def losses(self) -> Array | None:
        """(models, epochs) of a model trained by gradient; None of random features."""
        losses: Array | None = getattr(self.estimator, "history_", None)
        return losses

    @property
    def poles(self) -> list[Poles]:
        """Of each layer of a model trained by gradient, the states of all its fits in one."""
        fits = [layer_poles(params, self.estimator.model.config) for params, _ in self.estimator.weights()]
        return [Poles(*map(np.concatenate, zip(*layer, strict=True))) for layer in zip(*fits, strict=True)]

    def score(self, value: float | None) -> str:
        """A score as words."""
        return score(value, self.classifies)


def view(run: str | Path, file: str | None = None, read: Callable[..., Table] = read_file) -> Fitted:
    """Read a run, and ask its estimator about the series of a file.

    Parameters
    ----------
    run : path
        A run folder of `s5ref fit`.
    file : str or None
        Series with targets. None: the test file of the run; where it cannot be used, the view says why.
    read : function
        As `s5ref.series.read`.

    Returns
    -------
    Fitted

    Raises
    ------
    S5Error
        On a damaged run; on a file that was given and cannot be used.
    """
    from s5ref.estimators import folder

    estimator, facts = folder.read(run)
    name = file or facts["test_file"]
    if name is None:
        return Fitted(Path(run), estimator, facts, None, (), "It was fitted without a test file.")
    try:
        table = read(name, **facts["read"])
        answers = _answers(estimator, name, table)
    except S5Error as error:
        if file is not None:
            raise
        return Fitted(Path(run), estimator, facts, None, (), str(error))
    return Fitted(Path(run), estimator, facts, answers, _occlusions(estimator, answers), "")


def _answers(estimator: Any, file: str, table: Table) -> FitAnswers:
    if table.y is None:
        raise DataError(f"{file} must hold targets to show answers; it has none.", "Give another file.")
    series, y = table.series, table.y
    if not hasattr(estimator, "classes_"):
        return FitAnswers(file, series, (), estimator.predict(series).reshape(len(y), -1), y)
    labels = np.unique(np.concatenate([estimator.classes_, y]))
    p = np.zeros((len(y), len(labels)))
    p[:, np.searchsorted(labels, estimator.classes_.astype(labels.dtype))] = estimator.predict_proba(series)
    targets = np.searchsorted(labels, y.astype(labels.dtype))
    log_p = np.log(np.maximum(p, np.finfo(float).tiny))
    return FitAnswers(file, series, tuple(map(str, labels)), log_p, targets)


def _occlusions(estimator: Any, answers: FitAnswers) -> list[Occlusion]:
    """Of some examples: right and wrong ones, or of a regression the best, the median and the worst."""
    series, labels, found = answers.series, answers.labels, []
    if not labels:
        error = np.abs(answers.output[:, 0] - answers.targets)
        order = np.argsort(error, kind="stable")
        for row in dict.fromkeys([order[0], order[len(order) // 2], order[-1]]):
            said = [f"{float(x):.4g}" for x in (answers.targets[row], answers.output[row, 0])]
            one = series[row]
            found.append(Occlusion(int(row), said[0], said[1], None, one.values,
                                   *losses(one, estimator.predict)))  # fmt: skip
        return found
    known = [str(name) for name in estimator.classes_]
    chosen = [e for e in choose(answers.output, answers.targets, len(labels)) if labels[e.label] in known]
    right, wrong = ([e for e in chosen if (e.answer == e.label) is good] for good in (True, False))
    for e in [*right[:EXAMPLES], *wrong[:EXAMPLES]]:
        k = known.index(labels[e.label])

        def odds(of: Series, k: int = k) -> Array:
            return log_odds(estimator.predict_proba(of), k)

        one = series[e.row]
        found.append(Occlusion(e.row, labels[e.label], labels[e.answer], e.probability, one.values,
                               *losses(one, odds)))  # fmt: skip
    return found


def headline(view: Fitted) -> str:
    """The result in one line: on the series that were asked about, else of those left out of the training."""
    facts, answers = view.facts, view.answers
    if answers is not None:
        n = len(answers.series)
        return f"{view.score(answers.score)} on the {n:,} series of {answers.file}"
    if facts["left_out"] is not None:
        return f"{view.score(facts['left_out'])} on {facts['file']}, each series by a model of the others"
    return f"{facts['file']}: not tested"


def told(view: Fitted) -> dict[str, str]:
    """What it was fitted to and how, word by word."""
    facts, rows = view.facts, {"fitted to": view.facts["description"]}
    if view.estimator.channel_names_ is not None:
        rows["channels"] = shown(view.estimator.channel_names_.tolist(), NAMED)
    said = {name: value for name, value in facts["read"].items() if value not in (None, "auto", False)}
    options = [f"--{name} {value}" if name != "tokens" else "--tokens" for name, value in said.items()]
    rows["file"] = " ".join([facts["file"], *options])
    rows["method"] = f"{facts['method']}, fitted in {facts['seconds']:.1f} s"
    if facts["left_out"] is not None:
        rows["left out"] = f"{view.score(facts['left_out'])}, each series by a model of the others"
    if facts["test"] is not None:
        rows["test"] = f"{view.score(facts['test'])} on {facts['test_file']}"
    return rows


def fitted_sections(view: Fitted) -> list[Section]:
    """The sections of a run of `s5ref fit`, in their order."""
    answers, filters = view.answers, view.filters
    parts = [fit_sections.fit(told(view))]
    if answers is None:
        again = f"To see its answers, name a file of series with targets: s5ref show {view.run} --data FILE"
        parts.append(Section("Answers", soft(f"{view.missing} {again}")))
    elif answers.labels:
        parts.append(sections.confusion(answers.confusion, answers.labels, answers.file))
        parts.append(sections.classes(answers.confusion, answers.labels))
    else:
        parts.append(sections.regression(answers.output, answers.targets, answers.file))
    if filters is not None:
        parts.append(fit_sections.filters(filters))
    if view.losses is not None:
        parts += [fit_sections.curves(view.losses), sections.eigenvalues(None, view.poles)]
    if view.occlusions:
        parts.append(fit_sections.occlusions(
            view.occlusions, bool(answers and answers.labels), channel_names(view.estimator)
        ))  # fmt: skip
    return parts


def page(view: Fitted) -> str:
    """The page of a run of `s5ref fit`."""
    facts, answers, filters = view.facts, view.answers, view.filters
    head = f"<h1>s5ref show {escape(str(view.run))}</h1>"
    head += f'<p class="verdict">{escape(headline(view))}</p>'
    cards = [(f"{facts['seconds']:,.1f} s", "of fitting")]
    if filters is not None:
        tenth = f"{100 * filters.top_share:.0f} %"
        cards += [(f"{len(filters.tau):,}", "filters"), (tenth, "of the importance in a tenth of them")]
    if answers is not None:
        cards.append((f"{len(answers.series):,}", "series asked about"))
    title = f"{facts['file']} · {view.run.name} · s5ref show"
    return html.page(title, head + html.counts(cards) + html.sections(fitted_sections(view)))
