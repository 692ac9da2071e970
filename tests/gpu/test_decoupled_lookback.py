"""Decoupled look-back: the same bits whichever blocks run together, and faults planted in how blocks wait."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice
from cuda_shim.module import LaunchError

from s5ref.arrays import Array
from s5ref.gpu.engine import engine_of
from s5ref.gpu.launch import Launcher
from s5ref.gpu.scan import scan
from s5ref.gpu.source import source
from s5ref.gpu.tiling import LOOKBACK, tiling
from s5ref.random import generator
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import THRESHOLD, cast
from s5ref.verification.selfcheck.fields import Case, Judged, field_ratios, judged, outcome

pytestmark = MARKS

GROUP = 128  # chunks: LOOKBACK.tile / STEPS threads a column, four chunks each
SHORT = (1, 1100, 3)  # one group
LONG = (1, (GROUP + 1) * LOOKBACK.tile + 100, 1)  # two chunks behind the first group
KINDS = {"constant": False, "varying": True}


def case(shape: tuple[int, int, int], varying: bool, reverse: bool = False) -> Case:
    """Multipliers so near 1 that every state shows in the group after the next."""
    n = generator("gpu chain", *shape).standard_normal
    N, _L, P = shape

    def z(*size: int) -> Array:
        return np.asarray(n(size) + 1j * n(size))

    size = shape if varying else (P,)
    Lambda_bar = np.exp(-np.abs(n(size)) * 1e-5 + 1j * n(size))
    return Case(
        "scan",
        f"{shape}, {varying=}",
        (Lambda_bar, z(*shape), 100 * z(N, P), reverse),
        (z(*shape), 100 * z(N, P)),
    )


@functools.cache
def expected(shape: tuple[int, int, int], varying: bool, dtype: str = "float32") -> Judged:
    return judged(case(shape, varying), dtype)


def worst(device: ShimDevice, at: Judged) -> float:
    ratios: dict[str, float] = field_ratios(engine_of(device), at)
    return max(ratios.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("L", [128, 129, 130, 257], ids=lambda chunks: f"{chunks} chunks")
def test_groups_of_chunks(L: int, dtype: str, kind: str) -> None:
    shape = (1, L * LOOKBACK.tile - 7, 1)
    assert tiling(*shape).chunks == L
    assert worst(ShimDevice(), expected(shape, KINDS[kind], dtype)) <= THRESHOLD


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(3, 1100, 9), LONG], ids=["three sequences, two groups of channels", "long"]
)
def test_bits_do_not_depend_on_which_blocks_run_beside_each_other(
    shape: tuple[int, int, int], kind: str
) -> None:
    at = case(shape, KINDS[kind], True)
    args, d = cast(at.args, "float32"), cast(at.dy, "float32")

    def run(order: int, resident: int) -> dict[str, Any]:
        return dict(leaves(outcome(engine_of(ShimDevice(order, resident=resident)).scan, args, d)))

    first = run(0, 1)
    for order, resident in ((1, 1), (2, 1), (0, 2), (1, 2), (0, 4), (1, 4), (3, 4)):
        for path, leaf in run(order, resident).items():
            np.testing.assert_array_equal(np.asarray(leaf), np.asarray(first[path]), err_msg=path)


Change = Callable[[str], str]


def planted(*replaced: tuple[str, str]) -> Change:
    for old, _new in replaced:
        assert source("scan").count(old) == 1, f"{old!r} is not once in the text"

    def change(code: str) -> str:
        for old, new in replaced:
            code = code.replace(old, new)
        return code

    return change


def caught(shape: tuple[int, int, int], change: Change, residents: tuple[int, ...] = (1,)) -> bool:
    for resident in residents:
        for order in (0, 1):
            for varying in (False, True):
                try:
                    if worst(ShimDevice(order, change, resident, 20), expected(shape, varying)) > THRESHOLD:
                        return True
                except LaunchError:
                    return True
    return False


# (old text, new text), in the first group alone
IN_A_GROUP = {
    "the block's number for a ticket": ("number = exchange.ticket;", "number = blockIdx.x;"),
    "no barrier behind the ticket": ("1u);\n    __syncthreads();", "1u);"),
    "a flag where the counter is": ("(lookback.flags + 1 + i) = 1", "(lookback.flags + i) = 1"),
    "a tile's power is that of a thread's steps": ("power(a, TILE)", "power(a, STEPS)"),
    "the entering power has a chunk too many": ("at.chunk - group)", "at.chunk - group + 1)"),
    "the products of the aggregates are lost": ("if (VARYING) all.a = factor * all.a;", ""),
    "the first state is lost": ("return before.a * state + before.b;", "return before.b;"),
    "chunks before this one are left out": ("first + i >= group;", "first + i > group;"),
    "chunks look at their own": ("first = at.chunk - GROUP +", "first = at.chunk + 1 - GROUP +"),
    "no barrier before the aggregates are read": ("value, scratch);\n  __syncthreads();", "value, scratch);"),
    "the last chunk's multiplier is another's": ("P + j] : one;", "P + j - s.P] : one;"),
}
ACROSS_GROUPS = {
    "the state that enters is handed on": (
        "publish_prefix<VARYING>(at, s, lookback, state)",
        "publish_prefix<VARYING>(at, s, lookback, entering)",
    ),
    "no chunk ends a group": ("return (at.chunk + 1) % GROUP == 0;", "return false;"),
    "a chunk too early ends it": ("(at.chunk + 1) % GROUP == 0", "(at.chunk + 2) % GROUP == 0"),
    "the state of the group before is lost": ("    state = lookback.published[j];\n", ""),
    "aggregates of the group before count again": (
        "bool in_group = at.inside && first + i >= group;",
        "bool in_group = at.inside && first + i >= 0;",
    ),
    "the window's power counts from the first chunk": ("at.chunk - group)", "at.chunk)"),
}
SLOW = (
    "  lookback.published[i] = map.b;",
    "  __nanosleep(20000000);\n  lookback.published[i] = map.b;",
)  # 20 ms
FLAG = "  *(volatile unsigned*)(lookback.flags + 1 + i) = 1;\n"
RACES = {
    "nobody waits for aggregates": (("&& !flags[chunk_index(at, s, first + i)]) ready", "&& false) ready"),),
    "the flag before the aggregate": (
        (FLAG, ""),
        ("  Index i = chunk_index(at, s, at.chunk);\n", "  Index i = chunk_index(at, s, at.chunk);\n" + FLAG),
    ),
}


def test_the_true_kernels_are_not_caught() -> None:
    assert not caught(SHORT, lambda code: code)
    assert not caught(LONG, lambda code: code)
    assert not caught(SHORT, planted(SLOW), (2, 4))


@pytest.mark.parametrize("fault", IN_A_GROUP)
def test_a_fault_in_a_group_is_caught(fault: str) -> None:
    assert caught(SHORT, planted(IN_A_GROUP[fault]))


@pytest.mark.parametrize("fault", ACROSS_GROUPS)
def test_a_fault_across_groups_is_caught(fault: str) -> None:
    change = planted(ACROSS_GROUPS[fault])
    assert not caught(SHORT, change), "the fault is not one of groups"
    assert caught(LONG, change)


@pytest.mark.parametrize("fault", RACES)
def test_a_race_between_blocks_is_caught_when_who_publishes_is_slow(fault: str) -> None:
    assert caught(SHORT, planted(SLOW, *RACES[fault]), (2, 4))


def test_nobody_waits_for_a_state_is_caught_when_who_publishes_is_slow() -> None:
    leave = "    if (LOOKBACK) publish_prefix<VARYING>"
    slow = (
        leave,
        "    if (LOOKBACK && publishes(at) && ends_group(at)) __nanosleep(200000000);\n" + leave,
    )  # 200 ms
    assert not caught(LONG, planted(slow), (2,))
    assert caught(LONG, planted(slow, ("while (!flags[j]) __nanosleep(32);", "")), (2,))


class Stuck(np.ndarray[Any, Any]):
    """Memory that its owner fails to zero."""

    def __setitem__(self, key: Any, value: Any) -> None: ...


class ForgetfulDevice(ShimDevice):
    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        memory = super().empty(shape, dtype)
        return memory.view(Stuck) if memory.dtype == np.uint32 else memory


def test_a_counter_that_is_not_zeroed_is_caught() -> None:
    args = cast(case(SHORT, False).args, "float32")
    with pytest.raises(LaunchError, match="scan_constant"):
        scan(Launcher(ForgetfulDevice()), *args)


@pytest.mark.parametrize("resident", [1, 2])
def test_a_deadlock_is_an_error_with_the_kernel_s_name(resident: int) -> None:
    args = cast(case(SHORT, False).args, "float32")
    device = ShimDevice(0, planted((FLAG, "")), resident, patience=0.5)
    message = r"scan_constant: (waits for a block that does not run|still running)"
    with pytest.raises(LaunchError, match=message):
        scan(Launcher(device), *args)
