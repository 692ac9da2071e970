"""What a model says of the examples of a split, and how it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.data.batches import Split
from s5ref.engine import Engine
from s5ref.model.batch import Batch
from s5ref.train.evaluate import Evaluation, outputs, score
from s5ref.train.loaded import Loaded
from s5ref.tree import described


@described
@dataclass(frozen=True)
class Answers:
    """The output for each example of a split.

    Parameters
    ----------
    name : str
        Of the split.
    source : str
        What the data is.
    split : Split
    output : (n, K) log-probabilities; of a regression its values (n, …, K), or means and variances (n, L, 2K)
    scored : Evaluation
        Loss and accuracy, or mean squared error.
    values : (n, …, K)
        Of a regression what it answers: without the variances.
    """

    name: str
    source: str
    split: Split
    output: Array
    scored: Evaluation
    values: Array

    @property
    def classifies(self) -> bool:
        return self.scored.accuracy is not None

    @property
    def predicted(self) -> Array:
        """(n,) classes."""
        predicted: Array = np.argmax(self.output, axis=1)
        return predicted

    @property
    def targets(self) -> Array:
        """Classes as integers, or real values."""
        targets = self.split.targets
        return targets.astype(np.int64) if self.classifies else targets

    def confusion(self) -> Array:
        """(K, K) counts: row the class, column the answer."""
        return confusion_matrix(self.targets, self.predicted, self.output.shape[1])


def confusion_matrix(targets: Array, predicted: Array, K: int) -> Array:
    """(K, K) counts: row the class, column the answer. Both (n,) integers below K."""
    return np.bincount(targets * K + predicted, minlength=K * K).reshape(K, K)


def answer(
    loaded: Loaded,
    name: str,
    split: Split,
    source: str,
    engine: Engine | str | None = None,
    on_batch: Callable[[float], None] | None = None,
) -> Answers:
    """Ask the model about every example of a split.

    Parameters
    ----------
    loaded : Loaded
    name, source : str
        Of the split; what the data is.
    split : Split
    engine : Engine, name or None
    on_batch : function or None
        Is given the fraction done.

    Returns
    -------
    Answers

    Raises
    ------
    S5Error
        As `Model.forward`.
    """
    dtype, n, done = loaded.params["encoder.kernel"].dtype, len(split), 0
    batches = split.batches(loaded.config.train.batch or 100, dtype)
    every = []
    given = loaded.model, loaded.params, loaded.statistics, batches, engine
    for _, output in outputs(*given, chunk=loaded.config.train.chunk):
        every.append(output)
        done += len(output)
        if on_batch is not None:
            on_batch(done / n)
    whole = np.concatenate(every)
    classifies = loaded.model.head.classifies
    targets = split.targets.astype(np.int64 if classifies else np.float64)
    valid = loaded.model.valid_steps(Batch(split.inputs, lengths=split.lengths))
    head = loaded.model.head
    loss, right, mse = score(head, whole, targets, valid)
    scored = Evaluation(loss, right / n, n) if classifies else Evaluation(loss, None, n, mse)
    return Answers(name, source, split, whole, scored, head.point(whole))


class ClassRow(NamedTuple):
    """One class: how many there are, which share of them is found (recall), which share of the answers that
    name it is right (precision; None where no answer does), and what its examples are taken for: (class, how
    many), the most frequent first.
    """

    label: int
    support: int
    recall: float | None
    precision: float | None
    taken_for: list[tuple[int, int]]


def per_class(confusion: Array) -> list[ClassRow]:
    """A row for each class of a confusion matrix (K, K)."""
    found, there, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    rows = []
    for k in range(len(confusion)):
        wrong = [(int(j), int(confusion[k, j])) for j in np.argsort(-confusion[k], kind="stable") if j != k]
        rows.append(ClassRow(
            k, int(there[k]), share(int(found[k]), int(there[k])), share(int(found[k]), int(answered[k])),
            [(label, count) for label, count in wrong if count],
        ))  # fmt: skip
    return rows
