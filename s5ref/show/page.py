"""`s5ref show`: the values of a run, and the page made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from s5ref import data
from s5ref.data.batches import Dataset
from s5ref.data.tasks import TASKS
from s5ref.engine import Engine
from s5ref.errors import ConfigError, DataError
from s5ref.model.stack import layer_names
from s5ref.page import html
from s5ref.page.html import Section, soft
from s5ref.show import sections
from s5ref.show.answers import Answers, answer
from s5ref.show.attribution import Attribution, attribute, choose
from s5ref.show.dynamics import Poles, layer_poles, responses
from s5ref.show.record import Record, median, read
from s5ref.train.config import RunConfig
from s5ref.tree import subtree


@dataclass(frozen=True)
class View:
    """All that `show` shows.

    Parameters
    ----------
    records : sequence of Record
        One, or one for each seed.
    record : Record
        The one that is shown in detail.
    answers : Answers or None
    attributions : sequence of Attribution
        Of a classifier whose data is there.
    missing : str
        Why there are no answers.
    """

    run: Path
    records: Sequence[Record]
    record: Record
    answers: Answers | None
    attributions: Sequence[Attribution]
    missing: str

    @property
    def length(self) -> int:
        """Steps of a sequence: of the data, else of the task."""
        if self.answers is not None:
            axis = 2 if self.record.config.model.head == "retrieval" else 1
            return int(self.answers.split.inputs.shape[axis])
        task = TASKS.get(self.record.config.task)
        return task.length if task else 1024

    def before(self) -> list[Poles] | None:
        """Of each layer before training, where that is known."""
        initial = self.record.initial
        return None if initial is None else layer_poles(initial, self.record.config.model)

    def after(self) -> list[Poles]:
        """Of each layer."""
        return layer_poles(self.record.loaded.params, self.record.config.model)


def view(
    run: str | Path,
    *,
    which: str | None = None,
    dataset: Callable[[RunConfig], Dataset] | None = None,
    split: str = "test",
    engine: Engine | str | None = None,
    on_batch: Callable[[float], None] | None = None,
) -> View:
    """Read a run, and ask its model about a split of its data.

    Parameters
    ----------
    run : path
        A run folder, also of several seeds: the median of them is asked.
    which : {"best", "last"} or None
        The checkpoint; None: the best one, or the last where no epoch has ended.
    dataset : function or None
        The data for a configuration; None: those of its task. Where it raises DataError or ConfigError, the
        view says what is missing.
    split : str
    engine : Engine, name or None
    on_batch : function or None
        Is given the fraction of the split that is done.

    Returns
    -------
    View

    Raises
    ------
    DataError, ConfigError
        As `s5ref.show.record.read`; on a split that the data do not have.
    """
    records = read(run, which)
    record = median(records)
    config, loaded = record.config, record.loaded
    try:
        found = data.load(config.task) if dataset is None else dataset(config)
    except (DataError, ConfigError) as error:
        return View(Path(run), records, record, None, (), str(error))
    examples = found.splits().get(split)
    if examples is None:
        raise ConfigError(f"{config.task} has no {split} split.", f"It has: {', '.join(found.splits())}.")
    answers = answer(loaded, split, examples, found.source, engine, on_batch)
    chosen = choose(answers.output, answers.targets) if answers.classifies else []
    of = [attribute(loaded, answers, example, engine) for example in chosen]
    return View(Path(run), records, record, answers, of, "")


def model_sections(view: View) -> list[Section]:
    """The sections of a trained model, in their order."""
    record, answers = view.record, view.answers
    parts = [sections.configuration(record.config, record.changed())]
    if len(view.records) > 1:
        parts.append(sections.seeds(view.records, record))
    parts.append(sections.curves({str(view.run): view.records}))
    if answers is None:
        words = f"Without the data of {record.config.task} there is nothing to ask the model. {view.missing}"
        parts.append(Section("Answers", soft(words)))
    elif answers.classifies:
        matrix, of = answers.confusion(), f"the {answers.name} set"
        labels = [str(k) for k in range(len(matrix))]
        parts += [sections.confusion(matrix, labels, of), sections.classes(matrix, labels)]
        parts.append(sections.attributions(view.attributions, answers.name))
    else:
        parts.append(sections.regression(answers.values, answers.split.targets, f"the {answers.name} set"))
    before, after = view.before(), view.after()
    task = TASKS.get(record.config.task)
    parts.append(sections.eigenvalues(before, after))
    parts.append(sections.time_scales(before, after, view.length, task.rate if task else None))
    options, names = record.config.model.ssm_options(), layer_names(record.config.model.n_layers)
    layers = [subtree(record.loaded.params, f"{name}.seq") for name in names]
    parts.append(sections.responses([responses(layer, options, view.length) for layer in layers]))
    return parts


def page(view: View) -> str:
    """The page of a trained model."""
    record, answers = view.record, view.answers
    head = f"<h1>s5ref show {escape(str(view.run))}</h1>"
    head += f'<p class="verdict">{escape(headline(view))}</p>'
    cards = [(f"{record.parameters:,}", "parameters"), (f"{record.facts['step']:,}", "updates")]
    cards += [(str(record.facts["epochs"]), f"of {record.config.train.epochs} epochs")]
    cards += [(f"{record.seconds:,.0f} s", "of training")]
    if answers is not None:
        cards.append((f"{answers.scored.examples:,}", f"examples, {answers.name} ({answers.source})"))
    notes = "".join(map(soft, remarks(view)))
    body = head + html.counts(cards) + notes + html.sections(model_sections(view))
    engine = f", engine {record.engine}" if record.engine else ""
    loaded, seed = record.loaded, record.facts["seed"]
    footer = f"{loaded.checkpoint} checkpoint, update {loaded.step:,}, seed {seed}{engine}"
    title = f"{record.config.task} · {view.run.name} · s5ref show"
    return html.page(title, f"{body}<footer>{escape(footer)}</footer>")


def headline(view: View) -> str:
    """The result in one line: on the split where there is data, else the best on the validation set."""
    record, answers = view.record, view.answers
    of = f" (seed {record.facts['seed']}, the median of {len(view.records)})" if len(view.records) > 1 else ""
    if answers is not None:
        figure = _figure(answers.scored.accuracy, answers.scored.mse)
        return f"{record.config.task}: {figure} on the {answers.name} set{of}"
    best = record.best
    if best is None:
        return f"{record.config.task}: not evaluated yet"
    figure = _figure(best["accuracy"], best["mse"])
    return f"{record.config.task}: {figure} on the validation set at best{of}"


def _figure(accuracy: float | None, mse: float | None) -> str:
    return f"mean squared error {mse:.4g}" if accuracy is None else f"{100 * accuracy:.2f} % right"


def remarks(view: View) -> list[str]:
    """What one must know to read the figures."""
    record, config = view.record, view.record.config
    said = list(record.loaded.warnings)
    if record.origin:
        return [*said, "The weights were converted, not trained here."]
    if record.facts["epochs"] < config.train.epochs:
        said.append(
            f"The run has not ended: {record.facts['epochs']} of {config.train.epochs} epochs are done. "
            f"Continue it: s5ref train --resume --out {view.run}"
        )
    return said
