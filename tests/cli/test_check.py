"""The command ``check``: exit codes, one JSON object, refusals, the page."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
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


SLEEPS = """
import pathlib, time
import bad
class S5(bad.Scan):
    calls = 0
    def scan(self, *args):
        self.calls += 1
        if self.calls == 2:
            pathlib.Path("second").touch()
            time.sleep(1000)
        return super().scan(*args)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_prints_what_was_found(tmp_path: Path, number: signal.Signals) -> None:
    shutil.copy(KIT / "bad.py", tmp_path)
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    words = ["check", "sleeps:S5", "--only", "scan/forward/L9/P3/f*", "--json"]
    command = [sys.executable, "-P", "-m", "s5ref", *words]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "second").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert f"interrupted by {number.name} after 1 cases" in err
    found = json.loads(out)
    assert (found["selected"], found["passed"]) == (1, 1)


def test_the_list_names_repositories_and_commits(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run(_parsed("--list"), Output(False)) == DONE
    assert "luchris429/popjaxrl" in capsys.readouterr().out


def test_a_repository_is_where_the_candidate_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(KIT / "bad.py", tmp_path)
    argv = ("bad:Raises", "--repo", str(tmp_path), "--only", "scan/forward/L9/P3", "--trace", "--values-only")
    assert check.run(_parsed(*argv), Output(False)) == NO
    said = capsys.readouterr().out
    assert f"--repo {tmp_path} --only" in said
    assert 'raise ZeroDivisionError("no such scan")' in said


def test_reports_are_written_as_files(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("html", "junit", "badge")}
    words = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert check.run(_parsed("numpy", "--only", "scan/forward/L9/P3", *words), Output(False)) == DONE
    assert all(path.stat().st_size > 50 for path in files.values())


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
