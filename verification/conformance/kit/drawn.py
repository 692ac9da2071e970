"""Dropout as a candidate draws it: masks are seen in what a layer makes of zeros.

With x = 0, norm.scale = 0, norm.bias = 1, C = 0, D = 1 and gates of kernel 0 a layer is a constant times its
masks. Statistics are of 4096 draws; each check raises a false alarm with a probability of at most 1e-10, so
that a right candidate fails any of them with one below 1e-9.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.kit.ask import Lacking
from s5ref.verification.conformance.kit.behaviour import ACTIVATIONS, Ask, Behaviour, listed
from s5ref.verification.conformance.stages.cases import layer_params
from s5ref.verification.conformance.stages.draws import Dyadic

RATE = 0.25
EXAMPLES, STEPS, FEATURES = 64, 5, 64
FALSE_ALARM = 1e-10
NEAR = 2.0**-6  # two values of a mask are the same
SEEN = {"gelu": 1, "half_glu2": 1, "full_glu": 1, "half_glu1": 2}  # masks that the output is multiplied by
DRAWN: list[Behaviour] = []
_check = partial(
    listed, DRAWN, stage="layer", features=("conj_sym", "train", "gelu_tanh", "drawn_dropout")
)  # fmt: skip


class Masks(NamedTuple):
    """What a layer is multiplied by.

    training    (N, L, H), the product of ``seen`` masks
    evaluation  the same outside training
    seen        how many
    """

    training: Array
    evaluation: Array
    seen: int

    @property
    def kept(self) -> Array:
        """At the first step of each example, where nothing is dropped."""
        return np.asarray(self.training[:, 0] != 0)

    @property
    def some(self) -> bool:
        """Whether something is dropped, and something is not."""
        return bool(self.kept.any() and not self.kept.all())

    @property
    def factor(self) -> float:
        """What is kept is multiplied by it; NaN if by several."""
        values = self.training[self.training != 0]
        return float(values.mean()) if values.size and np.ptp(values) <= NEAR else float("nan")


CONSTANT = {
    "seq.C": 0, "seq.D": 1, "norm.scale": 0, "norm.bias": 1, "out1.kernel": 0, "out1.bias": 1,
    "out2.kernel": 0, "out2.bias": 0,
}  # fmt: skip


def _masks(ask: Ask, seed: int = 0) -> Masks:
    """By the first activation and norm that the candidate has."""
    reasons = []
    for activation, norm in product(ACTIVATIONS, ("layer", "batch")):
        try:
            return _masks_of(partial(ask, features=(activation, f"{norm}_norm")), activation, norm, seed)
        except Lacking as error:
            reasons.append(error)
    raise reasons[0]


def _masks_of(ask: Ask, activation: str, norm: str, seed: int) -> Masks:
    """`Lacking` where nothing shows a mask."""
    params = layer_params(Dyadic("drawn"), 2, FEATURES, activation, norm)
    params = {n: np.full_like(x, CONSTANT[n]) if n in CONSTANT else x for n, x in params.items()}
    inputs = {"params": params, "x": np.zeros((EXAMPLES, STEPS, FEATURES))}
    options = {"activation": activation, "norm": norm, "gelu": "tanh", "prenorm": True, "seed": seed}

    def layer(train: bool, rate: float) -> Array:
        return np.asarray(ask(inputs, {**options, "train": train, "dropout": rate}, {})["y"])

    whole = layer(True, 0.0)
    if not (np.isfinite(whole).all() and np.ptp(whole) == 0 != whole.flat[0]):
        raise Lacking("nothing is seen of its masks: a layer whose parts are constants is not constant")
    return Masks(layer(True, RATE) / whole, layer(False, RATE) / whole, SEEN[activation])


def _share(draws: int) -> float:
    """A share of so many draws is off by more with the probability `FALSE_ALARM` at most (Hoeffding)."""
    return sqrt(log(2 / FALSE_ALARM) / (2 * draws))


def _keeps(masks: Masks, probability: float) -> bool:
    """Whether the share of what is kept is that of masks which keep with this probability."""
    off = abs(float(masks.kept.mean()) - probability**masks.seen)
    return off <= _share(masks.kept.size)


@_check("dropout is constant over time", mistake="M34")
def _constant_over_time(ask: Ask) -> str:
    """A feature of an example that is dropped at one step is dropped at all."""
    zero = _masks(ask).training == 0
    return "a mask varies over time" if np.any(zero != zero[:, :1]) else ""


@_check("dropout is scaled", mistake="M71")
def _scaled(ask: Ask) -> str:
    """What is kept is divided by 1 − p."""
    masks = _masks(ask)
    return "what is kept stays as it is" if masks.some and abs(masks.factor - 1) <= NEAR else ""


@_check("dropout drops with its rate", mistake="M72")
def _with_its_rate(ask: Ask) -> str:
    """The share of zeros is p: 1 − p of them is not chance."""
    masks = _masks(ask)
    if _keeps(masks, 1 - RATE) or not _keeps(masks, RATE):
        return ""
    return f"{masks.kept.mean():.3f} of the features are kept at the rate {RATE}"


@_check("dropout of each example", mistake="M73")
def _of_each_example(ask: Ask) -> str:
    """Examples have masks of their own."""
    masks = _masks(ask)
    alike = np.all(masks.training == masks.training[:1])
    return "all examples have the same mask" if masks.some and alike else ""


@_check("dropout ends with training", mistake="M74")
def _ends_with_training(ask: Ask) -> str:
    """Evaluation drops nothing, whatever the rate."""
    evaluation = _masks(ask).evaluation
    dropped = bool(np.any(evaluation == 0)) and not np.all(evaluation == 0)
    return "evaluation drops features" if dropped else ""


@_check("dropout as drawn", mistake="", right=True)
def _as_drawn(ask: Ask) -> str:
    """What the other checks do not say of a mask: its values, its share of zeros, the seed."""
    masks, other = _masks(ask), _masks(ask, seed=1)
    keep = next((p for p in (1 - RATE, RATE) if _keeps(masks, p)), None)
    if keep is None:
        return f"{masks.kept.mean():.3f} of the features are kept at the rate {RATE}"
    if not any(abs(masks.factor - value) <= NEAR for value in (1, keep**-masks.seen)):
        return f"what is kept is multiplied by {masks.factor:.3g}, not by {keep**-masks.seen:.3g}"
    if np.array_equal(masks.training, other.training):
        return "another seed gives the same masks"
    if np.all(masks.evaluation != 0) and np.any(np.abs(masks.evaluation - 1) > NEAR):
        return "evaluation is not the layer without dropout"
    return ""
