"""Sphinx: `make docs` builds every Markdown page of the repository and the API reference, offline.

The source folder is the repository, so that a link between pages is the same on GitHub and here. The page
docs/api.md, not in the repository, is written anew from ``s5ref.__all__`` at each build.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import s5ref

DOCS = Path(__file__).parent

project = "s5ref"
version = release = s5ref.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**"]
exclude_patterns = ["docs/_build", ".*", "runs", "build", "dist"]

nb_execution_mode = "off"  # the tests run the examples
myst_heading_anchors = 6
default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the sections of a docstring give types and shapes
autodoc_default_options = {"no-value": True}
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
html_theme = "furo"
html_title = f"s5ref {release}"


def _entries(owner: ModuleType, name: str, seen: set[int]) -> list[str]:
    """The directives that document one public name: a package's is followed by those of its own names."""
    full = f"{owner.__name__}.{name}"
    try:
        value = getattr(owner, name)
    except s5ref.S5Error as error:  # an engine that cannot be had on the machine that builds the pages
        return [f"py:data:: {full}\n\n   Made at first use. Where these pages were built: {error.message}"]
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, ModuleType):
        inner = [entry for own in getattr(value, "__all__", ()) for entry in _entries(value, own, seen)]
        return [f"automodule:: {full}", *inner]
    if inspect.isclass(value):
        return [f"autoclass:: {full}\n   :members:"]
    return [f"{'autofunction' if inspect.isroutine(value) else 'autodata'}:: {full}"]


def _reference() -> str:
    """The page of all public names, in the order of ``s5ref.__all__``; each has one entry."""
    parts, seen = ["# API reference", "What `import s5ref` gives."], set[int]()
    for name in s5ref.__all__:
        entries = "\n\n.. ".join(_entries(s5ref, name, seen))
        parts += [f"## {name}", f"```{{eval-rst}}\n.. {entries}\n```"]
    return "\n\n".join(parts) + "\n"


def _write_reference(_: Any) -> None:
    page, text = DOCS / "api.md", _reference()
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def _skip(_app: Any, _what: str, name: str, _member: Any, _skipped: bool, _options: Any) -> bool | None:
    """Methods that scikit-learn makes for every estimator are its own to document."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app: Any) -> None:
    """The page is there before Sphinx looks for pages."""
    app.connect("builder-inited", _write_reference)
    app.connect("autodoc-skip-member", _skip)
