"""A run folder has one writer at a time: `locked` holds RUN/.lock for as long as a process trains in RUN.

The lock is the operating system's (flock, by the library filelock), so it goes with the process, however that
ends. RUN/.holder.json names the process, for the one that is refused. Reading a run takes no lock.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from s5ref.errors import ConfigError
from s5ref.files import remove_leftovers, write_atomically

LOCK, HOLDER = ".lock", ".holder.json"
WRITTEN = (
    "last/state.npz", "best/state.npz", "metrics.jsonl", "config.toml", "environment.json", "seeds.json",
    HOLDER,
)  # fmt: skip
PATIENCE = 0.3  # seconds; `refuse_locked` holds a free lock for a moment


@contextmanager
def locked(run: str | Path) -> Iterator[None]:
    """Within, no other process trains in the folder ``run``, which is made where it is missing.

    Temporary files that killed writers left in it are removed.

    Raises
    ------
    ConfigError
        If another process or thread trains there, naming it; if ``run`` is no folder or cannot be written.
    """
    run = Path(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / LOCK)
        lock.acquire(timeout=PATIENCE, poll_interval=0.02)
    except Timeout:
        raise _in_use(run) from None
    except OSError as error:
        raise _unusable(run, error) from error
    try:
        for name in WRITTEN:
            remove_leftovers(run / name)
        me = {"pid": os.getpid(), "host": platform.node()}
        write_atomically(run / HOLDER, json.dumps(me).encode())
        yield
    finally:
        with suppress(OSError):
            (run / HOLDER).unlink()
        lock.release()


def refuse_locked(run: Path) -> None:
    """Refuse a folder in which another process trains, before anything costly is done.

    Raises
    ------
    ConfigError
        As `locked`.
    """
    if not (run / LOCK).exists():
        return
    try:
        with FileLock(run / LOCK).acquire(timeout=0):
            pass
    except Timeout:
        raise _in_use(run) from None
    except OSError as error:
        raise _unusable(run, error) from error


def _in_use(run: Path) -> ConfigError:
    who, stop = "another process", "stop it"
    with suppress(OSError, ValueError, KeyError, TypeError):
        holder = json.loads((run / HOLDER).read_text(encoding="utf-8"))
        pid, host = int(holder["pid"]), str(holder["host"])
        who, stop = f"process {pid} on {host}", f"stop it there (kill {pid})"
    return ConfigError(
        f"A run folder has one training process at a time; {who} is training in {run}.",
        f"Wait until it ends, {stop}, or choose another run folder.",
    )


def _unusable(run: Path, error: OSError) -> ConfigError:
    if run.exists() and not run.is_dir():
        return ConfigError(f"The run folder {run} must be a folder; it is a file.", "Choose another --out.")
    return ConfigError(
        f"The run folder {run} must be one that can be made, written and locked; got: {error}.",
        "Check the path, its permissions and the space left, or choose another folder.",
    )
