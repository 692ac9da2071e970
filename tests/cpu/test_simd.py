"""Loops on vectors: products of tiles, recurrences, passes over rows. Right at every shape, and the same bits
for every width of the vectors and every way to cut a product.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from s5ref.arrays import Array, complex_dtype
from s5ref.cpu import simd, tile
from s5ref.cpu.simd import (
    THRESHOLDS,
    correlate_rows,
    reduce_responses,
    scan_rows,
    standardise_rows,
    standardise_vjp_rows,
    tile_product,
    tile_product_plus,
)
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
    tile_product(a, b, out)


def product_plus(a: Array, b: Array, c: Array, out: Array) -> None:
    tile_product_plus(a, b, c, out)


def scan(rows: Array, column: int, a: Array, x: Array, backwards: bool) -> None:
    scan_rows(rows, column, a, x, backwards)


def correlate(g: Array, x: Array, column: int, sums: Array) -> None:
    correlate_rows(g, x, column, sums)


def compiled(function: Callable[..., Any]) -> Any:
    """Compiled anew, for the vectors that are in force."""
    return numba.njit(nogil=True, error_model="numpy")(function)


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(simd, "BYTES", request.param)
    return int(request.param)


def _operands(M: int, K: int, N: int, dtype: str) -> tuple[Array, Array, Array]:
    rng = generator("test", "product", M, K, N)
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (M, N)))  # type: ignore[return-value]


@pytest.mark.parametrize("shape", [(7,), (5, 7), (5, 7, 2)])
def test_parts_are_numpy_s_slices(shape: tuple[int, ...]) -> None:
    """To beyond the end, too; and with their number of elements, by which loops run."""

    @numba.njit
    def parts(x, start, stop):  # type: ignore[no-untyped-def]
        rows, columns = simd.part(x, start, stop), simd.column_part(x, start, stop)
        return rows.copy(), rows.size, columns.copy(), columns.size

    x = np.arange(float(np.prod(shape))).reshape(shape)
    for start, stop in ((0, 0), (0, 2), (1, 2), (1, 9)):
        rows, number, columns, of_columns = parts(x, start, stop)
        np.testing.assert_array_equal(rows, x[start:stop])
        np.testing.assert_array_equal(columns, x[..., start:stop])
        assert (number, of_columns) == (rows.size, columns.size)


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
            patch.setattr(simd, "BYTES", size)
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
            patch.setattr(simd, "BYTES", size)
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


def standardise(x: Array, xhat: Array, rstd: Array) -> None:
    standardise_rows(x, xhat, rstd)


def standardise_vjp(dy: Array, scale: Array, xhat: Array, rstd: Array, skip: Array, dx: Array) -> None:
    standardise_vjp_rows(dy, scale, xhat, rstd, skip, dx)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_of_rows(dtype: str) -> None:
    """The plain loops of the docstrings in a wider precision; the same bits for vectors of every width."""
    seen: dict[int, set[bytes]] = {}
    eps = float(np.finfo(dtype).eps)
    for size in WIDTHS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "BYTES", size)
            forwards, backwards = compiled(standardise), compiled(standardise_vjp)
        for H in (2, 7, 16, 37):
            rng = generator("test", "rows", H)
            x, dy, skip = (rng.standard_normal((5, H)).astype(dtype) + 3 for _ in range(3))
            scale = rng.standard_normal(H).astype(dtype)
            xhat, rstd, dx = np.empty_like(x), np.empty(5, dtype), np.empty_like(x)
            forwards(x, xhat, rstd)
            centred = x.astype(np.longdouble) - x.astype(np.longdouble).mean(axis=1, keepdims=True)
            factor = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + np.longdouble(1e-6))
            assert np.abs(xhat - centred * factor).max() <= 100 * eps
            backwards(dy, scale, xhat, rstd, skip, dx)
            g, z = scale * dy.astype(np.longdouble), xhat.astype(np.longdouble)
            inner = g - g.mean(axis=1, keepdims=True) - z * (g * z).mean(axis=1, keepdims=True)
            want = inner * rstd[:, None] + skip
            assert np.abs(dx - want).max() <= 200 * eps * np.abs(want).max() * max(1, rstd.max())
            seen.setdefault(H, set()).add(xhat.tobytes() + rstd.tobytes() + dx.tobytes())
    assert all(len(bits) == 1 for bits in seen.values())


def reduce(u: Array, filters: Array, running: Array, backward: bool) -> None:
    reduce_responses(u, filters, running, backward)


@pytest.mark.parametrize(("steps", "F"), [(1, 1), (9, 7), (60, 37)])
@pytest.mark.parametrize("backward", [False, True])
def test_responses_and_their_reductions(steps: int, F: int, backward: bool) -> None:
    """The plain loop of the docstring in double precision; the same bits for vectors of every width."""
    rng = generator("test", "responses", steps, F)
    u = rng.standard_normal((steps, F)).astype("float32")
    a = 0.9 * np.exp(1j * rng.uniform(0, 3, F))
    c = rng.standard_normal(F) + 1j * rng.standard_normal(F)
    rows = [a.real, a.imag, c.real, c.imag, rng.standard_normal(F), *rng.standard_normal((THRESHOLDS, F))]
    filters = np.array(rows, "float32")
    start = np.zeros((6 + 4 * THRESHOLDS, F), "float32")
    start[3], start[4] = -np.inf, np.inf
    re, im, c_re, c_im, d, *limits = filters.astype(float)
    x, before, y = np.zeros(F, complex), np.zeros(F), np.empty((steps, F))
    for k, t in enumerate(range(steps)[::-1] if backward else range(steps)):
        x, before = (re + 1j * im) * x + before, u[t].astype(float)
        y[k] = np.real((c_re + 1j * c_im) * x) + d * before
    want = [x.real, x.imag, before, y.max(axis=0), y.min(axis=0), y.sum(axis=0)]
    for b in limits:
        above, run, longest = y > b, np.zeros(F), np.zeros(F)
        for one in above:
            run = np.where(one, run + 1, 0)
            longest = np.maximum(longest, run)
        want += [above.sum(axis=0), run, longest, np.where(above, y - b, 0).sum(axis=0)]
    seen = set()
    for size in WIDTHS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "BYTES", size)
            running = start.copy()
            compiled(reduce)(u, filters, running, backward)
        np.testing.assert_allclose(running, want, rtol=2e-4, atol=2e-4)
        seen.add(running.tobytes())
    assert len(seen) == 1


# Every pass over rows of s5ref.cpu.tile, as compiled code calls it.


def copy_rows(x: Array, out: Array) -> None:
    tile.copy_rows(x, out)


def add_rows(x: Array, y: Array, out: Array) -> None:
    tile.add_rows(x, y, out)


def multiply_rows(x: Array, y: Array, out: Array) -> None:
    tile.multiply_rows(x, y, out)


def scale_rows(x: Array, row: Array, out: Array) -> None:
    tile.scale_rows(x, row, out)


def scale_rows_and_add(x: Array, row: Array, y: Array, out: Array) -> None:
    tile.scale_rows_and_add(x, row, y, out)


def sum_rows(x: Array, sums: Array) -> None:
    tile.sum_rows(x, sums)


def sum_squares(x: Array, mean: Array, sums: Array) -> None:
    tile.sum_squares(x, mean, sums)


def normalise_rows(x: Array, mean: Array, factor: Array, bias: Array, out: Array) -> None:
    tile.normalise_rows(x, mean, factor, bias, out)


def normalise_sums(x: Array, mean: Array, rstd: Array, dy: Array, dbias: Array, dscale: Array) -> None:
    tile.normalise_sums(x, mean, rstd, dy, dbias, dscale)


def normalise_vjp_rows(
    dx: Array, x: Array, mean: Array, rstd: Array, dbias: Array, dscale: Array, factor: Array, skip: Array
) -> None:
    tile.normalise_vjp_rows(dx, x, mean, rstd, dbias, dscale, factor, skip)


def feedthrough_vjp(dy: Array, u: Array, D: Array, du: Array, dD: Array) -> None:
    tile.feedthrough_vjp(dy, u, D, du, dD)


# What each equals in NumPy: ({what is written}, {the terms of what is added up}), of the arrays by name.
PASSES: list[tuple[Callable[..., None], Callable[..., tuple[dict[str, Array], dict[str, Array]]]]] = [
    (copy_rows, lambda x, out: ({"out": x}, {})),
    (add_rows, lambda x, y, out: ({"out": x + y}, {})),
    (multiply_rows, lambda x, y, out: ({"out": x * y}, {})),
    (scale_rows, lambda x, row, out: ({"out": x * row}, {})),
    (scale_rows_and_add, lambda x, row, y, out: ({"out": x * row + y}, {})),
    (sum_rows, lambda x, sums: ({}, {"sums": x})),
    (sum_squares, lambda x, mean, sums: ({}, {"sums": (x - mean) * (x - mean)})),
    (normalise_rows, lambda x, mean, factor, bias, out: ({"out": (x - mean) * factor + bias}, {})),
    (
        normalise_sums,
        lambda x, mean, rstd, dy, dbias, dscale: ({}, {"dbias": dy, "dscale": dy * ((x - mean) * rstd)}),
    ),
    (
        normalise_vjp_rows,
        lambda dx, x, mean, rstd, dbias, dscale, factor, skip: (
            {"dx": (dx - dbias - (x - mean) * rstd * dscale) * factor + skip},
            {},
        ),
    ),
    (feedthrough_vjp, lambda dy, u, D, du, dD: ({"du": D * dy}, {"dD": dy * u})),
]
TILES = {"x", "y", "dx", "dy", "u", "du", "out", "skip"}  # (T, H); the others are (H)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("function", "plain"), PASSES, ids=[function.__name__ for function, _ in PASSES])
def test_passes_over_rows_are_the_plain_loop(
    function: Callable[..., None], plain: Callable[..., Any], dtype: str, width: int
) -> None:
    """To the bit: one element after the other, and sums from the first row to the last."""
    run = compiled(function)
    for shape in ((1, 1), (3, 5), (4, 16), (9, 33), (5, 130)):
        rng = generator("test", "rows", *shape)
        arrays = {
            name: rng.standard_normal(shape if name in TILES else shape[1]).astype(dtype)
            for name in signature(function).parameters
        }
        written, added = plain(**{name: array.copy() for name, array in arrays.items()})
        expected = {name: array.copy() for name, array in arrays.items()} | written
        for name, terms in added.items():
            total = np.zeros(shape[1], dtype)
            for row in terms:
                total += row
            expected[name] = arrays[name] + total
        run(*arrays.values())
        for name, array in arrays.items():
            assert (array == expected[name]).all(), (name, shape)


def test_one_row_stands_for_all() -> None:
    x, row, out = np.ones((1, 5)) * np.arange(5), np.full(5, 2.0), np.empty((3, 5))
    compiled(scale_rows)(x, row, out)
    assert (out == x * row).all()


def test_arrays_of_two_dtypes_are_refused() -> None:
    with pytest.raises(numba.TypingError):
        compiled(copy_rows)(np.ones((2, 3), "float32"), np.ones((2, 3)))


GRADIENT = """
import hashlib
import numpy as np
from s5ref import NUMBA, Batch, Model, ModelConfig
from s5ref.cpu.simd import BYTES
model = Model(ModelConfig(n_layers=2, d_model=40, ssm_size=24, dropout=0.2, bidirectional=True))
inputs = np.sin(np.arange(3 * 700)).reshape(3, 700, 1)
params, statistics = model.init(0, "float32")
batch = Batch(inputs, np.arange(3))
grads = model.loss_and_grad(params, statistics, batch, engine=NUMBA, training=True, key=(0, 3)).grads
print(BYTES, hashlib.sha256(b"".join(grads[name].tobytes() for name in sorted(grads))).hexdigest())
"""


@pytest.mark.skipif(simd.BYTES < 64, reason="needs a processor with AVX-512")
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
