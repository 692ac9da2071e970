"""The configuration of a run: four frozen dataclasses, one TOML form, and every unknown key refused.

task = "smnist"
[model]  …   fields of `ModelConfig`
[optim]  …   fields of `OptimConfig`
[train]  …   fields of `TrainConfig`
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

from s5ref.errors import ConfigError
from s5ref.model.chunks import check_chunks
from s5ref.model.config import ModelConfig
from s5ref.optim.optimizer import OptimConfig
from s5ref.settings import check, check_known, check_types, check_word, from_table, from_text, table_of, typed
from s5ref.tree import prefixed

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class TrainConfig:
    """How long, in what portions and in what precision.

    Parameters
    ----------
    batch : int
        Examples per update. 0: fitted to n training examples, n/40 but 16 to 50, and at most n.
    epochs : int
        Passes over the training set; the schedule follows. 0: 20, or as many as make about 600 updates.
    dtype : {"float32", "float64"}
        Of parameters, inputs and moments.
    pack : bool
        Sequences of unequal lengths are laid end to end in rows (`s5ref.pack`), so that an update costs the
        steps that its examples hold; the results are those of masked padding, which the model has to have.
    checkpoint_seconds : float
        A checkpoint is due at least this often, besides each epoch's end.
    chunk : int
        Steps of a chunk: updates and evaluations pass through the sequences chunk by chunk, in the memory of
        one, to the same numbers up to rounding. 0: whole sequences.
    truncate : bool
        No gradient crosses a chunk boundary: truncated backpropagation through time.

    Raises
    ------
    ConfigError
        On a value of another type or out of range.
    """

    batch: int = 0
    epochs: int = 0
    dtype: str = "float32"
    pack: bool = False
    checkpoint_seconds: float = 60.0
    chunk: int = 0
    truncate: bool = False

    def __post_init__(self) -> None:
        check_types("train", self)
        check_word("train", "dtype", self.dtype, DTYPES)
        for name in ("batch", "epochs", "chunk"):
            check(f"train.{name}", getattr(self, name), "≥ 0", getattr(self, name) >= 0)
        seconds = self.checkpoint_seconds
        check("train.checkpoint_seconds", seconds, "≥ 0", seconds >= 0)
        if self.truncate:
            remedy = "Say after how many steps: train.chunk."
            check("train.truncate", "true without chunks", "used with train.chunk", self.chunk > 0, remedy)
        if self.pack:
            remedy = "Set one of them: packed rows are as long as the longest sequence."
            check("train.pack", "true with chunks", "used without train.chunk", self.chunk == 0, remedy)


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run but its seed: the task's name, the model, the optimiser, the training.

    Raises
    ------
    ConfigError
        If the model cannot be trained by chunks and ``train.chunk`` asks for it, or on packed rows and
        ``train.pack`` does.
    """

    task: str
    model: ModelConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.train.chunk:
            check_chunks(f"train.chunk = {self.train.chunk}", self.model, self.train.chunk, training=True)
        if self.train.pack:
            stride = self.model.event_stride
            check("model.event_stride", stride, "1 with train.pack", stride == 1, "Set one of them.")

    @classmethod
    def recipe(cls, name: str) -> RunConfig:
        """A built-in recipe, by name (`s5ref.recipes.names`).

        Raises
        ------
        ConfigError
            On an unknown name, naming the nearest one.
        """
        from s5ref import recipes

        return cls.from_toml_text(recipes.text(name), f"recipe {name}")

    @classmethod
    def from_toml(cls, path: str | Path) -> RunConfig:
        """The configuration in a TOML file.

        Raises
        ------
        ConfigError
            If it cannot be read, and as `from_toml_text`.
        """
        return cls.from_toml_text(read_toml(path), str(path))

    @classmethod
    def from_toml_text(cls, text: str, where: str = "configuration") -> RunConfig:
        """The configuration in a TOML text; ``where`` names it in errors.

        Raises
        ------
        ConfigError
            On text that is no TOML, a missing or unknown key, a value of another type or out of range.
        """
        return run_config(parse_toml(text, where), where)

    def fitted(self, n: int) -> RunConfig:
        """The configuration for ``n`` training examples: with numbers for a batch or epochs of 0."""
        batch = self.train.batch or min(n, max(16, min(50, n // 40)))
        epochs = self.train.epochs or max(20, math.ceil(600 * batch / n))
        return replace(self, train=replace(self.train, batch=batch, epochs=epochs))

    def to_dict(self) -> dict[str, Any]:
        """{"task": …, "model": {…}, "optim": {…}, "train": {…}}."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """The inverse of `from_toml_text`: every key, defaults included."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    def differences(self, other: RunConfig) -> dict[str, tuple[Any, Any]]:
        """The keys whose values differ, such as ``model.n_layers``: (here, in ``other``).

        A batch or epochs of 0 agree with any number: they are fitted to the data.
        """
        here, there = self._flat(), other._flat()
        fitted = {key for key in ("train.batch", "train.epochs") if 0 in (here[key], there[key])}
        return {key: (here[key], there[key]) for key in here if here[key] != there[key] and key not in fitted}

    def _flat(self) -> dict[str, Any]:
        """The values under ``section.key``, and the task."""
        flat: dict[str, Any] = {"task": self.task}
        for section in _SECTIONS:
            flat |= prefixed(section, vars(getattr(self, section)))
        return flat

    def override(self, settings: Iterable[str]) -> RunConfig:
        """The configuration with some values changed.

        Parameters
        ----------
        settings : iterable of str
            ``section.key=value``, values in TOML; a text may go without its quotes.

        Raises
        ------
        ConfigError
            On an unknown section or key, naming the nearest one; on a value of another type or out of range.
        """
        return run_config(with_settings(self.to_dict(), settings), "settings")


def run_config(values: Mapping[str, Any], where: str) -> RunConfig:
    """The configuration of the tables ``values``; ``where`` names them in errors.

    Raises
    ------
    ConfigError
        On a missing or unknown key, a value of another type or out of range.
    """
    for key in values:
        check_known("key", key, ["task", *_SECTIONS], where)
    if not isinstance(values.get("task"), str):
        raise ConfigError(
            f"{where}: task must be a name; got {values.get('task')!r}.", 'Begin with task = "digits".'
        )
    sections = {name: from_table(cls, name, values, where) for name, cls in _SECTIONS.items()}
    return RunConfig(task=values["task"], **sections)


def with_settings(
    values: Mapping[str, Any], settings: Iterable[str], where: str = "settings"
) -> dict[str, Any]:
    """The tables ``values`` with those changed that ``settings`` name, as of `RunConfig.override`."""
    changed = dict(values)
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot):
            raise ConfigError(
                f"A setting must read section.key=value; got {setting!r}.", "Example: model.n_layers=2."
            )
        check_known("section", section, _SECTIONS, f"setting {setting!r}")
        hints = get_type_hints(_SECTIONS[section])
        known = [f"{section}.{k}" for k in hints]
        check_known("key", f"{section}.{key}", known, f"setting {setting!r}")
        value = typed(f"{section}.{key}", from_text(text.strip(), hints[key], setting), hints[key])
        changed[section] = table_of(changed, section, where) | {key: value}
    return changed


def read_toml(path: str | Path) -> str:
    """The text of a configuration file.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}.", "Check the path.") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises
    ------
    ConfigError
        If it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        remedy = "See `s5ref recipes digits` for the form."
        raise ConfigError(f"{where} is not valid TOML: {error}.", remedy) from error


_SECTIONS: dict[str, type[Any]] = {"model": ModelConfig, "optim": OptimConfig, "train": TrainConfig}
