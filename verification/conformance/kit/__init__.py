"""The kit that judges other implementations of S5: `s5ref check TARGET`. See docs/conformance.md.

Its names are imported on first use: pytest imports this package for its plugin, at every start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s5ref.verification.conformance.kit.result import Outcome, Result, as_json
    from s5ref.verification.conformance.kit.run import Session, check

__all__ = ["Outcome", "Result", "Session", "as_json", "check"]

_HOMES = {"Outcome": "result", "Result": "result", "as_json": "result", "Session": "run", "check": "run"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
