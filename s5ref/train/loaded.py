"""A trained model with its weights, ready to predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref.arrays import Array, as_array
from s5ref.engine import Engine
from s5ref.errors import ShapeError
from s5ref.model.batch import Batch
from s5ref.model.model import Model
from s5ref.train.config import RunConfig
from s5ref.train.evaluate import outputs
from s5ref.tree import described


@described
@dataclass(frozen=True)
class Loaded:
    """A trained model, ready to predict.

    Parameters
    ----------
    model : Model
    params, statistics : dict
        Of the checkpoint.
    config : RunConfig
    step : int
        Updates that made it.
    checkpoint : {"best", "last"}
    warnings : tuple of str
        One sentence for every key in which config.toml differs from the checkpoint, which counts; and one
        where the last checkpoint stands for the best.
    """

    model: Model
    params: dict[str, Array]
    statistics: dict[str, Array]
    config: RunConfig
    step: int
    checkpoint: str
    warnings: tuple[str, ...] = ()

    def outputs(
        self,
        inputs: Any,
        lengths: Any = None,
        intervals: Any = None,
        engine: Engine | str | None = None,
        resets: Any = None,
    ) -> Array:
        """What the model says of each sequence.

        Parameters
        ----------
        inputs : (N, L) tokens or (N, L, in_dim) reals
            As in `s5ref.Batch`; lists are accepted.
        lengths : (N,) or None
            Valid steps; None: all L.
        intervals : (N, L) or None
            Sampling interval before each step, in units of the regular one; None: regular.
        engine : Engine, name or None
            None: the default one.
        resets : (N, L) or (N,) bool, or None
            True where an episode begins; (N,): at the first step; None: nowhere.

        Returns
        -------
        (N, K) log-probabilities; of a regression its values (N, L, K) or (N, K)

        Raises
        ------
        S5Error
            On inputs that do not fit, or none.
        """
        batches = self._batches(as_array(inputs), lengths=lengths, intervals=intervals, resets=resets)
        given = self.model, self.params, self.statistics, batches, engine
        each = outputs(*given, chunk=self.config.train.chunk)
        return np.concatenate([output for _, output in each])

    def predict(
        self,
        inputs: Any,
        lengths: Any = None,
        intervals: Any = None,
        engine: Engine | str | None = None,
        resets: Any = None,
    ) -> Array:
        """The most probable class of each sequence, (N,); of a regression its values (N, L, K) or (N, K).

        Arguments and errors as of `outputs`.
        """
        output = self.outputs(inputs, lengths, intervals, engine, resets)
        return np.argmax(output, axis=1) if self.model.head.classifies else output

    def _batches(self, inputs: Array, **fields: Any) -> Iterator[Batch]:
        """The sequences with the other fields of `Batch`, in batches."""
        if inputs.ndim == 0 or len(inputs) == 0:
            raise ShapeError(
                f"predict: inputs must hold at least one sequence; got {inputs.shape}.", "Check the inputs."
            )
        tokens = inputs.dtype.kind in "iu" and inputs.ndim == 1 + self.model.head.documents
        if not tokens:
            inputs = inputs.astype(self.params["encoder.kernel"].dtype)
        size = self.config.train.batch or 100
        given = {name: as_array(x) for name, x in fields.items() if x is not None}
        for name, x in given.items():
            if len(x) != len(inputs):
                raise ShapeError(
                    f"predict: {name} must have one entry for each of the {len(inputs)} sequences; "
                    f"got {len(x)}.",
                    "Check what produces them.",
                )
        for i in range(0, len(inputs), size):
            part: dict[str, Any] = {name: x[i : i + size] for name, x in given.items()}
            yield Batch(inputs[i : i + size], **part)
