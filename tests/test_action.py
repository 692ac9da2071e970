"""action.yml: its form, and its steps, run as GitHub would run them. It was not run on GitHub."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.yaml
TEXT = {"type": "string", "minLength": 1}
SCHEMA = {  # what GitHub asks of a composite action
    "type": "object", "required": ["name", "description", "runs"], "additionalProperties": False,
    "properties": {
        "name": TEXT, "description": TEXT, "author": TEXT,
        "branding": {
            "type": "object", "required": ["icon", "color"],
            "properties": {"icon": TEXT, "color": {"enum": ["green", "blue", "orange", "red", "purple"]}},
        },
        "inputs": {
            "type": "object", "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
            "additionalProperties": {
                "type": "object", "required": ["description"], "additionalProperties": False,
                "properties": {
                    "description": TEXT, "required": {"type": "boolean"}, "default": {"type": "string"},
                },
            },
        },
        "outputs": {
            "type": "object",
            "additionalProperties": {
                "type": "object", "required": ["description", "value"], "additionalProperties": False,
                "properties": {"description": TEXT, "value": TEXT},
            },
        },
        "runs": {
            "type": "object", "required": ["using", "steps"], "additionalProperties": False,
            "properties": {
                "using": {"const": "composite"},
                "steps": {
                    "type": "array", "minItems": 1,
                    "items": {
                        "type": "object", "required": ["run", "shell"], "additionalProperties": False,
                        "properties": {
                            "name": TEXT, "id": TEXT, "run": TEXT, "shell": {"const": "bash"},
                            "working-directory": TEXT, "if": TEXT,
                            "env": {"type": "object", "additionalProperties": {"type": "string"}},
                        },
                    },
                },
            },
        },
    },
}  # fmt: skip


@pytest.fixture
def action() -> dict[str, Any]:
    import yaml

    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return loaded


def test_it_has_the_form_of_a_composite_action(action: dict[str, Any]) -> None:
    jsonschema.validate(action, SCHEMA)


def test_expressions_name_inputs_and_steps_that_there_are(action: dict[str, Any]) -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    ids = {step["id"] for step in action["runs"]["steps"] if "id" in step}
    for expression in re.findall(r"\$\{\{ (.*?) \}\}", text):
        kind, _, name = expression.partition(".")
        known = {
            "inputs": action["inputs"],
            "github": ["action_path"],
            "steps": [f"{i}.outputs.verdict" for i in ids],
        }
        assert name in known[kind], expression


def test_no_expression_stands_in_a_script(action: dict[str, Any]) -> None:
    """An input that stood there would be run as a program."""
    assert all("${{" not in step["run"] for step in action["runs"]["steps"])


def _run(action: dict[str, Any], folder: Path, given: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Exit code of the last step that ran, outputs, and the commands of pip."""
    inputs = {name: entry.get("default", "") for name, entry in action["inputs"].items()} | given
    values = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.action_path": str(ROOT)}

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda m: values[m[1]], text)

    commands, output = folder / "pip.txt", folder / "output.txt"
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in {  # pip is written down and not run; s5ref is the one under test
        "python": f'if [ "$2" = pip ]; then echo "$@" >> {commands}; else exec {sys.executable} "$@"; fi',
        "s5ref": f'exec {sys.executable} -P -m s5ref "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(stat.S_IRWXU)
    output.touch()
    code = 0
    for step in action["runs"]["steps"]:
        env = {name: filled(value) for name, value in step.get("env", {}).items()}
        where = folder / filled(step.get("working-directory", "."))
        more = {"PATH": f"{programs}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output)}
        code = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=where, check=False,
            env=os.environ | env | more,
        ).returncode  # fmt: skip
        if code:
            break
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return code, outputs, commands.read_text()


def test_its_steps_judge_a_candidate(action: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    given = {"target": "numpy", "only": "scan/forward/L9/P3", "working-directory": "sub"}
    code, outputs, pip = _run(action, tmp_path, given)
    assert (code, outputs["verdict"]) == (0, "agrees")
    assert pip.strip() == f"-m pip install --quiet {ROOT}"
    assert {path.name for path in (tmp_path / "sub").iterdir()} == {
        "s5ref.html", "s5ref.xml", "s5ref.json", "s5ref-badge.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "sub" / "s5ref-badge.json").read_text())["color"] == "brightgreen"


def test_a_mistake_fails_it(action: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class S5:\n    def scan(self, a, b, x0, reverse):\n        return b, b[:, -1]\n"
    )
    given = {"target": "mine:S5", "only": "scan/forward/L9/P3", "s5ref": "s5ref==0.2"}
    code, outputs, pip = _run(action, tmp_path, given)
    assert (code, outputs["verdict"]) == (1, "differs")
    assert pip.strip() == "-m pip install --quiet s5ref==0.2"


def test_a_target_that_is_none_is_refused_and_has_no_verdict(action: dict[str, Any], tmp_path: Path) -> None:
    code, outputs, _ = _run(action, tmp_path, {"target": "numbba"})
    assert (code, outputs["verdict"]) == (2, "")
