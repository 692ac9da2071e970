"""A leaf map: parameters in the kit's names and forms, and the same ones as an implementation holds them.

The kit's parameters are flat, ``seq.B``, ``layers_0.norm.scale``, and complex where S5 is. A row of the map
says what one leaf is called there and in which form it is stored. Rows match the end of a name, so one map
serves an SSM (``B``), a layer (``seq.B``) and a model (``layers_0.seq.B``). Arrays may be of NumPy, torch or
jax, and gradients pass through.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Leaves = Mapping[str, Any]


class Row(NamedTuple):
    """One leaf of the kit's, and what it is on the other side.

    ours    the end of its name
    theirs  the name there, or several if one leaf is stored as several
    split   leaf → those of theirs
    join    the inverse
    """

    ours: str
    theirs: tuple[str, ...]
    split: Callable[[Any], tuple[Any, ...]]
    join: Callable[..., Any]


def same(ours: str, theirs: str | None = None) -> Row:
    """A leaf in the same form, perhaps under another name."""
    return Row(ours, (theirs or ours,), lambda x: (x,), lambda x: x)


def pair(ours: str, theirs: str | None = None) -> Row:
    """Complex (…), stored as (…, 2): real and imaginary part on the last axis."""
    return Row(ours, (theirs or ours,), lambda z: (_pairs(z),), lambda x: x[..., 0] + 1j * x[..., 1])


def real_and_imaginary(ours: str, re: str, im: str) -> Row:
    """Complex (…), stored as two real leaves."""
    return Row(ours, (re, im), lambda z: (z.real, z.imag), lambda re, im: re + 1j * im)


def column(ours: str, theirs: str | None = None) -> Row:
    """(P), stored as (P, 1)."""
    return Row(ours, (theirs or ours,), lambda x: (x[:, None],), lambda x: x[:, 0])


def transposed(ours: str, theirs: str | None = None) -> Row:
    """A kernel (inputs, outputs), stored as (outputs, inputs): torch's and equinox's ``Linear``."""
    return Row(ours, (theirs or ours,), lambda x: (x.T,), lambda x: x.T)


def interleaved(z: Any) -> Any:
    """(…, P) complex as (…, 2P) real: re, im, re, im …"""
    return _pairs(z).reshape((*z.shape[:-1], -1))


def from_interleaved(x: Any) -> Any:
    """The inverse."""
    return x[..., ::2] + 1j * x[..., 1::2]


class LeafMap:
    """Rows, read in both directions.

    Examples
    --------
    >>> import numpy as np
    >>> leaves = LeafMap(real_and_imaginary("Lambda", "Lambda_re", "Lambda_im"), pair("B"), same("D"))
    >>> given = {"seq.B": np.array([[1 + 2j]]), "seq.D": np.array([3.0])}
    >>> {name: x.tolist() for name, x in leaves.there(given).items()}
    {'seq.B': [[[1.0, 2.0]]], 'seq.D': [3.0]}
    >>> leaves.back(leaves.there(given)) == given
    True
    """

    def __init__(self, *rows: Row) -> None:
        self.rows = sorted(rows, key=lambda row: -len(row.ours))  # the longest name that matches counts

    def there(self, params: Leaves) -> dict[str, Any]:
        """The kit's parameters as the implementation's leaves.

        Raises
        ------
        NotImplementedError
            On a leaf that no row matches: the report lists the case as one that is not offered.
        """
        stored: dict[str, Any] = {}
        for name, leaf in params.items():
            row = next((row for row in self.rows if _prefix(name, row.ours) is not None), None)
            if row is None:
                raise NotImplementedError(f"it has no leaf for {name}")
            prefix = _prefix(name, row.ours)
            stored |= {f"{prefix}{t}": x for t, x in zip(row.theirs, row.split(leaf), strict=True)}
        return stored

    def back(self, leaves: Leaves) -> dict[str, Any]:
        """The implementation's leaves as the kit's parameters; leaves that no row knows are left out."""
        rows = sorted(self.rows, key=lambda row: -len(row.theirs[0]))
        params: dict[str, Any] = {}
        taken: set[str] = set()
        for row in rows:
            for prefix in _prefixes(leaves, row.theirs[0]):
                names = [f"{prefix}{t}" for t in row.theirs]
                if all(name in leaves and name not in taken for name in names):
                    params[f"{prefix}{row.ours}"] = row.join(*(leaves[name] for name in names))
                    taken.update(names)
        return params


def one_C(params: Leaves) -> dict[str, Any]:
    """Parameters in which C1 and C2 are one leaf C, (H, 2P): the first half reads the forward states."""
    joined = {name: x for name, x in params.items() if not name.endswith(("C1", "C2"))}
    for name in params:
        if name.endswith("C1"):
            parts = [params[name], params[f"{name[:-1]}2"]]
            joined[name[:-1]] = namespace(parts[0]).concatenate(parts, -1)
    return joined


def _prefix(name: str, end: str) -> str | None:
    """What stands before the end of a name, with its dot; None if the name ends otherwise."""
    before = name.removesuffix(end)
    return before if name.endswith(end) and (not before or before.endswith(".")) else None


def _prefixes(leaves: Leaves, end: str) -> Iterator[str]:
    return (prefix for name in leaves if (prefix := _prefix(name, end)) is not None)


def _pairs(z: Any) -> Any:
    return namespace(z).stack([z.real, z.imag], -1)


def namespace(x: Any) -> Any:
    """NumPy, jax.numpy or torch: whichever an array is of."""
    top = type(x).__module__.partition(".")[0]
    return importlib.import_module({"numpy": "numpy", "torch": "torch"}.get(top, "jax.numpy"))
