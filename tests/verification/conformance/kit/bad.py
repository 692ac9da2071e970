"""Candidates that misbehave, each in its own way: `s5ref check bad:Raises` in this folder shows one."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


class Scan:
    """A right scan, in NumPy."""

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        x, state = np.empty_like(Bu), np.zeros_like(Bu[:, 0]) if x0 is None else x0
        for k in reversed(range(Bu.shape[1])) if reverse else range(Bu.shape[1]):
            state = (Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, k]) * state + Bu[:, k]
            x[:, k] = state
        return x, state


class Prints(Scan):
    def scan(self, *args: Any) -> Any:
        print("to stdout")
        os.write(1, b"and below Python\n")
        return super().scan(*args)


class Raises(Scan):
    def scan(self, *args: Any) -> Any:
        raise ZeroDivisionError("no such scan")


class Leaves(Scan):
    def scan(self, *args: Any) -> Any:
        sys.exit("leaving")


class Exits(Scan):
    def scan(self, *args: Any) -> Any:
        os._exit(7)


class Crashes(Scan):
    def scan(self, *args: Any) -> Any:
        ctypes.string_at(0)


class Hangs(Scan):
    def scan(self, *args: Any) -> Any:
        time.sleep(1000)


class OnlyTheFirstHangs(Scan):
    """Only for two sequences of 9 steps."""

    def scan(self, Lambda_bar: Any, Bu: Any, x0: Any, reverse: bool) -> Any:
        if Bu.shape[1] == 9:
            time.sleep(1000)
        return super().scan(Lambda_bar, Bu, x0, reverse)


class WritesToEveryDescriptor(Scan):
    def scan(self, *args: Any) -> Any:
        for descriptor in range(3, 20):
            with suppress(OSError):
                os.write(descriptor, b'{"ok": false}\n')
        return super().scan(*args)


class Spins(Scan):
    """It tells its process, and computes without end."""

    def scan(self, *args: Any) -> Any:
        Path("new").write_text(str(os.getpid()))
        os.replace("new", "pid")
        while True:
            super().scan(*args)


class LeavesAProcess(Scan):
    """One, in a session of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        Path("pid").write_text(str(subprocess.Popen(command, start_new_session=True).pid))


class Allocates(Scan):
    """1.5 GiB."""

    def scan(self, *args: Any) -> Any:
        self.kept = [np.ones(2**24) for _ in range(12)]
        return super().scan(*args)


class AbortsWithoutMemory(Scan):
    """As C++ ends where nothing catches what `new` throws."""

    def scan(self, *args: Any) -> Any:
        os.write(2, b"terminate called\n  what():  std::bad_alloc\n")
        os.abort()


class WrongShape(Scan):
    def scan(self, *args: Any) -> Any:
        x, last = super().scan(*args)
        return x[:, :1], last


class WrongDtype(Scan):
    def scan(self, *args: Any) -> Any:
        return tuple(x.astype(np.complex256) for x in super().scan(*args))


class NotANumber(Scan):
    def scan(self, *args: Any) -> Any:
        x, last = super().scan(*args)
        x[0, 0, 0] = np.nan
        return x, last


class OneValue(Scan):
    def scan(self, *args: Any) -> Any:
        return super().scan(*args)[0]


class NotAnArray(Scan):
    def scan(self, *args: Any) -> Any:
        return object(), object()


class OnADevice:
    """As an array on a GPU looks from here."""

    device = "cuda:0"

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **options: Any) -> Any:
        raise RuntimeError("not from here")


class Elsewhere(Scan):
    def scan(self, *args: Any) -> Any:
        return OnADevice(), OnADevice()


class Nothing:
    """No stage in common."""


class CannotBeMade(Scan):
    def __init__(self) -> None:
        raise RuntimeError("needs a licence")


class DiesBeingMade(Scan):
    def __init__(self) -> None:
        os._exit(9)
