"""The shim itself: it carries out what CUDA promises, and refuses what CUDA does not forgive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_shim import MARKS, CpuModule
from cuda_shim.module import LaunchError

pytestmark = MARKS

HEAD = '#define KERNEL extern "C" __global__ void\n#define ALL 0xffffffffu\n'
SHUFFLE = """
KERNEL prefix(const float* x, float* y) {
  float sum = x[threadIdx.x];
  for (int d = 1; d < 32; d *= 2) {
    float other = __shfl_up_sync(ALL, sum, d);
    if (threadIdx.x % 32 >= d) sum += other;
  }
  y[threadIdx.x] = sum;
}
"""
ACROSS = """
KERNEL turned(const float* x, float* y) {
  __shared__ float room[64];
  room[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = room[(threadIdx.x + 33) % 64];
}
"""


def launch(body: str, *arguments: Any, grid: int = 1, threads: int = 64, order: int = 0) -> None:
    code = HEAD + body
    name = body.split("KERNEL ")[1].split("(")[0]
    CpuModule(code, (), order).get_function(name)((grid,), (threads,), arguments)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_shuffles_and_barriers_in_every_order(order: int) -> None:
    x, y = np.arange(64, dtype=np.float32), np.empty(64, np.float32)
    launch(SHUFFLE, x, y, order=order)
    np.testing.assert_array_equal(y.reshape(2, 32), x.reshape(2, 32).cumsum(1))
    launch(ACROSS, x, y, order=order)
    np.testing.assert_array_equal(y, np.roll(x, -33))


def test_a_missing_barrier_reads_poison_or_not_by_the_order() -> None:
    x = np.arange(64, dtype=np.float32)
    results = []
    for order in (0, 1):
        y = np.empty(64, np.float32)
        launch(ACROSS.replace("__syncthreads();", ""), x, y, order=order)
        results.append(y)
    assert all(np.isnan(y).any() for y in results)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (ACROSS.replace("__syncthreads();", "if (threadIdx.x < 40) __syncthreads();"), "has left"),
        (
            ACROSS.replace(
                "__syncthreads();", "if (threadIdx.x < 40) {\n__syncthreads();\n} else {\n__syncthreads();\n}"
            ),
            "different __syncthreads",
        ),
        (SHUFFLE.replace("float sum =", "if (threadIdx.x == 5) return; float sum ="), "has left"),
        (
            SHUFFLE.replace(
                "float other = __shfl_up_sync(ALL, sum, d);",
                "float other = 0; if (threadIdx.x % 32 >= d) other = __shfl_up_sync(ALL, sum, d);",
            ),
            "a mask names a lane that has left",
        ),
        (
            SHUFFLE.replace("(ALL,", "(2u,"),
            "not in its own mask",
        ),
        (ACROSS.replace("y[threadIdx.x] =", "y[threadIdx.x + 1] ="), "not there"),
        (ACROSS.replace("y[threadIdx.x] =", "y[(int)threadIdx.x - 1] ="), "wrote before"),
        (ACROSS.replace("= x[threadIdx.x]", "= x[threadIdx.x + 1]"), "not there"),
    ],
    ids=[
        "barrier not reached",
        "two barriers",
        "lane left",
        "divergent shuffle",
        "mask",
        "behind",
        "before",
        "read behind",
    ],
)
def test_what_cuda_does_not_forgive_is_an_error(body: str, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        launch(body, np.zeros(64, np.float32), np.zeros(64, np.float32))


def test_a_read_before_an_array_is_not_a_number() -> None:
    y = np.zeros(64, np.float32)
    launch(ACROSS.replace("= x[threadIdx.x]", "= x[(int)threadIdx.x - 1]"), np.zeros(64, np.float32), y)
    assert np.isnan(y).sum() == 1


def test_constant_arrays_are_not_written_and_one_array_is_one_memory() -> None:
    body = "KERNEL twice(const float* x, float* y) { y[threadIdx.x] = 2 * x[threadIdx.x]; }"
    x = np.ones(64, np.float32)
    launch(body, x, x)
    np.testing.assert_array_equal(x, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(64), np.float32(1), np.int32(1)), "items of float64"),
        ((np.zeros((8, 16), np.float32)[:, :8], np.float32(1), np.int32(1)), "contiguous"),
        ((np.zeros(64, np.float32), 1.0, np.int32(1)), "argument 1"),
        ((np.zeros(64, np.float32), np.float64(1), np.int32(1)), "argument 1"),
        ((np.zeros(64, np.float32), np.float32(1), np.int64(1)), "argument 2"),
        ((np.zeros(64, np.float32), np.float32(1)), "3 parameters, 2 arguments"),
    ],
)
def test_arguments_must_have_the_types_of_their_parameters(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        launch("KERNEL fill(float* y, float value, int n) { y[0] = value * n; }", *arguments)


def test_what_the_compiler_refuses_is_named() -> None:
    with pytest.raises(LaunchError, match="oops"):
        launch("KERNEL wrong(float* y) { oops(); }", np.zeros(1, np.float32))
