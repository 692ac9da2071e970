"""An engine of host arrays made of a device's: what comes is put there, what it answers is taken back.

It is as slow as its transfers, and lets everything that is written for host arrays, as these checks are,
ask a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from s5ref.engine import Call, Conditions, Engine, Implementation, Pair, as_is
from s5ref.tree import map_leaves


def hosted(engine: Engine) -> Engine:
    """Every kernel of ``engine``, from host arrays to host arrays, its saved values included."""

    def there(leaf: Any) -> Any:
        if isinstance(leaf, Call):  # a layer is run by the device's own kernels
            return replace(
                leaf,
                engine=engine,
                intervals=engine.to_device(leaf.intervals),
                valid=engine.to_device(leaf.valid),
            )
        return engine.to_device(leaf)

    def crossing(fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: engine.to_host(fn(*(map_leaves(there, arg) for arg in args)))

    pairs = {f.name: getattr(engine, f.name) for f in fields(engine)}
    crossed: dict[str, Any] = {
        name: Pair(crossing(pair.value), crossing(pair.vjp))
        for name, pair in pairs.items()
        if isinstance(pair, Pair)
    }

    def layer(options: Any, conditions: Conditions) -> Implementation:
        own = engine.layer(options, conditions)
        return replace(own, value=crossing(own.value), vjp=crossing(own.vjp))

    return replace(engine, layer=layer, to_device=as_is, to_host=as_is, updates=None, **crossed)
