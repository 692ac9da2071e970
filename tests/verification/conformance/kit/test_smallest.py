"""The smallest input that shows a difference, and the test that is printed with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s5ref.verification.conformance.kit import check
from s5ref.verification.conformance.kit.console import smallest as printed
from s5ref.verification.conformance.kit.result import Result, as_json

HERE = Path(__file__).parent


def _found(result: Result) -> list[Any]:
    return [o.smallest for o in result.outcomes if o.smallest is not None]


def test_steps_states_and_examples_are_left_out() -> None:
    [first, *_] = _found(check("wrong:BackwardsFromOne", "scan/reverse/L9/P3/zero*", folder=HERE))
    assert first.words == (
        "scan, N = 1, L = 2, P = 1: Lambda_bar = 0.5, Bu = [0, 1], reverse = True gives x = [0, 1]; "
        "S5 gives [0.5, 1]"
    )


def test_what_is_printed_as_a_test_fails_for_the_candidate_and_passes_for_s5(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(HERE)
    result = check("wrong:Unknown", "ssm/conj_sym/*", folder=HERE)
    [small] = _found(result)
    assert small.words == (
        "ssm, N = 1, L = 1, P = 1, H = 1: params.Lambda = -1, params.D = 1, u = 1, the rest 0 gives y = 2; "
        "S5 gives 1"
    )
    assert small.test.rstrip() in "\n".join(printed(result))
    for candidate, right in (("Unknown", False), ("Ours", True)):
        names: dict[str, Any] = {}
        exec(small.test.replace("Unknown", candidate), names)
        if right:
            names["test_ssm"]()
        else:
            with pytest.raises(AssertionError):
                names["test_ssm"]()


def test_a_cotangent_has_words_and_no_test() -> None:
    [small] = _found(check("wrong:ConjugateGradient", "discretize/zoh/P4*", folder=HERE))
    assert small.words == (
        "discretize, P = 1: Lambda = -1, Delta = 1, the cotangent of gain = 0+1j, method = zoh, the rest 0 "
        "gives the cotangent of Lambda = 0-0.264241j; S5 gives 0+0.264241j"
    )
    assert small.test == ""


def test_a_difference_that_is_gone_is_not_shrunk() -> None:
    result = check("wrong:Forgetful", "scan/forward/L9/P3/f32", folder=HERE)
    assert [o.status for o in result.outcomes] == ["failed"]
    assert _found(result) == []
    assert all(case["smallest"] is None for case in as_json(result)["cases"])


def test_what_agrees_has_none() -> None:
    assert _found(check("wrong:Ours", "scan/*", folder=HERE)) == []


def test_a_mistake_of_long_sequences_keeps_its_length() -> None:
    """Planted M03 differs beyond a tile of 64 alone."""
    result = check("s5ref.verification.conformance.mutants.planted:M03", "scan/forward/L70/*", folder=HERE)
    lengths = [int(small.words.split("L = ")[1].split(",")[0]) for small in _found(result)]
    assert lengths
    assert min(lengths) > 60


def test_numbers_are_simple() -> None:
    [small, *_] = _found(check("wrong:NoFactorTwo", "ssm/conj_sym/*", folder=HERE))
    assert "params.B = 1, params.C = 1" in small.words


def test_a_case_of_tokens_keeps_its_axes() -> None:
    target = "s5ref.verification.conformance.mutants.planted:M32"
    [small] = _found(check(target, "model/classifier/tokens*f32", folder=HERE))
    assert small.words.startswith("model: ")
