"""What training reports while it runs and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from s5ref.arrays import Array
from s5ref.errors import NumericalError
from s5ref.train.loaded import Loaded
from s5ref.train.selection import Best
from s5ref.tree import described


@dataclass(frozen=True)
class Progress:
    """Where a run is; a callback is given it after every update, epoch and batch of an evaluation.

    phase        "train": an update is done; "epoch": one has ended; "validation", "test": a batch of these is
    step, steps  updates done, updates the run will have made when it ends (``stop_after`` counted in)
    epoch        the current epoch, from 1, and ``epochs`` of them
    loss         training loss of this update (phase "train"), else the mean of the epoch so far
    done         the fraction of the present evaluation (1.0 in the other phases)
    steps_per_s  updates per second, 0 before the second one: the first may have compiled kernels
    eta          seconds to the end of the last epoch, evaluations included; NaN before the second update
    accuracy     of this update's batch, where it is counted (`s5ref.train.overfit`)
    record       of the last epoch that ended, as in `FitResult.history`; None before
    best         the best evaluation so far: epoch, step, loss, accuracy; None before the first
    rates        {"lr": …, "ssm_lr": …} of this update
    """

    phase: str
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    done: float
    steps_per_s: float
    eta: float
    accuracy: float | None = None
    record: dict[str, Any] | None = None
    best: Best | None = None
    rates: dict[str, float] | None = None


Report: TypeAlias = Callable[[Progress], None]


@described
@dataclass(frozen=True)
class FitResult:
    """The outcome of one run.

    Accuracies are fractions, None of a regression, whose mean squared errors are ``test_mse`` and
    ``best_val_mse``, None of classes; they are the losses too unless the head gives variances.
    ``selected`` names the checkpoint that the test figures are of: "best", or "last" if no epoch ended.
    ``learned``: best validation accuracy above the majority share by 3 standard errors
    (regression: best validation MSE below the variance of the targets).
    ``history`` has one record an epoch, as metrics.jsonl: epoch, train_loss, val_loss, val_accuracy, seconds,
    and of a regression val_mse.
    ``best`` and ``last`` are the model with the weights of these checkpoints; ``best`` is None before the
    first epoch's end. `predict` and `outputs` are those of ``loaded``: the best, else the last.
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
    run: str  # the folder; "" where nothing was written
    last: Loaded = field(compare=False)
    best: Loaded | None = field(compare=False, default=None)
    history: list[dict[str, Any]] = field(compare=False, default_factory=list)
    interrupted: int | None = None
    warnings: list[str] = field(default_factory=list)
    test_mse: float | None = None
    best_val_mse: float | None = None

    @property
    def loaded(self) -> Loaded:
        """The model that the test figures are of."""
        return self.best or self.last

    @property
    def outputs(self) -> Callable[..., Array]:
        """`Loaded.outputs` of ``loaded``, with its arguments."""
        return self.loaded.outputs

    @property
    def predict(self) -> Callable[..., Array]:
        """`Loaded.predict` of ``loaded``, with its arguments."""
        return self.loaded.predict

    def facts(self) -> dict[str, Any]:
        """The fields but for weights and history."""
        return {name: x for name, x in vars(self).items() if name not in ("last", "best", "history")}


@described
@dataclass(frozen=True)
class SeedsResult:
    """Several seeds: ``test_accuracy`` is the mean, ``std`` the sample standard deviation (0 for one); of a
    regression ``test_mse`` is the mean, and ``std`` its deviation.
    """

    recipe: str
    run: str
    test_accuracy: float | None
    std: float | None
    best_val_accuracy: float | None  # mean
    not_learned: int
    seconds: float
    seeds: list[FitResult]
    interrupted: int | None = None
    test_mse: float | None = None


@dataclass(frozen=True)
class OverfitResult:
    """Training on one batch only: was it learned (accuracy 1 and small loss, or small mean squared error),
    and after how many updates.
    """

    learned: bool
    steps: int
    loss: float
    accuracy: float | None
    examples: int
    seconds: float
    interrupted: int | None = None
    mse: float | None = None


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
