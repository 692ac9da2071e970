"""Recycled memory is never memory that somebody can still see."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator

import numpy as np
import pytest

from s5ref import Batch, Model, ModelConfig
from s5ref.cpu import memory

SHAPE = (3, memory.LARGE)


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    memory._idle.clear()
    yield
    memory._idle.clear()


def address(x: object) -> int:
    assert isinstance(x, np.ndarray)
    return x.ctypes.data


def test_memory_comes_back_when_the_last_view_is_gone() -> None:
    x = memory.empty(SHAPE, np.float32)
    first, view = address(x), x[1:, ::2].view(np.int32)
    del x
    gc.collect()
    assert address(memory.empty(SHAPE, np.float32)) != first  # the view still sees it
    del view
    gc.collect()
    assert address(memory.empty(SHAPE, np.float32)) == first


def test_two_arrays_that_live_never_share() -> None:
    arrays = [memory.empty(SHAPE, np.float32) for _ in range(4)]
    for i, x in enumerate(arrays):
        x[:] = i
    assert [x.max() for x in arrays] == [0, 1, 2, 3]
    assert [x.min() for x in arrays] == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("shape", [(), (0, 4), (5,), SHAPE])
def test_it_is_an_array_like_any_other(shape: tuple[int, ...], dtype: type) -> None:
    x = memory.empty(shape, dtype)
    assert x.shape == shape
    assert x.dtype == dtype
    assert x.flags.c_contiguous
    assert x.flags.writeable
    assert x.nbytes < memory.LARGE or x.ctypes.data % memory.ALIGNMENT == 0


def test_memory_that_lies_idle_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PATIENCE", 3)
    memory.empty(SHAPE, np.float32)
    sizes = [memory.LARGE + 64 * i for i in range(1, 8)]
    for size in sizes:
        memory.empty((size,), np.uint8)
    idle = sum(len(kept) for kept in memory._idle.values())
    assert idle <= 5, "what nobody asked for again must not pile up"


def test_a_short_step_maps_no_new_memory() -> None:
    """Left to the platform's allocator, its arrays and scratch would cost hundreds of page faults."""
    model = Model(ModelConfig())
    params, statistics = model.init(0)
    batch = Batch(np.ones((1, 1024, 1)), np.zeros(1, int))

    def faults(steps: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(steps):
            model.loss_and_grad(params, statistics, batch, training=True, key=(0, 0))
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults(20)
    assert min(faults(1) for _ in range(20)) < 100
