"""Trees of arrays: NamedTuples, tuples, lists and dicts whose leaves are arrays (or None).

The tree of saved values is the trace of a computation: walking it in order gives its named stages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from s5ref.errors import ShapeError

T = TypeVar("T")


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) for every leaf that is not None, in order; paths look like ``norm.x`` or
    ``blocks.0.ssm.forward.x``.
    """
    if tree is None:
        return
    if hasattr(tree, "_fields"):
        tree = tree._asdict()
    elif isinstance(tree, tuple | list):
        tree = dict(enumerate(tree))
    if not isinstance(tree, Mapping):
        yield path, tree
        return
    for name, child in tree.items():
        yield from leaves(child, f"{path}.{name}" if path else str(name))


def map_leaves(fn: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with ``fn`` applied to every leaf; None stays None."""
    if tree is None:
        return None
    if hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(fn, child) for child in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(map_leaves(fn, child) for child in tree)
    if isinstance(tree, Mapping):
        return {name: map_leaves(fn, child) for name, child in tree.items()}
    return fn(tree)


def rows(tree: T, index: Any) -> T:
    """The rows ``index`` of every array, whose first axis is the batch: `numpy` indexing by integers, a slice
    or a mask.
    """
    chosen: T = map_leaves(lambda leaf: leaf[index], tree)
    return chosen


def join_rows(trees: Sequence[T]) -> T:
    """One tree with the rows of all: the inverse of `rows`.

    Raises
    ------
    ShapeError
        If there is no tree, or they have other leaves.
    """
    every = [dict(leaves(tree)) for tree in trees]
    if not every or any(list(one) != list(every[0]) for one in every):
        raise ShapeError("join_rows: the trees must have the same leaves.", "Pass states of one model.")
    paths = iter(every[0])

    def joined(_: Any) -> Any:
        path = next(paths)
        return np.concatenate([one[path] for one in every], axis=0)

    whole: T = map_leaves(joined, trees[0])
    return whole


def subtree(flat: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries of a flat dict below ``prefix``, without it: ``layers_0.seq.B`` → ``seq.B``."""
    return {short: flat[name] for name, short in _below(tuple(flat), prefix)}


@lru_cache(maxsize=1024)
def _below(names: tuple[str, ...], prefix: str) -> list[tuple[str, str]]:
    """(name, the part after the prefix) of the names below it: the same ones at every step of a run."""
    start = prefix + "."
    return [(name, name[len(start) :]) for name in names if name.startswith(start)]


def prefixed(prefix: str, flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `subtree`."""
    return {f"{prefix}.{name}": value for name, value in flat.items()}


def describe(tree: Any, width: int = 100) -> str:
    """A dataclass or NamedTuple on one screen: a line for each field, arrays as dtype and shape.

    Lines longer than ``width`` characters end in "…".
    """
    fields = {name: _short(value) for name, value in _fields(tree).items()}
    pad = max(map(len, fields), default=0)
    lines = [type(tree).__name__, *(f"  {name:<{pad}}  {text}" for name, text in fields.items())]
    return "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in lines)


def described(cls: type[T]) -> type[T]:
    """The class, printed by `describe`: a decorator of dataclasses and NamedTuples that hold arrays."""
    cls.__repr__ = describe  # type: ignore[method-assign]
    return cls


def _fields(tree: Any) -> dict[str, Any]:
    names = tree._fields if hasattr(tree, "_fields") else [field.name for field in dataclasses.fields(tree)]
    return {name: getattr(tree, name) for name in names}


def _short(value: Any) -> str:
    """``value`` in one line."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} {tuple(value.shape) or value}"
    if isinstance(value, Mapping) and value and all(hasattr(leaf, "shape") for leaf in value.values()):
        numbers = sum(leaf.size for leaf in value.values())
        some = ", ".join(f"{name} {_short(leaf)}" for name, leaf in list(value.items())[:2])
        return f"{len(value)} arrays of {numbers:,} numbers: {some}" + (", …" if len(value) > 2 else "")
    if hasattr(value, "_fields") or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return f"{type(value).__name__}({', '.join(f'{n}={_short(v)}' for n, v in _fields(value).items())})"
    if isinstance(value, list | tuple):
        end = f", … {len(value)} in all]" if len(value) > 4 else "]"
        return f"[{', '.join(map(_short, value[:4]))}{end}"
    return repr(value)
