"""The derivation pages fit the code: pointers resolve, every vjp has a page, every example runs."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "derivations"
INDEX = FOLDER / "README.md"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)
HEADINGS = ["Statement", "Proof", "Limits", "Conditioning", "Code"]
POINTER = re.compile(r"`([\w./-]+\.py)::([\w.]+)`")
RUN = re.compile(r"^```python run\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


EXAMPLES = [(page.stem, code) for page in [INDEX, *PAGES] for code in RUN.findall(read(page))]


@functools.cache
def definitions(path: Path) -> frozenset[str]:
    """Functions, classes (`Class`) and their methods (`Class.method`) of a file."""

    def names(body: list[ast.stmt], prefix: str) -> list[str]:
        found = []
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.append(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                found += names(node.body, f"{prefix}{node.name}.")
        return found

    return frozenset(names(ast.parse(read(path)).body, ""))


def broken(text: str) -> list[str]:
    """The pointers of a page that name no definition."""
    return [
        f"{path}::{name}"
        for path, name in POINTER.findall(text)
        if not (ROOT / path).is_file() or name not in definitions(ROOT / path)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_has_its_five_parts(page: Path) -> None:
    assert re.findall(r"^## (.*)$", read(page), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pointers_resolve(page: Path) -> None:
    text = read(page)
    assert POINTER.search(text.rpartition("## Code")[2]), "no pointer of the form path::name below Code"
    assert broken(text) == []


def test_a_broken_pointer_is_found() -> None:
    text = "`s5ref/ssm/phi.py::phi9` `s5ref/ssm/gone.py::phi1` `s5ref/ssm/phi.py::phi1`"
    assert broken(text) == ["s5ref/ssm/phi.py::phi9", "s5ref/ssm/gone.py::phi1"]


def test_every_vjp_has_a_page() -> None:
    known = {pointer for page in PAGES for pointer in POINTER.findall(read(page))}
    vjps = {
        (path.relative_to(ROOT).as_posix(), name)
        for folder in ("ssm", "nn", "model")
        for path in (ROOT / "s5ref" / folder).glob("*.py")
        for name in definitions(path)
        if name.endswith("_vjp") and not name.rpartition(".")[2].startswith("_")
    }
    assert len(vjps) > 20
    assert sorted(vjps - known) == []


def test_docstrings_name_existing_pages() -> None:
    named = {
        name
        for path in (ROOT / "s5ref").rglob("*.py")
        for name in re.findall(r"docs/derivations/([\w-]+\.md)", read(path))
    }
    assert len(named) > 10
    assert sorted(name for name in named if not (FOLDER / name).is_file()) == []


def test_index_lists_every_page() -> None:
    assert sorted(set(re.findall(r"\]\((\w+\.md)\)", read(INDEX)))) == [page.name for page in PAGES]


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_links_resolve(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", read(page))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "code", [code for _, code in EXAMPLES], ids=[f"{name}-{i}" for i, (name, _) in enumerate(EXAMPLES)]
)
def test_example_runs(code: str) -> None:
    assert "assert " in code, "an example that cannot fail"
    exec(compile(code, "example", "exec"), {"__name__": "example"})


def test_every_python_block_is_run() -> None:
    text = "\n".join(read(page) for page in [INDEX, *PAGES])
    fences = re.findall(r"^```(python.*)$", text, re.MULTILINE)
    assert fences == ["python run"] * len(EXAMPLES)
    assert {name for name, _ in EXAMPLES} == {page.stem for page in [INDEX, *PAGES]}
