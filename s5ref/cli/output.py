"""What a command writes: results to stdout, remarks to stderr; with --json all but one object to stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from s5ref.errors import S5Error
from s5ref.files import write_atomically
from s5ref.terminal import NOTHING, console
from s5ref.terminal import live as live

DONE, NO, REFUSED, DEFECT, UNREAD = 0, 1, 2, 70, 141  # exit codes; cli/main.py says what they mean


class Output:
    """Where a command's words go. `result` keeps the JSON object, `finish` prints it once, at the end."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.silent = False  # where another process speaks for this one
        self._object: Any = None
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:  # closed by the caller
                setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until Python ends
            elif isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows "?"
        self._stdout = sys.stdout

    def say(self, text: str = "") -> None:
        """A line of the result."""
        if not self.silent:
            print(text, file=sys.stderr if self.as_json else sys.stdout)

    def note(self, text: str) -> None:
        """A remark: what is going on, what is worth knowing."""
        if not self.silent:
            print(text, file=sys.stderr, flush=True)

    def error(self, error: S5Error) -> None:
        """Why the command was refused or failed, and what to do; the JSON object says the same."""
        self.note(f"s5ref: {error.message}" + (f"\n       {error.remedy}" if error.remedy else ""))
        self.result({"error": vars(error)})

    def result(self, values: Any) -> None:
        """The JSON object of this command, a mapping or a dataclass; a later one replaces it."""
        self._object = plain(values)

    def page(self, path: str | None, page: Callable[[], str], otherwise: str = "") -> None:
        """Write a page of HTML and say where; without a path say what is said ``otherwise``, if anything."""
        if path is not None:
            write_atomically(path, page().encode())
            self.say(f"  page      {path}")
        elif otherwise:
            self.say(f"  more      {otherwise}")

    def table(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Rows of the same columns, by their titles. One that begins with ">" is flushed right.

        Only the last column wraps, and a column whose cells are all "–" is left out.
        """
        from rich import box
        from rich.table import Table

        titles = [title for title in next(iter(rows), {}) if any(row[title] != NOTHING for row in rows)]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in titles:
            justify: Literal["left", "right"] = "right" if title.startswith(">") else "left"
            wrap = title == titles[-1]
            table.add_column(title.removeprefix(">"), justify=justify, overflow="fold", no_wrap=not wrap)
        for row in rows:
            table.add_row(*(row[title] for title in titles))
        to = console(sys.stderr if self.as_json else sys.stdout)
        fixed = [max(len(title), *(len(row[title]) for row in rows)) + 3 for title in titles[:-1]]
        to.width = max(to.width, sum(fixed) + 40)
        with to.capture() as captured:
            to.print(table)
        for line in captured.get().splitlines():
            if line.strip():
                self.say(line.rstrip())

    def guarded(self) -> contextlib.AbstractContextManager[Any]:
        """Within, with --json, whatever prints to stdout prints to stderr."""
        return contextlib.redirect_stdout(sys.stderr if self.as_json else sys.stdout)

    def finish(self, code: int) -> int:
        """Print the JSON object and flush; ``code``, or another one if that fails."""
        try:
            if self.as_json and self._object is not None and not self.silent:
                print(json.dumps(self._object, allow_nan=False), file=self._stdout)
            self._stdout.flush()
        except BrokenPipeError:
            silence(self._stdout)
            return UNREAD
        except OSError as error:
            silence(self._stdout)
            self.note(f"s5ref: writing the result failed: {error}.")
            return REFUSED
        return code


def silence(stream: Any) -> None:
    """Send what is still buffered for a broken pipe to nowhere, so that Python's end is silent."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def plain(value: Any) -> Any:
    """``value`` in JSON's terms: dataclasses as objects, non-finite numbers as null, the rest as text."""
    if dataclasses.is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if hasattr(value, "item"):  # a NumPy scalar
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
