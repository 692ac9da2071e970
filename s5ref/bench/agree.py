"""Do two peers compute the same? Only then are their times comparable."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from s5ref.arrays import Array
from s5ref.bench.case import Case
from s5ref.bench.peers import Peer
from s5ref.bench.process import Failed, PeerProcess

BOUND = 2e-3  # of ‖got − want‖₂/‖want‖₂, for every value; float32's rounding stays below a fifth of it
TF32_BOUND = 6e-2  # the same where products cut their factors to TF32's 11 bits, emulated over the recipes


def disagreement(got: Mapping[str, Array], want: Mapping[str, Array], bound: float = BOUND) -> str:
    """In words what differs most, or "" if every value is within the bound."""
    if got.keys() != want.keys():
        return f"other values: {', '.join(sorted(got.keys() ^ want.keys()))}"
    for name, value in want.items():
        if got[name].shape != value.shape:
            return f"{name} is {got[name].shape}, not {value.shape}"
    errors = [
        float(np.linalg.norm(got[name] - value)) / (float(np.linalg.norm(value)) or 1.0)
        for name, value in want.items()
    ]
    worst = int(np.argmax(errors))  # the first NaN where there is one
    if errors[worst] <= bound:
        return ""
    return f"{[*want][worst]} differs by {errors[worst]:.2g} of its norm (bound {bound:g})"


def compare(case: Case, what: str, ours: Peer, theirs: Peer, bound: float = BOUND) -> str:
    """`disagreement` of two peers on the case made small; "" if there is none.

    Each computes in a process of its own that ends here, so that no timed one carries its memory.
    """
    values = []
    for peer in (ours, theirs):
        with PeerProcess(peer) as child:
            try:
                child.build(case.small(), what)
                values.append(child.values())
            except Failed as error:
                return f"no values: {error}"
    want, got = values
    difference = disagreement(got, want, bound)
    return f"computes something else: {difference}" if difference else ""
