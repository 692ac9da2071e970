"""What a candidate says of its form holds for every case; a form is no mistake."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from s5ref import SEQUENTIAL
from s5ref.verification.conformance.kit import Result, as_json, check
from s5ref.verification.conformance.kit.ask import in_form, out_of_form, refused
from s5ref.verification.conformance.kit.behaviours import BEHAVIOURS
from s5ref.verification.conformance.kit.run import Session
from s5ref.verification.conformance.stages import Case, cases, computed
from s5ref.verification.conformance.stages.crossed import UNSAID

HERE = Path(__file__).parent
SPACES = [c for c in cases() if c.stage in ("ssm", "layer", "model", "step", "init")]


def _checked(name: str, questions: list[Case]) -> Result:
    return check(f"right:{name}", folder=HERE, questions=questions)


@pytest.mark.parametrize("case", [c for c in SPACES if c.stage != "init"], ids=lambda case: case.id)
def test_with_both_members_of_each_pair_it_is_the_same_s5(case: Case) -> None:
    both = in_form(case, {"options": {"conj_sym": False}})
    if "all_states" in case.features:
        assert both is case
        return
    assert both.options["conj_sym"] is False
    want = {name: x for name, x in computed(case, SEQUENTIAL).items() if not name.startswith("d")}
    got, eps = out_of_form(computed(both, SEQUENTIAL), case, both), np.finfo(case.dtype).eps
    for name, x in want.items():
        assert np.max(np.abs(got[name] - x)) <= 64 * eps * max(1, np.max(np.abs(x))), name


def test_all_states_are_kept_in_every_case_that_says_nothing() -> None:
    """Those that ask for half of them are the ones that are not asked; here none says so."""
    result = _checked("AllStates", SPACES)
    assert (result.verdict, result.ran, result.count("passed")) == ("agrees", len(SPACES), len(SPACES))


def test_all_states_that_are_kept_silently_are_a_form_and_no_mistake() -> None:
    chosen = [c for c in SPACES if c.id.startswith(("ssm/conj_sym", "ssm/all", "init/one"))]
    result = _checked("Undeclared", chosen)
    assert (result.verdict, result.mistakes) == ("differs", {})
    [words] = result.forms
    assert "keeps all P states" in words
    assert "options = {'conj_sym': False}" in words
    failed = {o.id for o in result.of("failed")}
    assert {o.id for o in result.forms[words]} == failed == {c.id for c in chosen if "ssm/all" not in c.id}
    assert [form["form"] for form in as_json(result)["forms"]] == [words]


def test_other_options_of_which_there_is_one_hold_too() -> None:
    result = _checked("Tustin", [c for c in SPACES if c.stage != "init"])
    assert result.verdict == "agrees", list(result.of("failed"))
    reasons = {o.reason for o in result.of("unsupported")}
    assert reasons == {"has discretization=bilinear only", "has prenorm=False only"}
    assert "ssm/conj_sym/L6/H2/P3/f32" in {o.id for o in result.of("passed")}


def test_a_permutation_of_the_states_is_s5_and_blocks_that_are_not_there_are_not_asked_for() -> None:
    result = _checked("Permuted", [c for c in SPACES if c.stage == "init"])
    assert result.verdict == "agrees", [o.measures for o in result.of("failed")]
    assert {o.id.split("/")[1] for o in result.of("passed")} == {"one block"}
    assert {o.reason for o in result.of("unsupported")} == {"has blocks=1 only"}


def test_what_a_method_does_not_take_is_not_asked_of_it() -> None:
    result = _checked("Few", list(cases()))
    assert result.verdict == "agrees", [(o.id, o.fault, o.measures) for o in result.of("failed")]
    passed = {o.id for o in result.of("passed")}
    assert {
        "discretize/zoh/P4/f32", "scan/reverse/L9/P3/zero initial state/f32", "ssm/conj_sym/L6/H2/P3/f64",
        "layer/batch norm/prenorm/training/L5/H3/P2/f32",
    } <= passed  # fmt: skip
    reasons = {o.reason for o in result.of("unsupported")}
    assert {
        "discretize takes no method=bilinear", "scan takes no x0", "ssm takes no bidirectional=True",
        "ssm takes no intervals", "layer takes no bidirectional=True", "layer takes no masks",
    } <= reasons  # fmt: skip


PLANTED = "s5ref.verification.conformance.mutants.planted"


@pytest.mark.parametrize("name", ["all_states_declared", "all_states_by_features"])
def test_a_module_that_keeps_all_states_is_asked_everything(name: str) -> None:
    """By its options or its features: no case asks for half of the states."""
    session = Session(f"{PLANTED}:{name}", folder=HERE)
    session.close()
    asked = [in_form(case, session.described) for case in session.cases if isinstance(case, Case)]
    assert [(case.id, why) for case in asked if (why := refused(case, session.described))] == []
    spaces = [case for case in asked if case.stage in ("ssm", "layer", "model", "step", "init")]
    assert all(case.options["conj_sym"] is False for case in spaces)


def test_a_module_that_keeps_all_states_has_every_behaviour() -> None:
    result = check(f"{PLANTED}:all_states_by_features", folder=HERE, questions=BEHAVIOURS)
    assert (result.verdict, result.count("passed")) == ("agrees", len(BEHAVIOURS))


@pytest.mark.parametrize(
    ("id_", "start"), [("M36", "ssm/bidirectional/"), ("M45", "ssm/foh/"), ("M41", "ssm/resets/")]
)
def test_a_mistake_of_a_module_that_keeps_all_states_is_named(id_: str, start: str) -> None:
    """In cases of which none is stated with all states."""
    questions = [c for c in cases() if c.id.startswith(start)]
    assert all("all_states" not in c.features for c in questions)
    result = check(f"wrong:AllStatesWith{id_}", folder=HERE, questions=questions)
    assert result.count("failed") == result.ran == len(questions) > 0
    assert [words.partition(":")[0] for words in result.mistakes] == [id_]


def test_options_are_crossed_as_far_as_a_candidate_has_them() -> None:
    """A layer and a model with one activation: it meets every norm, place and mode; nothing else is asked."""
    session = Session("right:OneActivation", folder=HERE)
    session.close()
    known = {case.id for case in cases()}
    crossed = [case for case in session.cases if isinstance(case, Case) and case.id not in known]
    assert {case.stage for case in crossed} == {"layer", "model"}
    asked = [
        case for case in session.cases if isinstance(case, Case) and not refused(case, session.described)
    ]
    for stage in ("layer", "model"):
        options = [{**UNSAID, **case.options} for case in asked if case.stage == stage]
        assert {o["activation"] for o in options} == {"half_glu1"}
        met = {(o["norm"], o["prenorm"], o["train"]) for o in options}
        for one, other in combinations(range(3), 2):
            assert len({(m[one], m[other]) for m in met}) == 4


def test_who_has_all_options_is_asked_no_others() -> None:
    session = Session("sequential", folder=HERE)
    session.close()
    assert [c.id for c in session.cases if isinstance(c, Case)] == [c.id for c in cases()]
