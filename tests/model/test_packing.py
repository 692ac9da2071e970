"""A packed batch gives what its sequences give one by one: outputs, loss, gradients, statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import ENGINES, NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

import s5ref
from s5ref import NUMPY, SEQUENTIAL, DataError, Engine, Model, Segments, ShapeError, pack, unpack
from s5ref.model.batch import Batch
from s5ref.model.packing import packed
from s5ref.tree import leaves
from s5ref.verification.rounding.budget import composite_budget, ratio
from s5ref.verification.selfcheck.problems import BASE, problem

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "recipe, dropout": ({"dropout": 0.4}, {}),
    "two directions, irregular, last": (
        {"bidirectional": True, "pooling": "last", "norm": "layer"},
        {"irregular": True},
    ),
    "postnorm, mean+max": ({"prenorm": False, "pooling": "mean+max", "dropout": 0.2}, {}),
    "regression": ({"head": "regression", "bidirectional": True}, {}),
    "retrieval, tokens": ({"head": "retrieval", "n_classes": 2, "pooling": "max"}, {"tokens": True}),
    "pooled regression, evaluation": ({"head": "pooled_regression"}, {"training": False}),
}


def lengths_of(batch: Batch, seed: int) -> Batch:
    """The batch with lengths drawn anew, the longest of them L."""
    assert batch.lengths is not None
    L = batch.inputs.shape[batch.lengths.ndim]
    return batch._replace(lengths=np.random.default_rng(seed).integers(1, L + 1, batch.lengths.shape))


@pytest.mark.parametrize("name", OPTIONS)
@given(seed=st.integers(0, 1000))
@settings(max_examples=4)
@by_engine
def test_packed_equals_masked_padding(engine: Engine, seed: int, name: str) -> None:
    options, extra = OPTIONS[name]
    at = problem(
        "packed", name, replace(BASE, padding="masked", **options), padded=True, n=5, length=9, **extra
    )
    batch = lengths_of(at.batch, seed)
    rows = packed(batch)
    assert rows.segments is not None
    assert rows.lengths is None

    def run(engine: Engine, batch: Batch) -> dict[str, Any]:
        result = at.model.loss_and_grad(at.params, at.statistics, batch, engine=engine, **at.call)
        output = result.output
        if at.model.head.stepwise:
            segments = batch.segments
            parts = (
                unpack(output, segments)
                if segments
                else [y[:n] for y, n in zip(output, batch.lengths, strict=True)]
            )
            output = np.concatenate(parts)
        return {"loss": result.loss, "output": output, "grads": result.grads, "statistics": result.statistics}

    want, budget = composite_budget(lambda k: run(k, batch), SEQUENTIAL, range(4), at.terms)
    for path, leaf in leaves(run(engine, rows)):
        assert ratio(leaf, want[path], budget[path], 1.0) <= 1, path


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
    np.testing.assert_allclose(together, alone, rtol=0, atol=200 * np.finfo(dtype).eps)


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
    assert batch.segments.ids.shape == (3, 5)
    assert batch.targets.tolist() == [0, 1, 0, 1, 0]
    for i, (x, n) in enumerate(zip(unpack(batch.inputs, batch.segments), lengths, strict=True)):
        assert x.tolist() == [[i]] * n
    assert Segments.of(batch.segments.ids).first.tolist() == batch.segments.first.tolist()


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
    assert [y[:, 0].tolist() for y in unpack(batch.targets, batch.segments)] == [[7, 7, 7], [8, 8]]


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
        model.forward(params, statistics, batch._replace(segments=batch.segments.ids))
    with pytest.raises(ShapeError, match="targets"):
        model.loss_and_grad(
            params, statistics, batch._replace(targets=np.array([0, 1, 2])), training=True, key=(0, 0)
        )
