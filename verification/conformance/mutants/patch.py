"""One function of s5ref replaced by another for a while, wherever it is held.

s5ref has no branch for it: every module global of s5ref that is the function, or a dict, tuple or dataclass
that holds it (``DISCRETIZATIONS``, a ``Pair``, the engine `SEQUENTIAL`), is exchanged and put back. What
judges is left alone: budgets, oracles, vectors, and all of `s5ref.verification` but the stages of the
reference.
"""

from __future__ import annotations

import dataclasses
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from s5ref import engines
from s5ref.engine import Engine

STAGES = "s5ref.verification.conformance.stages.reference"
DEPTH = 4  # of containers in containers
LEAVES = (type, ModuleType, FunctionType, str, int, float, np.ndarray)


@contextmanager
def replaced(place: str, make: Callable[[Any], Any], engine: Engine | None = None) -> Iterator[Engine]:
    """What stands at ``place`` gives way to what ``make`` makes of it; yields the engine with it.

    Parameters
    ----------
    place : str
        "module:name", of a function or a constant, or "module:Class.method".
    make : function
        From what stands there to what stands there within the context.
    engine : Engine, optional
        Default: SEQUENTIAL.
    """
    module, _, name = place.partition(":")
    path, _, last = name.rpartition(".")
    owner: Any = pkgutil.resolve_name(f"{module}:{path}")
    given = engines.SEQUENTIAL if engine is None else engine
    old = getattr(owner, last)
    new = make(old)
    with ExitStack() as undo:
        if path:
            undo.callback(setattr, owner, last, old)
            setattr(owner, last, new)
            yield given
            return
        known = place, len(sys.modules)
        holders = []
        for patched, key in _HOLDERS.get(known) or _globals():
            value = getattr(patched, key)
            changed = _swapped(value, old, new)
            if changed is not value:
                undo.callback(setattr, patched, key, value)
                setattr(patched, key, changed)
                holders.append((patched, key))
        if not _ACTIVE:  # another change may have taken what stands at the place out of a table
            _HOLDERS[known] = holders
        _ACTIVE.append(place)
        undo.callback(_ACTIVE.pop)
        yield _swapped(given, old, new)


_ACTIVE: list[str] = []  # the places at which something else stands now
_HOLDERS: dict[tuple[str, int], list[tuple[ModuleType, str]]] = {}  # of a place, until a module is added


def _globals() -> list[tuple[ModuleType, str]]:
    """Every global that may hold a function of s5ref."""
    return [
        (module, key)
        for name, module in sorted(sys.modules.items())
        if module is not None
        and (name == "s5ref" or name.startswith("s5ref."))
        and (not name.startswith(("s5ref.verification", "s5ref.cli")) or name.startswith(STAGES))
        for key in vars(module)
        if not key.startswith("__")
    ]


def _swapped(value: Any, old: Any, new: Any, depth: int = 0) -> Any:
    """``value`` with ``old`` exchanged for ``new``: itself where it does not hold it."""
    if value is old:
        return new
    if isinstance(value, LEAVES) or depth >= DEPTH:
        return value
    if isinstance(value, dict):
        items = {key: _swapped(item, old, new, depth + 1) for key, item in value.items()}
        return items if any(items[key] is not value[key] for key in items) else value
    if isinstance(value, tuple):
        parts = [_swapped(item, old, new, depth + 1) for item in value]
        if all(part is item for part, item in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        swapped = {name: _swapped(item, old, new, depth + 1) for name, item in fields.items()}
        changed = {name: item for name, item in swapped.items() if item is not fields[name]}
        return dataclasses.replace(value, **changed) if changed else value  # type: ignore[type-var]
    return value
