"""Cases in which options meet: every two values of two options of a layer, and of a whole model, together.

`standing` asks about one option at a time. Which values there are is for the candidate to say: ``has`` tells
whether it can be asked a case, and what it has no other value of is crossed with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, combinations, product
from typing import Any

from s5ref.model.leaves import GATES
from s5ref.verification.conformance.stages.cases import (
    CLASSES,
    both,
    layer_params,
    model_params,
    standing,
)
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.stage import Case

STAGES = ("layer", "model")
AXES: dict[str, tuple[Any, ...]] = {
    "activation": tuple(GATES), "norm": ("batch", "layer"), "prenorm": (True, False), "gelu": ("tanh", "erf"),
    "train": (False, True), "bidirectional": (False, True), "clip_eigs": (False, True),
    "discretization": ("zoh", "bilinear"),
}  # fmt: skip
UNSAID = {
    "prenorm": True,
    "train": False,
    "bidirectional": False,
    "clip_eigs": False,
    "discretization": "zoh",
}
WORDS = {  # of a value in the name of a case; "" where it is what every other case has
    ("prenorm", True): "prenorm", ("prenorm", False): "postnorm",
    ("train", True): "training", ("train", False): "evaluation",
    ("bidirectional", True): "bidirectional", ("clip_eigs", True): "clip_eigs",
    ("norm", "batch"): "batch norm", ("norm", "layer"): "layer norm", ("discretization", "zoh"): "",
}  # fmt: skip
COMMENT = "Options that meet in no other case."
GROWING = 2.0**-6  # Re Λ of a state that clip_eigs changes
Choice = Mapping[str, Any]


def cases() -> Iterator[Case]:
    """Every case. Always the same; one that has every option is asked these and no others."""
    known = list(standing())
    return chain(known, crossed(known, lambda case: True))


def crossed(asked: Iterable[Case], has: Callable[[Case], bool]) -> Iterator[Case]:
    """Cases in which those values meet that do so in none of the cases ``asked``, as few as come easily.

    Parameters
    ----------
    asked : the cases that a candidate is asked anyway
    has : whether it can be asked a case; it looks at options and features, and at no number
    """
    asked = list(asked)
    for stage in STAGES:
        possible = [choice for choice in _choices() if has(_case_of(stage, choice))]
        lacking = set(chain.from_iterable(map(_pairs, possible)))
        for case in asked:
            if case.stage == stage:
                lacking -= _pairs({**UNSAID, **case.options})
        while lacking:
            best = max(possible, key=lambda choice: len(_pairs(choice) & lacking))  # the first of equals
            lacking -= _pairs(best)
            yield from _built(stage, best)


def _choices() -> Iterator[dict[str, Any]]:
    return (dict(zip(AXES, values, strict=True)) for values in product(*AXES.values()))


def _pairs(choice: Choice) -> set[Any]:
    """Every two options with their values."""
    return set(combinations([(name, choice[name]) for name in AXES if name in choice], 2))


def _features(stage: str, choice: Choice) -> tuple[str, ...]:
    of_stage = (choice["activation"],) if stage == "layer" else (choice["activation"], "classifier")
    more = {
        "postnorm": not choice["prenorm"], "train": choice["train"], "clip_eigs": choice["clip_eigs"],
        "bidirectional": choice["bidirectional"], "bilinear": choice["discretization"] == "bilinear",
    }  # fmt: skip
    given = (*of_stage, f"{choice['norm']}_norm", f"gelu_{choice['gelu']}", "conj_sym")
    return given + tuple(word for word, is_so in more.items() if is_so)


def _options(stage: str, choice: Choice) -> dict[str, Any]:
    return {**choice} | ({"n_layers": 2} if stage == "model" else {})


def _case_of(stage: str, choice: Choice) -> Case:
    """The case without its numbers."""
    inputs: dict[str, Any] = {"params": {}, "x": {}}
    features = _features(stage, choice)
    return Case("", stage, inputs, _options(stage, choice), "", (), "should", features, "float32", "")


def _built(stage: str, choice: Choice) -> Iterator[Case]:
    said = (WORDS.get((name, value), value) for name, value in choice.items())
    n = Dyadic(f"{stage}/crossed/{', '.join(filter(None, said))}", "/L5/H3/P2")
    activation, norm, two = choice["activation"], choice["norm"], choice["bidirectional"]
    catches: tuple[str, ...] = ()
    if stage == "layer":
        params, x = layer_params(n, 2, 3, activation, norm, two), n(2, 5, 3)
        cotangent = {"y": n(2, 5, 3)}
    else:
        params, x = model_params(n, 2, 2, norm, two, activation=activation), n(2, 5, 2)
        cotangent = {"log_probabilities": n(2, CLASSES)}
        catches = ("M69",) if activation == "half_glu1" else ()
    if choice["clip_eigs"]:
        for name in params:
            if name.endswith("seq.Lambda"):
                params[name][0] = GROWING + 1j * params[name][0].imag
        catches += ("M68", "M75")
    yield from both(
        n, {"params": params, "x": x}, _options(stage, choice), COMMENT, catches=catches, level="should",
        features=_features(stage, choice), cotangent=cotangent,
    )  # fmt: skip
