"""The built-in recipes: one TOML file each, read with `s5ref.train.config.RunConfig.recipe`."""

from __future__ import annotations

from importlib import resources

from s5ref.errors import ConfigError, suggest

__all__ = ["names", "text"]

_NAMES = (
    "digits", "smnist", "psmnist", "scifar", "listops", "text", "retrieval", "image", "pathfinder", "pathx",
    "speech35", "pendulum",
)  # fmt: skip


def names() -> list[str]:
    """The names, the embedded one first."""
    return list(_NAMES)


def text(name: str) -> str:
    """The TOML of recipe ``name``, header comment included.

    Raises
    ------
    ConfigError
        On an unknown name, naming the nearest one.
    """
    if name not in _NAMES:
        known = ", ".join(_NAMES)
        raise ConfigError(f"Unknown recipe {name!r}.", f"{suggest(name, _NAMES)}Known: {known}.")
    return resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
