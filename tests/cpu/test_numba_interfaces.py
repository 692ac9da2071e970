"""What this package uses of Numba and does not find in its manual: if one of these fails, Numba has moved
it, and the file that is named has to follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import ir

from s5ref.cpu.kernel_cache import KernelCache

ANY: Any = numba


def test_the_processor_is_a_setting() -> None:
    assert hasattr(ANY.config, "CPU_FEATURES"), (
        "numba.config.CPU_FEATURES is gone: s5ref/cpu/simd.py reads it"
    )


def test_a_dispatcher_asks_its_cache_for_compile_results(tmp_path: Path) -> None:
    for expected in (0, 1):
        dispatcher = ANY.njit(abs_plus_one)
        dispatcher._cache = KernelCache(abs_plus_one, tmp_path)
        assert dispatcher(-2.0) == 3.0
        assert sum(dispatcher.stats.cache_hits.values()) == expected, (
            "a dispatcher no longer reads what its _cache was given before, see s5ref/cpu/kernel_cache.py"
        )


def test_compiled_functions_need_not_count_references() -> None:
    def first(x: Any) -> Any:
        return x[0]

    assert ANY.njit(_nrt=False)(first)(np.ones(2)) == 1.0, "njit(_nrt=False), see s5ref/cpu/compile.py"


def test_functions_can_be_compiled_without_wrappers() -> None:
    for option in ("no_cpython_wrapper", "no_cfunc_wrapper"):
        try:
            ANY.njit(**{option: True})(abs_plus_one)
        except (TypeError, KeyError, ANY.NumbaError) as error:
            pytest.fail(f"njit no longer takes {option}, see s5ref/cpu/compile.py: {error}")


def test_a_function_can_be_pasted_into_its_caller() -> None:
    inner = ANY.njit(inline="always")(abs_plus_one)

    def caller(x: float) -> float:
        return float(inner(x))

    assert ANY.njit(caller)(-2.0) == 3.0, (
        "njit(inline='always'), see s5ref/cpu/compile.py, gives another result"
    )


def test_a_dispatcher_can_be_closed_for_other_types() -> None:
    assert hasattr(ANY.njit(abs_plus_one), "disable_compile"), (
        "Dispatcher.disable_compile, see s5ref/cpu/stream.py"
    )


def test_emitted_code_sees_pointer_shape_and_strides_of_an_array() -> None:
    @ANY.extending.intrinsic
    def corner(_typing, x):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            for field in ("data", "shape", "strides"):
                assert hasattr(array, field), (
                    f"arrays of Numba have no {field}: see Matrix in s5ref/cpu/simd.py"
                )
            last = builder.sub(builder.extract_value(array.shape, 1), ir.IntType(64)(1))
            return builder.load(builder.gep(array.data, [last]))

        return x.dtype(x), codegen

    def call(x: Any) -> Any:
        return corner(x)

    assert ANY.njit(call)(np.arange(6.0).reshape(2, 3)) == 2.0


def abs_plus_one(x: float) -> float:
    return abs(x) + 1
