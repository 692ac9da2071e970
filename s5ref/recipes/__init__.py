"""The built-in recipes: one TOML file each, read with `s5ref.train.config.RunConfig.recipe`."""

from __future__ import annotations

from importlib import resources

from s5ref.data.tasks import TASKS
from s5ref.settings import check_known

__all__ = ["names", "text"]


def names() -> list[str]:
    """The names: one recipe for every task of `s5ref.data.TASKS`, the embedded one first."""
    return list(TASKS)


def text(name: str) -> str:
    """The TOML of recipe ``name``, header comment included.

    Raises
    ------
    ConfigError
        On an unknown name, naming the nearest one.
    """
    check_known("recipe", name, TASKS)
    return resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
