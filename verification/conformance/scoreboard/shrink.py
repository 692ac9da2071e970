"""The smallest question that still shows a difference, found by asking again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.stages.stage import Arrays, Case, flat, nested

ASKED = 60  # questions for one finding
# The axes of each array, by the end of its name: N examples, L steps, P states, H features.
AXES = {
    "Lambda": "P", "B": "PH", "C": "HP", "C1": "HP", "C2": "HP", "D": "H", "log_step": "P", "Lambda_bar": "P",
    "Bu": "NLP", "u": "NLH", "x": "NLH", "x0": "NP", "params.x0": "P", "intervals": "NL", "resets": "NL",
    "reset_state": "P", "state": "NP", "u_k": "NH", "scale": "H", "bias": "H", "mean": "H", "var": "H",
    "kernel": "HH", "Delta": "P",
}  # fmt: skip
SIMPLE = {  # what a leaf is tried to be; others are tried to be 0 and 1
    "Lambda": (-1.0, -0.5), "log_step": (0.0,), "Delta": (1.0,), "D": (0.0,), "scale": (1.0,),
    "intervals": (1.0,), "Lambda_bar": (0.5,), "B": (1.0,), "C": (1.0,),
}  # fmt: skip
SIGNALS = ("u", "Bu", "x", "x0", "u_k", "state")
STAGES = ("discretize", "scan", "ssm", "step", "layer")


def shrunk(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A smaller case that fails as well.

    Parameters
    ----------
    case : a case that fails
    fails : whether another one does, in the same way

    Returns
    -------
    Case
        With fewer examples, steps, states and features, and with zeros and ones for numbers, as far as
        `ASKED` questions lead. Cases of stages whose axes are not known here come back as they are.
    """
    if case.stage not in STAGES:
        return case
    questions = iter(range(ASKED))
    tried = _smaller(case)
    while (smaller := next(tried, None)) is not None and next(questions, None) is not None:
        if fails(smaller):
            case, tried = smaller, _smaller(smaller)
    return case


def _axes(name: str, ndim: int) -> str | None:
    """The letters of an array's axes; None if they are not known here."""
    if ndim == 0:
        return ""
    if name in ("Lambda_bar", "Delta") and ndim == 3:
        return "NLP"
    letters = AXES.get(name) or AXES.get(name.rpartition(".")[2], "")
    return letters if len(letters) == ndim else None


def _smaller(case: Case) -> Iterator[Case]:
    """What to try next, the largest step first."""
    inputs = flat(case.inputs)
    axes = {name: _axes(name, np.ndim(x)) for name, x in inputs.items()}
    if None not in axes.values():
        for changed in (*_fewer(inputs, axes), *_simpler(inputs), *_sparser(inputs)):  # type: ignore[arg-type]
            name, given = f"{case.seed}/smaller", {n: np.array(x, order="C") for n, x in changed.items()}
            yield replace(case, inputs=nested(given), id=name, seed=name, cotangent={})


def _fewer(inputs: Arrays, axes: Mapping[str, str]) -> Iterator[Arrays]:
    """Fewer examples, steps, states, features."""
    for letter in "NLPH":
        sizes = {x.shape[axes[name].index(letter)] for name, x in inputs.items() if letter in axes[name]}
        for chosen in _ranges(sizes.pop()) if len(sizes) == 1 else ():  # else some hold two states in one
            yield {name: _taken(x, axes[name], letter, chosen) for name, x in inputs.items()}


def _simpler(inputs: Arrays) -> Iterator[Arrays]:
    """One array of simple numbers that are all the same."""
    for name, x in inputs.items():
        simple = [np.full_like(x, value) for value in SIMPLE.get(_last(name), (0.0, 1.0))]
        if x.dtype.kind in "fc" and not any(np.array_equal(x, one) for one in simple):
            yield from (inputs | {name: one} for one in simple)


def _sparser(inputs: Arrays) -> Iterator[Arrays]:
    """A single number of a signal or a state that becomes zero."""
    for name, x in inputs.items():
        if _last(name) in SIGNALS and 1 < x.size <= 8:
            for i in np.flatnonzero(x):
                other = x.copy()
                other.flat[i] = 0
                yield inputs | {name: other}


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _ranges(size: int) -> Iterator[slice]:
    """The first half, the second half, all but the last, all but the first."""
    half = size // 2
    ranges = (0, half), (size - half, size), (0, size - 1), (1, size)
    yield from (slice(*one) for one in dict.fromkeys(ranges) if size > 1)


def _taken(x: Array, axes: str, letter: str, chosen: slice) -> Array:
    return x[tuple(chosen if axis == letter else slice(None) for axis in axes)]
