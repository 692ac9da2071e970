"""The rows: what was measured of one case, ours beside a peer's."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from typing import Self

from s5ref.bench import matmul
from s5ref.bench.agree import BOUND, compare
from s5ref.bench.case import Case
from s5ref.bench.peers import Peer
from s5ref.bench.process import Failed, PeerProcess
from s5ref.bench.race import Repetitions, Times, race

OURS, MATMUL = Peer("ours", "s5ref.bench.ours:build"), Peer("matmul", "s5ref.bench.matmul:build")
NORMAL, QUICK = Repetitions(5, 25, 20.0), Repetitions(3, 5, 0.3)
ONCE = Repetitions(1, 1, 0.0)


@dataclass(frozen=True)
class Row:
    """One row. Times are wall times in seconds; None: not measured.

    ours_s, peer_s                  median of a repetition; where what = step, of 2000 calls in each
    ours_min_s, peer_min_s          the fastest repetition
    ratio                           peer_s / ours_s
    ours_bytes, peer_bytes          peak memory of the process, interpreter and libraries included
    ours_compile_s, peer_compile_s  first call minus median
    gflops, percent_of_peak         ours, matrix products alone; of a 2048 × 2048 product in the same run
    repeats                         repetitions of each peer
    error                           why something is missing
    """

    case: str
    what: str
    batch: int
    length: int
    ours_s: float | None = None
    ours_min_s: float | None = None
    ours_bytes: int | None = None
    ours_compile_s: float | None = None
    peer: str | None = None
    peer_s: float | None = None
    peer_min_s: float | None = None
    peer_bytes: int | None = None
    peer_compile_s: float | None = None
    ratio: float | None = None
    gflops: float | None = None
    peak_gflops: float | None = None
    percent_of_peak: float | None = None
    repeats: int = 0
    error: str | None = None

    def beside(self, peak: float | None) -> Self:
        """The row with the machine's peak filled in."""
        return replace(self, peak_gflops=peak, percent_of_peak=ratio(self.gflops, peak, 100))


def prepare(case: Case, what: str) -> None:
    """Compile our kernels in a process that is not measured: it would remember the compiler's memory."""
    with PeerProcess(OURS) as child, contextlib.suppress(Failed):  # the measured one will say why
        child.build(case.small(), what)


def measured(case: Case, what: str, peer: Peer | None, repetitions: Repetitions) -> Row:
    """Ours and the peer's times; a peer that computes something else is not timed, the row says why."""
    if peer is None:
        prepare(case, what)
    return row_of(case, what, peer, *timed(case, what, peer, repetitions, OURS))


def timed(
    case: Case, what: str, peer: Peer | None, repetitions: Repetitions, ours: Peer, bound: float = BOUND
) -> tuple[list[Times], list[str]]:
    """The times of ours, and of the peer where it computes the same; else why it does not take part."""
    difference = compare(case, what, ours, peer, bound) if peer and peer.same else ""
    if peer is None or difference:
        return race([ours], case, what, repetitions), [f"{peer.name} {difference}"] if peer else []
    return race([ours, peer], case, what, repetitions), []


def row_of(case: Case, what: str, peer: Peer | None, times: list[Times], errors: list[str]) -> Row:
    """Times as a row."""
    [ours, theirs] = [*times, Times()][:2]
    names = ["ours", *([peer.name] if peer else [])]
    errors = errors + [f"{name}: {t.error}" for name, t in zip(names, times, strict=False) if t.error]
    return Row(
        case.name, what, case.batch, case.length,
        ours_s=ours.median, ours_min_s=ours.best, ours_bytes=ours.bytes, ours_compile_s=ours.compile,
        peer=peer.name if peer else None,
        peer_s=theirs.median, peer_min_s=theirs.best, peer_bytes=theirs.bytes, peer_compile_s=theirs.compile,
        ratio=ratio(theirs.median, ours.median),
        gflops=case.flops(what) / ours.median / 1e9 if ours.median else None,
        repeats=max(len(t.seconds) for t in times), error="; ".join(errors) or None,
    )  # fmt: skip


def ratio(part: float | None, whole: float | None, scale: float = 1.0) -> float | None:
    """``scale`` times part / whole; None where one of them is not known."""
    return scale * part / whole if part and whole else None


def startup(case: Case, step: Row) -> list[Row]:
    """The first train step of a fresh process: with an empty cache of compiled kernels, then with a full one.

    ``step``: the row of the train step, for its median and the first call of its peer, which has no cache.
    """
    rows = []
    median, compilation = step.peer_s, step.peer_compile_s
    theirs = None if median is None or compilation is None else median + compilation
    with tempfile.TemporaryDirectory() as folder:
        for what in ("startup_cold", "startup_cached"):
            [times] = race([replace(OURS, environment={"S5REF_CACHE": folder})], case, "train_step", ONCE)
            rows.append(Row(
                case.name, what, case.batch, case.length,
                ours_s=times.first, ours_bytes=times.bytes, ours_compile_s=times.compile,
                peer=step.peer, peer_s=theirs, peer_compile_s=step.peer_compile_s,
                ratio=ratio(theirs, times.first),
                repeats=1, error=f"ours: {times.error}" if times.error else None,
            ))  # fmt: skip
    return rows


def peak_gflops(repetitions: Repetitions) -> float | None:
    """Operations per ns of the product that `matmul` makes: the median of some; None if it failed."""
    [times] = race([MATMUL], None, "product", repetitions)
    return matmul.FLOPS / times.median / 1e9 if times.median else None
