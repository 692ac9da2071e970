"""Products by cuBLASLt, on its stand-in: what crosses by ctypes, sides, transposes, plans, alignments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fake_cupy
import numpy as np
import pytest
from cuda_shim.libraries import cublaslt, seen

from s5ref import S5Error
from s5ref.gpu.cublaslt import WORKSPACE, alignment

pytestmark = pytest.mark.cxx
Make = Callable[..., Any]
SIZES = [(1, 1, 1), (1, 7, 5), (6, 1, 3), (4, 3, 1), (5, 7, 3), (32, 16, 8), (257, 33, 65)]


def integers(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray[Any, Any]:
    """Small integers: their products and sums are exact, so that nothing but the right answer is equal."""
    return np.random.default_rng((seed, *shape)).integers(-9, 10, shape).astype(dtype)


def product(
    device: Any, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], *, at: bool = False, bt: bool = False
) -> Any:
    shape = ((a.T if at else a).shape[0], (b.T if bt else b).shape[1])
    out = device.empty(shape, a.dtype)
    x, y = device.to_device(a), device.to_device(b)
    fake_cupy.Stream.current.synchronize()  # the stand-in multiplies at once, not in the stream
    device.gemm(x, y, out, at, bt)
    return device.to_host(out)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at", [False, True])
@pytest.mark.parametrize("bt", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_is_numpys(fake: Make, m: int, n: int, k: int, at: bool, bt: bool, dtype: str) -> None:
    a, b = integers(m, k, dtype=dtype), integers(k, n, dtype=dtype, seed=1)
    given_a, given_b = (a.T.copy() if at else a), (b.T.copy() if bt else b)
    found = product(fake(), given_a, given_b, at=at, bt=bt)
    assert found.dtype == dtype
    assert np.array_equal(found, a @ b)


def test_tf32_rounds_single_precision_alone(fake: Make) -> None:
    fine = np.full((2, 2), 1 + 2.0**-12)
    for tf32, dtype, rounds in (
        (False, "float32", False), (True, "float32", True), (True, "float64", False)
    ):  # fmt: skip
        found = product(fake(tf32=tf32), fine.astype(dtype), np.eye(2, dtype=dtype))
        assert np.array_equal(found, np.ones((2, 2)) if rounds else fine)


def test_one_plan_for_a_product_and_for_an_alignment(fake: Make) -> None:
    device, a, b = fake(), integers(6, 4), integers(4, 5)
    start = seen()["heuristics"]

    def plans() -> int:
        return seen()["heuristics"] - start

    for _ in range(3):
        product(device, a, b)
    assert plans() == 1
    product(device, a, b.T.copy(), bt=True)
    product(device, a.astype("float64"), b.astype("float64"))
    assert plans() == 3
    memory = device.to_device(np.arange(100, dtype=np.float32))
    fake_cupy.Stream.current.synchronize()
    out = device.empty((6, 5), np.float32)
    for offset, aligned, made in ((1, 4, 4), (2, 8, 5), (4, 16, 6), (3, 16, 6)):
        odd = memory[offset : offset + 24].reshape(6, 4)
        device.gemm(odd, device.to_device(b), out, False, False)
        assert seen()["b"] == aligned  # what the last plan was told: its B is our a
        assert plans() == made


def test_views_at_odd_places_multiply_alike(fake: Make) -> None:
    device, memory = fake(), integers(1, 64)[0]
    held = device.to_device(memory)
    out = device.empty((41,), np.float32)
    fake_cupy.Stream.current.synchronize()
    a, b = held[1:16].reshape(5, 3), held[19:40].reshape(3, 7)
    device.gemm(a, b, out[3:38].reshape(5, 7), False, False)
    assert np.array_equal(device.to_host(out[3:38]).reshape(5, 7), np.array(a) @ np.array(b))
    assert np.isnan(device.to_host(out)[[0, 1, 2, 38, 39, 40]]).all()


def test_what_the_heuristic_is_told(fake: Make) -> None:
    device = fake()
    with fake_cupy.Stream() as stream:
        product(device, integers(8, 3), integers(3, 9))
    told = seen()
    assert told["schemes"] == 2  # a split k in a pass of its own: neither in place nor in the output's type
    assert told["workspace"] == WORKSPACE
    assert [told[matrix] for matrix in "abcd"] == [256] * 4
    assert told["stream"] == stream.ptr


@pytest.mark.parametrize(("address", "power"), [(4, 4), (12, 4), (256, 256), (512, 256), (1 << 40, 256)])
def test_alignment(address: int, power: int) -> None:
    assert alignment(address) == power


def test_a_status_that_is_not_success_is_named(fake: Make) -> None:
    device = fake()
    product(device, integers(3, 3), integers(3, 3))
    cublaslt().standin_fail(15)
    with pytest.raises(S5Error, match=r"cublasLtMatmul must succeed; got CUBLAS_STATUS_NOT_SUPPORTED \(15\)"):
        product(device, integers(3, 3), integers(3, 3))
    with pytest.raises(S5Error, match="must know an algorithm for"):
        product(device, integers(13, 2), integers(2, 13))


def refused() -> Iterator[Any]:
    def case(name: str, words: str, **changed: Any) -> Any:
        return pytest.param(changed, words, id=name)

    yield case("k differs", r"\(4, 3\) @ \(2, 5\)", b=integers(2, 5))
    yield case("out", r"= \(5, 4\)", out=integers(5, 4))
    yield case("transposed", r"\(3, 4\) @ \(3, 5\)", a_transposed=True)
    yield case("empty k", r"none of them 0; got \(4, 0\)", a=integers(4, 0), b=integers(0, 5))
    yield case("no rows", "none of them 0", a=integers(0, 3), out=integers(0, 5))
    yield case("1-D", "2-D", a=integers(4, 3)[0])
    yield case("strides", "C-contiguous", a=integers(3, 4).T)
    yield case("one dtype", "all float32 or all float64", b=integers(3, 5, dtype="float64"))
    yield case("complex", "all float32", **{x: np.ones((4, 4), "complex64") for x in ("a", "b", "out")})


@pytest.mark.parametrize(("changed", "words"), list(refused()))
def test_refuses(fake: Make, changed: dict[str, Any], words: str) -> None:
    device = fake()
    good = {"a": integers(4, 3), "b": integers(3, 5), "out": integers(4, 5)}
    flags = {"a_transposed": False, "b_transposed": False}
    arguments = {**good, **flags, **changed}
    arrays = {name: arguments[name].view(fake_cupy.ndarray) for name in good}
    with pytest.raises(S5Error, match=words):
        device.gemm(**{**arguments, **arrays})


def test_refuses_arrays_of_the_host(fake: Make) -> None:
    device, x = fake(), integers(2, 2)
    with pytest.raises(S5Error, match="must be arrays of the device; got ndarray"):
        device.gemm(x, x, x, False, False)
