"""Every Python example of the README, and of the page on one's own data, runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OWN_DATA = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_there_are_examples() -> None:
    assert len(examples(README)) == README.count("```python") >= 3
    assert len(examples(OWN_DATA)) == OWN_DATA.count("```python") >= 3


@pytest.mark.parametrize("number", range(len(examples(README))))
def test_example_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(examples(README)[number], f"README example {number + 1}", "exec"), {})


def test_examples_of_own_data_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a line prints is the comment behind it."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, code in enumerate(examples(OWN_DATA), 1):
        exec(compile(code, f"own-data.md example {number}", "exec"), names)
        assert capsys.readouterr().out.splitlines() == re.findall(
            r"^print\(.*?\)  # (.*)$", code, re.MULTILINE
        )
