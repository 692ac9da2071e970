"""Every kernel, in every form that the host code asks for, compiled to the machine code of two GPUs, and to
what later ones compile themselves.
"""

from __future__ import annotations

import re

import pytest
from nvrtc import assembled, compiled

from s5ref.gpu.embed import MAX_TOKENS
from s5ref.gpu.source import FILES, options, source
from s5ref.gpu.tiling import LOOKBACK, Tiling

pytestmark = pytest.mark.nvrtc

# Registers of a thread, at most. A multiprocessor has 65536: room for four blocks of 256 threads with 64, for
# two with 128.
CEILINGS = {
    "scan": {"float": 128, "double": 216},
    "irregular_scan": {"float": 128, "double": 252},
    "elementwise": {"float": 32, "double": 40},
    "layer_norm": {"float": 64, "double": 64},
    "embed": {"float": 72, "double": 72},
    "tail": {"float": 64, "double": 64},
    "norm": {"float": 64, "double": 64},
    "adamw": {"float": 32, "double": 40},
}
VOCABULARIES = [{"TOKENS": 32}, {"TOKENS": MAX_TOKENS}]
ONE_BLOCK = [Tiling(channels, warps, 1) for channels in (8, 16, 32) for warps in (1, 8)]
SCANS = ["scan", "irregular_scan"]


def names(file: str) -> set[str]:
    return set(re.findall(r"^KERNEL\s.*?(\w+)\(const", source(file), re.MULTILINE))


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize(("architecture", "strict"), [("sm_80", ""), ("sm_90", ""), ("sm_90", "strict")])
@pytest.mark.parametrize("file", FILES)
def test_compiles_without_spills(file: str, architecture: str, real: str, strict: str) -> None:
    cuts = [LOOKBACK, *(ONE_BLOCK if architecture == "sm_90" and not strict else ONE_BLOCK[-1:])]
    forms: dict[str, list[dict[str, int]]] = {
        **{scan: [cut.macros for cut in cuts] for scan in SCANS},
        "embed": VOCABULARIES,
    }
    for macros in forms.get(file, [{}]):
        found = compiled(source(file), options(real, macros, bool(strict)), architecture)
        assert found.keys() == names(file), macros
        for name, took in found.items():
            assert (took.stack, took.spilled) == (0, 0), (name, macros, took)
            assert took.registers <= CEILINGS[file][real], (name, macros, took)


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("file", FILES)
def test_compiles_for_later_gpus(file: str, real: str) -> None:
    assert assembled(source(file), options(real), "compute_90").keys() == names(file)


def with_lookback(code: str, strict: bool = False) -> dict[str, str]:
    return assembled(code, options("float", LOOKBACK.macros, strict), "compute_90")


def test_strict_is_without_fused_multiplication() -> None:
    fast, strict = (with_lookback(source("scan"), strict) for strict in (False, True))
    assert all("fma.rn" in body for body in fast.values())
    assert not any("fma.rn" in body for body in strict.values())


LETTERS = {
    "st.volatile": "S",
    "ld.volatile": "L",
    "membar.gl": "F",
    "atom.": "T",
    "st.shared": "",
    "st.": "W",
    "ld.global.v": "R",
}
# A ticket; an effect, fence, flag; flags, fence, effects; flag, fence, state; a state, fence, flag; results,
# some of which are added to.
ORDER = re.compile("TW+FSL+FR+L+FRW+FS[RW]*W")


def ordered(code: str) -> bool:
    """Whether a flag is written after what it promises, read before it, and a fence always between."""
    for body in with_lookback(code).values():
        found = re.findall("|".join(map(re.escape, LETTERS)), body)
        if not ORDER.fullmatch("".join(LETTERS[word] for word in found)):
            return False
    return True


@pytest.mark.parametrize("file", SCANS)
def test_flags_are_fenced(file: str) -> None:
    code = source(file)
    assert ordered(code)
    fences = list(re.finditer(r" *__threadfence\(\);\n", code))
    assert len(fences) == 3
    for fence in fences:
        assert not ordered(code[: fence.start()] + code[fence.end() :]), fence


def test_what_does_not_compile_is_an_error_with_its_line() -> None:
    with pytest.raises(AssertionError, match=r"adamw\.cu\(5\)"):
        compiled(source("adamw").replace("KERNEL adamw(", "KERNEL adamw(oops, "), options("float"), "sm_90")
