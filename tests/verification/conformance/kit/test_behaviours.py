"""Carried state, lengths, single examples: what is right where it is asked, and said where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from s5ref.verification.conformance.kit import check
from s5ref.verification.conformance.kit.behaviours import BEHAVIOURS
from s5ref.verification.conformance.kit.capability import Asked
from s5ref.verification.conformance.stages import cases

HERE = Path(__file__).parent
CARRIED = [c for c in cases() if "final_state" in c.features]


def questions(*words: str) -> list[Asked]:
    """The checks of behaviour whose names begin so."""
    return [check for check in BEHAVIOURS if check.id.removeprefix("behaviour/").startswith(words)]


@pytest.mark.parametrize(
    ("name", "asked", "failed"),
    [
        (
            "WrongAtSeventeen",
            ("every length",),
            {"every length": "x at L = 17", "every length/reverse": "x at"},
        ),
        (
            "TilesOfItsOwn",
            ("steps are", "three pieces of an SSM"),
            {
                "three pieces of an SSM": "the final state of 3 pieces is not that of the whole",
                "steps are the sequence": "the output of step 64 in step mode is not that of the sequence",
            },
        ),
        (
            "ForgetsTheCotangent",
            ("three pieces of an SSM",),
            {"three pieces of an SSM": "steps 1 to 65 of 70 by themselves are not those of the whole"},
        ),
        ("OneIsSqueezed", ("examples one by one/ssm",), {"examples one by one/ssm": "y of three examples"}),
    ],
)
def test_what_only_several_answers_show_is_said(
    name: str, asked: tuple[str, ...], failed: dict[str, str]
) -> None:
    right = check("between:Right", folder=HERE, questions=questions(*asked))
    assert (right.verdict, right.count("passed")) == ("agrees", len(failed))
    wrong = check(f"between:{name}", folder=HERE, questions=questions(*asked))
    assert wrong.verdict == "differs"
    found = {o.id.removeprefix("behaviour/"): o.fault for o in wrong.of("failed")}
    assert found.keys() == failed.keys()
    assert all(words in found[check] for check, words in failed.items())


def test_a_carried_state_that_has_no_effect_fails_where_it_is_given() -> None:
    result = check("between:StateDropped", folder=HERE, questions=CARRIED)
    assert {o.id for o in result.of("failed")} == {c.id for c in CARRIED if "x0" in c.inputs}
    assert {o.id for o in result.of("passed")} == {c.id for c in CARRIED if "x0" not in c.inputs}


def test_who_cannot_return_a_state_is_not_asked_for_it() -> None:
    result = check("between:WithoutFinalState", folder=HERE, questions=CARRIED[:2])
    assert {o.reason for o in result.of("unsupported")} == {"ssm takes no final_state=True"}


def test_an_overflow_is_seen_in_every_form_of_a_reset() -> None:
    asked = questions("an overflow ends")
    target = "s5ref.verification.conformance.mutants.planted:M43"
    result = check(target, folder=HERE, questions=asked)
    assert result.count("failed") == len(asked) == 4
    assert [words.partition(":")[0] for words in result.mistakes] == ["M43"]
