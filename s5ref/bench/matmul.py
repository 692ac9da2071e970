"""The peer that stands for the machine: a float32 product of 2048 × 2048 matrices by NumPy's BLAS."""

from __future__ import annotations

import numpy as np

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.case import Case
from s5ref.random import generator

SIZE = 2048
FLOPS = 2 * SIZE**3


def build(case: Case | None, what: str) -> Benchmark:
    rng = generator("bench", "matmul")
    a, b = (rng.standard_normal((SIZE, SIZE)).astype("float32") for _ in range(2))
    out = np.empty_like(a)
    return Benchmark(lambda: np.matmul(a, b, out=out), lambda: {"product": a @ b})
