"""`Cupy` on a stand-in for CuPy whose streams run as late as they may: copies, graphs, memory, refusals."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import fake_cupy
import numpy as np
import pytest
from cuda_shim.libraries import seen

from s5ref import S5Error
from s5ref.gpu import cupy_device, staging
from s5ref.gpu.cublaslt import WORKSPACE

pytestmark = pytest.mark.cxx
Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(x: Any, amount: Any) -> None:
        x += amount

    monkeypatch.setitem(fake_cupy.KERNELS, "add", add)
    assert fake_cupy.Stream.current is fake_cupy.default


def adder(device: Any) -> Callable[[Any, float], None]:
    function = device.module("add", ["-DREAL=float"]).get_function("add")
    return lambda x, amount: function((1,), (32,), (x, np.float32(amount)))


def test_its_name_and_its_memory(fake: Make) -> None:
    device = fake()
    assert device.name == "fake GPU"
    assert device.available() == 5000 + 1000
    assert device.empty((2, 3), np.complex64).shape == (2, 3)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (7, 5)])
def test_there_and_back(fake: Make, dtype: str, shape: tuple[int, ...]) -> None:
    device = fake()
    host = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = device.to_host(device.to_device(host))
    assert (found.shape, found.dtype) == (host.shape, host.dtype)
    assert np.array_equal(found, host)


def test_any_layout_arrives_c_contiguous(fake: Make) -> None:
    device, host = fake(), np.arange(24.0).reshape(4, 6)
    for x in (host.T, host[::2, ::-1], np.broadcast_to(host[0], (3, 6))):
        put = device.to_device(x)
        assert put.flags.c_contiguous
        assert np.array_equal(device.to_host(put), x)


def test_pinned_memory_is_not_filled_before_its_copy_ran(fake: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "CHUNK", 64)
    device, host = fake(), np.arange(100, dtype=np.float32)
    puts = [
        device.to_device(host + i) for i in range(5)
    ]  # each of 7 chunks, by two buffers, nothing waited for
    assert fake_cupy.Stream.current.queue  # the last copies have not run yet
    host[:] = -1
    for i, put in enumerate(puts):
        assert np.array_equal(device.to_host(put), np.arange(100, dtype=np.float32) + i)


@pytest.mark.parametrize(
    "host",
    [
        [1.0], np.array(["a"]), np.array([None]), np.ones(2, np.longdouble), np.ones(2, ">f4"),
        np.ones(2).view(fake_cupy.ndarray)[:0].tolist(),
    ],
    ids=repr,
)  # fmt: skip
def test_put_refuses_what_no_gpu_has(fake: Make, host: Any) -> None:
    with pytest.raises(S5Error, match="to_device: must be a NumPy array of numbers that a GPU has; got"):
        fake().to_device(host)


def test_take_refuses_what_is_not_of_the_device(fake: Make) -> None:
    with pytest.raises(S5Error, match="to_host: must be an array of the device; got ndarray"):
        fake().to_host(np.ones(2))


def test_a_graph_replays_in_the_order_of_the_callers_stream(fake: Make) -> None:
    device = fake()
    add, x = adder(device), device.to_device(np.zeros(3, np.float32))
    calls: list[int] = []

    def body() -> None:
        calls.append(1)
        add(x, 1)

    replay = device.capture(body)
    assert len(calls) == 2  # for real, then recorded
    assert np.array_equal(device.to_host(x), [1, 1, 1])
    add(x, 10)
    replay()
    replay()
    add(x, 100)
    with fake_cupy.Stream() as other:
        replay()
        assert len(other.queue) == 1  # launched on the caller's stream, not run yet
        other.synchronize()
    assert np.array_equal(device.to_host(x), [114, 114, 114])
    assert len(calls) == 2


def test_a_graph_keeps_its_memory_and_no_other_is_in_it(fake: Make) -> None:
    device = fake()
    add, pools = adder(device), list[Any]()

    def body() -> None:
        pools.append(weakref.ref(fake_cupy._pools[-1]))
        add(device.empty((4,), np.float32), 1)

    replay = device.capture(body)
    gc.collect()
    assert pools[0]() is pools[1]()
    assert pools[0]() is not None
    assert len(fake_cupy._pools) == 1
    del replay
    gc.collect()
    assert pools[0]() is None


def test_the_workspace_is_in_no_graphs_pool(fake: Make) -> None:
    device = fake()
    x = device.to_device(np.eye(2, dtype=np.float32))
    fake_cupy.Stream.current.synchronize()
    out = device.empty((2, 2), np.float32)
    before = seen()["products"]
    assert device.used_by(lambda: device.gemm(x, x, out, False, False)) == 0 < WORKSPACE
    assert seen()["products"] == before + 1


def test_used_by_counts_what_body_takes(fake: Make) -> None:
    device = fake()
    assert device.used_by(lambda: device.empty((1000,), np.float32)) == 4096
    assert device.used_by(lambda: None) == 0
    assert len(fake_cupy._pools) == 1


def second_time(act: Callable[[], object]) -> Callable[[], None]:
    """A body that does ``act`` while it is recorded, not before."""
    calls = []

    def body() -> None:
        calls.append(1)
        if len(calls) == 2:
            act()

    return body


def test_a_copy_cannot_be_part_of_a_graph(fake: Make) -> None:
    device = fake()
    x = device.to_device(np.ones(1))
    for act, name in (
        (lambda: device.to_device(np.ones(1)), "to_device"),
        (lambda: device.to_host(x), "to_host"),
    ):
        with pytest.raises(S5Error, match=f"{name}: a copy between host and device") as caught:
            device.capture(second_time(act))
        assert "--no-graph" in caught.value.remedy


def test_what_a_graph_refuses_is_named_and_the_stream_is_free_again(fake: Make) -> None:
    device, streams = fake(), list[Any]()

    def refused() -> None:
        streams.append(fake_cupy.Stream.current)
        fake_cupy.Stream.current.synchronize()

    with pytest.raises(
        S5Error, match=r"`raise RuntimeError.*` \(synchronize, .*StreamCaptureUnsupported"
    ) as e:
        device.capture(second_time(refused))
    assert "--no-graph" in e.value.remedy
    assert not streams[0].is_capturing()
    assert fake_cupy.Stream.current is fake_cupy.default


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_and_missing_memory_pass_through(fake: Make, error: type[BaseException]) -> None:
    streams = list[Any]()

    def stop() -> None:
        streams.append(fake_cupy.Stream.current)
        raise error("stop")

    with pytest.raises(error):
        fake().capture(second_time(stop))
    assert not streams[0].is_capturing()


def test_a_body_that_fails_for_real_fails_with_its_own_error(fake: Make) -> None:
    def body() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fake().capture(body)


def test_a_graph_that_cannot_be_made_says_so(fake: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def invalid(self: Any) -> None:
        raise RuntimeError("cudaErrorStreamCaptureInvalidated")

    monkeypatch.setattr(fake_cupy.Stream, "end_capture", invalid)
    with pytest.raises(S5Error, match="The graph could not be made: cudaErrorStreamCaptureInvalidated"):
        fake().capture(lambda: None)


@pytest.mark.parametrize("error", [MemoryError("x"), RuntimeError("cudaErrorMemoryAllocation: x")])
def test_missing_memory_is_explained(error: Exception) -> None:
    remedy = "Use a smaller batch."
    with pytest.raises(S5Error, match="Out of memory: ") as e, cupy_device.out_of_memory_explained(remedy):
        raise error
    assert e.value.remedy == remedy


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="else"), cupy_device.out_of_memory_explained("?"):
        raise RuntimeError("something else")
