"""What the device can do at all: copy memory, multiply matrices."""

from __future__ import annotations

import numpy as np

from s5ref.bench.floor import Product
from s5ref.bench.gpu.arrays import filled
from s5ref.bench.gpu.contender import Place
from s5ref.bench.gpu.launches import repeated
from s5ref.bench.work import Work

COPIES = (2**28, 2**30, 2**32)  # bytes; far more than any cache holds
QUICK_COPIES = COPIES[:1]
SQUARE, QUICK_SQUARE = 8192, 2048


def copy_name(size: int) -> str:
    return f"copy {size}"


def product_name(p: Product) -> str:
    return f"product {p.m} {p.k} {p.n} {'nt'[p.a_transposed]}{'nt'[p.b_transposed]}"


def ceiling(place: Place, what: str) -> Work:
    """``what``: what `copy_name` or `product_name` made."""
    name, *sizes = what.split()
    return _copy(place, int(sizes[0])) if name == "copy" else _product(place, sizes)


def _copy(place: Place, size: int) -> Work:
    """Not recorded: one copy takes longer than its launch."""
    source = filled(place.device, (size // 4096, 1024), "copy")
    out = place.device.empty((size // 4096, 1024), np.float32)
    return repeated(place, lambda: np.copyto(out, source), recorded=False)


def _product(place: Place, sizes: list[str]) -> Work:
    m, k, n = (int(size) for size in sizes[:3])
    left, right = (letter == "t" for letter in sizes[3])
    a = filled(place.device, (k, m) if left else (m, k), "a")
    b = filled(place.device, (n, k) if right else (k, n), "b")
    out = place.device.empty((m, n), np.float32)
    return repeated(place, lambda: place.device.gemm(a, b, out, left, right))
