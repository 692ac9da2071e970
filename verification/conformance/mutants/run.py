"""Testing the tester: mistakes, alone and in pairs, and right variants are put to the kit as candidates.

python -P -m s5ref.verification.conformance.mutants.run M20 M31               a line for each of these
python -P -m s5ref.verification.conformance.mutants.run --record              all; writes ``recorded.json``
python -P -m s5ref.verification.conformance.mutants.run --pairs 200 --seed 0  random pairs of mistakes
python -P -m s5ref.verification.conformance.mutants.run --right               all right variants
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from s5ref.verification.conformance.mutants import MUTANTS
from s5ref.verification.conformance.mutants.pairs import Judgement, drawn, judge_pairs, judge_right
from s5ref.verification.conformance.mutants.right import RIGHT
from s5ref.verification.conformance.mutants.session import Said, all_said

RECORD = Path(__file__).parent / "recorded.json"


@dataclass(frozen=True)
class MutantRow:
    """What `s5ref check` says of one mutant.

    killed_by  the first case or check that fails; "" if none does
    kills      how many fail
    names      the ids of the mistakes named, the one that explains most first
    """

    id: str
    name: str
    stage: str
    killed_by: str
    kills: int
    names: tuple[str, ...]

    @property
    def killed(self) -> bool:
        return self.kills > 0

    @property
    def named(self) -> bool:
        """Whether its mistake is named, perhaps among others."""
        return self.id in self.names

    @property
    def holds(self) -> list[str]:
        """Which of "killed" and "named" is true of it."""
        return [what for what in ("killed", "named") if getattr(self, what)]

    @property
    def lost(self) -> str:
        """What the record says of it and is not so: "killed", "named", or nothing."""
        return next((what for what in recorded()[self.id] if what not in self.holds), "")

    @property
    def gained(self) -> str:
        """What it is and the record does not say."""
        return next((what for what in self.holds if what not in recorded()[self.id]), "")


@dataclass(frozen=True)
class MutantsReport:
    """All rows, in the order of their ids."""

    rows: tuple[MutantRow, ...]

    @property
    def killed(self) -> int:
        return sum(row.killed for row in self.rows)

    @property
    def named(self) -> int:
        return sum(row.named for row in self.rows)

    @property
    def alone(self) -> int:
        """How many are named and nothing else is."""
        return sum(row.names == (row.id,) for row in self.rows)


def recorded() -> dict[str, list[str]]:
    """{mutant: ["killed", "named"], or what of these holds}: what `run_mutants` must find at least."""
    record: dict[str, list[str]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def _row(said: Said) -> MutantRow:
    mutant, failed = MUTANTS[said.planted], said.failed
    killed_by = failed[0] if failed else ""
    return MutantRow(mutant.id, mutant.name, mutant.stage, killed_by, len(failed), said.names)


def run_mutants(
    report: Callable[[MutantRow], None] | None = None, only: Sequence[str] | None = None
) -> MutantsReport:
    """Every mutant put to the kit.

    Parameters
    ----------
    report : function, optional
        Gets each row as it lands.
    only : sequence of str, optional
        Ids; default: all.
    """
    rows: list[MutantRow] = []

    def landed(said: Said) -> None:
        rows.append(_row(said))
        if report is not None:
            report(rows[-1])

    all_said([id_ for id_ in MUTANTS if only is None or id_ in only], landed)
    return MutantsReport(tuple(sorted(rows, key=lambda row: row.id)))


def _record() -> None:
    rows = run_mutants(lambda row: print(row, flush=True)).rows
    lines = ",\n".join(f"  {json.dumps(row.id)}: {json.dumps(row.holds)}" for row in rows)
    RECORD.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _told(judgement: Judgement) -> None:
    """A line of whatever is not as it should be."""
    words = {"missing": judgement.missing, "hidden": judgement.hidden, "false": judgement.false}
    found = "; ".join(f"{word} {' '.join(ids)}" for word, ids in words.items() if ids)
    passed = "" if judgement.killed else "passes"
    print(f"{judgement.said.planted}: {'; '.join(filter(None, (passed, found))) or 'named'}", flush=True)


def _pairs(count: int, seed: int) -> None:
    shown = [id_ for id_, holds in recorded().items() if "killed" in holds]
    judged = judge_pairs(drawn(shown, count, seed), _told)
    for words, number in (
        ("pairs", len(judged)),
        ("killed", sum(j.killed for j in judged)),
        ("both named", sum(len(j.named) == 2 for j in judged)),
        ("one named, the other hidden by it", sum(len(j.named) == 1 and not j.missing for j in judged)),
        ("one named of two that show", sum(len(j.named) == 1 and bool(j.missing) for j in judged)),
        ("none named", sum(not j.named for j in judged)),
        ("with a false name", sum(bool(j.false) for j in judged)),
    ):
        print(f"| {words} | {number} |")


def _right() -> None:
    def told(j: Judgement) -> None:
        found = f"fails {len(j.said.failed)}, first {j.said.failed[0]}" if j.killed else "passes"
        print(f"| {j.said.planted} | {found} | {' '.join(j.said.names) or 'nothing'} |", flush=True)

    judged = judge_right(list(RIGHT), told)
    print(f"{sum(not j.killed for j in judged)} of {len(judged)} right variants pass")


def main(argv: list[str]) -> int:
    """What the head of this file says."""
    parser = ArgumentParser(prog="mutants.run")
    parser.add_argument("ids", nargs="*", help="mistakes")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--right", action="store_true")
    parser.add_argument("--pairs", type=int, metavar="COUNT")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.ids:
        run_mutants(lambda row: print(row, flush=True), args.ids)
    if args.record:
        _record()
    if args.right:
        _right()
    if args.pairs:
        _pairs(args.pairs, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
