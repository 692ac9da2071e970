"""Whether a step downhill leads downhill: along a candidate's gradients, and by its own optimiser, whose
groups of leaves are looked at by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.optim import OptimConfig
from s5ref.optim.adamw import OPT_CONFIGS, group_table
from s5ref.tree import prefixed
from s5ref.verification.conformance.kit.ask import Lacking
from s5ref.verification.conformance.kit.behaviour import Ask, Behaviour, listed, of_both, same
from s5ref.verification.conformance.stages.cases import CLASSES, model_params
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.forms import stored
from s5ref.verification.conformance.stages.stage import Arrays

OPTIONS = {"gelu": "tanh", "norm": "layer", "train": False, "n_layers": 2}
FEATURES = ("classifier", "layer_norm", "gelu_tanh")
UPDATE = {"opt_config": "standard", "dt_global": False, "k": 0, "weight_decay": 0.0}
LR = 2.0**-8  # of an update
STEP = 2.0**-6  # the largest change of a parameter along its gradient
OFF = 2.0**-4  # of a slope: what curvature adds to it, and rounding in float32
CLIPPED = -1e-4  # the largest Re Λ with clip_eigs
Form = tuple[bool, str]  # conj_sym, activation
DESCENT: list[Behaviour] = []
_check = partial(listed, DESCENT)


class _Loss:
    """Mean cross-entropy of a small classifier, by a candidate."""

    def __init__(self, ask: Ask, form: Form, **more: Any) -> None:
        n, (conj_sym, activation) = Dyadic("descent"), form
        self._ask = ask
        self._options = {**OPTIONS, "conj_sym": conj_sym, "activation": activation, **more}
        self.params = model_params(n, 2, 2, "layer", activation=activation)
        self._x, classes = n(4, 6, 2), np.arange(4) % CLASSES
        self._d = -np.eye(CLASSES)[classes] / len(classes)

    def answer(self, params: Mapping[str, Array], cotangent: bool = False) -> Arrays:
        d = {"log_probabilities": self._d} if cotangent else {}
        return self._ask({"params": dict(params), "x": self._x}, self._options, d, stage="model")

    def __call__(self, params: Mapping[str, Array]) -> float:
        return float(np.sum(self._d * self.answer(params)["log_probabilities"]))

    def gradients(self) -> Arrays:
        answer = self.answer(self.params, cotangent=True)
        return {name: answer[f"dparams.{name}"] for name in self.params if f"dparams.{name}" in answer}

    def slope(self, way: Mapping[str, Array], step: float) -> float:
        """Of the loss along ``way``, by a difference over two steps."""
        ahead, behind = (
            {name: x + sign * step * way[name] if name in way else x for name, x in self.params.items()}
            for sign in (1, -1)
        )
        return (self(ahead) - self(behind)) / (2 * step)


def _derivative(g: Array, way: Array) -> float:
    """The derivative along ``way``: ∂L/∂Re z + i ∂L/∂Im z is the gradient by a complex z."""
    return float(np.sum(np.conj(g) * way).real)


@_check("descent", "", "model", features=FEATURES, gradients=True, right=True)
@of_both
def _descends(ask: Ask, form: Form) -> str:
    """A small step against the gradient of a leaf, real or complex, takes from the loss what the square of
    that gradient says, for each leaf by itself.
    """
    loss = _Loss(ask, form)
    for name, g in loss.gradients().items():
        want, largest = _derivative(g, g), float(np.max(np.abs(g)))
        if largest == 0:
            return f"the gradient of {name} is 0"
        slope = loss.slope({name: g}, STEP / largest)
        if abs(slope - want) > OFF * want:
            return (
                f"along the gradient of {name} the loss grows by {slope:.4g}, not by its square, {want:.4g}"
            )
    return ""


def _updated(ask: Ask, params: Arrays, grads: Arrays, lr: float = LR) -> Arrays:
    """The parameters after the candidate's first update, without decay and with one rate for all."""
    grads = {name: grads.get(name, np.zeros_like(leaf)) for name, leaf in params.items()}
    none = {name: np.zeros_like(leaf) for name, leaf in params.items()}
    given = {"params": params, "grads": grads, "moments": prefixed("first", none) | prefixed("second", none)}
    answer = ask(given, {**UPDATE, "lr": lr, "ssm_lr": lr}, {}, stage="update")
    return {name: answer[f"params.{name}"] for name in params}


def _moves(ask: Ask, form: Form) -> tuple[_Loss, Arrays, Arrays]:
    """The loss, its gradients, and what an update adds to each leaf."""
    loss = _Loss(ask, form)
    grads = loss.gradients()
    after = _updated(ask, loss.params, grads)
    return loss, grads, {name: after[name] - loss.params[name] for name in grads}


@_check(
    "complex leaves descend", "M62", "update", features=("optimizer", *FEATURES), gradients=True,
)  # fmt: skip
@of_both
def _complex_leaves_descend(ask: Ask, form: Form) -> str:
    """The first update of AdamW takes every part of a complex leaf downhill by itself."""
    _, grads, moves = _moves(ask, form)
    ways = [(g, moves[name]) for name, g in grads.items() if np.iscomplexobj(g)]
    down = all(np.sum(g.real * way.real) < 0 for g, way in ways)
    up = all(np.sum(g.imag * way.imag) > 0 for g, way in ways)
    return "real parts go downhill and imaginary parts uphill" if ways and down and up else ""


@_check(
    "an update descends", "", "update", features=("optimizer", *FEATURES), gradients=True, right=True,
    beside="model",
)  # fmt: skip
@of_both
def _update_descends(ask: Ask, form: Form) -> str:
    """The first update moves every leaf with a gradient, downhill, and the loss changes by the derivative
    along the way.
    """
    loss, grads, moves = _moves(ask, form)
    for name, g in grads.items():
        if not np.any(moves[name]):
            return f"an update leaves {name} where it is"
        if _derivative(g, moves[name]) >= 0:
            return f"an update moves {name} uphill"
    want, slope = sum(_derivative(g, moves[name]) for name, g in grads.items()), loss.slope(moves, 1.0)
    if abs(slope - want) > OFF * abs(want):
        return f"an update changes the loss by {slope:.4g}; the derivative along it is {want:.4g}"
    return ""


@_check(
    "clipped after an update", "", "model", features=("clip_eigs", *FEATURES), gradients=True, right=True,
)  # fmt: skip
@of_both
def _clipped_after_update(ask: Ask, form: Form) -> str:
    """Re Λ that an update takes above −1e-4 counts as −1e-4, is stored as it is, and has no gradient."""
    loss = _Loss(ask, form, clip_eigs=True)
    names = [name for name in loss.params if name.endswith("Lambda")]
    for name in names:
        loss.params[name] = -(2.0**-8) + 1j * loss.params[name].imag
    rising = {name: -np.ones_like(loss.params[name]) for name in names}
    try:
        after = _updated(ask, loss.params, rising, 2.0**-4)
    except Lacking:  # plain descent
        after = loss.params | {name: loss.params[name] - 2.0**-4 * rising[name] for name in names}
    if not all(np.all(after[name].real > 0) for name in names):
        return "an update does not take Re Λ above −1e-4 where its gradient is negative"
    clipped = after | {name: CLIPPED + 1j * after[name].imag for name in names}
    answer = loss.answer(after, cotangent=True)
    if not same(loss.answer(clipped), {"log_probabilities": answer["log_probabilities"]}):
        return "after an update that takes Re Λ above −1e-4 it does not count as −1e-4"
    moving = next((name for name in names if np.any(answer.get(f"dparams.{name}", np.zeros(1)).real)), "")
    return f"Re {moving} is clipped, and has a gradient" if moving else ""


RATES = {"ssm_lr": 2.0**-8, "lr": 2.0**-6, "weight_decay": 2.0**-4}


class _Group(NamedTuple):
    """Where a leaf is, and where it must be."""

    rate: float
    decay: float
    want: tuple[float, float]

    def words(self, name: str, how: str) -> str:
        rate, decay = self.want
        return (
            f"{name} has the rate {self.rate:g} and the decay {self.decay:g}; {how} it must have {rate:g} "
            f"and {decay:g}"
        )

    def has(self, rate: float, decay: float) -> bool:
        return bool(np.allclose((self.rate, self.decay), (rate, decay), rtol=2.0**-20))


def _elsewhere(ask: Ask, word: str = "standard", dt_global: bool = False) -> dict[str, _Group]:
    """The leaves that are in another group than upstream's."""
    params = model_params(Dyadic("groups"), 2, 2, "layer")
    config = OptimConfig(word, dt_global, RATES["ssm_lr"], RATES["lr"], RATES["weight_decay"])
    table = group_table(stored(params), config)
    answer = ask({"params": params}, {"opt_config": word, "dt_global": dt_global, **RATES}, {})
    found = {}
    for name in params:
        group = table.get(name) or table[f"{name}_re"]
        rate, decay = (float(answer[f"{what}.{name}"]) for what in ("rates", "decays"))
        found[name] = _Group(rate, decay, (getattr(config, group.rate), group.weight_decay))
    return {name: group for name, group in found.items() if not group.has(*group.want)}


def _all_of(found: Mapping[str, _Group], leaves: set[str], rate: float, decay: float) -> str:
    """In words, where the leaves of these names, and no others, have this rate and decay."""
    if {name.rpartition(".")[2] for name in found} != leaves:
        return ""
    if not all(group.has(rate, decay) for group in found.values()):
        return ""
    return f"{', '.join(found)} have the rate {rate:g} and the decay {decay:g}"


@_check("log_step is in a group", "M15", "groups", level="may")
def _log_step_in_a_group(ask: Ask) -> str:
    """log_step moves with the state space, without decay: its pattern matches it."""
    return _all_of(_elsewhere(ask), {"log_step"}, RATES["lr"], RATES["weight_decay"])


@_check("the state space does not decay", "M16", "groups", level="may")
def _state_space_does_not_decay(ask: Ask) -> str:
    """Λ, B and log_step have no decay in the standard groups."""
    leaves = {"Lambda", "B", "log_step"}
    return _all_of(_elsewhere(ask), leaves, RATES["ssm_lr"], RATES["weight_decay"])


@_check("parameter groups", "", "groups", right=True, beside="update", level="may")
def _groups(ask: Ask) -> str:
    """Which leaf has which rate and decay, in all of upstream's four ways and with dt_global."""
    if _log_step_in_a_group(ask) or _state_space_does_not_decay(ask):
        return ""
    for word, dt_global in (*((word, False) for word in OPT_CONFIGS), ("standard", True)):
        how = f"with opt_config = {word}{' and dt_global' * dt_global}"
        for name, group in _elsewhere(ask, word, dt_global).items():
            return group.words(name, how)
    return ""
