"""A check of behaviour: several questions to a candidate, whose answers are compared with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from itertools import product
from typing import Any, Protocol

import numpy as np

from s5ref.arrays import Array
from s5ref.model.leaves import GATES
from s5ref.tree import map_leaves
from s5ref.verification.conformance.kit.ask import Lacking
from s5ref.verification.conformance.stages.stage import Arrays
from s5ref.verification.rounding.budget import cast

TOLERATED = 2.0**12  # eps: between two answers to questions that mean the same
SPECTRA = {True: "conj_sym", False: "all_states"}  # the feature
ACTIVATIONS = tuple(sorted(GATES, key=lambda name: name != "half_glu2"))  # in the order of asking


class Ask(Protocol):
    """A candidate as a function: ``ask(inputs, options, cotangent, dtype) → {output or cotangent: array}``.

    It answers for the stage of its check, without cotangents where it has no gradients. `Lacking` where it
    has not what it is asked for.
    """

    def __call__(
        self, inputs: Mapping[str, Any], options: Mapping[str, Any], cotangent: Arrays, dtype: str = "",
        memory: float | None = None, stage: str = "", features: tuple[str, ...] = (),
    ) -> Arrays:  # fmt: skip
        """``dtype``: unless one is named float64, or float32 if the candidate has no other.

        ``memory``: the number that arrays of np.empty hold meanwhile; only NumPy's can be filled.

        ``stage``: another one than that of the check.

        ``features``: what this question needs beside what the check needs.
        """


Look = Callable[[Ask], str]


@dataclass(frozen=True)
class Behaviour:
    """A check. ``look(ask)`` says what is wrong, or nothing.

    mistake    the id of the known mistake that it shows; "": what it says is the name
    gradients  whether it needs them
    right      whether it is asked only where every case of its stage is right
    beside     another stage that it asks
    patient    whether an answer that does not come in time counts as not offered, not as wrong
    """

    id: str
    mistake: str
    stage: str
    comment: str
    look: Look
    features: tuple[str, ...] = ()
    gradients: bool = False
    right: bool = False
    beside: str = ""
    patient: bool = False
    dtype: str = ""
    level: str = "should"


def listed(
    checks: list[Behaviour], name: str, mistake: str, stage: str, **more: Any
) -> Callable[[Look], Look]:
    """The function below it becomes one of the checks; its docstring is the comment in the report."""

    def decorate(look: Look) -> Look:
        checks.append(Behaviour(f"behaviour/{name}", mistake, stage, look.__doc__ or "", look, **more))
        return look

    return decorate


def of_an_activation(look: Callable[[Ask, str], str]) -> Look:
    """A check that asks with the first activation that the candidate has, and is told which."""
    return _of_the_first(look, {name: (name,) for name in ACTIVATIONS})


def of_a_spectrum(look: Callable[[Ask, bool], str]) -> Look:
    """A check that asks with half of the states, or with all where the candidate keeps all: conj_sym.

    A leaf of half the states stands for its conjugate too, and has twice the gradient.
    """
    return _of_the_first(look, {conj_sym: (word,) for conj_sym, word in SPECTRA.items()})


def of_both(look: Callable[[Ask, tuple[bool, str]], str]) -> Look:
    """A check of a spectrum and an activation."""
    forms = product(SPECTRA, ACTIVATIONS)
    return _of_the_first(look, {form: (SPECTRA[form[0]], form[1]) for form in forms})


def _of_the_first(look: Callable[[Ask, Any], str], forms: Mapping[Any, tuple[str, ...]]) -> Look:
    """The check with the first of these forms, each with its features, with which the candidate answers."""

    @wraps(look)
    def tried(ask: Ask) -> str:
        reasons = []
        for form, features in forms.items():
            try:
                return look(partial(ask, features=features), form)
            except Lacking as error:
                reasons.append(error)
        raise reasons[0]

    return tried


def same(got: Mapping[str, Array], want: Mapping[str, Array]) -> bool:
    """Whether the numbers are the same but for rounding; NaN is the same as nothing."""

    def close(x: Array, y: Array) -> bool:
        if x.shape != y.shape or x.dtype.kind not in "fc":
            return False
        eps = max(float(np.finfo(z.dtype).eps) for z in (x, y))  # of the coarser one
        limit = TOLERATED * eps * max(float(np.max(np.abs(y), initial=0.0)), 1e-30)
        return bool(np.max(np.abs(x - y), initial=0.0) <= limit)

    return all(close(np.asarray(got[name]), np.asarray(leaf)) for name, leaf in want.items())


def as_asked(tree: Any, dtype: str) -> Any:
    """Numbers in ``dtype``; an array that is a view stays one where its type does not change."""

    def convert(leaf: Any) -> Any:
        moved = cast(leaf, dtype)
        return leaf if moved.dtype == leaf.dtype else moved

    return map_leaves(convert, tree)
