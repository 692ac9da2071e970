"""Work in stages, each of so many jobs, that threads take one by one in compiled code. What a job computes
does not depend on which thread takes it; no job of a stage begins before all of the stage before are done.

A thread that comes late finds less to do, or nothing; nobody waits for it to come.
"""

from __future__ import annotations

import os
from typing import Any

from llvmlite import ir
from numba import types

from s5ref.cpu.compile import inner
from s5ref.cpu.vectors import I64, Matrix, cgutils, intrinsic

TAKEN, DONE, JOBS = range(3)  # columns of progress (stages, 3), int64


@inner
def take(progress, stage):  # type: ignore[no-untyped-def]
    """A job of the stage that nobody has taken yet, or -1."""
    job = _add(progress, stage, TAKEN)
    return job if job < progress[stage, JOBS] else -1


@inner
def done(progress, stage):  # type: ignore[no-untyped-def]
    """A job that was taken is done: what it wrote is there for whoever sees that it is."""
    _add(progress, stage, DONE)


@inner
def all_done(progress, stage):  # type: ignore[no-untyped-def]
    """Returns when the last job of the stage is done."""
    while _read(progress, stage, DONE) < progress[stage, JOBS]:
        _give_way()


@intrinsic
def _add(_typing, progress, stage, column):  # type: ignore[no-untyped-def]
    """progress[stage, column] += 1, of all threads one at a time; what it was."""

    def codegen(context: Any, bd: Any, signature: Any, args: Any) -> Any:
        place = Matrix(context, bd, signature.args[0], args[0]).at(args[1], args[2])
        return bd.atomic_rmw("add", place, I64(1), "acq_rel")

    return types.int64(progress, stage, column), codegen


@intrinsic
def _read(_typing, progress, stage, column):  # type: ignore[no-untyped-def]
    """progress[stage, column] as it is now."""

    def codegen(context: Any, bd: Any, signature: Any, args: Any) -> Any:
        place = Matrix(context, bd, signature.args[0], args[0]).at(args[1], args[2])
        return bd.load_atomic(place, "acquire", 8)

    return types.int64(progress, stage, column), codegen


@intrinsic
def _give_way(_typing):  # type: ignore[no-untyped-def]
    """Let another thread run that waits for this core."""

    def codegen(context: Any, bd: Any, _signature: Any, _args: Any) -> Any:
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            bd.call(cgutils.get_or_insert_function(bd.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen
