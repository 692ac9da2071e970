"""What `s5ref check` says of planted candidates, in sessions side by side.

``python -P -m s5ref.verification.conformance.mutants.session M20 M20_M31 all_states`` prints it as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from s5ref.machine import usable_cores
from s5ref.process import python
from s5ref.verification.conformance.kit.run import check

PLANTED = "s5ref.verification.conformance.mutants.planted"
WORKERS = 4  # sessions at once at most; each has a candidate's process beside its own


@dataclass(frozen=True)
class Said:
    """What the session said of the candidate ``planted``.

    failed    the cases and checks that fail
    names     the ids of the mistakes named, the one that explains most first
    """

    planted: str
    failed: tuple[str, ...]
    names: tuple[str, ...]


def said(planted: str) -> Said:
    """The very session of ``s5ref check``."""
    with tempfile.TemporaryDirectory() as folder:
        result = check(f"{PLANTED}:{planted}", folder=folder)
    if result.broken:
        raise RuntimeError(f"{planted}: {result.broken}")
    failed = tuple(outcome.id for outcome in result.of("failed"))
    return Said(planted, failed, tuple(dict.fromkeys(words.partition(":")[0] for words in result.mistakes)))


def all_said(candidates: Sequence[str], report: Callable[[Said], None]) -> None:
    """Every one of them; ``report`` gets what is said of it as it lands.

    Naming a mistake puts it into the process that names it, so sessions run side by side in processes only.
    """
    workers = max(1, min(WORKERS, usable_cores(), len(candidates)))

    def work(share: Sequence[str]) -> None:
        for answer in _elsewhere(share):
            report(answer)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, [candidates[k::workers] for k in range(workers)]))


def _elsewhere(candidates: Sequence[str]) -> Iterator[Said]:
    """What is said of these, from a process of its own."""
    command = [*python("s5ref.verification.conformance.mutants.session"), *candidates]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            fields: dict[str, Any] = json.loads(line)
            yield Said(fields["planted"], tuple(fields["failed"]), tuple(fields["names"]))
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")


if __name__ == "__main__":
    for word in sys.argv[1:]:
        print(json.dumps(asdict(said(word))), flush=True)
