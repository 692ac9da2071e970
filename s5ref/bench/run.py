"""All of it: which cases, which peers, what of them, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from s5ref.bench.case import DEFAULT, GROWTH, LAYER, Case, layer_case, recipe_case
from s5ref.bench.growth import VALUES, Growth, grow
from s5ref.bench.measure import NORMAL, QUICK, Row, measured, peak_gflops, startup
from s5ref.bench.peers import Peer, chosen
from s5ref.errors import S5Error
from s5ref.machine import load, version
from s5ref.recipes import names
from s5ref.settings import check_known
from s5ref.train.environment import environment

Report = Callable[[str], None]
STARTUP = "smnist"


@dataclass(frozen=True)
class Results:
    """machine: what it was measured on. peak_gflops: of a float32 product; None where no row needs it."""

    machine: dict[str, Any]
    peak_gflops: float | None
    rows: list[Row]
    growth: list[Growth]

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        errors = [row.error for row in self.rows]
        errors += [point.error for growth in self.growth for point in growth.points]
        return not any(errors)


def bench(
    case: str | None = None, peers: Sequence[str] = (), quick: bool = False, report: Report = print
) -> Results:
    """Measure on this machine's CPU: times and memory of ours, beside those of peers.

    Parameters
    ----------
    case : str or None
        A recipe, "smnist layer" or "growth"; None: the usual recipes, and the growth.
    peers : sequence of str
        Names of `s5ref.bench.peers.PEERS`, which take turns with ours.
    quick : bool
        Fewer repetitions of smaller cases: a check, not a measurement.
    report : function
        Is given a line before each measurement.

    Returns
    -------
    Results
        Times in seconds, memory in bytes.

    Raises
    ------
    S5Error
        Before anything is measured, where a name is wrong, or a peer is missing or has nothing to do.
    """
    from s5ref.cpu.parallel import threads

    others = chosen(peers)
    cases = select(case, others, quick)
    machine = describe("numba", others, quick) | {"threads": threads()}
    rows: list[Row] = []
    peaks: list[float | None] = []
    for one in cases:
        report(f"{one.name}: the matrix product beside it")
        peaks.append(peak_gflops(QUICK))
        rows += _rows(one, others, quick, report)
    if cases:
        peaks.append(peak_gflops(QUICK))
    peak = max((peak for peak in peaks if peak), default=None)
    axes = VALUES if case in (None, GROWTH) else {}
    return Results(
        machine, peak, [row.beside(peak) for row in rows], [grow(axis, quick, report) for axis in axes]
    )


def select(name: str | None, others: Sequence[Peer], quick: bool) -> list[Case]:
    """The cases of that name; those of the bare layer only beside a peer that is measured there.

    Raises
    ------
    S5Error
        On a name that is no case.
    """
    if name is not None:
        check_known("case", name, [*names(), LAYER, GROWTH])
    bare = any(peer.bare for peer in others)
    if name == GROWTH:
        cases = []
    elif name == LAYER:
        cases = [layer_case(quick)]
    else:
        cases = [recipe_case(recipe, quick) for recipe in ([name] if name else DEFAULT)]
        cases += [layer_case(quick)] if bare and name in (None, STARTUP) else []
    for peer in others:
        if not any(peer.takes(case, what) for case in cases for what in case.whats()):
            where = f"the case {LAYER!r}" if peer.bare else "the recipes"
            raise S5Error(
                f"The peer {peer.name} takes part in {where} only; got --case {name}.",
                "Leave out --case, or the peer.",
            )
    return cases


def _rows(case: Case, others: Sequence[Peer], quick: bool, report: Report) -> list[Row]:
    rows = [
        measured(case, what, peer, QUICK if quick else NORMAL)
        for what, peer in turns(case, case.whats(), others, report)
    ]
    if case.name == STARTUP and not quick:  # compiling does not get shorter with the batch
        report(f"{case.name} startup")
        rows += startup(case, rows[0])
    return rows


def turns(
    case: Case, whats: Iterable[str], others: Sequence[Peer], report: Report
) -> Iterator[tuple[str, Peer | None]]:
    """What is measured of a case, beside each peer that takes part in it, or else alone."""
    for what in whats:
        taking: list[Peer | None] = [peer for peer in others if peer.takes(case, what)]
        for peer in taking or [None]:
            report(f"{case.name} {what}" + (f", ours and {peer.name}" if peer else ""))
            yield what, peer


def describe(engine: str, others: Sequence[Peer], quick: bool) -> dict[str, Any]:
    """Processor, cores, versions, BLAS, and how busy the machine was at the beginning."""
    facts = environment(engine)
    del facts["command"]
    for peer in others:
        facts["versions"] |= {name: version(name) for name in peer.needs.values()}
    return facts | {"load_1min": load(), "quick": quick}
