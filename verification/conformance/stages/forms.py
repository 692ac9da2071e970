"""Parameters as an author of a port sees them, and as s5ref stores them: complex leaves and their real parts.

Joined: ``Lambda`` and learned initial states (P'), ``B`` (P', H) and ``C``, ``C1``, ``C2`` (H, P') complex.
Stored: ``Lambda_re``, ``Lambda_im`` and an axis of 2 at the end. Running statistics stand among the joined
parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5ref.arrays import Array, to_complex, to_pairs
from s5ref.verification.conformance.protocol import is_statistic

PAIRS = ("B", "C", "C1", "C2", "x0", "x0_1", "x0_2")


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def stored(joined: Mapping[str, Array]) -> dict[str, Array]:
    """Joined parameters, or anything shaped like them, as real leaves; statistics left out."""
    real: dict[str, Array] = {}
    for name, leaf in joined.items():
        if _last(name) == "Lambda":
            real |= {f"{name}_re": leaf.real.copy(), f"{name}_im": leaf.imag.copy()}
        elif not is_statistic(name):
            real[name] = to_pairs(leaf) if _last(name) in PAIRS else leaf
    return real


def statistics(joined: Mapping[str, Array]) -> dict[str, Array]:
    """The running statistics among joined parameters."""
    return {name: leaf for name, leaf in joined.items() if is_statistic(name)}


def joined(real: Mapping[str, Array]) -> dict[str, Array]:
    """The inverse of `stored`."""
    leaves: dict[str, Array] = {}
    for name, leaf in real.items():
        if name.endswith("Lambda_re"):
            leaves[name.removesuffix("_re")] = leaf + 1j * real[f"{name.removesuffix('_re')}_im"]
        elif not name.endswith("Lambda_im"):
            leaves[name] = to_complex(leaf) if _last(name) in PAIRS else leaf
    return leaves


STATES = {  # leaves and arrays with an axis of states, and which axis it is
    "Lambda": 0, "B": 0, "log_step": 0, "C": -1, "C1": -1, "C2": -1, "x0": -1, "x0_1": -1, "x0_2": -1,
    "state": -1, "x_last": -1,
}  # fmt: skip


def all_states(tree: Mapping[str, Any], P: int) -> dict[str, Any]:
    """What has P kept states, half of each conjugate pair, as that of the same S5 with both members of each.

    Its ``Re(C x) + D u`` is ``2 Re(C x) + D u`` of what is given.
    """
    return {name: _with_conjugates(name, leaf, P) for name, leaf in tree.items()}


def _with_conjugates(name: str, leaf: Any, P: int) -> Any:
    """An axis that is a multiple of P long (C of two directions, a state with its last input) has parts."""
    if isinstance(leaf, Mapping):
        return all_states(leaf, P)
    if isinstance(leaf, tuple):
        return tuple(_with_conjugates(name, part, P) for part in leaf)
    axis = STATES.get(_last(name))
    if axis is None:
        return leaf
    x = np.moveaxis(leaf, axis, -1)
    parts = x.reshape(*x.shape[:-1], -1, P)
    both = np.concatenate([parts, np.conj(parts)], axis=-1).reshape(*x.shape[:-1], -1)
    return np.ascontiguousarray(np.moveaxis(both, -1, axis))


def halves(answers: Mapping[str, Array], P: int) -> dict[str, Array]:
    """The inverse for outputs and cotangents by name (``state.0``, ``dparams.B``): the first of each pair."""
    return {name: _first(leaf, _axis(name), P) for name, leaf in answers.items()}


def _axis(name: str) -> int | None:
    """The axis of the states of an output, or of the cotangent of an input."""
    words = [word.removeprefix("d") for word in name.split(".") if not word.isdecimal()]
    return STATES.get(words[-1])


def _first(leaf: Array, axis: int | None, P: int) -> Array:
    if axis is None:
        return leaf
    x = np.moveaxis(leaf, axis, -1)
    kept = x.reshape(*x.shape[:-1], -1, 2 * P)[..., :P].reshape(*x.shape[:-1], -1)
    return np.ascontiguousarray(np.moveaxis(kept, -1, axis))
