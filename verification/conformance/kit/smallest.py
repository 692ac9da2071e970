"""The smallest input that shows a difference: a failed case with examples, steps, states and features left
out and its numbers made simple, as long as the candidate still differs; in words, and as a test to paste."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.kit.ask import message
from s5ref.verification.conformance.kit.compare import Measured, judged, measured
from s5ref.verification.conformance.protocol import outputs_of
from s5ref.verification.conformance.stages import Case
from s5ref.verification.conformance.stages.stage import Arrays, flat, nested

Put = Callable[[Case], Mapping[str, Any] | None]  # a case to the candidate; None where it gives no numbers
Edit = Callable[[Case], Case | None]  # a smaller case; None where it is as small already
QUESTIONS, SECONDS = 400, 3.0  # to a candidate at most, for one difference
FEW = 24  # numbers of an array that are made simple one by one
SHOWN = 9  # that are printed in words
PLAIN = 0.01  # of a number: a difference that one sees
SIMPLE = (0, 1, 0.5, -1, -0.5, 1j, -0.5 + 1j)  # numbers, the simplest first
FIRST: dict[str, tuple[complex, ...]] = {  # and simpler still for an input: an SSM that decays, steps of 1
    "Lambda": (-1, -0.5, -0.5 + 1j), "Lambda_bar": (0.5,), "Delta": (1,), "intervals": (1,), "scale": (1,),
    "var": (1,),
}  # fmt: skip

# The axes of what goes in and what comes out: N examples, L steps, P states, H features; "." is another axis.
PARAMS = {
    "Lambda": "P", "log_step": "P", "B": "PH", "C": "HP", "C1": "HP", "C2": "HP", "D": "H", "x0": "P",
    "x0_1": "P", "x0_2": "P", "scale": "H", "bias": "H", "mean": "H", "var": "H",
}  # fmt: skip
AXES: dict[str, dict[str, str]] = {
    "discretize": {"Lambda": "P", "Delta": "P", "Lambda_bar": "P", "gain": "P"},
    "scan": {
        "Lambda_bar": "P", "Bu": "NLP", "x0": "NP", "resets": "NL", "reset_state": "P", "x": "NLP",
        "x_last": "NP",
    },
    "ssm": {"u": "NLH", "x0": "NP", "intervals": "NL", "resets": "NL", "y": "NLH", "x_last": "NP"},
    "step": {"u_k": "NH", "state": "NP", "y": "NH"},
    "layer": {"x": "NL.", "masks": "N..", "y": "NL."},
    "model": {"x": "NL.", "lengths": "N", "intervals": "NL", "resets": "NL", "log_probabilities": "N."},
}  # fmt: skip
CUT = {"discretize": "P", "scan": "NLP", "ssm": "NLPH", "step": "NPH", "layer": "NL", "model": "NL"}
WITHOUT_CUTS = ("segments", "lengths")  # what says which steps are whose


@dataclass(frozen=True)
class Smallest:
    """A difference on few and simple numbers.

    words      "scan, N = 1, L = 2, P = 1: Lambda_bar = 0.5, Bu = [0, 1], reverse = True gives x = [0, 1]; S5
               gives [0.5, 1]"
    test       Python that shows it, without s5ref; "" where it is a cotangent that differs
    case       the question
    got, want  the answer that differs, and S5's
    """

    words: str
    test: str
    case: Case
    got: Array
    want: Array


def smallest(
    case: Case, worst: Measured, put: Put, target: str, described: Mapping[str, Any]
) -> Smallest | None:
    """What is left of a case that a candidate fails, once nothing more can be taken away.

    Parameters
    ----------
    case : Case
        In the candidate's form.
    worst : Measured
        Of its numbers the one that is to differ still.
    put : function
        Asks the candidate.
    target : str
        What it is called, for the test.
    described : mapping
        What it says of itself.

    Returns
    -------
    Smallest or None
        None where it does not differ when it is asked again, as a candidate may that is not deterministic.
    """
    search = _Search(worst, put)
    case = replace(case, cotangent={}) if not worst.cotangent else case
    if not search.shows(case):
        return None
    case = search.shrunk(case)
    test = "" if worst.cotangent else _test(case, worst.output, search.seen, target, described)
    return Smallest(_words(case, worst.output, search.seen), test, case, search.seen.got, search.seen.want)


@dataclass
class Seen:
    """The number that differs, and what it should be."""

    got: Array
    want: Array
    allowed: float


class _Search:
    """Takes away what can be taken away, within a number of questions and of seconds."""

    def __init__(self, worst: Measured, put: Put) -> None:
        self.worst, self.put = worst, put
        self.left, self.until = QUESTIONS, time.perf_counter() + SECONDS
        self.seen = Seen(np.zeros(0), np.zeros(0), 0.0)

    @property
    def ended(self) -> bool:
        return self.left <= 0 or time.perf_counter() > self.until

    def shows(self, case: Case) -> bool:
        """Whether the same number still differs as plainly as it did."""
        self.left -= 1
        name = self.worst.output
        try:
            with np.errstate(all="ignore"):
                reference = judged(case, keep=False)
        except Exception:  # no case of S5: a state too few, a length of nothing
            return False
        want = reference.want.get(name)
        if want is None or not np.isfinite(want).all():
            return False
        got = self.put(case)
        if got is None:
            return False
        [found] = measured(got, reference, case, [name])
        if found.rounding or found.fault != self.worst.fault:
            return False
        value = np.asarray(got[name])
        if not found.fault and not self._plain(found):
            return False
        bound = np.max(reference.bounds.get(name, np.zeros(1)), initial=0.0)
        want = want.astype(np.complex128 if want.dtype.kind == "c" else np.float64)
        self.seen = Seen(value, want, float(bound) * reference.eps)
        return True

    def _plain(self, found: Measured) -> bool:
        """By a hundredth; where it never was so much, by half of the digits that it was off by."""
        if abs(self.worst.got - self.worst.want) > PLAIN * abs(self.worst.want):
            return bool(abs(found.got - found.want) > PLAIN * abs(found.want))
        return bool(found.ratio > np.sqrt(self.worst.ratio))

    def shrunk(self, case: Case) -> Case:
        """No example, step, state or feature can be left out, and no number be simpler."""
        before = None
        while case is not before and not self.ended:
            before = case
            for edits in (_cuts, _constants, _numbers):
                case = self._edited(case, edits)
        return case

    def _edited(self, case: Case, edits: Callable[[Case], Iterator[Edit]]) -> Case:
        """The case after every edit that leaves the difference there."""
        for edit in edits(case):
            other = None if self.ended else edit(case)
            if other is not None and self.shows(other):
                case = other
        return case


def _cuts(case: Case) -> Iterator[Edit]:
    """Part of an axis left out: all but one, either half, one."""
    if any(name in case.inputs for name in WITHOUT_CUTS):
        return
    for letter in CUT.get(case.stage, ""):
        size = _sizes(case).get(letter, 1)
        if letter == "L":
            yield from (partial(_kept, letter=letter, first=0, last=n) for n in (1, 2, size // 2))
        else:
            yield from (partial(_kept, letter=letter, first=i, last=i + 1) for i in range(size))
        yield from (partial(_without, letter=letter, index=i) for i in reversed(range(size)))


def _kept(case: Case, letter: str, first: int, last: int) -> Case | None:
    size = _sizes(case).get(letter, 0)
    return _taken(case, letter, np.arange(first, last)) if last - first < size >= last else None


def _without(case: Case, letter: str, index: int) -> Case | None:
    size = _sizes(case).get(letter, 0)
    return _taken(case, letter, np.delete(np.arange(size), index)) if index < size > 1 else None


def _constants(case: Case) -> Iterator[Edit]:
    """A leaf of one simple number throughout."""
    for path, leaf in _floats(case):
        for value in _simple(path):
            yield partial(_set, path=path, index=np.s_[...], value=value)
        if leaf.size > 1:
            yield partial(_rounded, path=path)


def _numbers(case: Case) -> Iterator[Edit]:
    """One number simpler."""
    for path, leaf in _floats(case):
        for index in np.ndindex(leaf.shape) if 1 < leaf.size <= FEW else ():
            for value in _simple(path):
                yield partial(_set, path=path, index=index, value=value)


def _simple(path: str) -> tuple[complex, ...]:
    first = () if path.startswith("cotangent.") else FIRST.get(path.rpartition(".")[2], ())
    return (*first, *SIMPLE)


def _set(case: Case, path: str, index: Any, value: complex) -> Case | None:
    """None where the numbers are as simple already."""
    leaf = dict(_floats(case))[path]
    simple = _simple(path)
    simpler = simple[: simple.index(value) + 1]
    if (isinstance(value, complex) and leaf.dtype.kind != "c") or np.isin(leaf[index], simpler).all():
        return None
    leaf = leaf.copy()
    leaf[index] = value
    return _with(case, path, leaf)


def _rounded(case: Case, path: str) -> Case | None:
    leaf = dict(_floats(case))[path]
    halves = (np.round(leaf * 2) / 2).astype(leaf.dtype)
    return None if np.array_equal(halves, leaf) else _with(case, path, halves)


def _floats(case: Case) -> Iterator[tuple[str, Array]]:
    leaves = {**flat(case.inputs), **{f"cotangent.{name}": leaf for name, leaf in case.cotangent.items()}}
    for path, leaf in leaves.items():
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fc":
            yield path, leaf


def _with(case: Case, path: str, leaf: Array) -> Case:
    if path.startswith("cotangent."):
        return _again(case, case.inputs, case.cotangent | {path.removeprefix("cotangent."): leaf})
    return _again(case, nested(flat(case.inputs) | {path: leaf}), case.cotangent)


def _again(case: Case, inputs: Mapping[str, Any], cotangent: Arrays) -> Case:
    return replace(case, seed=f"{case.seed} smaller", inputs=inputs, cotangent=cotangent)


def _axes(case: Case, path: str, leaf: Any) -> str:
    """The letters of a leaf's axes; "" where they are not known."""
    first, last = path.partition(".")[0], path.rpartition(".")[2]
    letters = PARAMS.get(last, "") if first == "params" else AXES.get(case.stage, {}).get(first, "")
    if first in ("Lambda_bar", "Delta", "gain") and np.ndim(leaf) == 3:
        letters = "NLP"
    if first == "log_probabilities" and np.ndim(leaf) == 3:  # of every step
        letters = "NL."
    return letters if len(letters) == np.ndim(leaf) else ""


def _sizes(case: Case) -> dict[str, int]:
    """{letter: size} of the axes that can be cut."""
    sizes: dict[str, int] = {}
    for path, leaf in flat(case.inputs).items():
        for letter, size in zip(_axes(case, path, leaf), np.shape(leaf), strict=False):
            sizes.setdefault(letter, size)
    return sizes


def _taken(case: Case, letter: str, part: Array) -> Case:
    """The case with part of one axis."""
    size = _sizes(case).get(letter, 0)

    def one(path: str, leaf: Any) -> Any:
        for axis, name in enumerate(_axes(case, path, leaf)):
            if name == letter and np.shape(leaf)[axis] == size:
                leaf = np.take(leaf, part, axis=axis)
        return leaf

    inputs = nested({path: one(path, leaf) for path, leaf in flat(case.inputs).items()})
    return _again(case, inputs, {name: one(name, leaf) for name, leaf in case.cotangent.items()})


def _words(case: Case, output: str, seen: Seen) -> str:
    sizes = _sizes(case)
    shape = ", ".join(f"{letter} = {sizes[letter]}" for letter in CUT.get(case.stage, "") if letter in sizes)
    leaves = {path: leaf for path, leaf in flat(case.inputs).items() if leaf is not None}
    leaves |= {f"the cotangent of {name}": leaf for name, leaf in case.cotangent.items()}
    given = [f"{path} = {_shown(leaf)}" for path, leaf in leaves.items() if np.any(leaf)]
    given += [f"{name} = {value}" for name, value in case.options.items() if value not in (False, None)]
    given += ["the rest 0"] if not all(np.any(leaf) for leaf in leaves.values()) else []
    name = f"the cotangent of {output[1:]}" if output.startswith("d") and case.cotangent else output
    heading = f"{case.stage}, {shape}" if shape else case.stage
    return f"{heading}: {', '.join(given)} gives {name} = {_shown(seen.got)}; S5 gives {_shown(seen.want)}"


def _shown(leaf: Any) -> str:
    """Numbers without axes of one element, real where they are real."""
    x = np.squeeze(np.asarray(leaf))
    if x.size > SHOWN:
        return f"{x.size} numbers"
    if x.dtype.kind == "c" and not x.imag.any():
        x = x.real
    if x.dtype.kind in "fc":
        x = x + 0.0  # no −0
    as_text: Any = {"float_kind": "{:.6g}".format, "complex_kind": "{:.6g}".format}
    return " ".join(np.array2string(x, separator=", ", formatter=as_text).split())


def _test(case: Case, output: str, seen: Seen, target: str, described: Mapping[str, Any]) -> str:
    question = message(case, described)
    module, _, name = target.partition(":")
    if not name:
        module, name = "my_s5", "MyS5"
    arguments = [_literal(value) for value in question["args"].values()]
    arguments += [f"{key}={_literal(value)}" for key, value in question["further"].items()]
    lines = [
        "import numpy as np",
        f"from {module} import {name}",
        "",
        "",
        f"def test_{case.stage}():",
        f'    """{case.comment}"""',
        *([] if described["framework"] == "numpy" else ["    # with the arrays as those of your framework"]),
        f"    returned = {name}().{case.stage}(",
        *(f"        {argument}," for argument in arguments),
        "    )",
        f"    got = {_chosen(case, output)}",
        f"    np.testing.assert_allclose(got, {_literal(seen.want)}, rtol=0, atol={seen.allowed:.3g})",
    ]
    return "\n".join(lines) + "\n"


def _chosen(case: Case, output: str) -> str:
    names = outputs_of(case.stage, case.options)
    first, _, leaf = output.partition(".")
    place = "returned" if len(names) == 1 else f"returned[{names.index(first)}]"
    return f"{place}[{leaf!r}]" if leaf else place


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_literal(leaf)}" for key, leaf in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "(" + "".join(f"{_literal(leaf)}, " for leaf in value) + ")"
    if not isinstance(value, np.ndarray | np.generic):
        return repr(value)
    return f"np.array({np.asarray(value).tolist()!r}, {str(np.asarray(value).dtype)!r})"
