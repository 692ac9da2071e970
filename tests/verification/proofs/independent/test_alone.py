"""verification/proofs/independent imports nothing of s5ref: it would share its mistakes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "verification" / "proofs" / "independent"
OWN = "s5ref.verification.proofs.independent"
ALLOWED = {"numpy", "scipy", "__future__", "collections", "math", "typing"}


def foreign(text: str) -> list[str]:
    """What a file imports besides NumPy, SciPy, the standard library and its neighbours, at any depth."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return [
        name for name in found if name.split(".")[0] not in ALLOWED and not (name + ".").startswith(OWN + ".")
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_imports_nothing_of_s5ref(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert foreign(text) == []
    assert "import_module" not in text
    assert "__import__" not in text


def test_an_import_of_s5ref_is_found() -> None:
    inside = "import numpy as np\ndef f():\n    from s5ref.ssm import hippo\n"
    text = inside + "from s5ref.verification import report\nfrom . import s4\n"
    assert sorted(foreign(text)) == [".", "s5ref.ssm", "s5ref.verification"]
    assert foreign(f"from {OWN}.s4 import kernel\nfrom {OWN} import s4d\n") == []
