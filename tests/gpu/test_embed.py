"""The embedding: vocabularies beyond what a block holds, slabs, tokens of other types, tokens outside."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_shim import MARKS, ShimDevice

from s5ref.gpu.embed import MAX_TOKENS, SLABS, vocabulary_cut
from s5ref.gpu.engine import engine_of
from s5ref.random import generator
from s5ref.verification.rounding.budget import THRESHOLD
from s5ref.verification.selfcheck.fields import Case, field_ratios, judged

pytestmark = MARKS

EMBED = engine_of(ShimDevice()).embed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("V", "H", "rows"),
    [(1, 1, 1), (18, 128, 300), (32, 33, 65), (135, 40, 1200), (192, 5, 800), (193, 70, 900), (400, 3, 4000)],
)
def test_vocabularies_of_one_tile_and_of_several(V: int, H: int, rows: int, dtype: str) -> None:
    n, draw = generator("gpu embed", V).standard_normal, generator("gpu embed tokens", V).integers
    tokens = draw(0, V, (1, rows))
    case = Case("embed", "", (tokens, n((V, H)), n(H)), n((1, rows, H)))
    ratios = field_ratios(engine_of(ShimDevice()), judged(case, dtype))
    assert max(ratios.values()) <= THRESHOLD, ratios


def test_a_sum_of_many_equal_terms() -> None:
    """10⁵ terms in one sum: far better than adding one after the other."""
    tokens, one = np.zeros((1, 100_000), np.int64), np.float32(0.1)
    y, residuals = EMBED.value(tokens, np.zeros((3, 2), np.float32), np.zeros(2, np.float32))
    dkernel, dbias = EMBED.vjp(residuals, np.full_like(y, one))
    exact = 100_000 * float(one)
    assert np.all(dkernel[1:] == 0)
    np.testing.assert_allclose(dkernel[0], exact, rtol=1e-5)
    np.testing.assert_array_equal(dbias, dkernel[0])
    assert abs(float(np.full(100_000, one).cumsum()[-1]) - exact) > 1e-4 * exact


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
def test_tokens_of_any_integer_type_and_layout(dtype: str) -> None:
    n = generator("gpu embed types").standard_normal
    kernel, bias, dy = n((7, 5)), n(5), n((4, 6, 5))
    tokens = np.asfortranarray(generator("gpu embed types").integers(0, 7, (4, 6)).astype(dtype))
    y, residuals = EMBED.value(tokens, np.asfortranarray(kernel), bias)
    np.testing.assert_array_equal(y, (kernel + bias)[tokens])
    assert residuals.tokens is tokens
    dkernel, _ = EMBED.vjp(residuals, np.asfortranarray(dy))
    np.testing.assert_allclose(dkernel[3], dy[tokens == 3].sum(0), rtol=1e-13)


def test_a_token_outside_of_the_vocabulary_is_not_a_number_and_adds_nothing() -> None:
    tokens = np.array([[0, 3, -1, 2, 1 << 40]])
    y, residuals = EMBED.value(tokens, np.ones((3, 2)), np.ones(2))
    np.testing.assert_array_equal(np.isnan(y[0, :, 0]), [False, True, True, False, True])
    dkernel, _ = EMBED.vjp(residuals, np.ones((1, 5, 2)))
    np.testing.assert_array_equal(dkernel, [[1, 1], [0, 0], [1, 1]])


@pytest.mark.parametrize("V", [1, 18, 32, 33, 135, 192, 193, 1000])
@pytest.mark.parametrize("rows", [1, 64, 100_000, 3_276_800])
def test_sums_fit_shared_memory_and_partial_sums_are_few(rows: int, V: int) -> None:
    cut, held = vocabulary_cut(rows, V, 40)
    assert held <= MAX_TOKENS
    assert held * 32 * 8 <= 48 << 10
    assert (cut.slabs - 1) * cut.slab < rows <= cut.slabs * cut.slab
    assert cut.slabs <= SLABS
    assert cut.slabs == 1 or (cut.slabs - 1) * V <= rows / 4
