"""One stored question with its certified answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.verification.conformance.stages.stage import Case, flat, nested

FACTS = ("id", "stage", "dtype", "level", "features", "catches", "comment", "seed", "options")


@dataclass(frozen=True)
class Vector:
    """A case, and of each output and cotangent the exact value rounded once, how far off that is, the bound.

    want    midpoints of enclosures, float64 or complex128 whatever the dtype of the case
    radius  upper bounds of |want − exact|
    bounds  how far off an answer may be, in units of the eps of the case's dtype: an array of the shape of
            the output, or one number for all of it
    oracle  what has computed want
    """

    case: Case
    want: Mapping[str, Array]
    radius: Mapping[str, float]
    bounds: Mapping[str, Array]
    oracle: str

    @property
    def id(self) -> str:
        return str(self.case.id)

    @property
    def eps(self) -> float:
        return float(np.finfo(self.case.dtype).eps)

    @property
    def groups(self) -> dict[str, dict[str, Array]]:
        """Every array by its group and name: inputs, cotangents, answers and their bounds."""
        trees = {
            "in": flat(self.case.inputs), "d": self.case.cotangent, "want": self.want, "bound": self.bounds,
        }  # fmt: skip
        return {group: {name: np.asarray(x) for name, x in arrays.items()} for group, arrays in trees.items()}

    @property
    def arrays(self) -> dict[str, Array]:
        """Every array by its name in the files: ``in/params.B``, ``d/y``, ``want/dx0``, ``bound/dx0``."""
        return {f"{group}/{name}": x for group, arrays in self.groups.items() for name, x in arrays.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that is no array."""
        plain = {name: getattr(self.case, name) for name in FACTS}
        lists = {name: list(plain[name]) for name in ("features", "catches")}
        radius = {name: r.hex() for name, r in self.radius.items()}
        return plain | lists | {"options": dict(self.case.options), "oracle": self.oracle, "radius": radius}


def vector(facts: Mapping[str, Any], groups: Mapping[str, dict[str, Array]]) -> Vector:
    """The vector of these facts and arrays: the inverse of `Vector.facts` and `Vector.groups`."""
    plain = {name: facts[name] for name in FACTS}
    plain |= {name: tuple(plain[name]) for name in ("features", "catches")}
    case = Case(inputs=nested(groups["in"]), cotangent=groups["d"], **plain)
    radius = {name: float.fromhex(text) for name, text in facts["radius"].items()}
    return Vector(case, groups["want"], radius, groups["bound"], facts["oracle"])
