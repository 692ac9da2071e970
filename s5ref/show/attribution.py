"""Which inputs an answer rests on: gradient × input, step by step.

The gradient is that of log p(answer) − log p(rival): the rival is the true class where the answer is wrong,
and the second most probable class where it is right. A step counts with the sum of gradient × input over its
channels; a token, whose input is a one-hot row, with the gradient of the row of the encoder that it picks.
What an input of zero does is not seen, and neither is what the encoder's bias does.
Source: Shrikumar et al., arXiv 1605.01713.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.show.answers import Answers
from s5ref.train.loaded import Loaded


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


def choose(output: Array, targets: Array, most: int = 10) -> list[Example]:
    """For each of the first ``most`` classes: its first right example, and the surest of the wrong ones.

    output (n, K) log-probabilities, targets (n,) classes.
    """
    predicted, chosen = np.argmax(output, axis=1), []
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
    loaded: Loaded, answers: Answers, example: Example, engine: Engine | str | None = None
) -> Attribution:
    """Gradient × input of one example.

    Parameters
    ----------
    loaded : Loaded
        A classifier, of one document or two.
    answers : Answers
    example : Example
    engine : Engine, name or None

    Returns
    -------
    Attribution

    Raises
    ------
    S5Error
        As `Model.forward_and_vjp`.
    """
    params, config = loaded.params, loaded.config.model
    dtype = params["encoder.kernel"].dtype
    batch = answers.split.batch([example.row], dtype)._replace(targets=None)
    tokens = batch.inputs.dtype.kind in "iu"
    reals = np.eye(config.in_dim, dtype=dtype)[batch.inputs] if tokens else batch.inputs
    _, vjp = loaded.model.forward_and_vjp(
        params, loaded.statistics, batch._replace(inputs=reals), engine=engine
    )
    doutput = np.zeros((1, answers.output.shape[1]), dtype)
    doutput[0, example.answer], doutput[0, example.rival] = 1.0, -1.0
    _, dinputs, _ = vjp(doutput)
    steps = np.sum(dinputs * reals, axis=-1)[0]
    lengths = None if batch.lengths is None else batch.lengths[0]
    documents = loaded.model.head.documents
    inputs, steps = (_valid(x, lengths, documents) for x in (batch.inputs[0], steps))
    return Attribution(example, inputs, steps)


def _valid(x: Array, lengths: Array | None, documents: int) -> Array:
    """The valid steps of one example; of two documents those of the first, then those of the second."""
    each = x if documents == 2 else x[None]
    ends = [each.shape[1]] * documents if lengths is None else np.atleast_1d(lengths)
    return np.concatenate([piece[:end] for piece, end in zip(each, ends, strict=True)])
