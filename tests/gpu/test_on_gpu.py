"""`Cupy` on a GPU: copies, products, graphs, memory. What the stand-ins of the other tests only imitate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from s5ref import S5Error
from s5ref.gpu import doctor
from s5ref.gpu.cupy_device import Cupy
from s5ref.gpu.machine import survey

pytestmark = pytest.mark.gpu
ADD = """
extern "C" __global__ void add(float* x, float by, int n) { if (threadIdx.x < n) x[threadIdx.x] += by; }
"""
SIZES = [(1, 1, 1), (1, 7, 5), (6, 1, 3), (5, 7, 3), (257, 33, 65), (2048, 256, 128), (16, 16, 100_001)]


@pytest.fixture(scope="module")
def device() -> Any:
    return Cupy()


def integers(*shape: int, dtype: str) -> np.ndarray[Any, Any]:
    """Products and sums of these are exact in TF32 and float32 up to 100,001 terms."""
    return np.random.default_rng(shape).integers(-2, 3, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (7, 5), (5_000_000,)])
def test_there_and_back(device: Any, dtype: str, shape: tuple[int, ...]) -> None:
    hosts = [np.random.default_rng(i).integers(0, 2, shape).astype(dtype) for i in range(4)]
    puts = [device.to_device(host) for host in hosts]
    for host, put in zip(hosts, puts, strict=True):
        assert np.array_equal(device.to_host(put), host)


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at", [False, True])
@pytest.mark.parametrize("bt", [False, True])
def test_products_are_numpys(at: bool, bt: bool, dtype: str, tf32: bool) -> None:
    device = Cupy(tf32)
    for m, n, k in SIZES:
        a, b = integers(m, k, dtype=dtype), integers(k, n, dtype=dtype)
        out = device.empty((m, n), dtype)
        device.gemm(device.to_device(a.T if at else a), device.to_device(b.T if bt else b), out, at, bt)
        assert np.array_equal(device.to_host(out), a @ b), (m, n, k)


def test_views_at_odd_places(device: Any) -> None:
    held, out = (
        device.to_device(integers(1, 64, dtype="float32")[0]),
        device.to_device(np.zeros(41, np.float32)),
    )
    a, b = held[1:16].reshape(5, 3), held[19:40].reshape(3, 7)
    device.gemm(a, b, out[3:38].reshape(5, 7), False, False)
    assert np.array_equal(device.to_host(out[3:38]).reshape(5, 7), device.to_host(a) @ device.to_host(b))


def test_a_graph_gives_the_bits_of_its_body(device: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (
        device.to_device(rng.standard_normal(shape).astype(np.float32))
        for shape in ((300, 70_000), (70_000, 40))
    )
    out = device.empty((300, 40), np.float32)
    count = device.to_device(np.zeros(3, np.float32))
    add = device.module(ADD, ["-std=c++17"]).get_function("add")

    def body() -> None:
        scratch = device.empty((300, 40), np.float32)
        device.gemm(a, b, scratch, False, False)
        out[...] = scratch
        add((1,), (32,), (count, np.float32(1), np.int32(3)))

    body()
    plain = device.to_host(out)
    replay = device.capture(body)
    out.fill(0)
    replay()
    replay()
    assert np.array_equal(device.to_host(out), plain)
    assert np.array_equal(device.to_host(count), [4, 4, 4])  # body, the run before the capture, two replays


def test_a_copy_is_refused_in_a_graph_and_the_device_goes_on(device: Any) -> None:
    calls: list[int] = []

    def body() -> None:
        calls.append(1)
        if len(calls) == 2:
            device.to_device(np.ones(3))

    with pytest.raises(S5Error, match="cannot be part of a graph"):
        device.capture(body)
    assert np.array_equal(device.to_host(device.to_device(np.ones(3))), np.ones(3))


def test_memory(device: Any) -> None:
    assert 1 << 20 <= device.used_by(lambda: device.empty((1 << 18,), np.float32)) < 64 << 20
    assert device.available() > 1 << 28


def test_nothing_is_wrong_here() -> None:
    doctor.refuse(survey())
