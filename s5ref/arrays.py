"""Arrays at the public boundary: shapes as letters, clear refusals, and nothing that is particular to the
host.

Arrays are NumPy's or anything that answers its dispatch protocols (NEP 13 and NEP 18), such as CuPy's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from s5ref.errors import NumericalError, ShapeError

Array: TypeAlias = npt.NDArray[Any]
Leaves: TypeAlias = Mapping[str, Array]  # by name, flat: "layers_0.seq.B" of a model, "B" of its SSM

REAL = ("float32", "float64", "longdouble")


def as_array(value: Any) -> Array:
    """Lists and scalars become NumPy arrays; arrays, of the host or of a device, stay as they are.

    Raises
    ------
    ShapeError
        On nested lists of unequal lengths.
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return value  # type: ignore[no-any-return]
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ShapeError(
            "Nested lists must have the same length at every level; got ragged ones.",
            "Pad them to one length.",
        ) from error


def check_shape(
    where: str, name: str, x: Any, letters: str, sizes: Mapping[str, int], remedy: str = ""
) -> Array:
    """``x`` as an array of the shape that ``letters`` name.

    Parameters
    ----------
    where, name : str
        The function and its argument, for the message.
    x : array or nested list
    letters : str
        The axes, such as ``"N L H"``.
    sizes : mapping of letters to int
        Those that are known; every other axis has at least 1.
    remedy : str
        "": to check what produces ``name``.

    Raises
    ------
    ShapeError
        Naming the expected shape and what arrived.
    """
    x = as_array(x)
    want = letters.split()
    fits = len(x.shape) == len(want) and all(
        got == sizes[letter] if letter in sizes else got >= 1
        for letter, got in zip(want, x.shape, strict=True)
    )
    if not fits:
        known = ", ".join(f"{letter}={sizes[letter]}" for letter in want if letter in sizes)
        free = [letter for letter in want if letter not in sizes]
        at_least = f"{', '.join(free)} ≥ 1" if free else ""
        conditions = "; ".join(part for part in (known, at_least) if part)
        raise ShapeError(
            f"{where}: {name} must be ({', '.join(want)}) with {conditions}; got {tuple(x.shape)}.",
            remedy or f"Check what produces {name}.",
        )
    return as_array(x)


def check_kind(where: str, name: str, x: Array, kinds: str, expected: str) -> Array:
    """``x`` if its dtype kind is among ``kinds``: "f" real, "c" complex, "iu" integer.

    Raises
    ------
    ShapeError
        On any other, which is said not to be ``expected``.
    """
    if x.dtype.kind not in kinds:
        raise ShapeError(
            f"{where}: {name} must be {expected}; got dtype {x.dtype}.", f"Convert {name} first (astype)."
        )
    return x


def check_portable(where: str, name: str, x: Array) -> Array:
    """``x`` if files can hold it: numbers or booleans, at most 64 bits a part.

    Raises
    ------
    ShapeError
        On any other dtype.
    """
    check_kind(where, name, x, "fciub", "real, complex, integer or boolean")
    if x.dtype.char in "gG":
        raise ShapeError(
            f"{where}: {name} must have at most 64 bits a part; got {x.dtype}.",
            "longdouble has no portable form: convert it to float64 first.",
        )
    return x


def check_finite(where: str, name: str, x: Array) -> Array:
    """``x`` if it holds no NaN or infinity. Arrays of a device are not read back for this.

    Raises
    ------
    NumericalError
        Otherwise, with the first index that is not finite.
    """
    if isinstance(x, np.ndarray) and x.dtype.kind in "fc" and not np.isfinite(x).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise NumericalError(
            f"{where}: {name} must be finite; got {x[index]} at index {index}.",
            f"Clean or mask {name} before the call.",
        )
    return x


def check_reals(
    where: str, name: str, x: Any, letters: str, sizes: Mapping[str, int], remedy: str = ""
) -> Array:
    """``x`` as an array of finite reals of the shape named by ``letters``, see `check_shape`."""
    x = check_kind(where, name, check_shape(where, name, x, letters, sizes, remedy), "f", "real")
    return check_finite(where, name, x)


def real_dtype(x: Array) -> np.dtype[Any]:
    """The real dtype of ``x``: float32 for complex64, and so on."""
    return np.zeros(0, x.dtype).real.dtype


def complex_dtype(x: Array) -> np.dtype[Any]:
    """The complex dtype that belongs to the real or complex dtype of ``x``."""
    return np.result_type(x.dtype, np.complex64)


def constant(numerator: int, denominator: int, like: Array) -> Any:
    """numerator/denominator in the real precision of ``like``: a decimal constant, also beyond float64."""
    real = real_dtype(like).type
    return real(numerator) / real(denominator)


def pi(like: Array) -> Any:
    """π in the real precision of ``like``; up to float64 a Python float, which takes part in any."""
    real = real_dtype(like)
    return math.pi if real.itemsize <= 8 else 4 * np.arctan(real.type(1))


def to_complex(pairs: Array) -> Array:
    """(…, 2) real → (…) complex, by arithmetic (no view), so that any dtype and layout works."""
    return pairs[..., 0] + 1j * pairs[..., 1]


def to_pairs(z: Array) -> Array:
    """(…) complex → (…, 2) real."""
    return np.stack([z.real, z.imag], axis=-1)


def sum_to_channels(d: Array) -> Array:
    """(…, C) → (C,): summed over time first and then over the batch, which rounds less than one long sum."""
    while d.ndim > 1:
        d = np.sum(d, axis=-2)
    return d
