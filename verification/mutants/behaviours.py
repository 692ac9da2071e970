"""What must hold besides the numbers of a case: the checks of M09, M11–M15, M24, M28–M30.

An answer without a stage (NotImplementedError) makes a check inapplicable. Checks with ``subject`` False
are about
s5ref's own library (checkpoints, groups, chunks) and ask nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from s5ref.verification.mutants import library, subject
from s5ref.verification.mutants.subject import Ask, asking

__all__ = ["CHECKS", "Ask", "Behaviour", "asking", "failed_checks"]


@dataclass(frozen=True)
class Behaviour:
    """A named check; ``holds(ask)`` is whether the behaviour is as it must be."""

    id: str
    name: str
    holds: Callable[[Ask], bool]
    subject: bool = True


CHECKS = (
    Behaviour("M09", "strided and broadcast cotangents", subject.contiguity),
    Behaviour("M11", "three shards with carried state", subject.shards),
    Behaviour("M11", "three chunks of s5ref", library.chunked, subject=False),
    Behaviour("M12", "more than 65,535 rows", subject.many_rows),
    Behaviour("M13", "the same bits every run", subject.repeatable),
    Behaviour("M14", "loaded parameters are the saved ones", library.loaded_is_saved, subject=False),
    Behaviour("M15", "the golden group table", library.groups, subject=False),
    Behaviour("M24", "arrays in Fortran order", library.layouts, subject=False),
    Behaviour("M28", "float64 throughout", subject.double_throughout),
    Behaviour("M29", "every output is written", subject.written),
    Behaviour("M30", "precision of the state in step mode", subject.state_precision),
)


def failed_checks(ask: Ask, library: bool = False) -> list[Behaviour]:
    """The checks that do not hold; those of s5ref's own library only if asked for.

    Where an output is not written (M29) the others say nothing: it is alone then. A check whose stage the
    subject
    does not have is left out.
    """
    failed = [check for check in CHECKS if (check.subject or library) and not _holds(check, ask)]
    return [check for check in failed if check.id == "M29"] or failed


def _holds(check: Behaviour, ask: Ask) -> bool:
    try:
        return check.holds(ask)
    except NotImplementedError:
        return True
