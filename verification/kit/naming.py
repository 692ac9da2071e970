"""The mistake that explains a candidate's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s5ref.verification.kit.compare import Judged, Measured
from s5ref.verification.stages import Case


class Named(NamedTuple):
    sentences: tuple[str, ...] = ()
    place: str = ""


def explained(case: Case, got: Mapping[str, Any], reference: Judged, measures: Sequence[Measured]) -> Named:
    return Named()
