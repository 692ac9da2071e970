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


ARITHMETIC = (
    "discretize/zoh/P4/f",
    "scan/forward/L9/P3/f",
    "ssm/conj_sym",
    "layer/half_glu2/tanh",
    "model/class",
)


@pytest.mark.parametrize("start", ARITHMETIC)
def test_a_wrong_cotangent_that_nobody_knows_has_no_name(start: str) -> None:
    result = _checked("OneCotangent", start)
    assert result.count("failed") == result.ran > 0
    assert (result.mistakes, {o.coarser for o in result.outcomes}) == ({}, {""})
    assert all(o.where.startswith("cotangent of") for o in result.of("failed"))


@pytest.mark.parametrize("name", ["Slightly", "Cancels"])
def test_an_error_of_that_size_alone_is_no_single_precision(name: str) -> None:
    """A factor follows the inputs; digits that float32 loses as well are lost by another mistake."""
    result = _checked(name, "ssm/conj_sym", "ssm/bidirectional/")
    assert result.count("failed") == 4
    assert not result.mistakes
    if name == "Slightly":
        assert {o.coarser for o in result.outcomes} == {""}


def test_two_mistakes_come_before_single_precision() -> None:
    result = _checked("ErfWithoutFactorTwo", "layer/half_glu2/tanh", "layer/gelu/tanh", "model/classifier/L5")
    ids = {tuple(name[:3] for name in o.names) for o in result.of("failed")}
    assert (ids, result.count("failed")) == ({("M20", "M31")}, 6)


def _of_planted(ids: str, *starts: str) -> Result:
    target = f"s5ref.verification.conformance.mutants.planted:{ids}"
    return check(target, folder=HERE, questions=[c for c in cases() if c.id.startswith(starts)])


def test_three_mistakes_of_a_layer_are_named_though_none_of_them_was_seen_alone() -> None:
    result = _of_planted("M31_M53_M54", "layer/half_glu2/tanh", "layer/gelu/tanh")
    assert result.count("failed") == 4
    assert {tuple(name[:3] for name in o.names) for o in result.of("failed")} == {("M31", "M53", "M54")}


def test_all_mistakes_that_were_seen_are_named_where_they_come_together() -> None:
    starts = ("ssm/bidirectional/L6", "layer/gelu/tanh", "layer/bidirectional/L5")
    result = _of_planted("M31_M36_M53_M54", *starts)
    ids = [sorted(name[:3] for name in o.names) for o in result.of("failed") if o.stage == "layer"]
    assert ids == [["M31", "M53", "M54"]] * 2 + [["M31", "M36", "M53", "M54"]] * 2


def test_mistakes_at_one_place_are_named_whichever_is_seen_first() -> None:
    result = _of_planted("M51_M67", "scan/forward/L9/P2/resets/", "scan/forward/L9/P2/resets to a state/f")
    ids = [sorted(name[:3] for name in o.names) for o in result.of("failed")]
    assert ids == [["M67"], ["M67"], ["M51", "M67"], ["M51", "M67"]]


def test_rounding_of_a_coarser_arithmetic_is_told_where_nothing_is_named() -> None:
    result = _checked("Half", "ssm/conj_sym", "init/one block")
    assert [(o.names, o.coarser) for o in result.of("failed")] == [((), "TF32 or float16")] * 2


@pytest.mark.parametrize("name", ["SmallD", "SmallB", "NarrowBAndC"])
def test_a_draw_is_named_by_all_that_the_mistake_changes_or_not_at_all(name: str) -> None:
    result = _checked(name, "init/")
    assert result.count("failed") == result.ran > 0
    assert not any(words.startswith("M21") for words in result.mistakes)
    assert {o.coarser for o in result.outcomes} == {""}


def test_uniform_d_and_narrow_normals_are_named() -> None:
    result = check(
        "s5ref.verification.conformance.mutants.planted:M21", folder=HERE,
        questions=[c for c in cases() if c.stage == "init"],
    )  # fmt: skip
    assert [[name[:3] for name in o.names] for o in result.outcomes] == [["M21"]] * result.ran


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
