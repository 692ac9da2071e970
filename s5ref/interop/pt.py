"""A torch state dict out of a ``.pt`` file, without torch and without running what the file says.

The file is a zip: ``*/data.pkl``, a pickle in which each tensor names a storage, and ``*/data/N``, the
storages. Only the few names that a state dict needs are known here; any other is refused, so nothing
foreign is ever called.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import DataError
from s5ref.files import parsing
from s5ref.interop.flax import bfloat16

STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "<c8", "ComplexDoubleStorage": "<c16", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
INSIDE = ("state_dict", "model_state_dict", "model")  # where a checkpoint may keep it
_REMEDY = "Save it with torch.save(model.state_dict(), path)."


def loads(data: bytes, where: str = "pt") -> dict[str, Array]:
    """Name → array of a file of ``torch.save(model.state_dict(), path)``.

    Raises
    ------
    DataError
        If it is damaged, or holds anything but names and tensors.
    """
    with parsing(f"{where} is not a state dict in torch's zip format", _REMEDY):
        state = _Unpickler(zipfile.ZipFile(io.BytesIO(data)), where).load()
    if isinstance(state, Mapping):
        state = next((state[key] for key in INSIDE if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise DataError(f"{where} must hold a state dict: names and tensors only.", _REMEDY)
    return {str(name): value for name, value in state.items()}


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise DataError(f"{where} holds no data.pkl, so torch did not write it.", _REMEDY)
        self.root = pickles[0].removesuffix("data.pkl")
        self.archive, self.where = archive, where
        order = self.root + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise DataError(
                f"{where} was written on a big-endian machine.", "Save it on a little-endian one."
            )
        super().__init__(io.BytesIO(archive.read(pickles[0])))

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise DataError(f"{self.where} holds an object of {module}.{name}, not tensors only.", _REMEDY)
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Array:
        kind, dtype, key, _location, size = pid
        if kind != "storage" or dtype not in STORAGES.values():
            raise DataError(f"{self.where} refers to a {kind} of {dtype}, which is unknown.", _REMEDY)
        data = self.archive.read(f"{self.root}data/{key}")
        values = bfloat16(np.frombuffer(data, "<u2")) if dtype == "bfloat16" else np.frombuffer(data, dtype)
        if len(values) != size:
            raise DataError(
                f"{self.where} is damaged: storage {key} holds {len(values)} numbers of {size}.", _REMEDY
            )
        return values


def _tensor(storage: Array, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> Array:
    """The strided view of ``storage``, copied. rest: requires_grad, hooks, and the bits {"conj", "neg"}."""
    steps = [s * storage.itemsize for s in stride]
    try:
        x: Array = np.ndarray(size, storage.dtype, storage, offset * storage.itemsize, steps)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"A tensor of shape {size} does not fit its storage of {len(storage)} numbers.", _REMEDY
        ) from error
    x = x.astype(storage.dtype.newbyteorder("="))
    bits = rest[2] if len(rest) > 2 and isinstance(rest[2], dict) else {}
    if bits.get("conj"):
        x = np.conj(x)
    return np.array(-x if bits.get("neg") else x)


_KNOWN: dict[tuple[str, str], Any] = {  # the only names that a file may refer to
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}
