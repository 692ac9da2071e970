"""What the device can do at all: copy memory, multiply matrices."""

from __future__ import annotations

import numpy as np

from s5ref.bench.benchmark import Benchmark
from s5ref.bench.floor import Product
from s5ref.bench.gpu.arrays import filled
from s5ref.bench.gpu.device import TimedDevice
from s5ref.bench.gpu.launches import repeated

COPIES = (2**28, 2**30, 2**32)  # bytes; far more than any cache holds
QUICK_COPIES = COPIES[:1]
SQUARE, QUICK_SQUARE = 8192, 2048


def copy_name(size: int) -> str:
    return f"copy {size}"


def product_name(p: Product) -> str:
    return f"product {p.m} {p.k} {p.n} {'nt'[p.a_transposed]}{'nt'[p.b_transposed]}"


def rate(on: TimedDevice, what: str) -> Benchmark:
    """``what``: what `copy_name` or `product_name` made."""
    name, *sizes = what.split()
    return _copy(on, int(sizes[0])) if name == "copy" else _product(on, sizes)


def _copy(on: TimedDevice, size: int) -> Benchmark:
    """Not recorded: one copy takes longer than its launch."""
    source = filled(on.device, (size // 4096, 1024), "copy")
    out = on.device.empty((size // 4096, 1024), np.float32)
    return repeated(on, lambda: np.copyto(out, source), recorded=False)


def _product(on: TimedDevice, sizes: list[str]) -> Benchmark:
    m, k, n = (int(size) for size in sizes[:3])
    left, right = (letter == "t" for letter in sizes[3])
    a = filled(on.device, (k, m) if left else (m, k), "a")
    b = filled(on.device, (n, k) if right else (k, n), "b")
    out = on.device.empty((m, n), np.float32)
    return repeated(on, lambda: on.device.gemm(a, b, out, left, right))
