"""The command ``check``: exit codes, one JSON object, refusals, the page."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import appeared, ended

from s5ref.cli import check
from s5ref.cli.output import DONE, NO, Output
from s5ref.errors import S5Error
from s5ref.verification.conformance.kit import Result, run

KIT = Path(__file__).parents[1] / "verification" / "conformance" / "kit"
KEYS = {
    "verdict", "first_divergence", "named_mistakes", "selected", "ran", "passed", "failed", "xfail", "xpass",
    "unsupported",
}  # fmt: skip


def _parsed(*argv: str) -> argparse.Namespace:
    return check.parser().parse(list(argv))


def test_an_engine_agrees_in_words_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(True)
    with out.guarded():
        code = check.run(_parsed("numpy", "--only", "scan/*", "--json"), out)
    assert (code, out.finish(code)) == (DONE, DONE)
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert set(found) >= KEYS
    assert found["verdict"] == "agrees"
    assert found["selected"] == found["ran"] == found["passed"] > 30
    assert "numpy: AGREES with S5" in captured.err
    assert "selected" in captured.err


def test_a_mistake_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "class S5:\n    def scan(self, a, b, x0, reverse):\n        return b, b[:, -1]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert check.run(_parsed("mine:S5", "--only", "scan/*", "--html", "r.html"), Output(False)) == NO
    assert "<svg" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="processes of POSIX")
def test_a_check_that_is_killed_leaves_no_candidate_computing(tmp_path: Path) -> None:
    shutil.copy(KIT / "bad.py", tmp_path)
    command = [sys.executable, "-P", "-m", "s5ref", "check", "bad:Spins", "--only", "scan/*"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids = appeared(tmp_path / "pid")
    process.kill()
    process.wait()
    assert ended(*pids)


def test_what_it_leaves_running_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = {"system": "", "processor": "", "cpu_flags": ""}
    result = Result("mine:S5", [], {}, 1.0, machine, left_running=("sleep 600 (process 7)",))
    monkeypatch.setattr(run, "check", lambda *_, **__: result)
    check.run(_parsed("mine:S5"), Output(False))
    assert "left running by the candidate, and ended:\n  sleep 600 (process 7)" in capsys.readouterr().out


def test_nothing_ran_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("class S5:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    assert check.run(_parsed("mine:S5"), Output(False)) == NO


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("numbba",), "Did you mean numba"),
        (("numba", "--only", "nothing like it"), "matches no case"),
        (("./none",), "not a program"),
        ((), "required: TARGET"),
    ],
)
def test_what_is_wrong_with_the_command_is_refused(argv: tuple[str, ...], words: str) -> None:
    with pytest.raises(S5Error, match=words):
        check.run(_parsed(*argv), Output(False))


def test_a_page_that_cannot_be_written_is_refused_before_the_run() -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check.run(_parsed("numba", "--html", "no/such/folder/r.html"), Output(False))
