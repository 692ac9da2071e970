"""The peer ``ours`` on a GPU: whatever is timed there of ours, by the name of what it is."""

from __future__ import annotations

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.bench.gpu.device import TimedDevice, current_gpu
from s5ref.bench.gpu.kernels import kernel
from s5ref.bench.gpu.roofline import rate
from s5ref.bench.gpu.steps import STEPS, step


def build(case: Case | None, what: str) -> Benchmark:
    """`benchmark` on the current GPU."""
    return benchmark(current_gpu(), case, what)


def benchmark(on: TimedDevice, case: Case | None, what: str) -> Benchmark:
    """``what``: a name of STEPS; "copy" or "product" and its sizes (`roofline`); the name of a kernel."""
    if what.startswith(("copy ", "product ")):
        return rate(on, what)
    assert case is not None, what
    return step(on, case, what) if what in STEPS else kernel(on, case, what)
