"""A disk that may lose power: what code does to the files of a folder, and every state in which a crash may
leave them.

Only what is promised counts as kept: bytes by fsync of their file, names by fsync of their folder. Of what is
written since, a crash keeps nothing, half or all of every file's bytes, and the first k of the changes of
names, for every k: file systems that keep a journal apply them in their order. New folders count as kept.
"""

from __future__ import annotations

import builtins
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

KEPT = (0.0, 0.5, 1.0)  # the share of the bytes that no fsync promised


@dataclass
class File:
    data: bytes = b""
    promised: int = 0  # bytes


@dataclass
class State:
    """What the disk holds: files by path, and the changes of names that no fsync promised, in their order."""

    names: dict[str, File] = field(default_factory=dict)
    pending: list[tuple[str, str | None, str | None, File]] = field(default_factory=list)

    def crashes(self) -> Iterator[dict[str, bytes]]:
        """Every content that a crash may leave."""
        seen: set[tuple[tuple[str, bytes], ...]] = set()
        for changes, share in itertools.product(range(len(self.pending) + 1), KEPT):
            names = dict(self.names)
            for _, removed, added, file in self.pending[:changes]:
                if removed:
                    names.pop(removed, None)
                if added:
                    names[added] = file
            content = {
                path: file.data[: file.promised + int(share * (len(file.data) - file.promised))]
                for path, file in names.items()
            }
            key = tuple(sorted(content.items()))
            if key not in seen:
                seen.add(key)
                yield content


class Disk:
    """Records the operations on files below ``root``, and lets the one with the number ``fails`` fail."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.state, self.fails, self.error = root, State(), -1, 0
        self.operations: list[str] = []
        self.crashes: list[dict[str, bytes]] = []  # every state after every operation
        self._now: dict[str, File] = {}  # by path, as a running process sees them
        self._open: dict[int, str] = {}  # file descriptor: path
        for path in root.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                self._now[str(path)] = self.state.names[str(path)] = File(data, len(data))
        self._own: dict[str, Any] = {
            "open": builtins.open,
            "os_open": os.open,
            "fsync": os.fsync,
            "close": os.close,
        }
        self._moves = {name: getattr(os, name) for name in ("replace", "rename", "unlink", "remove")}
        monkeypatch.setattr(builtins, "open", self._opened)
        monkeypatch.setattr(io, "open", self._opened)
        monkeypatch.setattr(os, "open", self._os_open)
        monkeypatch.setattr(os, "fsync", self._fsync)
        for name in ("replace", "rename"):
            monkeypatch.setattr(os, name, self._moved(name))
        for name in ("unlink", "remove"):
            monkeypatch.setattr(os, name, self._removed(name))

    def _operation(self, what: str, path: str) -> None:
        """Before an operation: it may fail."""
        self.operations.append(f"{what} {Path(path).relative_to(self.root)}")
        if len(self.operations) - 1 == self.fails:
            named = [path] if what in ("open", "rename") else []  # as the system does
            raise OSError(self.error, os.strerror(self.error), *named)

    def _done(self) -> None:
        self.crashes.extend(self.state.crashes())

    def _mine(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and Path(os.fspath(path)).is_relative_to(self.root)

    def _opened(self, path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not self._mine(path) or not set(mode) & set("wax+"):
            return self._own["open"](path, mode, *args, **kwargs)
        name = os.fspath(path)
        self._operation("open", name)
        stream = self._own["open"](path, mode, *args, **kwargs)
        if name not in self._now or "w" in mode:
            self._now[name] = File()
            self.state.pending.append((str(Path(name).parent), None, name, self._now[name]))
        self._open[stream.fileno()] = name
        self._done()
        return _Stream(self, stream, self._now[name], name)

    def _os_open(self, path: Any, *args: Any, **kwargs: Any) -> int:
        descriptor: int = self._own["os_open"](path, *args, **kwargs)
        if self._mine(path):
            self._open[descriptor] = os.fspath(path)
        return descriptor

    def _fsync(self, descriptor: int) -> None:
        path = self._open.get(descriptor)
        if path is None:
            self._own["fsync"](descriptor)
            return
        self._operation("fsync", path)
        if path in self._now:
            self._now[path].promised = len(self._now[path].data)
        else:  # a folder: the changes of its names, and those before them
            own = [i for i, change in enumerate(self.state.pending) if change[0] == path]
            for _, removed, added, file in self.state.pending[: max(own, default=-1) + 1]:
                if removed:
                    self.state.names.pop(removed, None)
                if added:
                    self.state.names[added] = file
            del self.state.pending[: max(own, default=-1) + 1]
        self._done()

    def _moved(self, name: str) -> Any:
        def move(source: Any, to: Any, **kwargs: Any) -> None:
            if not self._mine(source) or not Path(source).is_file():
                self._moves[name](source, to, **kwargs)
                return
            before, after = os.fspath(source), os.fspath(to)
            self._operation("rename", after)
            self._moves[name](source, to, **kwargs)
            file = self._now[after] = self._now.pop(before)
            self.state.pending.append((str(Path(after).parent), before, after, file))
            self._done()

        return move

    def _removed(self, name: str) -> Any:
        def remove(path: Any, **kwargs: Any) -> None:
            self._moves[name](path, **kwargs)
            if self._mine(path) and os.fspath(path) in self._now:
                gone = os.fspath(path)
                self.state.pending.append((str(Path(gone).parent), gone, None, self._now.pop(gone)))
                self._done()

        return remove

    def written(self, name: str, file: File, data: bytes) -> None:
        file.data += data
        self._done()

    def before_writing(self, name: str) -> None:
        self._operation("write", name)


class _Stream:
    """A stream that is written from its beginning, or appended to."""

    def __init__(self, disk: Disk, stream: Any, file: File, name: str) -> None:
        self._disk, self._stream, self._file, self._name = disk, stream, file, name

    def write(self, data: Any) -> int:
        self._disk.before_writing(self._name)
        count: int = self._stream.write(data)
        self._disk.written(self._name, self._file, data.encode() if isinstance(data, str) else bytes(data))
        return count

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def restore(content: dict[str, bytes], root: Path, to: Path) -> None:
    """The content that a crash left of ``root``, as files of the new folder ``to``."""
    to.mkdir(parents=True)
    for path, data in content.items():
        file = to / Path(path).relative_to(root)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
