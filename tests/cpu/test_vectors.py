"""Loops on vectors: products of tiles, recurrences, passes over rows. Right at every shape, and the same bits
for every width of the vectors and every way to cut a product.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from s5ref.arrays import Array, complex_dtype
from s5ref.cpu import vectors
from s5ref.cpu.gemm import _product
from s5ref.cpu.recurrence import _correlate, _scan
from s5ref.cpu.tile import through_norm, times_row
from s5ref.cpu.weights import correlation
from s5ref.random import generator

DTYPES = ["float32", "float64"]
WIDTHS = [16, 32, 64]  # bytes of a vector: what LLVM has no registers for it builds of smaller ones
SHAPES = [
    (1, 1, 1),
    (5, 7, 9),
    (6, 4, 16),
    (7, 3, 65),
    (13, 100, 17),
    (50, 20, 101),
    (98, 96, 128),
    (3, 5, 48),
]


def product(a: Array, b: Array, out: Array) -> None:
    _product(a, b, (), out)


def product_plus(a: Array, b: Array, c: Array, out: Array) -> None:
    _product(a, b, (c,), out)


def scan(rows: Array, column: int, a: Array, x: Array, backwards: bool) -> None:
    _scan(rows, column, a, x, backwards)


def correlate(g: Array, x: Array, column: int, sums: Array) -> None:
    _correlate(g, x, column, sums)


def compiled(function: Callable[..., Any]) -> Any:
    """Compiled anew, for the vectors that are in force."""
    return numba.njit(nogil=True, error_model="numpy")(function)


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(vectors, "BYTES", request.param)
    return int(request.param)


def _operands(M: int, K: int, N: int, dtype: str) -> tuple[Array, Array, Array]:
    rng = generator("test", "product", M, K, N)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (M, N)))  # type: ignore[return-value]


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_right_at_every_shape(dtype: str, width: int) -> None:
    """Within the bound of a chain of K fused multiply-adds: K u |a| |b|."""
    multiply, add = compiled(product), compiled(product_plus)
    eps = np.finfo(dtype).eps
    for M, K, N in SHAPES:
        a, b, c = _operands(M, K, N, dtype)
        exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
        bound = K * eps * (np.abs(a) @ np.abs(b)) + eps * np.abs(c) + eps
        for left in (a, np.asfortranarray(a)):
            out = np.full((M, N), np.nan, dtype)
            multiply(left, b, out)
            assert (np.abs(out - exact) <= bound).all(), (M, K, N)
            add(left, b, c[:1].copy(), out)
            assert (np.abs(out - exact - c[:1]) <= bound).all(), (M, K, N)
            out[:] = c
            add(left, b, out, out)
            assert (np.abs(out - exact - c) <= bound).all(), (M, K, N)


def test_a_product_writes_nothing_beside_its_result(width: int) -> None:
    multiply = compiled(product)
    for M, K, N in SHAPES:
        a, b, _ = _operands(M, K, N, "float32")
        frame = np.full((M + 2, N + 40), 7, "float32")
        multiply(a, b, frame[1:-1, 20:-20])
        frame[1:-1, 20:-20] = 7
        assert (frame == 7).all(), (M, K, N)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_has_the_same_bits_however_it_is_cut(dtype: str) -> None:
    """In parts of its rows and columns, transposed, and with vectors of every width."""
    seen: dict[tuple[int, int, int], bytes] = {}
    for size in WIDTHS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vectors, "BYTES", size)
            multiply = compiled(product)
            for M, K, N in SHAPES:
                a, b, _ = _operands(M, K, N, dtype)
                whole, parts, crossed = (
                    np.empty((M, N), dtype),
                    np.empty((M, N), dtype),
                    np.empty((N, M), dtype),
                )
                multiply(a, b, whole)
                for i in range(0, M, 4):
                    for j in range(0, N, 11):
                        multiply(a[i : i + 4], b[:, j : j + 11], parts[i : i + 4, j : j + 11])
                multiply(b.T, np.ascontiguousarray(a.T), crossed)
                assert (parts == whole).all()
                assert (whole == crossed.T).all()
                assert seen.setdefault((M, K, N), whole.tobytes()) == whole.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("steps", "pairs", "ways"), [(1, 1, 1), (5, 8, 2), (7, 64, 1), (3, 19, 2), (40, 37, 1)]
)
def test_a_recurrence_and_its_sums(dtype: str, steps: int, pairs: int, ways: int) -> None:
    """x ← a x + row one step after the other, and Σ g conj(x); one direction leaves the other alone."""
    kind = complex_dtype(np.empty(0, dtype))
    rng = generator("test", "recurrence", steps, pairs)
    a, start = ((rng.standard_normal(2 * pairs) * 0.5).astype(dtype) for _ in range(2))
    given, g = (rng.standard_normal((steps, ways * 2 * pairs)).astype(dtype) for _ in range(2))
    tolerance = 50 * float(np.finfo(dtype).eps) * steps
    seen = set()
    for size in WIDTHS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vectors, "BYTES", size)
            forwards, multiply = compiled(scan), compiled(correlate)
        for way in range(ways):
            part = slice(2 * pairs * way, 2 * pairs * (way + 1))
            rows, x = given.copy(), start.copy()
            forwards(rows, part.start, a, x, way == 1)
            state = start.view(kind).astype(np.clongdouble)
            order = range(steps)[::-1] if way else range(steps)
            for k in order:
                state = a.view(kind) * state + np.ascontiguousarray(given[k, part]).view(kind)
                np.testing.assert_allclose(rows[k, part].view(kind), state, rtol=tolerance, atol=tolerance)
            assert (x == rows[order[-1], part]).all()
            beside = np.delete(np.arange(rows.shape[1]), np.arange(part.start, part.stop))
            assert (rows[:, beside] == given[:, beside]).all()
            sums = np.zeros((2, 2 * pairs), dtype)
            multiply(g, rows, part.start, sums)
            pair = [np.ascontiguousarray(m[:, part]).view(kind).astype(np.clongdouble) for m in (g, rows)]
            expected = (pair[0] * np.conj(pair[1])).sum(axis=0)
            np.testing.assert_allclose(correlation(sums), expected, rtol=tolerance, atol=tolerance * 10)
            seen.add((way, rows.tobytes(), sums.tobytes()))
    assert len(seen) == ways


def scaled(x: Array, row: Array, out: Array) -> None:
    times_row((row,), (x,), (out,), ())


def normed(mean: Array, rstd: Array, x: Array, du: Array, more: Array, bias: Array, scale: Array) -> None:
    through_norm((mean, rstd), (x, du, more), (du,), (bias, scale))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 16), (9, 33), (5, 130)])
def test_passes_over_rows(dtype: str, shape: tuple[int, int], width: int) -> None:
    rng = generator("test", "rows", *shape)
    x, du, more = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    mean, rstd, bias, scale = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(4))
    out = np.empty(shape, dtype)
    compiled(scaled)(x, mean, out)
    assert (out == x * mean).all()
    compiled(scaled)(x[:1], mean, out)  # one row stands for all
    assert (out == x[:1] * mean).all()
    total, dbias, dscale = du + more, bias.copy(), scale.copy()
    compiled(normed)(mean, rstd, x, du, more, dbias, dscale)
    assert (du == total).all()
    for found, start, terms in ((dbias, bias, total), (dscale, scale, total * ((x - mean) * rstd))):
        expected = np.zeros(shape[1], dtype)
        for row in terms:
            expected += row
        assert (found == start + expected).all()


GRADIENT = """
import hashlib
import numpy as np
from s5ref import NUMBA, Batch, Model, ModelConfig
from s5ref.cpu.vectors import BYTES
model = Model(ModelConfig(n_layers=2, d_model=40, ssm_size=24, dropout=0.2, bidirectional=True))
inputs = np.sin(np.arange(3 * 700)).reshape(3, 700, 1)
params, statistics = model.init(0, "float32")
batch = Batch(inputs, np.arange(3))
grads = model.loss_and_grad(params, statistics, batch, engine=NUMBA, training=True, key=(0, 3)).grads
print(BYTES, hashlib.sha256(b"".join(grads[name].tobytes() for name in sorted(grads))).hexdigest())
"""


@pytest.mark.skipif(vectors.BYTES < 64, reason="needs a processor with AVX-512")
def test_a_gradient_has_the_same_bits_with_avx2_and_avx512(tmp_path: Path) -> None:
    avx2 = {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+sse4.2,+popcnt,+lzcnt,+movbe",
    }
    found = []
    for settings in ({}, avx2):
        environment = os.environ | {"S5REF_CACHE": str(tmp_path)} | settings
        run = subprocess.run(
            [sys.executable, "-c", GRADIENT], env=environment, capture_output=True, text=True, check=True
        )
        found.append(run.stdout.split())
    (wide, bits), (narrow, same) = found
    assert (wide, narrow) == ("64", "32")
    assert bits == same
