"""One file of a repository, imported without what its packages import.

A repository's ``__init__.py`` pulls in trainers, data sets and compiled extensions, of which an SSM needs
none.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from s5ref.errors import S5Error


def imported(
    module: str, root: str | Path = ".", stubs: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> Any:
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
        NotImplementedError when they are called. A package comes before what is below it.
    given : mapping of dotted names to objects
        What takes the place of names in packages and stubs: a base class, a decorator.

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
        _put(name, _bare(name, folder) if folder.is_dir() else _Stub(name))
    for name, value in (given or {}).items():
        owner, _, last = name.rpartition(".")
        setattr(sys.modules[owner], last, value)
    return importlib.import_module(module)


def _put(name: str, module: ModuleType) -> None:
    """The module by its name, and as an attribute of the package above it, as an import leaves it."""
    sys.modules[name] = module
    above, _, last = name.rpartition(".")
    if above in sys.modules:
        setattr(sys.modules[above], last, module)


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

        return _Missing(f"{self.__name__}.{name}")


class _Missing:
    """What a stub has by any name: further names, as annotations ask for them, and calls that raise."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Missing:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self._name}.{name}")

    def __call__(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError(f"{self._name} is not installed here")
