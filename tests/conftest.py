"""What every test run begins and ends with."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import needs
import pytest

if importlib.util.find_spec("s5ref") is None or importlib.util.find_spec("s5ref.verification") is None:
    pytest.exit(
        "s5ref.verification is the folder verification/ under another name: run `pip install -e .` first",
        returncode=4,
    )

from s5ref.cache import CACHE_VARIABLE, cache_dir

hypothesis.settings.register_profile("s5ref", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("s5ref")

LEFT_OUT = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """With a read-only HOME, kernels and matplotlib's fonts are made once a session, not once a process. The
    processes of ``pytest -n`` take all cores: further threads of BLAS would only wait for one.
    """
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for variable, usual in ((CACHE_VARIABLE, cache_dir()), ("MPLCONFIGDIR", Path.home() / ".config")):
        if not (os.environ.get(variable) or _writable(usual)):
            folder = tempfile.TemporaryDirectory(prefix="s5ref-tests-")
            os.environ[variable] = folder.name
            config.add_cleanup(folder.cleanup)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[LEFT_OUT] = needs.leave_out(items)
    if hasattr(config, "workeroutput"):  # one process of several (pytest -n): only the first one reports
        config.workeroutput["left_out"] = config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of pytest-xdist has ended; all of them collect the same tests."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in needs.summary(_left_out(config)):
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    missing = needs.required() & set(_left_out(session.config))
    if missing and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left_out(config: pytest.Config) -> dict[str, list[str]]:
    empty: dict[str, list[str]] = {}
    return config.stash.get(LEFT_OUT, empty)
