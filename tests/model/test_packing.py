"""A packed batch gives what its sequences give one by one: outputs, loss, gradients, statistics."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

import s5ref
from s5ref import NUMPY, DataError, Engine, Model, Segments, ShapeError, pack, unpack
from s5ref.model.batch import Batch
from s5ref.model.packing import packed
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import ratio
from s5ref.verification.selfcheck.engines import whole_budget
from s5ref.verification.selfcheck.identities import by_sequence
from s5ref.verification.selfcheck.problems import BASE, Problem, packing_problems

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


def with_lengths(at: Problem, seed: int) -> Problem:
    """The problem with other lengths."""
    assert at.batch.lengths is not None
    L = at.batch.inputs.shape[at.batch.lengths.ndim]
    lengths = np.random.default_rng(seed).integers(1, L + 1, at.batch.lengths.shape)
    return replace(at, batch=at.batch._replace(lengths=lengths))


@pytest.mark.parametrize("at", [padded for padded, _ in packing_problems()], ids=lambda at: at.name)
@given(seed=st.integers(0, 1000))
@settings(max_examples=3)
@by_engine
def test_packed_equals_masked_padding(engine: Engine, seed: int, at: Problem) -> None:
    padded = with_lengths(at, seed)
    rows = replace(padded, batch=packed(padded.batch))
    assert rows.batch.segments is not None
    assert rows.batch.lengths is None
    want, budget = whole_budget(padded, partial(by_sequence, padded))
    for path, leaf in leaves(by_sequence(rows, engine)):
        assert ratio(leaf, want[path], budget[path], 1.0) <= 1, path


def segments_of(batch: Batch) -> Segments:
    assert batch.segments is not None
    return batch.segments


@by_engine
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_by_one(engine: Engine, dtype: str) -> None:
    model = Model(replace(BASE, bidirectional=True))
    params, statistics = model.init(0, dtype)
    rng = np.random.default_rng(3)
    series = [rng.normal(size=(n, 3)) for n in (7, 1, 12, 5, 4)]
    intervals = [rng.exponential(size=len(x)) for x in series]
    batch = pack(series, intervals=intervals, length=14)
    assert batch.inputs.shape == (3, 14, 3)
    together = model.forward(params, statistics, batch, engine=engine).output
    alone = [
        model.forward(params, statistics, Batch(x[None], intervals=dt[None]), engine=engine).output[0]
        for x, dt in zip(series, intervals, strict=True)
    ]
    np.testing.assert_allclose(together, np.stack(alone), rtol=0, atol=200 * float(np.finfo(dtype).eps))


def test_nothing_leaks_between_neighbours() -> None:
    model = Model(replace(BASE, bidirectional=True, norm="layer"))
    params, statistics = model.init(0, "float64")
    rng = np.random.default_rng(4)
    series = [rng.normal(size=(n, 3)) for n in (6, 4, 2)]
    other = [series[0], 1e6 * series[1], series[2]]
    first, second = (
        model.forward(params, statistics, pack(s, length=12), engine=NUMPY).output for s in (series, other)
    )
    np.testing.assert_array_equal(first[[0, 2]], second[[0, 2]])
    assert np.abs(first[1] - second[1]).max() > 1e-3


def test_the_layout_fills_the_rows() -> None:
    lengths = [5, 2, 3, 1, 4]
    batch = pack([np.full((n, 1), i) for i, n in enumerate(lengths)], targets=[0, 1, 0, 1, 0])
    segments = segments_of(batch)
    assert segments.ids.shape == (3, 5)
    assert np.array_equal(np.asarray(batch.targets), [0, 1, 0, 1, 0])
    for i, (x, n) in enumerate(zip(unpack(batch.inputs, segments), lengths, strict=True)):
        assert x.tolist() == [[i]] * n
    assert Segments.of(segments.ids).first.tolist() == segments.first.tolist()


def test_cu_seqlens() -> None:
    segments = Segments.from_cu_seqlens([0, 3, 4, 9])
    assert segments.ids.tolist() == [[0, 0, 0, 1, 2, 2, 2, 2, 2]]
    assert segments.resets[0].tolist() == [False, False, False, True, True, False, False, False, False]
    same = Segments.of(segments.ids)
    assert same.first.tolist() == [0, 3, 4]
    assert same.lengths.tolist() == [3, 1, 5]


def test_targets_of_every_step() -> None:
    series = [np.ones((n, 2)) for n in (3, 2)]
    batch = pack(series, targets=[np.full((3, 1), 7.0), np.full((2, 1), 8.0)])
    rows = unpack(np.asarray(batch.targets), segments_of(batch))
    assert [y[:, 0].tolist() for y in rows] == [[7, 7, 7], [8, 8]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pack([]), ["at least one array"]),
        (lambda: pack([np.ones((3, 2)), np.ones((3, 1))]), ["same in_dim", "(3, 1)"]),
        (lambda: pack([np.ones((3, 2)), np.ones((0, 2))]), ["1 … 3 steps", "0 … 3"]),
        (lambda: pack([np.ones((3, 2))], length=2), ["1 … 2 steps"]),
        (lambda: pack([np.ones((3, 2))], intervals=[np.ones(2)]), ["intervals", "[2]", "[3]"]),
        (lambda: Segments.of([[0, 1, 0]]), ["consecutive"]),
        (lambda: Segments.of([[0, 2]]), ["consecutive"]),
        (lambda: Segments.of([[0.5, 2]]), ["integers"]),
        (lambda: Segments.from_cu_seqlens([1, 3]), ["cu_seqlens", "[1, 3]"]),
        (lambda: Segments.from_cu_seqlens([0, 3, 3]), ["growing"]),
    ],
)
def test_refusals(make: Any, words: list[str]) -> None:
    with pytest.raises(s5ref.S5Error) as error:
        make()
    assert all(word in str(error.value) for word in words), error.value


def test_a_batch_says_what_does_not_fit() -> None:
    model = Model(BASE)
    params, statistics = model.init(0)
    batch = pack([np.ones((3, 3)), np.ones((2, 3))])
    with pytest.raises(DataError, match="no lengths"):
        model.forward(params, statistics, batch._replace(lengths=np.array([3, 2])))
    with pytest.raises(DataError, match=r"Segments\.of"):
        model.forward(params, statistics, batch._replace(segments=segments_of(batch).ids))  # type: ignore[arg-type]
    segments = segments_of(batch)
    one = segments._replace(lengths=segments.lengths[:1])
    with pytest.raises(DataError, match=r"-1 … 0 \(S − 1, and −1 at padding\); got -1 … 1"):
        model.forward(params, statistics, batch._replace(segments=one))
    with pytest.raises(ShapeError, match="targets"):
        model.loss_and_grad(
            params, statistics, batch._replace(targets=np.array([0, 1, 2])), training=True, key=(0, 0)
        )
