"""An engine of host arrays made of a device's: what comes is put there, what it answers is taken back.

It is as slow as its transfers, and lets everything that is written for host arrays, as these checks are,
ask a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from s5ref.engine import Call, Engine, as_is
from s5ref.tree import map_leaves
from s5ref.verification.rounding.budget import wrapped


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

    def crossing(field: str, which: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: engine.to_host(fn(*(map_leaves(there, arg) for arg in args)))

    host: Engine = wrapped(replace(engine, to_device=as_is, to_host=as_is, updates=None), crossing)
    return host
