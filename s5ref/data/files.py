"""A user's own arrays in a file: an npz whose arrays are called train_inputs, train_targets, … ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s5ref import npz
from s5ref.arrays import Array
from s5ref.data.user import FIELDS, SPLITS, by_split
from s5ref.errors import DataError
from s5ref.files import read_bytes, writing

REMEDY = "Write it by s5ref.data.save_arrays(file, arrays), or by np.savez with these names."
_KNOWN = {f"{split}_{field}": (split, field) for split in SPLITS for field in FIELDS}


def save_arrays(path: str | Path, arrays: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write one's own arrays to a file that the command line takes: ``--data FILE.npz``.

    Parameters
    ----------
    path : path
        Of a file that ends in .npz.
    arrays : mapping or sequence
        As `from_arrays` takes it.

    Raises
    ------
    DataError
        On another ending, splits or arrays of other names, and objects in place of numbers.
    """
    if Path(path).suffix != ".npz":
        raise DataError(f"A file of arrays must end in .npz; got {path}.", "Call it so.")
    given = {
        f"{split}_{field}": np.asarray(value)
        for split, fields in by_split(arrays).items()
        for field, value in fields.items()
    }
    for name, value in given.items():
        kinds, what = ("b", "booleans") if name.endswith("_resets") else ("fiu", "numbers")
        if value.dtype.kind not in kinds:
            raise DataError(f"{name} must hold {what}; got {value.dtype}.", "Convert it first.")
    with writing(path) as stream:
        np.savez(stream, allow_pickle=False, **given)


def load_arrays(path: str | Path) -> dict[str, dict[str, Array]]:
    """The arrays in a file, as `from_arrays` and `s5ref.train.train` take them.

    Parameters
    ----------
    path : path
        An npz file with train_inputs, train_targets, validation_inputs, validation_targets and, where they
        exist, the same of test, and the lengths, intervals and resets of each.

    Returns
    -------
    dict
        {"train": {"inputs": …, "targets": …}, "validation": …, "test": …}.

    Raises
    ------
    DataError
        On a file that is missing or damaged, and on arrays of other names.
    """
    given = npz.loads(read_bytes(Path(path)), str(path), REMEDY, deflated=True)
    if unknown := sorted(given.keys() - _KNOWN):
        raise DataError(
            f"{path} must hold {', '.join(_KNOWN)} or some of them; got {unknown[0]} too.", REMEDY
        )
    arrays: dict[str, dict[str, Array]] = {}
    for name, (split, field) in _KNOWN.items():
        if name in given:
            arrays.setdefault(split, {})[field] = given[name]
    return by_split(arrays)
