"""Whether an error is rounding, by asking again: with other inputs it is another one, a mistake's stays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.random import generator
from s5ref.tree import map_leaves
from s5ref.verification.conformance.stages import Case
from s5ref.verification.rounding.budget import cast, is_float

Put = Callable[[Case], dict[str, Any] | None]  # a case to the candidate; None where it gives no numbers
CHANGED = 0.25  # of the error; a mistake's changes by a small multiple of eps^(2/3)


def is_rounding(
    case: Case, eps: float, errors: Mapping[str, Array], want: Callable[[Case], Mapping[str, Array]], put: Put
) -> bool:
    """Whether the errors of a candidate are those of arithmetic with this eps.

    Parameters
    ----------
    case : Case
        The question.
    eps : float
        Of the coarser arithmetic that is suspected.
    errors : mapping
        What the candidate's outputs are off by in this case, of those that are off.
    want : function
        What they are off from, for any case.
    put : function
        Asks the candidate.

    Notes
    -----
    The inputs are multiplied by 1 + eps^(2/3) r, r in [−1, 1]: by so many ulps that every rounding is
    another one, and by so little that an error which is a smooth function of the inputs hardly changes.
    """
    if not errors:
        return False
    moved = _moved(case, eps ** (2 / 3))
    got, should = put(moved), want(moved)
    return got is not None and all(
        name in got and name in should and _other(error, np.asarray(got[name]), should[name])
        for name, error in errors.items()
    )  # fmt: skip


def _other(error: Array, got: Array, want: Array) -> bool:
    if got.shape != want.shape or not np.isfinite(got).all():
        return False
    now = got - want
    return bool(np.linalg.norm(now - error) > CHANGED * max(np.linalg.norm(now), np.linalg.norm(error)))


def _moved(case: Case, size: float) -> Case:
    rng = generator("moved", case.seed)

    def off(leaf: Any) -> Any:
        return leaf * (1 + size * rng.uniform(-1, 1, leaf.shape)) if is_float(leaf) else leaf

    def tree(inputs: Any) -> Any:
        return cast(map_leaves(off, dict(inputs)), case.dtype)

    return replace(
        case, id=f"{case.id} moved", seed=f"{case.seed} moved", inputs=tree(case.inputs),
        cotangent=tree(case.cotangent),
    )  # fmt: skip


def off_by(got: Mapping[str, Array], want: Mapping[str, Array], names: Collection[str]) -> dict[str, Array]:
    """got − want of these names."""
    return {name: np.asarray(got[name]) - want[name] for name in names}
