"""A mistake that is in no list is placed by what becomes right when its part has nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from s5ref.verification.conformance.kit import check, naming
from s5ref.verification.conformance.stages import cases

HERE = Path(__file__).parent


PLANTED = "s5ref.verification.conformance.mutants.planted"


@pytest.mark.parametrize(
    ("id_", "start", "place"),
    [
        ("M54", "layer/half_glu2/tanh", "skip"),
        ("M52", "layer/half_glu2/tanh", "norm"),
        ("M60", "ssm/conj_sym", "batch"),
        ("M50", "ssm/initial state", "initial state"),
    ],
)
def test_a_known_mistake_has_the_place_that_its_numbers_have(
    id_: str, start: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named or not."""
    questions = [c for c in cases() if c.id.startswith(start)]
    assert {o.place for o in check(f"{PLANTED}:{id_}", folder=HERE, questions=questions).outcomes} == {place}
    monkeypatch.setattr(naming, "NUMERIC", ())
    assert {o.place for o in check(f"{PLANTED}:{id_}", folder=HERE, questions=questions).outcomes} == {place}


@pytest.mark.parametrize(
    ("name", "start", "place"),
    [
        ("NoSkip", "layer/half_glu2/tanh", "skip"),
        ("HalfASkip", "layer/full_glu/tanh", "skip"),
        ("NormTwice", "layer/half_glu2/tanh", "norm"),
        ("NormTwice", "layer/gelu/tanh", "norm"),
        ("NoNorm", "layer/half_glu2/tanh", "norm"),
        ("NoNorm", "layer/layer norm/postnorm/evaluation", "norm"),
        ("Flattened", "ssm/conj_sym", "batch"),
        ("Flattened", "layer/half_glu2/tanh", "batch"),
        ("Unclipped", "ssm/clip_eigs", "clip_eigs"),
        ("Pieces", "ssm/initial state", "initial state"),
        ("Pieces", "ssm/irregular/", "discretise"),
        ("Pieces", "ssm/bidirectional/", "backward direction"),
        ("Unknown", "ssm/conj_sym", "C/D"),
        ("Unknown", "layer/half_glu2/tanh", "gate"),
        ("Pools", "model/classifier/L5", "pool"),
        ("NoSingleStep", "ssm/conj_sym", "Bu"),
    ],
)
def test_a_mistake_that_nobody_knows_has_a_place(
    name: str, start: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "NUMERIC", ())
    questions = [c for c in cases() if c.id.startswith(start)]
    result = check(f"wrong:{name}", folder=HERE, questions=questions)
    assert [(o.status, o.place) for o in result.outcomes] == [("failed", place)] * len(questions)
