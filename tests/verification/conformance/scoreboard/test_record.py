"""From a check to a record, a page, and the text of an issue whose program runs without s5ref."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5ref.cli import check as check_command
from s5ref.cli import scoreboard as command
from s5ref.cli.output import DONE, NO, Output
from s5ref.errors import ConfigError, S5Error
from s5ref.verification.conformance.kit.compare import judged
from s5ref.verification.conformance.scoreboard.findings import array_of, listed
from s5ref.verification.conformance.scoreboard.issue import reproduction
from s5ref.verification.conformance.scoreboard.render import markdown, page
from s5ref.verification.conformance.stages import Case, cases
from s5ref.verification.conformance.stages.stage import flat

WRONG = '''
import numpy as np

class S5:
    """Without the factor 2, and a scan that raises in reverse."""
    def scan(self, Lambda_bar, Bu, x0, reverse):
        if reverse:
            raise ValueError("not backwards")
        x, state = np.empty_like(Bu), np.zeros_like(Bu[:, 0]) if x0 is None else x0
        for k in range(Bu.shape[1]):
            state = (Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, k]) * state + Bu[:, k]
            x[:, k] = state
        return x, state
    def ssm(self, params, u, x0, bidirectional, step_rescale, intervals):
        if bidirectional or intervals is not None:
            raise NotImplementedError("neither both directions nor intervals")
        Delta = step_rescale * np.exp(params["log_step"])
        Lambda_bar = np.exp(Delta * params["Lambda"])
        x, _ = self.scan(Lambda_bar, (Lambda_bar - 1) / params["Lambda"] * (u @ params["B"].T), x0, False)
        return (x @ params["C"].T).real + params["D"] * u
'''
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of one check of a wrong candidate, made by the command."""
    repository, folder = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("board")
    (repository / "theirs.py").write_text(WRONG)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*GIT, *words], cwd=repository, check=True)
    argv = ["theirs:S5", "--repo", str(repository), "--record", str(folder)]
    assert check_command.run(check_command.parser().parse(argv), Output(False)) == NO
    return folder


@pytest.fixture
def record(kept: Path) -> dict[str, Any]:
    [path] = kept.glob("theirs-S5/*.json")
    one: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert path.stem == one["commit"]
    return one


def test_a_record_says_what_came_of_each_stage(record: dict[str, Any]) -> None:
    assert record["verdict"] == "differs"
    assert record["stages"]["ssm"]["kind"] == "named"
    assert record["stages"]["ssm"]["named"] == ["M20"]
    assert record["stages"]["scan"]["kind"] == "raises"
    assert record["stages"]["model"]["kind"] == "not offered"
    assert {"s5ref", "numpy", "seed"} <= set(record["machine"])


def test_the_smallest_input_of_a_finding_is_small(record: dict[str, Any]) -> None:
    found = next(f for f in record["findings"] if f["named"] == ["M20"])
    smallest = found["smallest"]
    inputs = {name: array_of(x) for name, x in smallest["inputs"].items()}
    assert inputs["u"].shape == (1, 1, 1)
    got, want = array_of(smallest["got"]), array_of(smallest["want"])
    assert not np.allclose(got, want)
    raised = next(f for f in record["findings"] if f["stage"] == "scan")
    assert raised["smallest"]["said"] == "raised ValueError: not backwards"


def test_no_record_has_a_path_of_this_machine(kept: Path) -> None:
    assert all("/theirs" not in path.read_text() for path in kept.glob("*/*.json"))


def test_the_pages_link_every_finding(record: dict[str, Any]) -> None:
    text, html = markdown({"theirs:S5": [record]}), page({"theirs:S5": [record]})
    for finding in record["findings"]:
        assert f'id="theirs:S5-{finding["id"]}"' in text
        assert f'id="theirs:S5-{finding["id"]}"' in html
    assert re.search(r"\| M20 \d+/\d+ \|", text)
    assert not re.search(r"""(src|href)\s*=(?!"data:|"#)|@import|<script""", html)


def test_older_commits_stay_as_history(record: dict[str, Any]) -> None:
    older = record | {"commit": "0000000", "date": "2020-01-01", "headline": "AGREES with S5"}
    assert "earlier: `0000000`, 2020-01-01: AGREES with S5" in markdown({"theirs:S5": [record, older]})


def _program(code: str) -> list[float]:
    """The numbers that a program prints, run where s5ref cannot be imported."""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return [float(x) for x in re.findall(r"-?\d+\.?\d*(?:e[-+]\d+)?", done.stdout)]


def test_an_issue_is_reproducible_without_s5ref(
    kept: Path, record: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = next(f["id"] for f in record["findings"] if f["named"] == ["M20"])
    argv = [str(kept), "--as-issue", f"theirs:S5#{id_}"]
    assert command.run(command.parser().parse(argv), Output(False)) == DONE
    text = capsys.readouterr().out
    assert text.startswith("# ssm: ")
    assert record["commit"] in text
    [code] = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert "s5ref" not in code
    want = array_of(next(f for f in record["findings"] if f["id"] == id_)["smallest"]["want"])
    assert np.allclose(_program(code), want.ravel(), rtol=1e-5)


SHOWN = (
    "discretize/bilinear/P4", "scan/forward/L9/P2/resets to", "scan/reverse/L9/P2/v", "ssm/conj", "ssm/all",
    "ssm/irregular/", "ssm/initial", "ssm/bilinear", "ssm/step",
)  # fmt: skip


@pytest.mark.parametrize(
    "case", [c for c in cases() if c.dtype == "float64" and c.id.startswith(SHOWN)], ids=lambda case: case.id
)
def test_the_program_gives_what_the_reference_gives(case: Case) -> None:
    inputs = {name: listed(x) for name, x in flat(case.inputs).items()}
    code = reproduction({"stage": case.stage, "options": dict(case.options), "inputs": inputs})
    output = {"discretize": "Lambda_bar", "scan": "x", "ssm": "y"}[case.stage]
    want = judged(case).want[output]
    *lines, last = code.splitlines()
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    printed = eval(last.removeprefix("print(").removesuffix(")").partition(", gain")[0], scope)
    assert np.allclose(printed, want.astype(complex if want.dtype.kind == "c" else float))


def test_numbers_that_json_lacks_come_back() -> None:
    for x in (np.array([[1.5, np.nan], [-np.inf, 0.1]]), np.array([1 + 2j, complex(np.nan, np.inf)])):
        kept = json.loads(json.dumps(listed(x), allow_nan=False))
        assert np.array_equal(array_of(kept), x, equal_nan=True)


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(S5Error, match="must hold records"):
        command.run(command.parser().parse([str(tmp_path)]), Output(False))


def test_a_finding_that_is_not_there_is_refused(kept: Path) -> None:
    for words in ("theirs:S4", "theirs:S5#none"):
        with pytest.raises(ConfigError, match=r"no record|no such finding"):
            command.run(command.parser().parse([str(kept), "--as-issue", words]), Output(False))


def test_a_record_needs_a_commit_and_a_whole_check(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("class S5:\n    pass\n")
    argv = ["theirs:S5", "--repo", str(tmp_path), "--record", str(tmp_path / "board")]
    with pytest.raises(S5Error, match="needs the commit"):
        check_command.run(check_command.parser().parse(argv), Output(False))
    with pytest.raises(ConfigError, match="keeps whole checks"):
        check_command.run(check_command.parser().parse([*argv, "--only", "scan/*"]), Output(False))
