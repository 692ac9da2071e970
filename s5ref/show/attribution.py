"""Which inputs an answer rests on: gradient × input, step by step.

The gradient is that of log p(answer) − log p(rival): the rival is the true class where the answer is wrong,
and the second most probable class where it is right. A step counts with the sum of gradient × input over its
channels; a token, whose input is a one-hot row, with the gradient of the row of the encoder that it picks.
What an input of zero does is not seen, and neither is what the encoder's bias does.
Source: Shrikumar et al., arXiv 1605.01713.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.show.answers import Answers
from s5ref.train.runs import Loaded


class Example(NamedTuple):
    """One example of a split: its row, class, answer and rival, and its probability of the answer."""

    row: int
    label: int
    answer: int
    rival: int
    probability: float


class Attribution(NamedTuple):
    """inputs: (L, C) reals or (L,) tokens, cut to the valid steps; steps (L,): gradient × input.

    Of two documents both hold the first one and then the second one.
    """

    example: Example
    inputs: Array
    steps: Array


def choose(answers: Answers, most: int = 10) -> list[Example]:
    """For each of the first ``most`` classes: its first right example, and the surest of the wrong ones."""
    output, targets, predicted = answers.output, answers.targets, answers.predicted
    chosen = []
    for label in range(min(most, output.shape[1])):
        right = np.flatnonzero((targets == label) & (predicted == label))[:1]
        wrong = np.flatnonzero((targets == label) & (predicted != label))
        surest = wrong[np.argsort(-output[wrong].max(axis=1), kind="stable")][:1]
        for index in (*right, *surest):
            order = np.argsort(-output[index], kind="stable")
            rival = label if order[0] != label else int(order[1])
            probability = float(np.exp(output[index, order[0]]))
            chosen.append(Example(int(index), label, int(order[0]), rival, probability))
    return chosen


def attribute(
    loaded: Loaded, answers: Answers, examples: Sequence[Example], engine: Engine | str | None = None
) -> list[Attribution]:
    """Gradient × input of each example.

    Parameters
    ----------
    loaded : Loaded
        A classifier, of one document or two.
    answers : Answers
    examples : sequence of Example
        At least one.
    engine : Engine, name or None

    Returns
    -------
    list of Attribution

    Raises
    ------
    S5Error
        As `Model.forward_and_vjp`.
    """
    params = loaded.params
    dtype = params["encoder.kernel"].dtype
    batch = answers.split.batch([example.row for example in examples], dtype)
    given = batch.inputs
    tokens = given.dtype.kind in "iu"
    reals = np.eye(loaded.config.model.in_dim, dtype=dtype)[given] if tokens else given
    doutput = np.zeros((len(examples), answers.output.shape[1]), dtype)
    for row, example in zip(doutput, examples, strict=True):
        row[example.answer], row[example.rival] = 1.0, -1.0
    forward = loaded.model.forward_and_vjp
    _, vjp = forward(params, loaded.statistics, batch._replace(inputs=reals, targets=None), engine=engine)
    _, dinputs, _ = vjp(doutput)
    steps = np.sum(dinputs * reals, axis=-1)
    documents = steps.reshape(len(examples), -1, steps.shape[-1]).shape[:2]
    lengths = (
        np.full(documents, steps.shape[-1]) if batch.lengths is None else batch.lengths.reshape(documents)
    )
    return [
        Attribution(example, _valid(given[i], lengths[i]), _valid(steps[i], lengths[i]))
        for i, example in enumerate(examples)
    ]


def _valid(x: Array, lengths: Array) -> Array:
    """The valid steps of one example; of two documents those of the first, then those of the second."""
    return np.concatenate([x[k, :n] for k, n in enumerate(lengths)]) if len(lengths) == 2 else x[: lengths[0]]
