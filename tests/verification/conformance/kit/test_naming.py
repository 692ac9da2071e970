"""The mistake is told in words, at the right place; what is not known is at least located."""

from __future__ import annotations

from pathlib import Path

import pytest

from s5ref.verification.conformance.kit import Result, check
from s5ref.verification.conformance.stages import cases

HERE = Path(__file__).parent


def _checked(name: str, *starts: str) -> Result:
    return check(f"wrong:{name}", folder=HERE, questions=[c for c in cases() if c.id.startswith(starts)])


@pytest.mark.parametrize(
    ("name", "starts", "words", "where"),
    [
        ("NoFactorTwo", ("ssm/conj_sym", "ssm/all"), "without the factor 2 of conjugate symmetry", "C/D"),
        (
            "ConjugateGradient",
            ("scan/forward/L9", "discretize/zoh/P4/f"),
            "conjugates of ours",
            "cotangent of",
        ),
        ("ErfGelu", ("layer/half_glu2/tanh", "layer/half_glu2/erf"), "GELU is the erf form", "activation"),
        ("Single", ("scan/forward/L9/P3/f",), "float64 numbers have float32's errors", "scan"),
    ],
)
def test_a_known_mistake_is_named(name: str, starts: tuple[str, ...], words: str, where: str) -> None:
    result = _checked(name, *starts)
    assert result.verdict == "differs"
    assert list(result.mistakes), [o.measures for o in result.outcomes]
    for outcome in result.of("failed"):
        assert len(outcome.names) == 1
        assert words in outcome.names[0]
        assert outcome.where.startswith(where) or outcome.place == where
    assert result.first is not None


def test_the_convention_is_told_apart_from_a_mistake() -> None:
    assert "a convention, not a mistake" in next(
        iter(_checked("ConjugateGradient", "scan/forward/L9/P3/f").mistakes)
    )


def test_what_is_right_is_confirmed() -> None:
    result = _checked("NoFactorTwo", "ssm/all states", "ssm/conj_sym")
    assert [o.id for o in result.of("passed")] == [
        "ssm/all states/L6/H2/P3/f32",
        "ssm/all states/L6/H2/P3/f64",
    ]


def test_a_mistake_that_nobody_knows_is_located_inside_its_stage() -> None:
    result = _checked("Unknown", "ssm/conj_sym", "layer/half_glu2/tanh")
    assert not result.mistakes
    assert {o.stage: o.place for o in result.of("failed")} == {"ssm": "C/D", "layer": "gate"}


def test_a_case_that_is_wrong_stays_so_where_the_candidate_lacks_what_would_locate_it() -> None:
    result = _checked("NoSingleStep", "ssm/conj_sym")
    assert [(o.status, o.place) for o in result.outcomes] == [("failed", "Bu")] * 2
