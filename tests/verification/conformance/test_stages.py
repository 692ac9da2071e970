"""The stages and their cases: the same always, whole, and answered by every engine within the bounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from s5ref import NUMBA, NUMPY, SEQUENTIAL, Engine, Model, ModelConfig
from s5ref.verification.conformance.protocol import SIGNATURES, moving, outputs_of
from s5ref.verification.conformance.stages import (
    LEVELS,
    STAGES,
    Case,
    audit,
    bounds_of,
    cases,
    computed,
    flat,
    nested,
)
from s5ref.verification.conformance.stages.audit import eigenvalues, expected
from s5ref.verification.conformance.stages.crossed import AXES, UNSAID
from s5ref.verification.conformance.stages.forms import joined, statistics, stored
from s5ref.verification.conformance.stages.reference import config_in
from s5ref.verification.conformance.vectors import load
from s5ref.verification.rounding.budget import cast, ratio

CASES = list(cases())
AUDITED = (
    "Lambda",
    "B",
    "C",
    "D",
    "log_step",
    "kernel",
    "constant",
    "layers_1",
)  # of the parameters drawn by init
SMALL = [case for case in CASES if case.stage != "init"]


def test_the_cases_are_the_same_every_time() -> None:
    again = list(cases())
    assert [case.id for case in again] == [case.id for case in CASES]
    for one, other in zip(CASES, again, strict=True):
        for name, x in flat(one.inputs).items():
            assert np.array_equal(x, flat(other.inputs)[name])


def test_running_statistics_have_no_cotangent() -> None:
    """In torch they are buffers: a batch_norm in training raises where one of them asks for a gradient."""
    case = next(case for case in CASES if case.id.startswith("layer/batch norm/prenorm/training"))
    assert {"norm.mean", "norm.var"} <= set(case.inputs["params"])
    paths = set(moving("layer", case.inputs))
    assert {f"d{path}" for path in paths} == {n for n in computed(case, SEQUENTIAL) if n.startswith("d")}
    assert "params.norm.scale" in paths


def test_ids_are_unique_and_begin_with_their_stage() -> None:
    assert max(Counter(case.id for case in CASES).values()) == 1
    for case in CASES:
        assert case.id.startswith(f"{case.stage}/")
        assert case.id.endswith({"float32": "/f32", "float64": "/f64"}[case.dtype])
        assert case.level in LEVELS


def test_every_stage_has_cases_in_both_precisions() -> None:
    assert {(case.stage, case.dtype) for case in CASES} == {
        (stage, dtype) for stage in STAGES for dtype in ("float32", "float64")
    }


@pytest.mark.parametrize("stage", list(STAGES))
def test_inputs_are_those_of_the_signature(stage: str) -> None:
    signature = SIGNATURES[stage]
    for case in (case for case in CASES if case.stage == stage):
        outputs = AUDITED if stage == "init" else outputs_of(stage, case.options)
        assert set(case.inputs) <= {*signature.inputs, *signature.further}
        assert set(signature.inputs) - set(signature.optional) <= set(case.inputs)
        for name in computed(case, SEQUENTIAL):
            first = name.split(".")[0]
            assert first in outputs or first.removeprefix("d") in signature.differentiable


def test_answers_have_the_precision_of_the_case() -> None:
    for case in SMALL:
        for name, x in computed(case, SEQUENTIAL).items():
            assert x.real.dtype == np.dtype(case.dtype), f"{case.id}/{name}"


def test_every_cotangent_of_an_input_is_asked_for_by_itself() -> None:
    """Each leaf of a differentiable input that is a number has a cotangent, and none vanishes altogether."""
    for case in (case for case in CASES if case.cotangent):
        asked = set(computed(case, SEQUENTIAL))
        for path, x in flat(case.inputs).items():
            name = path.split(".")[0]
            if name in SIGNATURES[case.stage].differentiable and x.dtype.kind in "fc":
                statistic = path.endswith(("norm.mean", "norm.var"))
                assert (f"d{path}" in asked) != statistic, f"{case.id}: {path}"


@pytest.mark.parametrize("stage", ["layer", "model"])
def test_every_two_values_of_two_options_meet_in_a_case(stage: str) -> None:
    """A batch norm with every activation, in both places, and so on."""
    options = [{**UNSAID, **case.options} for case in CASES if case.stage == stage]
    for one, other in combinations(AXES, 2):
        met = {(o.get(one), o.get(other)) for o in options}
        assert set(product(AXES[one], AXES[other])) <= met, (one, other)


def test_draws_of_two_layers_are_held_against_each_other() -> None:
    """Draws that serve two layers are off by far, draws of their own are not."""
    for case in (case for case in CASES if case.stage == "init" and case.dtype == "float64"):
        params, _ = Model(ModelConfig(**config_in(case.options))).init(3, "float64")
        own, law = audit(joined(params), case.options), expected(case.options)
        twice = audit(
            {n: joined(params)[n.replace("layers_1", "layers_0")] for n in joined(params)}, case.options
        )
        biased = joined(params) | {"layers_1.out2.bias": np.full(256, 0.5)}
        assert audit(biased, case.options)["layers_1.constant.of_layer"] == 0.5
        assert audit(biased, case.options)["constant.of_layer"] == own["layers_1.constant.of_layer"] == 0
        for name in ("layers_1.B.between_layers", "layers_1.kernel.between_layers"):
            assert abs(own[name]) <= law[name][1] < abs(twice[name]) / 5


def test_nested_inverts_flat() -> None:
    for case in CASES:
        back = flat(nested(flat(case.inputs)))
        assert list(back) == list(flat(case.inputs))


def test_an_audit_has_the_numbers_whose_leaves_are_there() -> None:
    case = next(case for case in CASES if case.stage == "init")
    full, _ = Model(ModelConfig(**config_in(case.options))).init(0, "float64")
    params, seq = joined(full), "layers_0.seq."
    assert set(audit(params, case.options)) == {*eigenvalues(case.options), *expected(case.options)}
    some = {name: leaf for name, leaf in params.items() if name in (f"{seq}D", f"{seq}log_step")}
    drawn = {"D.mean", "D.mean_square", "log_step.mean_place", "log_step.outside"}
    assert set(audit(some, case.options)) == drawn


def test_joined_inverts_stored() -> None:
    params = next(case for case in CASES if case.stage == "layer" and "batch norm" in case.id).inputs[
        "params"
    ]
    back = joined(stored(params)) | statistics(params)
    assert set(back) == set(params)
    assert all(np.array_equal(back[name], leaf) for name, leaf in params.items())


def test_a_bound_is_that_of_the_case_in_units_of_eps() -> None:
    """The same number for both precisions: a bound knows nothing of eps."""
    one, other = (case for case in CASES if case.id.startswith("ssm/conj_sym/"))
    assert one.dtype != other.dtype
    for name, b in bounds_of(one).items():
        assert np.array_equal(b, bounds_of(other)[name])


def test_a_scan_with_resets_may_start_from_nothing() -> None:
    """As where the kit asks again without the initial state, to find the place of a mistake."""
    case = next(case for case in CASES if case.id == "scan/forward/L9/P2/resets to a state/f32")
    without = replace(case, inputs={name: x for name, x in case.inputs.items() if name != "x0"})
    assert set(bounds_of(without)) == set(computed(without, SEQUENTIAL)) == set(bounds_of(case)) - {"dx0"}


@pytest.mark.parametrize("engine", [SEQUENTIAL, NUMPY, NUMBA], ids=lambda engine: engine.name)
def test_every_engine_answers_within_the_bounds(engine: Engine) -> None:
    """Against the stored enclosures, value and cotangent, in both precisions."""
    for v in load():
        got = computed(v.case, engine)
        assert set(got) == set(v.want), v.id
        assert max(ratio(got[n], x, v.bounds[n], v.eps) for n, x in v.want.items()) <= 1, v.id


def test_bounds_are_not_slack() -> None:
    """A relative error of 1e-5 in float32 is not rounding-sized at any stage (but for random draws)."""
    for stage in STAGES:
        worst = 0.0
        for v in load(f"{stage}/*/f32"):
            got = {name: x * (1 + 1e-5) for name, x in computed(v.case, SEQUENTIAL).items()}
            worst = max([worst, *(ratio(got[n], x, v.bounds[n], v.eps) for n, x in v.want.items())])
        assert worst > 1 or stage == "init", stage


def test_a_case_moves_to_another_precision() -> None:
    case: Case = next(case for case in CASES if case.id == "scan/reverse/L9/P3/f32")
    wide = replace(
        case, inputs=cast(dict(case.inputs), np.float64), cotangent=cast(case.cotangent, np.float64)
    )
    narrow, exact = computed(case, SEQUENTIAL), computed(wide, SEQUENTIAL)
    assert np.allclose(narrow["dLambda_bar"], exact["dLambda_bar"], rtol=1e-5)
