"""Carried state, lengths, single examples: what is right where it is asked, and said where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binom

from s5ref.verification.conformance.kit import check, drawn
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
        (
            "FewRows",
            ("70,000 rows below",),
            {"70,000 rows below the grid's limit": "rows 980 to 1049 have other states"},
        ),
        (
            "EndsAtAGridInAnSSM",
            ("10,000 and 100,000 steps in float32/ssm",),
            {"10,000 and 100,000 steps in float32/ssm": "of 100000 is off by"},
        ),
        ("EndsAtAGrid", ("100,000 steps/scan",), {"100,000 steps/scan": "x at step"}),
        (
            "AlwaysTheSameMasks",
            ("dropout as drawn",),
            {"dropout as drawn": "another seed gives the same masks"},
        ),
        ("DropsNothing", ("dropout as drawn",), {"dropout as drawn": "1.000 of the features are kept"}),
        (
            "OneLeafConjugated",
            ("descent",),
            {"descent": "along the gradient of layers_1.seq.C the loss grows"},
        ),
        (
            "DStaysWhereItIs",
            ("an update descends",),
            {"an update descends": "an update leaves layers_0.seq.D where it is"},
        ),
        (
            "ClipsAtTheStart",
            ("clipped after",),
            {"clipped after an update": "it does not count as −1e-4"},
        ),
        (
            "LogStepHasARateOfItsOwn",
            ("parameter groups", "log_step is", "the state space does"),
            {"parameter groups": "layers_0.seq.log_step has the rate 1e-05"},
        ),
        ("CDecays", ("parameter groups",), {"parameter groups": "layers_0.seq.C has the rate"}),
    ],
)
def test_what_only_several_answers_show_is_said(
    name: str, asked: tuple[str, ...], failed: dict[str, str]
) -> None:
    right = check("between:Right", folder=HERE, questions=questions(*asked))
    assert (right.verdict, right.count("passed")) == ("agrees", len(questions(*asked)))
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


PLANTED = "s5ref.verification.conformance.mutants.planted"


@pytest.mark.parametrize("id_", ["M12", "M15", "M16", "M34", "M62", "M65", "M70", "M71", "M72", "M73", "M74"])
def test_a_mistake_is_named_by_a_check_of_its_own(id_: str) -> None:
    asked = [check for check in BEHAVIOURS if check.mistake == id_]
    result = check(f"{PLANTED}:{id_}", folder=HERE, questions=asked)
    assert result.count("failed") == len(asked) > 0
    assert [words.partition(":")[0] for words in result.mistakes] == [id_]


@pytest.mark.parametrize("pair", ["M03_M12", "M10_M43", "M43_M51", "M29_M65", "M05_M13"])
def test_what_a_wrong_scan_does_not_hide_is_named_beside_it(pair: str) -> None:
    """By the checks of the second one, however wrong the numbers of the cases are."""
    ids = pair.split("_")
    asked = [check for check in BEHAVIOURS if check.mistake in ids]
    scans = [
        c
        for c in cases()
        if c.id.startswith(("scan/forward/L9/P3/f", "scan/forward/L70", "scan/forward/L9/P2/resets"))
    ]
    result = check(f"{PLANTED}:{pair}", folder=HERE, questions=[*scans, *asked])
    assert {words.partition(":")[0] for words in result.mistakes} == set(ids)


def test_masks_that_are_not_drawn_are_not_asked_for() -> None:
    result = check("between:DrawsNothing", folder=HERE, questions=questions("dropout"))
    assert (result.verdict, result.count("unsupported")) == ("nothing ran", len(questions("dropout")))
    assert {o.reason for o in result.outcomes} == {"does not claim drawn_dropout"}


def test_a_share_is_that_of_the_masks_but_for_one_case_in_ten_thousand_million() -> None:
    """Hoeffding's bound holds more than the exact probability of a binomial law."""
    draws, off = drawn.EXAMPLES * drawn.FEATURES, drawn._share(drawn.EXAMPLES * drawn.FEATURES)
    for keep in (1 - drawn.RATE, drawn.RATE, (1 - drawn.RATE) ** 2, drawn.RATE**2):
        law = binom(draws, keep)
        assert law.cdf(draws * (keep - off)) + law.sf(draws * (keep + off)) <= drawn.FALSE_ALARM
        assert off < 0.06


def test_who_takes_long_for_long_sequences_is_not_wrong(tmp_path: Path) -> None:
    (tmp_path / "between.py").write_text((HERE / "between.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "s5ref-conformance.toml").write_text("timeout = 2", encoding="utf-8")
    result = check("between:Slow", folder=tmp_path, questions=questions("100,000 steps/scan"))
    assert [(o.status, o.reason) for o in result.outcomes] == [("unsupported", "takes longer than 2 s")]
