"""Every kernel, in every form that the host code asks for, compiled to the machine code of two GPUs."""

from __future__ import annotations

import re

import pytest
from nvrtc import compiled

from s5ref.gpu.embed import MAX_TOKENS
from s5ref.gpu.source import FILES, options, source
from s5ref.gpu.tiling import STEPS

pytestmark = pytest.mark.nvrtc

# Registers of a thread, at most. A multiprocessor has 65536: room for four blocks of 256 threads with 64.
CEILINGS = {
    "scan": {"float": 104, "double": 176},
    "elementwise": {"float": 32, "double": 40},
    "layer_norm": {"float": 64, "double": 64},
    "embed": {"float": 72, "double": 72},
    "tail": {"float": 64, "double": 64},
    "norm": {"float": 64, "double": 64},
    "adamw": {"float": 32, "double": 40},
}
VOCABULARIES = [{"TOKENS": 32}, {"TOKENS": MAX_TOKENS}]
TILINGS = [(channels, warps) for channels in (8, 16, 32) for warps in (1, 8)]


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("file", FILES)
def test_compiles_without_spills(file: str, architecture: str, real: str) -> None:
    both = architecture == "sm_90"
    scans = [
        {"CHANNELS": channels, "STEPS": STEPS, "WARPS": warps}
        for channels, warps in (TILINGS if both else TILINGS[-1:])
    ]
    forms: dict[str, list[dict[str, int]]] = {"scan": scans, "embed": VOCABULARIES}
    names = set(re.findall(r"^KERNEL\s.*?(\w+)\(const", source(file), re.MULTILINE))
    for macros in forms.get(file, [{}]):
        found = compiled(source(file), options(real, macros), architecture)
        assert found.keys() == names, macros
        for name, took in found.items():
            assert (took.stack, took.spilled) == (0, 0), (name, macros, took)
            assert took.registers <= CEILINGS[file][real], (name, macros, took)


def test_what_does_not_compile_is_an_error_with_its_line() -> None:
    with pytest.raises(AssertionError, match=r"adamw\.cu\(5\)"):
        compiled(source("adamw").replace("KERNEL adamw(", "KERNEL adamw(oops, "), options("float"), "sm_90")
