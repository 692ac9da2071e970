"""Right implementations pass, whatever way they compute; mistakes planted together are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref.verification.conformance.kit import check
from s5ref.verification.conformance.mutants import MUTANTS, Mutant
from s5ref.verification.conformance.mutants.pairs import Judgement, drawn, hidden, judge_right
from s5ref.verification.conformance.mutants.right import RIGHT
from s5ref.verification.conformance.mutants.session import PLANTED, Said
from s5ref.verification.conformance.stages import cases, computed
from s5ref.verification.conformance.vectors import load
from s5ref.verification.rounding.budget import ratio

CHANGES = {name: variant for name, variant in RIGHT.items() if isinstance(variant, Mutant)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_right_variant_is_within_every_bound(name: str) -> None:
    with CHANGES[name].apply(None) as engine, np.errstate(all="ignore"):
        for v in load():
            got = computed(v.case, engine)
            for output, want in v.want.items():
                assert ratio(got[output], want, v.bounds[output], v.eps) <= 1, (v.id, output)


@pytest.mark.parametrize("name", CHANGES)
def test_a_right_variant_is_what_computes(name: str) -> None:
    """Without the function that stands in for one of the reference's, its stage raises."""

    def stopped(*args: object, **options: object) -> None:
        raise RuntimeError

    variant = CHANGES[name]
    change = variant.changes[0]._replace(make=lambda _: stopped)
    with Mutant(name, name, name, variant.stage, (change,)).apply(None) as engine:
        of_stage = [case for case in cases() if case.stage == variant.stage]
        with pytest.raises(RuntimeError):
            [computed(case, engine) for case in of_stage]


@pytest.mark.parametrize("name", ["tuples", "wide_inside", "single_alone", "forward_alone"])
def test_a_right_candidate_passes(name: str) -> None:
    questions = [case for case in cases() if case.stage in ("discretize", "scan", "layer")]
    result = check(f"{PLANTED}:{name}", questions=questions)
    assert (result.verdict, result.mistakes) == ("agrees", {})


def test_two_mistakes_are_planted_together() -> None:
    questions = [
        case for case in cases() if case.id.startswith(("discretize/bilinear/P4/f", "layer/gelu/tanh"))
    ]
    result = check(f"{PLANTED}:M31_M48", questions=questions)
    assert {words[:3] for words in result.mistakes} == {"M31", "M48"}


def test_what_a_judgement_says() -> None:
    judgement = Judgement(("M20", "M50"), Said("M20_M50", ("ssm/x",), ("M49", "M20", "M22")))
    assert judgement.killed
    assert judgement.named == ("M20",)
    assert judgement.missing == ("M50",)
    assert judgement.false == ("M22",)  # M49 is part of M50
    assert Judgement(("M20",), Said("M20", (), ()), ("M20",)).missing == ()


def test_a_mistake_that_another_undoes_is_hidden() -> None:
    assert hidden(("M20", "M31")) == ()
    assert hidden(("M10", "M49")) == ("M10",)


def test_pairs_are_drawn_once_each() -> None:
    pairs = drawn(list(MUTANTS), 50, 0)
    assert pairs == drawn(list(MUTANTS), 50, 0)
    assert len(set(pairs)) == 50
    assert len(drawn(["M01", "M02", "M03"], 50, 0)) == 3


@pytest.mark.slow
def test_every_right_variant_passes_the_session() -> None:
    assert [
        (j.said.planted, j.said.failed, j.said.names)
        for j in judge_right(list(RIGHT), lambda _: None)
        if j.killed
    ] == []
