"""The headline: what weighs most first, values before gradients, and the authors' own inaccuracies apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s5ref.verification.conformance.kit import Outcome, Result, as_json, check
from s5ref.verification.conformance.kit.compare import Measured
from s5ref.verification.conformance.kit.console import size, verdict_line
from s5ref.verification.conformance.kit.result import BACKWARD
from s5ref.verification.conformance.stages import cases

HERE = Path(__file__).parent
OFF = [Measured("y", 1e6, (0,))]


def _outcome(stage: str, level: str = "must", dtype: str = "float32", **more: Any) -> Outcome:
    return Outcome(f"{stage}/{level}", stage, dtype, level, "", "failed", **more)


def _result(*outcomes: Outcome) -> Result:
    return Result("it", list(outcomes), {}, 1.0, {})


GAIN = _outcome("discretize", measures=OFF, names=("M23: the gain",))
CRASH = _outcome("layer", fault="raised ValueError: no")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CRASH, _outcome("scan", measures=OFF)),
        (_outcome("model", measures=OFF), _outcome("scan", "should", measures=OFF)),
        (_outcome("model", measures=OFF), _outcome("scan", dtype="float64", fault="raised ValueError: no")),
        (_outcome("model", "may", measures=OFF), GAIN),
        (_outcome("model", "may", measures=OFF), _outcome("scan", "should", fault="hung")),
        (_outcome("scan", "should", fault="hung"), GAIN),
        (_outcome("scan", measures=OFF), _outcome("ssm", measures=OFF)),
        (_outcome("ssm", measures=OFF), _outcome("scan", measures=[Measured("dBu", 1e6, (0,))])),
        (_outcome("ssm", measures=OFF), _outcome("scan", fault=f"{BACKWARD} ValueError: no")),
    ],
)
def test_what_weighs_more_is_told_first(first: Outcome, second: Outcome) -> None:
    assert _result(first, second).first is first
    assert _result(second, first).first is first


def test_the_authors_inaccuracies_alone_are_a_verdict_of_their_own() -> None:
    assert _result(GAIN).verdict == "inaccurate"
    assert _result(GAIN, CRASH).verdict == _result(GAIN, _outcome("scan", measures=OFF)).verdict == "differs"
    assert _result(CRASH).verdict == "broken"


@pytest.mark.parametrize(("name", "verdict"), [("Textbook", "inaccurate"), ("TextbookAndErf", "differs")])
def test_the_textbook_gain_does_not_read_like_a_broken_port(name: str, verdict: str) -> None:
    chosen = [c for c in cases() if c.stage in ("discretize", "ssm") or c.id.startswith("layer/gelu/tanh")]
    result = check(f"wrong:{name}", folder=HERE, questions=chosen)
    assert result.verdict == verdict
    assert result.first is not None
    words = verdict_line(result)
    if verdict == "inaccurate":
        assert {words[:3] for words in result.mistakes} == {"M18", "M23"}
        assert words.startswith("THE AUTHORS' S5, with known inaccuracies")
    else:
        assert words.startswith("DIFFERS from S5; first at activation")


def test_where_the_backward_pass_raises_the_values_are_judged() -> None:
    chosen = [c for c in cases() if c.id.startswith(("ssm/conj_sym", "scan/forward/L9/P3/f"))]
    result = check("wrong:NoBackward", folder=HERE, questions=chosen)
    assert {o.fault for o in result.outcomes} == {f"{BACKWARD} FloatingPointError: no way back"}
    assert all(m.rounding and not m.cotangent for o in result.outcomes for m in o.measures)
    assert (result.verdict, result.count("failed")) == ("broken", len(chosen))
    assert result.first is not None
    assert result.first.where == "backward pass of scan"
    assert verdict_line(result).startswith("BROKEN in its backward pass: every value is S5's")
    wrong = check("wrong:NoBackwardNoFactorTwo", folder=HERE, questions=chosen[-2:])
    assert wrong.verdict == "differs"
    assert [words[:3] for words in wrong.mistakes] == ["M20"]
    assert wrong.first is not None
    assert size(wrong.first).startswith("y[")
    assert size(wrong.first).endswith("its backward pass raised FloatingPointError: no way back")
    assert as_json(wrong)["first_divergence"]["fault"] == wrong.first.fault
