"""The facts of the machine, and what stands for them where the system does not tell."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from s5ref import machine

NOWHERE = Path("/nowhere/at/all")


def test_the_facts_of_this_machine() -> None:
    assert machine.processor()
    assert 1 <= machine.usable_cores() <= (os.cpu_count() or 1)
    assert set(machine.simd()) <= set(machine.SIMD)
    assert machine.version("numpy") == np.__version__
    assert machine.version("no-such-distribution") is None
    assert all(library["user_api"] == "blas" for library in machine.blas())


def test_the_first_processor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: A: 1\n\nprocessor\t: 1\nmodel name\t: B\n")
    monkeypatch.setattr(machine, "CPUINFO", file)
    assert machine.processor() == "A: 1"


def test_a_container_may_have_less_memory_than_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CONTAINER", (NOWHERE,))
    whole = machine.memory_bytes()
    assert whole is not None
    file = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "CONTAINER", (NOWHERE, file))
    for text, size in (("max\n", whole), (f"{2 * whole}\n", whole), ("1048576\n", 2**20)):
        file.write_text(text)
        assert machine.memory_bytes() == size
    monkeypatch.delattr(os, "sysconf")
    assert machine.memory_bytes() is None


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CPUINFO", NOWHERE)
    monkeypatch.setattr(machine, "STATUS", NOWHERE)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in ("sched_getaffinity", "getloadavg"):
        monkeypatch.delattr(os, name, raising=False)
    assert machine.processor() == (platform.processor() or platform.machine())
    assert machine.usable_cores() == (os.cpu_count() or 1)
    assert (machine.load(), machine.peak_bytes(), machine.blas()) == (None, None, [])


@pytest.mark.skipif(not machine.STATUS.exists(), reason="/proc/self/status of Linux")
def test_the_peak_grows_with_what_is_taken() -> None:
    before = machine.peak_bytes()
    assert before is not None
    ballast = np.ones(before // 8 + 2**20)  # more than there ever was
    after = machine.peak_bytes()
    assert after is not None
    assert after > ballast.nbytes
