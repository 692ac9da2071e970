"""The smallest question: it fails as the first one did, and nothing of it can be left out."""

from __future__ import annotations

import numpy as np
import pytest

from s5ref.verification.conformance.scoreboard.shrink import AXES, STAGES, shrunk
from s5ref.verification.conformance.stages import Case, cases
from s5ref.verification.conformance.stages.stage import flat

ALL = {case.id: case for case in cases()}


def test_a_difference_at_the_second_step_needs_two_steps() -> None:
    def fails(case: Case) -> bool:
        u = case.inputs["u"]
        return bool(u.shape[1] >= 2 and np.any(u[:, 0] != 0))

    small = shrunk(ALL["ssm/conj_sym/L6/H2/P3/f32"], fails)
    assert fails(small)
    shapes = {name: np.shape(x) for name, x in flat(small.inputs).items()}
    assert shapes["u"] == (1, 2, 1)
    assert shapes["params.Lambda"] == (1,)
    assert shapes["params.C"] == (1, 1)
    assert np.all(small.inputs["params"]["log_step"] == 0)


def test_what_never_fails_again_comes_back_as_it_was() -> None:
    case = ALL["scan/forward/L9/P3/f32"]
    assert shrunk(case, lambda smaller: False) is case


def test_stages_without_known_axes_come_back_as_they_are() -> None:
    case = ALL["init/four blocks/trunc_standard_normal/f32"]
    assert shrunk(case, lambda smaller: True) is case


@pytest.mark.parametrize("stage", STAGES)
def test_smaller_cases_can_be_asked(stage: str) -> None:
    """Every smaller case has an answer of the reference: the axes are cut together."""
    from s5ref.verification.conformance.kit.compare import judged

    asked = []

    def answers(case: Case) -> bool:
        asked.append(judged(case, keep=False))
        return len(asked) % 2 == 1

    for case in [case for case in ALL.values() if case.stage == stage and case.dtype == "float64"][:6]:
        shrunk(case, answers)
    assert len(asked) > 10


def test_every_axis_is_one_of_four() -> None:
    assert set("".join(AXES.values())) == set("NLPH")
