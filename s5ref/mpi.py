"""Ranks that are processes of MPI, by mpi4py (extra ``mpi``).

Whoever waits for the others does not wait for ever: it looks for the notice of a rank that failed, and after
`PATIENCE` seconds asks who is still there. Either way it raises `RankError`, which names the rank.
"""

from __future__ import annotations

import os
import pickle
import platform
import time
from typing import Any

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import ConfigError, MissingDependency, RankError, optional
from s5ref.ranks import ALONE, Ranks

TIMEOUT = "S5REF_RANK_TIMEOUT"
PATIENCE = 300.0  # seconds, unless that variable says otherwise
ANSWER = 5.0  # seconds within which one that waits, too, answers
SPIN, NAP = 1e-3, 2e-4  # seconds without sleep; of one sleep
WHOLE = 1 << 16  # bytes up to which every rank sums everything itself
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # what launchers set
NOTICE, PING, PONG = 5201, 5202, 5203  # tags


def world() -> Ranks:
    """The processes that this one was started with, by ``mpirun`` or a batch system; `ALONE` if by none.

    Raises
    ------
    MissingDependency
        If it was started with others and mpi4py is missing.
    """
    sizes = (*SIZES, *(["SLURM_STEP_NUM_TASKS"] if "PMIX_RANK" in os.environ else []))
    if all(os.environ.get(name, "1") == "1" for name in sizes):
        return ALONE
    try:
        return ranks_of(optional("mpi4py.MPI", "mpi").COMM_WORLD)
    except RuntimeError as error:  # mpi4py is there, and no MPI
        raise MissingDependency(
            "mpi4py finds no MPI library.",
            'Load the module of your cluster, or run: pip install "s5ref[mpi,mpich]"',
        ) from error


def ranks_of(comm: Any) -> Ranks:
    """A communicator of mpi4py as ranks; every process of it must call this.

    Raises
    ------
    RankError
        If one does not.
    """
    if comm.size == 1:
        return ALONE
    ranks = MPIRanks(comm, _Watch(comm))
    ranks.watch.places = ranks.share((platform.node(), os.getpid()))
    return ranks


def patience() -> float:
    """Seconds that a rank waits for the others.

    Raises
    ------
    ConfigError
        If the variable is no positive number.
    """
    text = os.environ.get(TIMEOUT, str(PATIENCE))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ConfigError(f"{TIMEOUT} must be a positive number of seconds; got {text!r}.", "Example: 60.")
    return seconds


class _Watch:
    """What the ranks of a run know of each other, and the channel of their notices."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.patience = comm, patience()
        self.places: list[tuple[str, int]] = []
        self.sent: list[Any] = []

    def name(self, rank: int) -> str:
        """A rank as a person finds it."""
        if not self.places:
            return f"rank {rank}"
        host, pid = self.places[rank]
        return f"rank {rank} (process {pid} on {host})"

    def tell(self, tag: int, content: str = "", to: int | None = None) -> None:
        """A message to one rank, or to all others."""
        others = range(self.comm.size) if to is None else [to]
        self.sent += [self.comm.isend(content, r, tag) for r in others if r != self.comm.rank]

    def listen(self) -> set[int]:
        """The ranks that have answered; answers who asks.

        Raises
        ------
        RankError
            Where one has failed.
        """
        from mpi4py import MPI

        answered, status = set(), MPI.Status()
        for tag in (NOTICE, PING, PONG):
            while self.comm.iprobe(MPI.ANY_SOURCE, tag, status):
                content = self.comm.recv(source=status.source, tag=tag)
                if tag == NOTICE:
                    raise RankError(f"R{self.name(status.source)[1:]} failed: {content}")
                if tag == PING:
                    self.tell(PONG, to=status.source)
                else:
                    answered.add(status.source)
        return answered

    def missing(self, request: Any) -> RankError | None:
        """Who does not answer, after a wait that was too long; None where the wait ended after all."""
        self.tell(PING)
        here, until = {self.comm.rank}, time.monotonic() + ANSWER
        while time.monotonic() < until:
            if request.Test():
                return None
            here |= self.listen()
            time.sleep(0.01)
        silent = [rank for rank in range(self.comm.size) if rank not in here]
        names = ", ".join(map(self.name, silent)) or "none: they wait for different things"
        return RankError(
            f"A rank must answer within {self.patience:g} s; silent: {names}.",
            f"Look at what it did (stopped? out of memory?), or raise {TIMEOUT}; then resume the run.",
            speaker=min(here), answers=False,
        )  # fmt: skip


class MPIRanks(Ranks):
    """Ranks of an MPI communicator. Arrays are of the host."""

    def __init__(self, comm: Any, watch: _Watch) -> None:
        self.watch, self.rank, self.size = watch, comm.rank, comm.size
        self.comm, made = comm.Idup()
        self._wait(made)

    def gather(self, x: Array) -> Array:
        """As of `Ranks`."""
        x = np.ascontiguousarray(x).reshape(np.shape(x))
        parts = np.empty((self.size, *x.shape), x.dtype)
        self._wait(self.comm.Iallgather(_bytes(x), _bytes(parts)))
        return parts

    def share(self, value: Any) -> list[Any]:
        """As of `Ranks`."""
        mine = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = self.gather(np.array(mine.size))
        room = np.zeros(int(sizes.max()), np.uint8)
        room[: mine.size] = mine
        return [
            pickle.loads(part[:size].tobytes()) for part, size in zip(self.gather(room), sizes, strict=True)
        ]

    def total(self, x: Array) -> Array:
        """As of `Ranks`. Of a large array every rank sums a part, and all exchange their parts."""
        x = np.asarray(x)
        if x.nbytes <= WHOLE:
            return super().total(x)
        each = -(-x.size // self.size)
        padded = np.zeros((self.size, each), x.dtype)
        padded.reshape(-1)[: x.size] = x.reshape(-1)
        parts = np.empty_like(padded)
        self._wait(self.comm.Ialltoall(_bytes(padded), _bytes(parts)))
        for part in parts[1:]:
            parts[0] += part
        return self.gather(parts[0]).reshape(-1)[: x.size].reshape(x.shape)

    def split(self, group: int) -> Ranks:
        """As of `Ranks`."""
        return MPIRanks(self.comm.Split(group, self.rank), self.watch)

    def names(self) -> list[str]:
        """As of `Ranks`."""
        return [self.watch.name(rank) for rank in range(self.size)]

    def failed(self, error: BaseException) -> None:
        """As of `Ranks`."""
        self.watch.tell(NOTICE, getattr(error, "message", "") or f"{type(error).__name__}: {error}")

    def abort(self) -> None:
        """As of `Ranks`."""
        self.watch.comm.Abort(1)
        os._exit(1)  # it may take a moment until the launcher ends this process

    def _wait(self, request: Any) -> None:
        """Until the request is done.

        Raises
        ------
        RankError
            Where a rank failed, or did not answer for too long.
        """
        begin = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - begin
            if waited < SPIN:
                os.sched_yield()
                continue
            time.sleep(NAP)
            self.watch.listen()
            if waited > self.watch.patience:
                if (error := self.watch.missing(request)) is not None:
                    raise error
                return


def _bytes(x: Array) -> list[Any]:
    """x as mpi4py sends it, whatever its dtype."""
    from mpi4py import MPI

    return [x.reshape(-1).view(np.uint8), MPI.BYTE]
