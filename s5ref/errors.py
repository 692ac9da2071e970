"""The errors of the public boundary: what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any


class S5Error(ValueError):
    """A refused input. Every error that s5ref raises on purpose is one of the classes below.

    Parameters
    ----------
    message : str
        The invariant, and what arrived instead.
    remedy : str
        What to do about it.

    Notes
    -----
    The command line prints both and exits with 2; with ``--json`` it prints
    ``{"error": {"message": …, "remedy": …}}``.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy.strip()
        super().__init__(f"{message} {self.remedy}".rstrip())


class ShapeError(S5Error):
    """An array has the wrong number of axes, the wrong sizes or the wrong dtype."""


class DataError(S5Error):
    """The content of arrays or of a file is not what it must be: out of range, damaged, missing."""


class ConfigError(S5Error):
    """An option, an argument or a configuration is unknown, out of range or contradicts another one."""


class MissingDependency(S5Error):
    """An optional package is not installed; the remedy is the command that installs it."""


class NumericalError(S5Error):
    """A number is not finite, or outside the domain of the formula that takes it."""


class RankError(S5Error):
    """Another of the processes that train together failed or does not answer.

    Parameters
    ----------
    message, remedy : str
        As of `S5Error`.
    speaker : int
        The rank that tells the user.
    answers : bool
        Whether that other one still ends by itself.
    """

    def __init__(self, message: str, remedy: str = "", speaker: int = 0, answers: bool = True) -> None:
        super().__init__(message, remedy)
        self.speaker, self.answers = speaker, answers


def suggest(word: str, words: Iterable[str]) -> str:
    """``"Did you mean X? "`` with the nearest of ``words``; empty where none is near.

    Upper and lower case count as equal. The space at the end lets another sentence follow.
    """
    import difflib  # deferred: `import s5ref` stays short

    known = {w.lower(): w for w in words}
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f"Did you mean {known[near[0]]}? " if near else ""


def optional(module: str, extra: str) -> Any:
    """The module of an optional package, imported.

    Raises
    ------
    MissingDependency
        If it is not installed; the remedy installs the ``extra`` of s5ref that brings it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        remedy = f'Run: pip install "s5ref[{extra}]"'
        raise MissingDependency(f"{package} is not installed.", remedy) from error
