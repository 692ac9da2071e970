"""The identities of `s5ref verify` on every engine."""

from __future__ import annotations

import pytest
from engines import ENGINES, NAMES

from s5ref import Engine
from s5ref.verification.selfcheck.identities import IDENTITIES

by_engine = pytest.mark.parametrize("engine", ENGINES, ids=NAMES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", IDENTITIES)
@by_engine
def test_identities_of_the_ladder(engine: Engine, name: str, dtype: str) -> None:
    found = list(IDENTITIES[name](engine, dtype))
    assert len(found) > 10
    assert [(value, where) for value, where in found if not value <= 1] == []
