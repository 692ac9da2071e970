"""Stages made of an implementation's own functions, on functions in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref.verification.conformance.adapters import attempted
from s5ref.verification.conformance.adapters.parts import discretize_by, scan_by

Array = np.ndarray[Any, Any]


def _dirac(Lambda: Array, B: Array, Delta: Array) -> tuple[Array, Array]:
    return np.exp(Lambda * Delta), B


def test_the_gain_is_what_becomes_of_ones() -> None:
    Lambda = np.array([-1.0 + 2j, -0.5])
    Lambda_bar, gain = discretize_by({"dirac": _dirac}, Lambda, np.array([0.1, 0.2]), "dirac")
    assert np.allclose(Lambda_bar, np.exp(Lambda * [0.1, 0.2]))
    assert np.array_equal(gain, np.ones(2))
    with pytest.raises(NotImplementedError, match="no zoh"):
        discretize_by({"dirac": _dirac}, Lambda, np.ones(2), "zoh")


def _operator(one: Any, two: Any) -> Any:
    return two[0] * one[0], two[0] * one[1] + two[1]


def _scan(operator: Any, elements: Any, reverse: bool) -> Any:
    """What an associative scan gives, one after the other."""
    rows = list(zip(*elements, strict=True))[:: -1 if reverse else 1]
    done = rows[:1]
    for row in rows[1:]:
        done.append(operator(done[-1], row))
    return tuple(np.stack(part) for part in zip(*(done[::-1] if reverse else done), strict=True))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("x0", [None, np.array([3.0, -1.0])])
def test_an_initial_state_enters_the_scan_where_it_begins(x0: Array | None, reverse: bool) -> None:
    rng = np.random.default_rng(0)
    Lambda_bar, Bu = rng.random((5, 2)), rng.standard_normal((5, 2))
    x, last = scan_by(_scan, _operator, (Lambda_bar, Bu), x0, reverse)
    state = np.zeros(2) if x0 is None else x0
    for k in reversed(range(5)) if reverse else range(5):
        state = Lambda_bar[k] * state + Bu[k]
        assert np.allclose(x[k], state)
    assert np.allclose(last, state)


def test_an_attempt_is_wrong_if_it_raises_or_says_so() -> None:
    attempts = {"fine": lambda: 3, "said": lambda: "too small", "raised": lambda: [][0]}
    assert attempted(attempts) == [
        ("fine", ""), ("said", "too small"), ("raised", "raises IndexError: list index out of range"),
    ]  # fmt: skip
