"""The list of implementations: adapters that are there, the refusal of a folder that is none."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from s5ref.errors import S5Error
from s5ref.verification.conformance.adapters.field import FIELD, Implementation, check_repository
from s5ref.verification.conformance.kit.targets import checked

ROOT = Path(__file__).parents[4]
RECORDS = ROOT / "docs" / "scoreboard"


@pytest.mark.parametrize("implementation", FIELD.values(), ids=FIELD)
def test_every_adapter_is_there(implementation: Implementation) -> None:
    module, _, name = implementation.target.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    assert f"class {name}" in Path(spec.origin).read_text(encoding="utf-8")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        S5Error, match=r"popjaxrl needs a checkout of luchris429/popjaxrl; .* has no algorithms/s5\.py"
    ):
        checked("popjaxrl", tmp_path)
    (tmp_path / "algorithms").mkdir()
    (tmp_path / "algorithms" / "s5.py").touch()
    assert checked("popjaxrl", tmp_path) == "popjaxrl"


def test_a_package_needs_no_checkout(tmp_path: Path) -> None:
    check_repository("s5-pytorch", tmp_path)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*/*.json")), ids=lambda path: path.parent.name)
def test_the_list_says_what_the_records_say(path: Path) -> None:
    kept, entry = json.loads(path.read_text(encoding="utf-8")), FIELD[path.parent.name]
    assert (kept["name"], kept["repository"]) == (path.parent.name, entry.repository)
    if path.stem == entry.tried:
        assert entry.verdict.partition(":")[0] == kept["verdict"]
        assert entry.framework == kept["framework"]
