"""``s5ref-conformance.toml`` in an implementer's repository: what it claims, and its known failures."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from s5ref.errors import S5Error
from s5ref.machine import memory_bytes
from s5ref.process import limits_memory
from s5ref.settings import check_known
from s5ref.verification.conformance.kit.behaviour import Behaviour
from s5ref.verification.conformance.stages import Case
from s5ref.verification.conformance.stages.stage import matches

NAME = "s5ref-conformance.toml"
SHARE = 0.75  # of the machine's memory is the candidate's; the rest is for the kit
KEYS = {
    "features": list, "dtypes": list, "options": dict, "xfail": dict, "tf32": bool,
    "timeout": (int, float), "memory": (int, float),
}  # fmt: skip


Asked: TypeAlias = Case | Behaviour


@dataclass(frozen=True)
class Capabilities:
    """features and dtypes: None where the file says nothing. ``xfail``: {id or pattern: reason}, strict."""

    features: list[str] | None = None
    dtypes: list[str] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    xfail: dict[str, str] = field(default_factory=dict)
    tf32: bool = False
    timeout: float = 60.0
    memory: float | None = None  # GiB; None: `SHARE` of the machine's
    path: str = ""

    @property
    def memory_limit(self) -> int | None:
        """The bytes that the candidate may have; None where the system cannot bound it."""
        if not limits_memory():
            return None
        machine = memory_bytes()
        if self.memory is not None:
            return int(self.memory * 2**30)
        return None if machine is None else int(SHARE * machine)

    def expected_to_fail(self, case: str) -> str | None:
        """The reason, if this case is."""
        return next((reason for pattern, reason in self.xfail.items() if matches(case, pattern)), None)


def read(folder: Path) -> Capabilities:
    """The file in this folder, or what holds without one; S5Error naming what is wrong in it."""
    path = folder / NAME
    if not path.is_file():
        return Capabilities()
    try:
        claims = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise S5Error(f"{path} is not valid TOML: {error}.", "docs/conformance.md shows one.") from error
    for key, value in claims.items():
        check_known("key", key, KEYS, str(path))
        if not isinstance(value, KEYS[key]) or (isinstance(value, bool) and key != "tf32"):  # type: ignore[arg-type]
            raise S5Error(
                f"{path}: {key} has the wrong type; got {value!r}.", "docs/conformance.md shows one."
            )
        if key in ("timeout", "memory") and not 0 < value < 2**40:
            raise S5Error(
                f"{path}: {key} must be a positive number; got {value!r}.", "docs/conformance.md shows one."
            )
    return Capabilities(**claims, path=str(path))


def check_against(capabilities: Capabilities, cases: Sequence[Asked]) -> None:
    """S5Error for a claim that means nothing: a feature, dtype or pattern that no case has."""
    for what, claimed, known in (
        ("feature", capabilities.features, {feature for case in cases for feature in case.features}),
        ("dtype", capabilities.dtypes, {case.dtype for case in cases if case.dtype}),
    ):
        for word in claimed or ():
            check_known(what, str(word), sorted(known), capabilities.path)
    for pattern in capabilities.xfail:
        if not pattern.startswith("audit/") and not any(matches(case.id, pattern) for case in cases):
            raise S5Error(
                f"{capabilities.path}: xfail {pattern!r} matches no case.",
                "`s5ref check TARGET --json` lists the ids.",
            )


def selected(cases: Sequence[Asked], only: str | None) -> list[Asked]:
    """The cases of a pattern; S5Error if it matches nothing."""
    if only is None:
        return list(cases)
    chosen = [case for case in cases if case.id == only] or [case for case in cases if matches(case.id, only)]
    if not chosen:
        near = difflib.get_close_matches(only, [case.id for case in cases], 1, 0.3)
        raise S5Error(
            f"--only {only!r} matches no case.",
            f"Did you mean {near[0]!r}?" if near else "Try --only 'scan/*'.",
        )
    return chosen
