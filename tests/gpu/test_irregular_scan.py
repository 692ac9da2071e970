"""The scan under irregular sampling, whose kernels compute multipliers and gains from the intervals, against
the reference's composition in the next wider precision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice
from cuda_shim.module import LaunchError
from irregular_scans import expected, inputs, judged, one_step, ours, summed, worst

from s5ref import S5Error
from s5ref.gpu.irregular_scan import KERNELS, PerStepCoefficients, irregular_scan
from s5ref.gpu.launch import Launcher
from s5ref.gpu.source import source
from s5ref.gpu.tiling import tiling
from s5ref.verification.rounding.budget import THRESHOLD, cast

pytestmark = MARKS

ON = Launcher(ShimDevice())
RULES = sorted(set(KERNELS.values()))
SHAPES = [  # (N, L, P), channels of a block, chunks
    ((1, 1, 5), 8, 1),  # not one number alone: a budget is of the largest
    ((2, 131, 13), 16, 1),
    ((2, 129, 33), 32, 1),
    ((270, 257, 3), 8, 1),
    ((1, 300, 40), 8, 2),
    ((3, 1100, 9), 8, 5),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize(("shape", "channels", "chunks"), SHAPES)
def test_the_reference_s_composition(
    shape: tuple[int, int, int], channels: int, chunks: int, reverse: bool, rule: str, dtype: str
) -> None:
    cut = tiling(*shape)
    assert (cut.channels, cut.chunks) == (channels, chunks)
    given, want, budget = expected(shape, rule, reverse, dtype)
    assert worst(ours(ON, rule, given, reverse), want, budget, dtype) <= THRESHOLD


@pytest.mark.parametrize("absent", [(4,), (5,), (6,), (4, 5), (4, 6)])
@pytest.mark.parametrize("shape", [(2, 131, 13), (1, 300, 4)])
def test_what_may_be_absent(shape: tuple[int, int, int], absent: tuple[int, ...]) -> None:
    """x0, dx, dx_last."""
    given = tuple(None if i in absent else leaf for i, leaf in enumerate(inputs(shape, "float32")))
    want, budget = judged(given, "zoh", True, "float32")
    assert worst(ours(ON, "zoh", given, True), want, budget, "float32") <= THRESHOLD


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
def test_every_function_of_the_interval(strict: bool, rule: str, dtype: str) -> None:
    found = one_step(Launcher(ShimDevice(), strict), rule, dtype)
    assert max(found.values()) <= THRESHOLD, found


def test_two_directions_leave_one_cotangent() -> None:
    assert max(summed(ON, shape) for shape in [(2, 131, 13), (1, 300, 4)]) <= THRESHOLD


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(2, 131, 13), (2, 100, 33), (3, 1100, 9)])
def test_bits_do_not_depend_on_threads_or_blocks(shape: tuple[int, int, int], rule: str) -> None:
    given = inputs(shape, "float32")
    first = ours(ON, rule, given, True)
    for order, resident in ((1, 1), (2, 1), (0, 2), (1, 4), (3, 4)):
        again = ours(Launcher(ShimDevice(order, resident=resident)), rule, given, True)
        for name, leaf in first.items():
            np.testing.assert_array_equal(again[name], leaf, err_msg=name)


def test_arrays_that_are_not_contiguous_are_taken_as_they_are() -> None:
    given = inputs((2, 40, 6), "float32")
    plain = ours(ON, "zoh", given, False)
    twisted = ours(ON, "zoh", tuple(map(np.asfortranarray, given)), False)
    for name, leaf in plain.items():
        np.testing.assert_array_equal(twisted[name], leaf, err_msg=name)


@pytest.mark.parametrize("i", range(5))
def test_shapes_and_precisions_that_do_not_fit_are_refused(i: int) -> None:
    given = list(inputs((2, 5, 3), "float32"))[:5]
    coefficients = PerStepCoefficients("zoh", *given[:3])
    irregular_scan(ON, coefficients, given[3], given[4])
    for wrong, match in ((given[i][..., :-1], "must be"), (cast(given[i], "float64"), "arrays must be")):
        changed = [wrong if k == i else leaf for k, leaf in enumerate(given)]
        with pytest.raises(S5Error, match=match):
            irregular_scan(ON, PerStepCoefficients("zoh", *changed[:3]), *changed[3:])


# Faults planted in irregular_scan.cu: (old text, new text).
FAULTS = {
    "the series ends early": ("? 12 : 20)", "? 7 : 7)"),
    "no series near 0": ("if (squared_norm(z) <= 1)", "if (squared_norm(z) < 0)"),
    "the rounding of the phase is lost": ("  sine_cosine(t, &s, &c);", "  left = 0, sine_cosine(t, &s, &c);"),
    "the slope of the gain is not conjugated": ("conjugate(c.db_dLambda)", "c.db_dLambda"),
    "the adjoint's multiplier is its own step's": ("row_index(at, s, k + 1)]", "row_index(at, s, k)]"),
    "the first adjoint step decays": ("return {{m ? all", "return {{true ? all"),
    "dstep is that of a unit interval": ("dstep += interval[i] * (", "dstep += ("),
    "intervals in the other direction": (
        "{{all.intervals[row_index(at, s, k)], 0}, raw",
        "{{all.intervals[at.n * s.L + k], 0}, raw",
    ),
    "what the other direction left is lost": ("accumulate ? draw[j] + d : d", "d"),
    "the initial state is lost in dΛ": (": x0 ? x0[nth] : zero;\n    input", ": zero;\n    input"),
    "the bilinear gain's slope is halved": ("Delta * Delta / 2, slope", "Delta * Delta / 4, slope"),
    "the gain of an impulse counts": ("Rule::UNIT_GAIN ? zero : g", "false ? zero : g"),
    "an impulse decays half a step": (
        "exponential(scaled(Delta, Lambda));",
        "exponential(scaled(Delta / 2, Lambda));",
    ),
    "dx0 is not conjugated": ("dx0[nth] = conjugate(c.a)", "dx0[nth] = c.a"),
}  # fmt: skip


def caught(change: Callable[[str], str]) -> bool:
    on = Launcher(ShimDevice(0, change))
    try:
        with np.errstate(all="ignore"):
            found = [summed(on, (2, 131, 13))]
            for rule in RULES:
                found += one_step(on, rule, "float32").values()
                given, want, budget = expected((2, 131, 13), rule, True, "float32")
                found.append(worst(ours(on, rule, given, True), want, budget, "float32"))
    except (AssertionError, LaunchError):
        return True
    return bool(max(found) > THRESHOLD)


def test_the_true_kernels_are_not_caught() -> None:
    assert not caught(lambda code: code)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(fault: str) -> None:
    old, new = FAULTS[fault]
    assert source("irregular_scan").count(old) == 1
    assert caught(lambda code: code.replace(old, new))
