"""Every known mistake is caught, by a vector that says so or by its check, and named."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import s5ref.nn.activation
import s5ref.ssm.ssm
from s5ref import NUMBA, NUMPY, SEQUENTIAL, Engine, engines
from s5ref.verification.mutants import (
    CHECKS,
    MUTANTS,
    MutantsReport,
    asking,
    failed_checks,
    failing,
    name_mistakes,
    replaced,
    run_mutants,
)
from s5ref.verification.mutants.run import answers_of, questions
from s5ref.verification.stages import computed
from s5ref.verification.stages.layers import scan

NUMERIC = [id_ for id_, mutant in MUTANTS.items() if mutant.numeric]
WITHOUT_NUMBERS = {"M09", "M11", "M12", "M13", "M14", "M15", "M24", "M28", "M29", "M30"}


@cache
def report() -> MutantsReport:
    return run_mutants()


def test_all_forty_are_there() -> None:
    assert list(MUTANTS) == [f"M{i:02}" for i in range(1, 41)]
    assert {id_ for id_, mutant in MUTANTS.items() if not mutant.numeric} == WITHOUT_NUMBERS


def test_all_are_killed_and_named() -> None:
    found = report()
    assert found.mutants == 40
    assert found.kill_rate == 1, [row for row in found.rows if not row.killed]
    assert found.naming_rate >= 0.9, [row for row in found.rows if not row.named]


@pytest.mark.parametrize("id_", NUMERIC)
def test_the_vectors_that_say_so_catch_it(id_: str) -> None:
    """Every vector with the mutant among its ``catches`` fails on it; there is at least one."""
    own = [q for q in questions() if id_ in q.case.catches]
    assert own
    for q, got in answers_of(MUTANTS[id_], own):
        assert failing(q, got), q.case.id


@pytest.mark.parametrize("id_", sorted(WITHOUT_NUMBERS))
def test_its_own_check_fails_on_it(id_: str) -> None:
    with MUTANTS[id_].apply(None) as engine, np.errstate(all="ignore"):
        failed = {check.id for check in failed_checks(asking(engine), library=True)}
    assert failed == {id_}


@pytest.mark.parametrize("engine", [SEQUENTIAL, NUMPY, NUMBA], ids=lambda engine: engine.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.id}, {check.name}")
def test_the_checks_hold_for_our_engines(check: object, engine: Engine) -> None:
    assert check.holds(asking(engine))  # type: ignore[attr-defined]


def test_nothing_is_named_where_nothing_is_wrong() -> None:
    found = name_mistakes([(q, computed(q.case, SEQUENTIAL)) for q in questions()])
    assert (found.stage, found.mutants, found.explained) == ("", [], {})


def test_two_mistakes_at_once_are_both_named() -> None:
    """A candidate that lacks the factor 2 and uses the erf GELU: each stage shows its own."""
    here = [q for q in questions() if q.case.stage in ("ssm", "layer") and "/f64" in q.case.id]
    without = dict(answers_of(MUTANTS["M20"], []))
    assert without == {}
    ssm = answers_of(MUTANTS["M20"], [q for q in here if q.case.stage == "ssm"])
    layer = answers_of(MUTANTS["M31"], [q for q in here if q.case.stage == "layer"])
    found = name_mistakes([*ssm, *layer])
    assert found.stage == "ssm"
    assert set(found.mutants) == {"M20", "M31"}


def test_an_unknown_mistake_is_not_given_a_name() -> None:
    here = [q for q in questions() if q.case.id.startswith("scan/forward/L9/P3")]
    answers = [(q, {n: 1.5 * x for n, x in computed(q.case, SEQUENTIAL).items()}) for q in here]
    found = name_mistakes(answers)
    assert found.stage == "scan"
    assert found.mutants == []
    assert not found.complete


def test_replaced_reaches_every_holder_and_puts_it_back() -> None:
    module, old = s5ref.nn.activation, s5ref.nn.activation.gelu_tanh
    before = engines.SEQUENTIAL

    def other(x: object) -> object:
        return x

    with replaced("s5ref.nn.activation", "gelu_tanh", other) as engine:
        assert module.gelu_tanh is other
        assert engine.gelu_tanh.value is other
        assert engines.SEQUENTIAL.gelu_tanh.value is other
    assert module.gelu_tanh is old
    assert engines.SEQUENTIAL is before is SEQUENTIAL
    zoh = s5ref.ssm.ssm.DISCRETIZATIONS["zoh"]
    with replaced("s5ref.ssm.discretize", "zoh", other):
        assert s5ref.ssm.ssm.DISCRETIZATIONS["zoh"].value is other
    assert s5ref.ssm.ssm.DISCRETIZATIONS["zoh"] is zoh


def test_a_mutant_leaves_no_trace() -> None:
    q = next(q for q in questions() if q.case.id == "scan/reverse/L9/P3/f64")
    before = scan(q.case.inputs, q.case.options, SEQUENTIAL)
    for mutant in MUTANTS.values():
        with mutant.apply(None):
            pass
    after = scan(q.case.inputs, q.case.options, engines.SEQUENTIAL)
    assert engines.SEQUENTIAL is SEQUENTIAL
    assert all(np.array_equal(before[name], after[name]) for name in before)
