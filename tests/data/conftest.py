"""Every test has its own cache and no data folder; tests of real files ask for ``real_data``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_REAL = os.environ.get("S5REF_DATA")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("S5REF_CACHE", str(folder))
    monkeypatch.delenv("S5REF_DATA", raising=False)
    return folder


@pytest.fixture
def real_data() -> Path:
    if not _REAL or not Path(_REAL).is_dir():
        pytest.skip("S5REF_DATA does not name a folder of real data")
    return Path(_REAL)
