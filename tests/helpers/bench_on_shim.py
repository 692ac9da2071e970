"""The peer ``ours`` of a GPU on the tests' device. FAULT in its environment: "wrong" products, or "no room"
for some of its benchmarks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cuda_shim.mock import MockDevice

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case, recipe_case
from s5ref.bench.gpu.device import TimedDevice
from s5ref.bench.gpu.ours import benchmark
from s5ref.errors import S5Error

TESTS = str(Path(__file__).parent)
TAKEN = 4096
NO_ROOM = ("gate", "forward", "copy 65536")


def wall(body: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        body()
    return (time.perf_counter() - began) / times


def taken(*graphs: object) -> int:
    return TAKEN + len(graphs)


class Wrong(MockDevice):
    """Its products are 10 % too large."""

    def gemm(self, a: Any, b: Any, out: Any, a_transposed: bool, b_transposed: bool) -> None:
        super().gemm(a, b, out, a_transposed, b_transposed)
        out *= np.float32(1.1)


def timed_device(device: MockDevice | None = None) -> TimedDevice:
    return TimedDevice(device or MockDevice(), wall, taken)


def build(case: Case | None, what: str) -> Benchmark:
    fault = os.environ.get("FAULT", "")
    if fault == "no room" and what in NO_ROOM:
        raise S5Error("no room for it")
    return benchmark(timed_device(Wrong() if fault == "wrong" else None), case, what)


def tiny(name: str = "smnist", length: int = 9) -> Case:
    case = recipe_case(name)
    model = replace(case.model, n_layers=1, d_model=6, ssm_size=4 * case.model.blocks)
    return replace(case, config=replace(case.config, model=model), batch=2, length=length)
