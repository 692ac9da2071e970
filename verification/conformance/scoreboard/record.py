"""A check as it is kept: one JSON file for each implementation and commit."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

from s5ref.errors import S5Error
from s5ref.files import write_atomically
from s5ref.verification.conformance.adapters.field import FIELD
from s5ref.verification.conformance.kit import console
from s5ref.verification.conformance.kit.result import ORDER, Result
from s5ref.verification.conformance.kit.run import Session
from s5ref.verification.conformance.scoreboard.findings import cell, findings

STAGES = (*ORDER, "behaviour", "audit")


def keep(result: Result, folder: Path, repository: Path | None = None) -> Path:
    """Write the record of a check: ``folder/NAME/COMMIT.json``. One of the same commit is replaced.

    Raises
    ------
    S5Error
        If neither git nor the version of a package says which text was judged.
    """
    commit = result.versions.get(result.target) or _commit(repository or Path.cwd())
    if not commit:
        raise S5Error(
            "A record needs the commit of what was judged; the folder is no checkout of git.",
            "Give --repo PATH, a clone.",
        )
    session = Session(result.target, None, repository)
    try:
        found = findings(result, session)
    finally:
        session.close()
    path: Path = folder / result.target.replace(":", "-") / f"{commit}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record(result, found, commit), indent=1, ensure_ascii=False, allow_nan=False)
    text = text.replace(str((repository or Path.cwd()).resolve()), ".")  # in what it raised
    write_atomically(path, (text + "\n").encode())
    return path


def record(result: Result, found: list[dict[str, Any]], commit: str) -> dict[str, Any]:
    """The record: verdict, a cell for each stage, findings, and under what it was."""
    entry = FIELD.get(result.target)
    by_stage = {stage: [o for o in result.outcomes if o.stage == stage] for stage in STAGES}
    return {
        "name": result.target, "repository": entry.repository if entry else "", "commit": commit,
        "framework": entry.framework if entry else "",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "verdict": result.verdict,
        "headline": console.verdict_line(result), "counts": result.counts,
        "stages": {stage: cell(outcomes) for stage, outcomes in by_stage.items() if outcomes},
        "findings": found, "versions": result.versions, "machine": result.machine,
        "seconds": round(result.seconds, 1),
    }  # fmt: skip


def records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """{name: its records, the newest first}.

    Raises
    ------
    S5Error
        If there is none.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*/*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(one["name"], []).append(one)
    if not found:
        raise S5Error(
            f"{folder} must hold records of checks; there are none.",
            "s5ref check NAME --repo PATH --record FOLDER makes one.",
        )
    return {name: sorted(ones, key=lambda one: one["date"], reverse=True) for name, ones in found.items()}


def _commit(folder: Path) -> str:
    asked = ["git", "-C", str(folder), "rev-parse", "--short=7", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
