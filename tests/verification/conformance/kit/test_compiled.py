"""What a jax candidate does for a case is compiled once for all cases of the same form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref.verification.conformance.kit import gradients
from s5ref.verification.conformance.kit.gradients import Question, evaluate

pytestmark = pytest.mark.jax


class Counting:
    framework = "jax"
    traced = 0

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        self.traced += 1
        return Lambda_bar * Bu, Bu[:, -1]


class OnValues(Counting):
    """Its branch is on a value, which no compiled function knows."""

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        return super().scan(Lambda_bar if Bu[0, 0, 0].real > 0 else 0 * Lambda_bar, Bu, x0, reverse)


def _question(L: int = 4, reverse: bool = False) -> Question:
    args = {
        "Lambda_bar": np.full(2, 2 + 1j, np.complex64),
        "Bu": np.ones((1, L, 2), np.complex64),
        "x0": None,
    }
    return Question("scan", args | {"reverse": reverse}, {})


D = {"x": np.ones((1, 4, 2), np.complex64)}


def test_the_same_form_is_traced_once() -> None:
    candidate = Counting()
    one, two = (evaluate(candidate, "jax", _question(), D) for _ in range(2))
    assert candidate.traced == 1
    assert one.grads is not None
    assert two.grads is not None
    assert np.array_equal(one.grads["Bu"], two.grads["Bu"])
    assert np.allclose(one.grads["Bu"], np.conj(2 + 1j))  # ours, not jax's conjugate
    evaluate(candidate, "jax", _question(reverse=True), D)  # another word
    evaluate(candidate, "jax", _question(5), {})  # another shape
    assert candidate.traced == 3


def test_what_cannot_be_compiled_runs_as_it_is() -> None:
    found = evaluate(OnValues(), "jax", _question(), None)
    assert np.allclose(found.outputs["x"], 2 + 1j)


def test_an_option_that_this_XLA_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gradients._of_jit() in (gradients.QUICKLY, {})
    monkeypatch.setattr(gradients, "QUICKLY", {"compiler_options": {"xla_cpu_no_such_option": False}})
    gradients._of_jit.cache_clear()
    try:
        assert gradients._of_jit() == {}
        candidate = Counting()
        assert (
            evaluate(candidate, "jax", _question(3), {"x": np.ones((1, 3, 2), np.complex64)}).grads
            is not None
        )
        assert candidate.traced == 1
    finally:
        gradients._of_jit.cache_clear()
