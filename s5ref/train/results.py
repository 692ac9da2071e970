"""What training reports while it runs and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from s5ref.errors import NumericalError
from s5ref.tree import described


@dataclass(frozen=True)
class Progress:
    """Where a run is; given to the ``report`` callback after every update and every batch of an evaluation.

    phase        "train", "validation" or "test"
    step, steps  updates done, updates the run will have made when it ends (``stop_after`` counted in)
    epoch        the current epoch, from 1, and ``epochs`` of them
    loss         training loss of this update (phase "train"), else of the epoch so far
    accuracy     the best validation accuracy so far (None before the first epoch's end, and of a regression)
    done         the fraction of the present evaluation (1.0 in phase "train")
    steps_per_s  updates per second, a moving average
    eta          seconds to the last update
    """

    phase: str
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    accuracy: float | None
    done: float
    steps_per_s: float
    eta: float


Report: TypeAlias = Callable[[Progress], None]


@described
@dataclass(frozen=True)
class FitResult:
    """The outcome of one run.

    Accuracies are fractions; of a regression they are None and the losses are mean squared errors.
    ``selected`` names the checkpoint that the test figures are of: "best", or "last" if no epoch ended.
    ``learned``: best validation accuracy above the majority share by 3 standard errors
    (regression: best validation MSE below the variance of the targets).
    ``interrupted`` is the number of the signal that stopped the run, or None; test figures are then None.
    """

    recipe: str
    seed: int
    parameters: int
    steps: int
    epochs: int  # whole epochs done
    seconds: float  # training and its evaluations, all parts of a resumed run together
    test_accuracy: float | None
    test_loss: float | None
    best_val_accuracy: float | None
    best_val_loss: float | None
    best_epoch: int | None
    learned: bool | None
    selected: str  # "best" or "last"
    selected_on: str  # "validation" or "test"
    source: str  # what the data is: "official", "embedded", "regenerated", …
    run: str
    interrupted: int | None = None
    warnings: list[str] = field(default_factory=list)


@described
@dataclass(frozen=True)
class SeedsResult:
    """Several seeds: ``test_accuracy`` is the mean, ``std`` the sample standard deviation (0 for one)."""

    recipe: str
    run: str
    test_accuracy: float | None
    std: float | None
    best_val_accuracy: float | None  # mean
    not_learned: int
    seconds: float
    seeds: list[FitResult]
    interrupted: int | None = None


@dataclass(frozen=True)
class OverfitResult:
    """Training on one batch only: was it learned (accuracy 1, small loss), and after how many updates."""

    learned: bool
    steps: int
    loss: float
    accuracy: float | None
    examples: int
    seconds: float
    interrupted: int | None = None


@dataclass(frozen=True)
class GroupRow:
    """One parameter group: base rate (``rate`` says which of the two), decay, leaves, numbers in them."""

    group: str
    rate: str
    lr: float
    decay: float
    leaves: list[str]
    parameters: int


class NonFinite(NumericalError):
    """A loss or gradient that is not finite: in which update (from 1), and the first leaf concerned."""

    def __init__(self, message: str, remedy: str, step: int, layer: str, leaf: str, group: str) -> None:
        super().__init__(message, remedy)
        self.step = step
        self.layer = layer
        self.leaf = leaf
        self.group = group
