"""Every Python example of the README and of the pages for users runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from s5ref.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PAGES = {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in (
        "own-data.md",
        "irregular.md",
        "resets.md",
        "packing.md",
        "estimators.md",
        "long-sequences.md",
        "export.md",
        "ranks.md",
    )
}


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_there_are_examples() -> None:
    assert len(examples(README)) == README.count("```python") >= 3
    for page in PAGES.values():
        assert len(examples(page)) == page.count("```python") >= 1


@pytest.mark.parametrize("number", range(len(examples(README))))
def test_example_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = examples(README)[number]
    exec(compile(code, f"README example {number + 1}", "exec"), {})
    said = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert capsys.readouterr().out.splitlines()[: len(said)] == said


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a line prints is the comment behind it."""
    if page == "estimators.md":
        pytest.importorskip("sklearn")
    if page == "export.md":
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, code in enumerate(examples(PAGES[page]), 1):
        exec(compile(code, f"{page} example {number}", "exec"), names)
        assert capsys.readouterr().out.splitlines() == re.findall(
            r"^print\(.*?\)  # (.*)$", code, re.MULTILINE
        )


def test_the_tutorial_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python and commands in their order; the text below a block is what it prints, seconds aside."""
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for kind, block in re.findall(r"```(python|sh|text)\n(.*?)```", TUTORIAL, re.DOTALL):
        if kind == "python":
            exec(compile(block, "tutorial.md", "exec"), names)
        elif kind == "sh":
            assert main(block.split()[1:]) == 0, block
        else:
            assert seconds_aside(capsys.readouterr().out) == seconds_aside(block)


def seconds_aside(text: str) -> str:
    return re.sub(r"\d+:\d\d", "0:00", text)
