"""One file of a repository, imported without what its packages import.

A repository's ``__init__.py`` pulls in trainers, data sets and compiled extensions, of which an SSM needs
none.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from s5ref.errors import S5Error


def imported(module: str, root: str | Path = ".", stubs: Sequence[str] = ()) -> Any:
    """A module of a repository.

    Parameters
    ----------
    module : str
        Its dotted name from ``root``: ``"recall2imagine.ssm.mimo"``. ``__init__.py`` of the packages above
        it is not run.
    root : path
        Where its first package lies; a candidate's working directory is the repository.
    stubs : sequence of str
        What else is not to be imported: a package of the repository, whose modules stay and whose
        ``__init__.py`` is not run; or any other module, which becomes one whose attributes raise
        NotImplementedError when they are called.

    Raises
    ------
    S5Error
        If the file is not there.
    """
    root = Path(root).resolve()
    path = root.joinpath(*module.split("."))
    if not path.with_suffix(".py").is_file() and not path.is_dir():
        raise S5Error(
            f"{module} must be in the repository; {path.with_suffix('.py')} does not exist.",
            "--repo PATH is the folder of a checkout; `s5ref check --list` names the commit that was tried.",
        )
    parts = module.split(".")
    for name in (*(".".join(parts[:i]) for i in range(1, len(parts))), *stubs):
        folder = root.joinpath(*name.split("."))
        sys.modules[name] = _bare(name, folder) if folder.is_dir() else _Stub(name)
    return importlib.import_module(module)


def _bare(name: str, folder: Path) -> ModuleType:
    """A package whose modules are those of a folder, without the text of its ``__init__.py``."""
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    return package


class _Stub(ModuleType):
    """A module that is not there: what is taken from it raises when it is called."""

    __path__: list[str] = []  # noqa: RUF012 - it may have modules below it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **options: Any) -> Any:
            raise NotImplementedError(f"{self.__name__}.{name} is not installed here")

        return missing
