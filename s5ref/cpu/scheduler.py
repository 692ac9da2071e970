"""Tasks in phases, which threads take one by one in compiled code. What a task computes does not depend on
which thread takes it; no task of a phase begins before all of the phase before are done.

A thread that comes late finds less to do, or nothing; nobody waits for it to come.
"""

from __future__ import annotations

from s5ref.cpu.compile import inlined
from s5ref.cpu.simd import fetch_add, give_way, load_acquire

TAKEN, DONE, TASKS = range(3)  # columns of progress (phases, 3), int64


@inlined
def take(progress, phase):  # type: ignore[no-untyped-def]
    """A task of the phase that nobody has taken yet, or -1."""
    task = fetch_add(progress, phase, TAKEN)
    return task if task < progress[phase, TASKS] else -1


@inlined
def done(progress, phase):  # type: ignore[no-untyped-def]
    """A task that was taken is done: what it wrote is there for whoever sees that it is."""
    fetch_add(progress, phase, DONE)


@inlined
def wait_for(progress, phase):  # type: ignore[no-untyped-def]
    """Returns when the last task of the phase is done."""
    while load_acquire(progress, phase, DONE) < progress[phase, TASKS]:
        give_way()
