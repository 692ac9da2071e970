"""The kernels under ThreadSanitizer, whose threads are the fibers of the shim, and under AddressSanitizer and
checks of indices and shifts: the true ones are clean, faults are reported where they are.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_shim import MARKS
from needs import sanitizer_library

from s5ref.gpu.source import FILES, source

pytestmark = [*MARKS, pytest.mark.sanitizers]

HELPERS = Path(__file__).parents[1] / "helpers"
SETTINGS = {
    "thread": {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66:ignore_noninstrumented_modules=1"},
    "address": {
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONMALLOC": "malloc",
    },
}
FIXED_ADDRESSES = 0x0040000  # ADDR_NO_RANDOMIZE: ThreadSanitizer knows no other layout of memory


def run(sanitizer: str, engine: str, old: str = "", new: str = "") -> str:
    """The report, or "clean", of a process of its own."""
    library = sanitizer_library({"thread": "tsan", "address": "asan"}[sanitizer])
    environment = {
        **os.environ,
        **SETTINGS[sanitizer],
        "LD_PRELOAD": str(library),
        "PYTHONPATH": str(HELPERS),
        "OPENBLAS_NUM_THREADS": "1",
    }
    personality = ctypes.CDLL(None).personality
    done = subprocess.run(
        [sys.executable, "-m", "cuda_shim.sanitized", sanitizer, engine, old, new],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: personality(FIXED_ADDRESSES),
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("sanitizer", SETTINGS)
def test_the_true_kernels_are_clean(sanitizer: str) -> None:
    assert run(sanitizer, "") == "clean\n"


# fault: (sanitizer, kernels, old text, new text, what the report says)
RACE = r"data race[\s\S]*%s\.cu"
FAULTS = {
    "tiles that share one exchange": ("thread", "scan, one row", "turn ^= 1", "turn ^= 0", RACE % "row_loop"),
    "no barrier before the warps' maps are read": (
        "thread",
        "scan, two rows",
        "    __syncthreads();\n    if (LOOKBACK)",
        "    if (LOOKBACK)",
        RACE % "decoupled_lookback",
    ),
    "no barrier before the chunks' aggregates are read": (
        "thread",
        "scan, look-back",
        "value, scratch);\n  __syncthreads();",
        "value, scratch);",
        RACE % "decoupled_lookback",
    ),
    "no barrier before the exchange is used again": (
        "thread",
        "scan, look-back",
        "  __syncthreads();  // other warps may still read the last tile\n",
        "",
        RACE % "row_loop",
    ),
    "scratch memory used again without a barrier": (
        "thread",
        "batch_norm",
        "(alone, scratch[1])",
        "(alone, scratch[0])",
        RACE % "common",
    ),
    "an unused read before an array": (
        "address",
        "scan, two rows",
        "    previous[i] = k ? x[",
        "    volatile REAL unused = x[step_index(at, s, k) - s.P - 1].re;\n    previous[i] = k ? x[",
        r"use-after-poison[\s\S]*scan\.cu",
    ),
    "an unused read of shared memory behind an array": (
        "address",
        "tail",
        "  sum = across_warps(sum, scratch);",
        "  volatile REAL unused = (&scratch[0][0])[ROW_WARPS * LANES];\n  sum = across_warps(sum, scratch);",
        r"tail\.cu:\d+.*insufficient space|global-buffer-overflow[\s\S]*tail\.cu",
    ),
    "an index beyond an array in shared memory": (
        "address",
        "scan, two rows",
        "exchange.tile[turn].b[w][at.column];",
        "exchange.tile[turn].b[w][at.column + CHANNELS];",
        r"row_loop\.cu:\d+.*index 16 out of bounds",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported(fault: str) -> None:
    sanitizer, engine, old, new, report = FAULTS[fault]
    assert any(source(file).count(old) == 1 for file in FILES)
    found = run(sanitizer, engine, old, new)
    assert "clean" not in found
    with pytest.raises(AssertionError, match=report):
        raise AssertionError(found)
