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
    """A case, and for each output and cotangent: the exact value rounded once, how far off that is, and the
    bound.

    want    midpoints of enclosures, float64 or complex128 whatever the dtype of the case
    radius  upper bounds of |want − exact|
    bounds  how far off an answer may be, in units of the eps of the case's dtype: an array of the shape
    of the
            output, or one number for all of it
    oracle  what has computed want
    """

    case: Case
    want: Mapping[str, Array]
    radius: Mapping[str, float]
    bounds: Mapping[str, Array]
    oracle: str

    @property
    def id(self) -> str:
        id_: str = self.case.id
        return id_

    @property
    def eps(self) -> float:
        return float(np.finfo(self.case.dtype).eps)

    @property
    def arrays(self) -> dict[str, Array]:
        """Every array by its name in the files: ``in/params.B``, ``d/y``, ``want/dx0``, ``bound/dx0``."""
        groups = {
            "in": flat(self.case.inputs),
            "d": self.case.cotangent,
            "want": self.want,
            "bound": self.bounds,
        }
        return {
            f"{group}/{name}": np.asarray(x) for group, found in groups.items() for name, x in found.items()
        }

    @property
    def facts(self) -> dict[str, Any]:
        """Everything that is no array."""
        plain = {name: getattr(self.case, name) for name in FACTS}
        plain |= {name: list(plain[name]) for name in ("features", "catches")} | {
            "options": dict(plain["options"])
        }
        return plain | {"oracle": self.oracle, "radius": {name: r.hex() for name, r in self.radius.items()}}


def vector(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> Vector:
    """The vector of these facts and arrays: the inverse of `Vector.facts` and `Vector.arrays`."""
    groups: dict[str, dict[str, Array]] = {"in": {}, "d": {}, "want": {}, "bound": {}}
    for name, x in arrays.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = x
    plain = {name: facts[name] for name in FACTS}
    plain |= {name: tuple(plain[name]) for name in ("features", "catches")}
    case = Case(inputs=nested(groups["in"]), cotangent=groups["d"], **plain)
    radius = {name: float.fromhex(text) for name, text in facts["radius"].items()}
    return Vector(case, groups["want"], radius, groups["bound"], facts["oracle"])
