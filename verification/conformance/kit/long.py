"""Long sequences: 10,000 and 100,000 steps, within the budget of any other case.

Rounding that adds up with the steps, counters and grids that end somewhere show there and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from s5ref.engines import NUMPY
from s5ref.verification.conformance.kit.ask import Lacking
from s5ref.verification.conformance.kit.behaviour import Ask, Behaviour, listed, of_a_spectrum
from s5ref.verification.conformance.kit.compare import Judged, Measured, measured, wanted
from s5ref.verification.conformance.stages.bound import bounds_of
from s5ref.verification.conformance.stages.cases import ssm_params
from s5ref.verification.conformance.stages.draws import Dyadic
from s5ref.verification.conformance.stages.stage import Case

WITH_COTANGENTS, VALUES_ALONE = 10_000, 100_000  # steps
REMEMBERING = np.array([0.53125 + 0.828125j, (2457 + 3276j) / 4096])  # |Λ̄| = 0.984 and 0.9998
SLOW = 1.0  # by so much log Δ is less than elsewhere: states of an SSM remember up to a hundred steps
SMALLER = 2.0**-20  # times the error of float32: one of float64 that is as much rounding as that
LONG: list[Behaviour] = []
_check = partial(listed, LONG)


def _question(stage: str, L: int, conj_sym: bool = True) -> Case:
    """Float64 numbers that float32 holds."""
    n, with_cotangents = Dyadic(f"long/{stage}/{L}"), L == WITH_COTANGENTS
    inputs: dict[str, Any]
    if stage == "scan":
        inputs = {"Lambda_bar": REMEMBERING, "Bu": n.complex(1, L, 2), "x0": n.complex(1, 2)}
        options, d = {"reverse": False}, {"x": n.complex(1, L, 2), "x_last": n.complex(1, 2)}
    else:
        params = ssm_params(n, 2, 2)
        inputs = {"params": params | {"log_step": params["log_step"] - SLOW}, "u": n(1, L, 2)}
        options, d = {"conj_sym": conj_sym}, {"y": n(1, L, 2)}
    cotangent = d if with_cotangents else {}
    return Case("", stage, inputs, options, "", (), "should", (), "float64", n.name, cotangent)


def _worst(ask: Ask, case: Case, dtype: str) -> Measured:
    """What is off most for its budget, held against the blocked scan in float64: a loop takes too long."""
    got = ask(case.inputs, case.options, case.cotangent, dtype)
    eps = float(np.finfo(dtype).eps) * (2 if dtype == "float64" else 1)
    reference = Judged(wanted(case, NUMPY), bounds_of(case, NUMPY), eps)
    names = [name for name in reference.want if name in got]
    return max(measured(got, reference, replace(case, dtype=dtype), names), key=lambda m: m.ratio)


def _words(m: Measured, L: int) -> str:
    at = f"at step {m.index[1]} of {L}" if len(m.index) == 3 else f"of {L} steps"
    return f"{m.output} {at} {m.fault or f'is off by {m.ratio:.3g} times the rounding it may have'}"


@_check("10,000 and 100,000 steps in float32/scan", "M70", "scan", patient=True)
def _rounding_of_scan(ask: Ask) -> str:
    """States stay within their budget however long the sequence is, and cotangents at 10,000 steps.

    It is rounding that grows where float64 is off by so much less than float32.
    """
    for L in (WITH_COTANGENTS, VALUES_ALONE):
        narrow = _worst(ask, _question("scan", L), "float32")
        if narrow.fault or narrow.rounding:
            continue
        wide = _worst(ask, _question("scan", L), "float64")
        if not wide.fault and abs(wide.got - wide.want) < SMALLER * abs(narrow.got - narrow.want):
            return _words(narrow, L)
    return ""


@_check("100,000 steps/scan", "", "scan", right=True, patient=True)
def _long_scan(ask: Ask) -> str:
    """In float64 no state is off by more than the rounding of so many steps."""
    try:
        m, size = _worst(ask, _question("scan", VALUES_ALONE), "float64"), SMALLER
    except Lacking:
        m, size = _worst(ask, _question("scan", VALUES_ALONE), "float32"), 0.0
    wrong = bool(m.fault) or (not m.rounding and abs(m.got - m.want) > size * abs(m.want))
    return _words(m, VALUES_ALONE) if wrong else ""


@_check(
    "10,000 and 100,000 steps in float32/ssm", "", "ssm", right=True, beside="scan", patient=True,
)  # fmt: skip
@of_a_spectrum
def _long_ssm(ask: Ask, conj_sym: bool) -> str:
    """Outputs of an SSM, and gradients at 10,000 steps.

    The budget of an SSM grows with the root of the number of steps: rounding that adds up shows in the scan.
    """
    for L in (WITH_COTANGENTS, VALUES_ALONE):
        m = _worst(ask, _question("ssm", L, conj_sym), "float32")
        if m.fault or not m.rounding:
            return _words(m, L)
    return ""
