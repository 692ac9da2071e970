"""What this package uses of Numba and does not find in its manual: if one of these fails, Numba has moved
it, and the file that is named has to follow.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import ir

ANY: Any = numba


def test_the_cache_folder_and_the_processor_are_settings() -> None:
    for name in ("CACHE_DIR", "CPU_FEATURES"):
        assert hasattr(ANY.config, name), (
            f"numba.config.{name} is gone: s5ref/cpu/compile.py and simd.py read it"
        )


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
