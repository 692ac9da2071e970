"""Settings: frozen dataclasses whose values are checked, made from tables and from ``key=value`` texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeVar, get_type_hints

from s5ref.errors import ConfigError, suggest

T = TypeVar("T")


def check(name: str, value: object, condition: str, holds: bool, remedy: str = "Correct the value.") -> None:
    """ConfigError saying that ``name`` must be ``condition``, unless it ``holds``."""
    if not holds:
        raise ConfigError(f"{name} must be {condition}; got {value}.", remedy)


def check_count(name: str, value: Any) -> None:
    """ConfigError saying that ``name`` must be an integer of at least 1, unless ``value`` is."""
    check(name, value, "an integer of at least 1", isinstance(value, Integral) and int(value) >= 1)


def check_word(section: str, key: str, word: Any, words: Sequence[str]) -> None:
    """ConfigError naming the nearest valid word, if ``word`` is not one of ``words``."""
    if word not in words:
        raise ConfigError(
            f"{section}.{key} must be one of {', '.join(words)}; got {word!r}.",
            suggest(str(word), words) or "Choose one of them.",
        )


def check_words(section: str, settings: Any, **choices: Sequence[str]) -> None:
    """`check_word` of the fields that ``choices`` names."""
    for key, words in choices.items():
        check_word(section, key, getattr(settings, key), words)


def check_types(section: str, settings: Any) -> None:
    """Every field of the dataclass ``settings`` has its annotated type; an integer may stand for a real."""
    for name, kind in get_type_hints(type(settings)).items():
        value = typed(f"{section}.{name}", getattr(settings, name), kind)
        object.__setattr__(settings, name, value)


def typed(name: str, value: Any, kind: Any) -> Any:
    """``value`` if it is of the type ``kind``; an integer may stand for a real."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
        raise ConfigError(f"{name} must be {words.get(kind, kind)}; got {value!r}.", "Correct the value.")
    return value


def table_of(values: Mapping[str, Any], section: str, where: str) -> dict[str, Any]:
    """The table [section] among ``values``, {} if there is none. ``where`` names the source in errors."""
    table = values.get(section, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: {section} must be a table; got {table!r}.", f"Write [{section}].")
    return dict(table)


def from_table(cls: type[T], section: str, values: Mapping[str, Any], where: str) -> T:
    """The dataclass ``cls`` from the table [section] among ``values``; ``where`` names them in errors."""
    table = table_of(values, section, where)
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)  # type: ignore[arg-type]
    for key in table:
        check_known("key", f"{section}.{key}", [f"{section}.{f.name}" for f in fields], where)
    for f in fields:
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in table:
            raise ConfigError(f"{where}: {section}.{f.name} is missing.", f"Add it to the table [{section}].")
    hints = get_type_hints(cls)
    return cls(**{key: typed(f"{section}.{key}", value, hints[key]) for key, value in table.items()})


def from_text(text: str, kind: Any, setting: str) -> Any:
    """The value of a ``key=value`` setting, in TOML; a text may go without its quotes."""
    import tomllib  # deferred: `import s5ref` needs no parser

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if kind is str:
            return text
        raise ConfigError(
            f"The value of {setting!r} is not valid TOML.", 'Example: train.dtype="float64".'
        ) from None


def check_known(what: str, got: str, known: Iterable[str], where: str = "") -> None:
    """ConfigError with the nearest known word and all of them, if ``got`` is not among ``known``."""
    known = list(known)
    if got not in known:
        start = f"{where}: unknown" if where else "Unknown"
        raise ConfigError(f"{start} {what} {got!r}.", f"{suggest(got, known)}Known: {', '.join(known)}.")
