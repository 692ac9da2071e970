"""The optimiser as one value with two pure functions, and its section [optim] in a run's configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from s5ref.arrays import Array, Leaves
from s5ref.errors import DataError, NumericalError
from s5ref.optim.adamw import Group, Moments, Rates, adamw, first_nonfinite, group_table, init_moments
from s5ref.optim.schedule import factor
from s5ref.settings import check
from s5ref.tree import described


@described
class AdamWState(NamedTuple):
    """What `AdamW` keeps between updates: the moments, and the number of updates made."""

    moments: Moments
    updates: int


@dataclass(frozen=True)
class AdamW(Rates):
    """AdamW with the parameter groups of S5 and one learning-rate schedule for all of them.

    Parameters
    ----------
    opt_config : str
        Which leaves take which rate and decay: "standard", "BandCdecay", "BfastandCdecay" or "noBCdecay".
    dt_global : bool
        log Δ takes ``lr`` and the weight decay instead of ``ssm_lr``.
    ssm_lr, lr : float
        The base rates of the SSM's leaves and of all others; the schedule multiplies both.
    weight_decay : float
        λ of the decoupled decay, where ``opt_config`` decays.
    schedule : str
        "constant", "warmup_cosine" or "upstream".
    warmup_steps, total_steps : int
        Updates of the warm-up and of the whole run; a constant schedule needs neither.

    Raises
    ------
    ConfigError
        A value of another type, out of range, or an unknown name.

    Notes
    -----
    `init` and `update` are pure functions, as in optax: nothing is changed in place. `s5ref.train` makes the
    same updates, to the bit.

    Examples
    --------
    ::

        optimizer = s5ref.optim.AdamW(lr=4e-3, ssm_lr=1e-3, weight_decay=0.01)
        state = optimizer.init(params)
        params, state = optimizer.update(grads, state, params)
    """

    schedule: str = "constant"
    warmup_steps: int = 0
    total_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check("optim.warmup_steps", self.warmup_steps, "≥ 0", self.warmup_steps >= 0)
        needed = 0 if self.schedule == "constant" else 1
        condition = f"≥ {needed} under schedule {self.schedule}"
        check("optim.total_steps", self.total_steps, condition, self.total_steps >= needed)

    def init(self, params: Leaves) -> AdamWState:
        """The state before the first update: moments of zero.

        Parameters
        ----------
        params : mapping of leaf names to real arrays
            As `Model.init` returns them.

        Raises
        ------
        ConfigError
            A leaf that a group needs is missing: these are not the parameters of a model.
        """
        self.groups(params)
        return AdamWState(init_moments(params), 0)

    def update(self, grads: Leaves, state: AdamWState, params: Leaves) -> tuple[dict[str, Array], AdamWState]:
        """One update.

        Parameters
        ----------
        grads : mapping of leaf names to real arrays
            The gradient of every leaf, in its shape and dtype.
        state : AdamWState
            As `init` or the update before returned it.
        params : mapping of leaf names to real arrays

        Returns
        -------
        params, state : new arrays of the same shapes and dtypes

        Raises
        ------
        DataError
            Gradients or moments of other leaves than the parameters'.
        ShapeError
            A gradient of another shape or dtype than its leaf.
        NumericalError
            A gradient that is NaN or infinite.
        """
        for what, tree in (("grads", grads), ("state", state.moments.first)):
            if wrong := sorted(params.keys() ^ tree.keys()):
                raise DataError(
                    f"AdamW.update: {what} must hold the leaves of params; not so: {', '.join(wrong)}.",
                    "Take grads from model.loss_and_grad(params, …) and state from init(params).",
                )
        if leaf := first_nonfinite(grads):
            raise NumericalError(
                f"AdamW.update: the gradient of {leaf} must be finite.", "Lower lr or ssm_lr, or clip it."
            )
        count, rates = state.updates + 1, self.rates(state.updates)
        new, moments = adamw(params, grads, state.moments, count, self.groups(params), rates)
        return new, AdamWState(moments, count)

    def groups(self, names: Iterable[str]) -> dict[str, Group]:
        """The group of every leaf."""
        return group_table(names, self)

    def rates(self, k: int) -> dict[str, float]:
        """{"lr": …, "ssm_lr": …} of update ``k``, counted from 0."""
        scale = factor(self.schedule, k, 1, self.total_steps, self.warmup_steps)
        return {"lr": scale * self.lr, "ssm_lr": scale * self.ssm_lr}


@dataclass(frozen=True)
class OptimConfig(Rates):
    """`AdamW` of a run, whose warm-up is counted in epochs.

    Parameters
    ----------
    opt_config, dt_global, ssm_lr, lr, weight_decay, schedule
        As in `AdamW`.
    warmup_epochs : int
        Linear warm-up, in epochs; a run that is shorter ends on the way up.

    Raises
    ------
    ConfigError
        A value of another type, out of range, or an unknown name.
    """

    warmup_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check("optim.warmup_epochs", self.warmup_epochs, "≥ 0", self.warmup_epochs >= 0)

    def optimizer(self, steps_per_epoch: int, epochs: int) -> AdamW:
        """`AdamW` with the schedule of a run of ``epochs`` epochs of ``steps_per_epoch`` updates each."""
        return AdamW(
            self.opt_config, self.dt_global, self.ssm_lr, self.lr, self.weight_decay, self.schedule,
            steps_per_epoch * self.warmup_epochs, steps_per_epoch * epochs,
        )  # fmt: skip
