"""Testing the tester: every mutant is put to the kit as a candidate, and the findings to a record.

``python -P -m s5ref.verification.conformance.mutants.run --record`` writes ``recorded.json``, ``… run M20
M31`` prints rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s5ref.machine import usable_cores
from s5ref.process import python
from s5ref.verification.conformance.kit.run import check
from s5ref.verification.conformance.mutants import MUTANTS

PLANTED = "s5ref.verification.conformance.mutants.planted"
RECORD = Path(__file__).parent / "recorded.json"
WORKERS = 4  # sessions at once at most; each has a candidate's process beside its own


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


def judge(id_: str) -> MutantRow:
    """The very session of ``s5ref check``, with the mistake planted in the candidate."""
    with tempfile.TemporaryDirectory() as folder:
        result = check(f"{PLANTED}:{id_}", folder=folder)
    failed = [outcome.id for outcome in result.of("failed")]
    names = tuple(dict.fromkeys(words.partition(":")[0] for words in result.mistakes))
    mutant = MUTANTS[id_]
    return MutantRow(id_, mutant.name, mutant.stage, failed[0] if failed else "", len(failed), names)


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

    Notes
    -----
    Naming a mistake puts it into the process that names it, so sessions run side by side in processes only.
    """
    ids = [id_ for id_ in MUTANTS if only is None or id_ in only]
    workers = max(1, min(WORKERS, usable_cores(), len(ids)))
    rows: list[MutantRow] = []

    def work(share: list[str]) -> None:
        for row in _elsewhere(share):
            rows.append(row)
            if report is not None:
                report(row)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, [ids[k::workers] for k in range(workers)]))
    return MutantsReport(tuple(sorted(rows, key=lambda row: row.id)))


def _elsewhere(ids: list[str]) -> Iterator[MutantRow]:
    """The rows of these mutants, from a process of their own."""
    command = [*python("s5ref.verification.conformance.mutants.run"), *ids]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            fields: dict[str, Any] = json.loads(line)
            yield MutantRow(**fields | {"names": tuple(fields["names"])})
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")


def main(words: list[str]) -> int:
    """Print the rows of the mutants named, as JSON; or write the record."""
    if words != ["--record"]:
        for id_ in words:
            print(json.dumps(asdict(judge(id_))), flush=True)
        return 0
    rows = run_mutants(lambda row: print(row, flush=True)).rows
    lines = ",\n".join(f"  {json.dumps(row.id)}: {json.dumps(row.holds)}" for row in rows)
    RECORD.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
