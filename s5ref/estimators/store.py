"""Fitted estimators as a checkpoint: arrays, and facts that JSON can hold. Reading one runs no code of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.engine import Engine
from s5ref.errors import ConfigError
from s5ref.features.channels import Standard
from s5ref.features.filters import Filters
from s5ref.files import parsing
from s5ref.train import checkpoint

TUPLES: dict[str, Any] = {"Filters": Filters, "Standard": Standard}
ESTIMATORS: dict[str, Any] = {}  # by name; each adds itself


def save(estimator: Any, path: str | Path) -> None:
    """Write a fitted estimator, whole or not at all.

    Raises
    ------
    ConfigError
        On a parameter that no file can hold.
    """
    arrays: dict[str, Array] = {}
    checkpoint.save(path, arrays, {"estimator": _packed(estimator, "", arrays)})


def load(path: str | Path) -> Any:
    """The estimator that `save` wrote.

    Raises
    ------
    DataError
        On a file that is missing, damaged, or holds no estimator.
    """
    arrays, meta = checkpoint.load(path)
    with parsing(f"{path} holds no estimator", "Give a file that save() of an estimator wrote."):
        return _unpacked(meta["estimator"], arrays)


def dumps(fitted: dict[str, Any]) -> bytes:
    """Fitted attributes as the bytes of a checkpoint."""
    arrays: dict[str, Array] = {}
    facts = {name: _packed(value, name, arrays) for name, value in fitted.items()}
    return checkpoint.to_bytes(arrays, facts)


def loads(data: bytes) -> dict[str, Any]:
    """The inverse of `dumps`."""
    arrays, facts = checkpoint.from_bytes(data, "of the estimator")
    return {name: _unpacked(value, arrays) for name, value in facts.items()}


def _packed(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """``value`` as JSON, its arrays in ``arrays`` under names that begin with ``name``."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fciub":
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.ndarray):
        return {"labels": value.tolist(), "dtype": value.dtype.str}
    kind = type(value).__name__
    if kind in TUPLES:
        return {"tuple": kind, "of": [_packed(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]}
    if kind in ESTIMATORS:
        params = value.get_params(deep=False)
        fitted = {k: v for k, v in vars(value).items() if k not in params}
        return {
            "name": kind,
            "params": {k: _packed(v, f"{name}.{k}", arrays) for k, v in params.items()},
            "fitted": {k: _packed(v, f"{name}.{k}", arrays) for k, v in fitted.items()},
        }
    if isinstance(value, Engine):
        return value.name
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return None  # it has been drawn from
    if isinstance(value, dict):
        return {
            "pairs": [[_packed(k, name, arrays), _packed(v, f"{name}.{k}", arrays)] for k, v in value.items()]
        }
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"{name.strip('.')} cannot be stored: {value!r}.", "Use a number, a text or an array.")


def _unpacked(value: Any, arrays: dict[str, Array]) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "labels" in value:
        return np.array(value["labels"], dtype=value["dtype"])
    if "pairs" in value:
        return {_unpacked(k, arrays): _unpacked(v, arrays) for k, v in value["pairs"]}
    if "tuple" in value:
        return TUPLES[value["tuple"]](*(_unpacked(v, arrays) for v in value["of"]))
    made = ESTIMATORS[value["name"]](**{k: _unpacked(v, arrays) for k, v in value["params"].items()})
    vars(made).update({k: _unpacked(v, arrays) for k, v in value["fitted"].items()})
    return made
