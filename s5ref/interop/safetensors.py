"""safetensors files, written so that what is read back is what was given.

The library writes the memory of an array in the order in which it lies (0.8.0: an F-ordered array, such as
``V.conj().T``, comes back permuted without a word). Here every array is made C-contiguous, and the bytes
are read back and compared before the file appears.
"""

from __future__ import annotations

import numpy as np

from s5ref.arrays import Array, Leaves
from s5ref.errors import DataError, ShapeError, optional
from s5ref.files import parsing
from s5ref.interop.flax import bfloat16

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_WRITABLE = {np.dtype(dtype) for dtype in DTYPES.values()}


def dumps(arrays: Leaves) -> bytes:
    """The bytes of a file of ``arrays`` of any order and layout, read back and compared.

    Raises
    ------
    ShapeError
        On a dtype that safetensors lacks (complex128).
    DataError
        If the bytes do not give the arrays back.
    """
    numpy_form = optional("safetensors.numpy", "interop")

    whole: dict[str, Array] = {}
    for name, value in arrays.items():
        x = np.asarray(value)
        if x.dtype.newbyteorder("<") not in _WRITABLE:
            raise ShapeError(
                f"safetensors: {name} has the dtype {x.dtype}, which the format cannot hold.",
                "Write .npz instead, or cast it (complex128 to complex64).",
            )
        whole[name] = np.array(x, dtype=x.dtype.newbyteorder("<"), order="C", copy=True)
    data: bytes = numpy_form.save(whole)
    back = loads(data)
    for name, x in whole.items():
        if name not in back or back[name].shape != x.shape or back[name].tobytes() != x.tobytes():
            raise DataError(
                f"safetensors did not keep {name}: what it wrote is not what it was given.",
                "Another version of the package may; or write .npz.",
            )
    return data


def loads(data: bytes, where: str = "safetensors") -> dict[str, Array]:
    """The inverse of `dumps`; bfloat16 is widened to float32, exactly.

    Raises
    ------
    DataError
        If they are not readable.
    """
    library = optional("safetensors", "interop")
    with parsing(f"{where} is not readable as safetensors", "Check that it was copied whole."):
        tensors = library.deserialize(data)
    return {name: _array(f"{where}: {name}", **tensor) for name, tensor in tensors}


def _array(where: str, dtype: str, shape: list[int], data: bytes) -> Array:
    if dtype == "BF16":
        return bfloat16(np.frombuffer(data, "<u2")).reshape(shape)
    if dtype not in DTYPES:
        raise DataError(f"{where} has the dtype {dtype}, which NumPy lacks.", "Cast it to float32 first.")
    kind = np.dtype(DTYPES[dtype])
    return np.frombuffer(data, kind).reshape(shape).astype(kind.newbyteorder("="))
