"""Split, Dataset and the order of the examples."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5ref.data import Split, order
from s5ref.data.batches import Rows, Scale, to_tokens
from s5ref.errors import S5Error


def pixels() -> Split:
    rng = np.random.default_rng(0)
    return Split(
        rng.integers(0, 256, (7, 5), np.uint8), np.array([0, 1, 1, 2, 1, 0, 1], np.uint8), Scale(255.0)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_become_reals_with_a_channel(dtype: str) -> None:
    split = pixels()
    batch = split.batch(np.array([6, 0, 3]), dtype)
    assert batch.inputs.shape == (3, 5, 1)
    assert batch.inputs.dtype == dtype
    assert batch.targets is not None
    assert batch.targets.dtype == np.int64
    assert batch.targets.tolist() == [1, 0, 2]
    assert batch.lengths is None
    assert batch.intervals is None
    want = (split.inputs[[6, 0, 3]] / np.float64(255))[..., None].astype(dtype)
    np.testing.assert_array_equal(batch.inputs, want)


def test_tokens_become_int64_and_lengths_follow() -> None:
    split = Split(
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.zeros(3, np.uint8),
        to_tokens,
        np.array([4, 2, 3], np.uint16),
    )
    batch = split.batch([2, 1])
    assert batch.inputs.dtype == np.int64
    assert batch.inputs.tolist() == [[8, 9, 10, 11], [4, 5, 6, 7]]
    assert batch.lengths is not None
    assert batch.lengths.dtype == np.int64
    assert batch.lengths.tolist() == [3, 2]


def test_regression_targets_and_intervals_take_the_dtype() -> None:
    split = Split(np.ones((2, 3, 4)), np.ones((2, 3, 1)), Scale(), intervals=np.ones((2, 3)))
    batch = split.batch([0], "float32")
    assert batch.targets is not None
    assert batch.intervals is not None
    assert batch.inputs.dtype == batch.targets.dtype == batch.intervals.dtype == np.float32
    assert batch.inputs.shape == (1, 3, 4)
    with pytest.raises(S5Error, match="integer classes"):
        split.majority_share()


def test_a_batch_is_a_copy() -> None:
    split = Split(np.ones((2, 3, 1), np.float32), np.zeros(2, np.int64), Scale())
    split.batch([0], "float32").inputs[:] = 7
    assert split.inputs.max() == 1


def test_rows_of_an_array_are_not_copied_until_they_are_asked_for() -> None:
    whole, index = np.arange(12, dtype=np.uint8).reshape(4, 3), np.array([3, 1])
    rows = Rows.of(whole, index)
    assert (rows.shape, rows.dtype.name, len(rows)) == ((2, 3), "uint8", 2)
    split = Split(rows, np.array([0, 1]), Scale())
    whole[3] = 7
    assert split.batch([1, 0]).inputs[..., 0].tolist() == [[3, 4, 5], [7, 7, 7]]
    assert np.asarray(rows).tolist() == [[7, 7, 7], [3, 4, 5]]
    assert rows[0].tolist() == [7, 7, 7]


def test_majority_share() -> None:
    assert pixels().majority_share() == 4 / 7


@pytest.mark.parametrize("indices", [[0.5], [True, False]])
def test_indices_must_be_integers(indices: list[int]) -> None:
    with pytest.raises(S5Error, match="indices must be integers"):
        pixels().batch(indices)


def test_one_entry_per_example() -> None:
    with pytest.raises(S5Error, match="lengths must have one entry per example; got 2 for 3"):
        Split(np.zeros((3, 4)), np.zeros(3, np.int64), Scale(), np.zeros(2, np.int64))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**31), st.integers(0, 1000), st.integers(1, 500))
def test_order_is_a_permutation_and_a_pure_function(seed: int, epoch: int, n: int) -> None:
    first = order(seed, epoch, n)
    assert np.sort(first).tolist() == list(range(n))
    np.testing.assert_array_equal(first, order(seed, epoch, n))


def test_order_depends_on_seed_and_epoch() -> None:
    orders = {tuple(order(seed, epoch, 50)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_order_is_frozen() -> None:
    assert order(0, 0, 8).tolist() == ORDER
    assert order(1, 2, 8).tolist() == ORDER_12


ORDER = [0, 7, 3, 2, 1, 4, 6, 5]
ORDER_12 = [0, 2, 4, 5, 1, 6, 7, 3]


def test_importing_the_package_is_light() -> None:
    heavy = "{'numba', 'scipy', 'pooch', 'requests', 'concurrent.futures.thread'}"
    code = f"import sys, s5ref.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
