"""Stages made of an implementation's own functions: its discretisations, its scan with its operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from s5ref.process import in_words
from s5ref.verification.conformance.adapters.leaves import namespace

Function = Callable[..., Any]


def discretize_by(functions: Mapping[str, Function], Lambda: Any, Delta: Any, method: str) -> tuple[Any, Any]:
    """(Lambda_bar, gain) of functions (Lambda, B, Delta) → (Lambda_bar, B_bar), by the name of the method.

    Raises
    ------
    NotImplementedError
        If it has not this method.
    """
    if method not in functions:
        raise NotImplementedError(f"no {method}")
    one = namespace(Lambda).ones((len(Lambda), 1), dtype=Lambda.dtype)
    Lambda_bar, B_bar = functions[method](Lambda, one, Delta)
    return Lambda_bar, B_bar[..., 0]


def scan_by(scan: Function, operator: Function, elements: Any, x0: Any, reverse: bool) -> tuple[Any, Any]:
    """(x, x_last) of one example by ``scan(operator, (multipliers, Bu), reverse=)``.

    Parameters
    ----------
    scan, operator : the implementation's
    elements : (Lambda_bar, Bu), both (L, P)
    x0 : (P) or None; it enters the first element of the scan, which knows no other place for it
    reverse : bool
    """
    Lambda_bar, Bu = elements
    if x0 is not None:
        join = namespace(Bu).concatenate
        if reverse:
            Bu = join([Bu[:-1], Bu[-1:] + Lambda_bar[-1:] * x0])
        else:
            Bu = join([Bu[:1] + Lambda_bar[:1] * x0, Bu[1:]])
    x = scan(operator, (Lambda_bar, Bu), reverse=reverse)[1]
    return x, x[0 if reverse else -1]


def attempted(attempts: Mapping[str, Callable[[], Any]]) -> list[tuple[str, str]]:
    """For a candidate's ``audit``: (what, what is wrong with it or "") of calls that no stage makes.

    An attempt that raises is wrong; so is one that returns text, which says why.
    """
    found = []
    for name, attempt in attempts.items():
        try:
            returned = attempt()
            found.append((name, returned if isinstance(returned, str) else ""))
        except Exception as error:
            found.append((name, f"raises {in_words(error)}"))
    return found
