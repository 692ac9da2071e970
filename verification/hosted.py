"""An engine of host arrays made of a device's: what comes is put there, what it answers is taken back.

It is as slow as its transfers, and lets everything that is written for host arrays, as these checks are,
ask a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from s5ref.call import Call, Kernels, Pair, as_is
from s5ref.tree import map_leaves


def hosted(kernels: Kernels) -> Kernels:
    """Every kernel of ``kernels``, from host arrays to host arrays, its saved values included."""

    def there(leaf: Any) -> Any:
        if isinstance(leaf, Call):  # a layer is run by the device's own kernels
            return replace(
                leaf, kernels=kernels, intervals=kernels.put(leaf.intervals), valid=kernels.put(leaf.valid)
            )
        return kernels.put(leaf)

    def crossing(fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: kernels.take(fn(*(map_leaves(there, arg) for arg in args)))

    pairs = {f.name: getattr(kernels, f.name) for f in fields(kernels)}
    crossed: dict[str, Any] = {
        name: Pair(crossing(pair.value), crossing(pair.vjp))
        for name, pair in pairs.items()
        if isinstance(pair, Pair)
    }
    return replace(kernels, put=as_is, take=as_is, updates=None, **crossed)
