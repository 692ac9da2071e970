"""CuPy, NVRTC and cuBLASLt as they are, without a GPU: every name used is there, every attribute accepted."""

from __future__ import annotations

import ctypes
import inspect
import re
from typing import Any

import numpy as np
import pytest
from needs import cublaslt_library

from s5ref import S5Error
from s5ref.gpu import cublaslt, cupy_device
from s5ref.gpu.cublaslt import Algorithm, Calls, Heuristic, Product, describe, prefer
from s5ref.gpu.doctor import checks
from s5ref.gpu.machine import survey

pytestmark = pytest.mark.cupy
PRODUCTS = [
    Product(m, n, k, at, bt, dtype, (4, 256, 16))
    for m, n, k in ((1, 1, 1), (51200, 256, 192), (7, 5, 3))
    for at in (False, True)
    for bt in (False, True)
    for dtype in ("float32", "float64")
]


@pytest.fixture(scope="module")
def calls() -> Any:
    return Calls(ctypes.CDLL(str(cublaslt_library())))


@pytest.fixture(scope="module")
def header() -> str:
    library = cublaslt_library()
    assert library is not None
    return "".join(
        (library.parents[1] / "include" / name).read_text() for name in ("cublasLt.h", "cublas_api.h")
    )


def read(calls: Any, what: str, thing: Any, attribute: int, value: Any) -> int:
    """An attribute of a description, a layout or a preference, read back."""
    function = getattr(calls._library, f"cublasLt{what}GetAttribute")
    function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    written = ctypes.c_size_t()
    status = function(thing, attribute, ctypes.byref(value), ctypes.sizeof(value), ctypes.byref(written))
    assert (status, written.value) == (0, ctypes.sizeof(value))
    return int(value.value)


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda p: "-".join(map(str, p[:6])))
@pytest.mark.parametrize("tf32", [False, True])
def test_a_plan_is_what_the_product_asks_for(calls: Any, product: Product, tf32: bool) -> None:
    plan = describe(calls, product, tf32)
    single = product.dtype == "float32"

    def description(attribute: int) -> int:
        return read(calls, "MatmulDesc", plan.description, attribute, ctypes.c_int32())

    def layout(thing: Any) -> tuple[int, ...]:
        kinds = (ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int64)
        return tuple(
            read(calls, "MatrixLayout", thing, attribute, kind())
            for attribute, kind in zip((0, 2, 3, 4), kinds, strict=True)  # type, rows, columns, ld
        )

    assert description(0) == ((77 if tf32 else 68) if single else 70)
    assert description(1) == (0 if single else 1)
    assert (description(3), description(4)) == (product.b_transposed, product.a_transposed)
    m, n, k = product.m, product.n, product.k
    real = 0 if single else 1
    assert layout(plan.out) == (real, n, m, n)
    assert layout(plan.b) == ((real, k, n, k) if product.b_transposed else (real, n, k, n))
    assert layout(plan.a) == ((real, m, k, m) if product.a_transposed else (real, k, m, k))


def test_a_preference_is_what_was_set(calls: Any) -> None:
    preference = prefer(calls, PRODUCTS[0])
    assert read(calls, "MatmulPreference", preference, 1, ctypes.c_uint64()) == cublaslt.WORKSPACE
    found = [read(calls, "MatmulPreference", preference, i, ctypes.c_uint32()) for i in (3, 5, 6, 7, 8)]
    assert found == [2, 256, 4, 16, 16]  # one pass that sums; its A, B, C, D are our b, a, out, out
    calls("cublasLtMatmulPreferenceDestroy", preference)


def test_a_refusal_has_its_name(calls: Any) -> None:
    with pytest.raises(S5Error, match=r"cublasLtMatmulDescSetAttribute .*CUBLAS_STATUS_INVALID_VALUE \(7\)"):
        calls.set("cublasLtMatmulDescSetAttribute", describe(calls, PRODUCTS[0], False).description, 3,
                  ctypes.c_int8(1))  # fmt: skip


def test_constants_are_the_headers(header: str) -> None:
    names = {
        "CUBLAS_": ("COMPUTE_32F", "COMPUTE_32F_FAST_TF32", "COMPUTE_64F", "OP_N", "OP_T"),
        "CUBLASLT_MATMUL_": (
            "DESC_TRANSA", "DESC_TRANSB", "PREF_MAX_WORKSPACE_BYTES", "PREF_REDUCTION_SCHEME_MASK",
            "PREF_MIN_ALIGNMENT_A_BYTES",
        ),
        "CUBLASLT_": ("REDUCTION_SCHEME_COMPUTE_TYPE",),
    }  # fmt: skip
    for prefix, found in names.items():
        for name in found:
            match = re.search(rf"\b{prefix}{name}\s*=\s*(\d+)", header)
            assert match, name
            assert int(match[1]) == getattr(cublaslt, name), name


def test_structures_are_the_headers(header: str) -> None:
    assert re.search(r"uint64_t data\[8\];\s*} cublasLtMatmulAlgo_t;", header)
    assert ctypes.sizeof(Algorithm) == 64
    end = header.index("} cublasLtMatmulHeuristicResult_t;")
    text = re.sub(r"/\*.*?\*/", "", header[header.rindex("typedef struct", 0, end) : end], flags=re.DOTALL)
    assert re.findall(r"(\w+) (\w+)(?:\[4\])?;", text) == [
        ("cublasLtMatmulAlgo_t", "algo"), ("size_t", "workspaceSize"), ("cublasStatus_t", "state"),
        ("float", "wavesCount"), ("int", "reserved"),
    ]  # fmt: skip
    assert ctypes.sizeof(Heuristic) == 64 + 8 + 4 + 4 + 16


@pytest.mark.parametrize("name", cublaslt.SIGNATURES)
def test_functions_take_as_many_arguments(header: str, name: str) -> None:
    match = re.search(rf"CUBLASWINAPI {name}\((.*?)\);", header, re.DOTALL)
    assert match
    given = re.sub(r"/\*.*?\*/|//[^\n]*", "", match[1], flags=re.DOTALL)
    assert len(given.split(",")) == len(cublaslt.SIGNATURES[name])


def test_cupy_has_every_name_that_is_used() -> None:
    import cupy

    for name in (
        "RawModule", "empty", "ndarray", "asnumpy", "get_default_memory_pool", "cuda.MemoryPool.malloc",
        "cuda.MemoryPool.total_bytes", "cuda.MemoryPool.free_bytes", "cuda.MemoryPointer.ptr",
        "cuda.MemoryPointer.copy_from_host_async", "cuda.MemoryPointer.__add__", "cuda.using_allocator",
        "cuda.get_current_stream", "cuda.alloc_pinned_memory", "cuda.Event.synchronize",
        "cuda.Stream.begin_capture", "cuda.Stream.end_capture", "cuda.Stream.is_capturing",
        "cuda.Stream.synchronize", "cuda.Graph.launch", "cuda.runtime.memGetInfo", "cuda.runtime.getDevice",
        "cuda.runtime.getDeviceProperties", "cuda.runtime.runtimeGetVersion",
    ):  # fmt: skip
        thing: Any = cupy
        for part in name.split("."):
            thing = getattr(thing, part)
    assert "disable_timing" in inspect.signature(cupy.cuda.Event).parameters
    assert "non_blocking" in inspect.signature(cupy.cuda.Stream).parameters
    assert list(inspect.signature(cupy.cuda.Event.record).parameters) == ["self", "stream"]
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert cupy.RawModule(code="", options=("-std=c++17",)) is not None  # compiles later
    with cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc):
        pass


def test_the_doctor_finds_all_but_the_driver() -> None:
    found = {check.name: check for check in checks(survey())}
    for name in ("CuPy", "one CuPy", "NVRTC", "cuBLASLt"):
        assert found[name].ok, found[name]
    assert found["NVRTC"].found.split(".")[0] == found["cuBLASLt"].found.split(".")[0]


def test_without_a_driver_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s5ref.gpu.machine.driver", lambda: None)
    with pytest.raises(S5Error, match="cannot be used: NVIDIA driver: none found") as caught:
        cupy_device.Cupy()
    assert "580 or newer" in caught.value.remedy


def test_the_dtypes_of_put_are_cupys() -> None:
    from cupy._core import _dtype

    for char in cupy_device.DTYPES:
        assert _dtype.get_dtype(np.dtype(char)) == np.dtype(char)
