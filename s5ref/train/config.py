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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from s5ref.errors import ConfigError, suggest
from s5ref.model.config import ModelConfig
from s5ref.ssm.config import check_word
from s5ref.train.optim import OPT_CONFIGS
from s5ref.train.schedule import SCHEDULES

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class OptimConfig:
    """How parameters move.

    opt_config     which leaves take which rate and decay: a key of `s5ref.train.optim.OPT_CONFIGS`
    dt_global      log Δ takes lr and the weight decay instead of ssm_lr
    ssm_lr, lr     the two base rates; they share the schedule
    weight_decay   AdamW's λ, where opt_config decays
    schedule       a key of `s5ref.train.schedule.SCHEDULES`
    warmup_epochs  linear warm-up, in epochs; a run that is shorter ends on the way up
    """

    opt_config: str = "standard"
    dt_global: bool = False
    ssm_lr: float = 1e-3
    lr: float = 4e-3
    weight_decay: float = 0.01
    schedule: str = "warmup_cosine"
    warmup_epochs: int = 1

    def __post_init__(self) -> None:
        _check_types("optim", self)
        check_word("optim", "opt_config", self.opt_config, tuple(OPT_CONFIGS))
        check_word("optim", "schedule", self.schedule, tuple(SCHEDULES))
        for name in ("ssm_lr", "lr"):
            _check("optim", name, getattr(self, name), "finite and > 0", 0 < getattr(self, name) < math.inf)
        for name in ("weight_decay", "warmup_epochs"):
            _check("optim", name, getattr(self, name), "finite and ≥ 0", 0 <= getattr(self, name) < math.inf)


@dataclass(frozen=True)
class TrainConfig:
    """How long, in what portions and in what precision.

    batch               examples per update; the ragged last batch of an epoch is dropped
    epochs              passes over the training set; the schedule follows
    dtype               "float32" or "float64": parameters, inputs, moments
    checkpoint_seconds  a checkpoint is due at least this often, besides each epoch's end
    """

    batch: int = 50
    epochs: int = 20
    dtype: str = "float32"
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        _check_types("train", self)
        check_word("train", "dtype", self.dtype, DTYPES)
        for name in ("batch", "epochs"):
            _check("train", name, getattr(self, name), "≥ 1", getattr(self, name) >= 1)
        _check("train", "checkpoint_seconds", self.checkpoint_seconds, "≥ 0", self.checkpoint_seconds >= 0)


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run but its seed: the task's name, the model, the optimiser, the training."""

    task: str
    model: ModelConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def recipe(cls, name: str) -> RunConfig:
        """A built-in recipe, by name (`s5ref.recipes.names`)."""
        from s5ref import recipes

        return cls.from_toml_text(recipes.text(name), f"recipe {name}")

    @classmethod
    def from_toml(cls, path: str | Path) -> RunConfig:
        """The configuration in a TOML file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The configuration {path} cannot be read: {error}.", "Check the path."
            ) from error
        return cls.from_toml_text(text, str(path))

    @classmethod
    def from_toml_text(cls, text: str, where: str = "configuration") -> RunConfig:
        """The configuration in a TOML text; ``where`` names it in errors."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(
                f"{where} is not valid TOML: {error}.", "See `s5ref recipes digits` for the form."
            ) from error
        return _run_config(values, where)

    def to_dict(self) -> dict[str, Any]:
        """{"task": …, "model": {…}, "optim": {…}, "train": {…}}."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """The inverse of `from_toml_text`: every key, defaults included."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    def override(self, settings: Iterable[str]) -> RunConfig:
        """With ``section.key=value`` settings applied, values in TOML (a text may go without its quotes)."""
        values = self.to_dict()
        for setting in settings:
            name, equals, text = setting.partition("=")
            section, dot, key = name.strip().partition(".")
            if not (equals and dot):
                raise ConfigError(
                    f"A setting must read section.key=value; got {setting!r}.", "Example: model.n_layers=2."
                )
            if section not in _SECTIONS:
                raise _unknown("section", section, _SECTIONS, f"setting {setting!r}")
            hints = get_type_hints(_SECTIONS[section])
            if key not in hints:
                raise _unknown("key", name.strip(), [f"{section}.{k}" for k in hints], f"setting {setting!r}")
            values[section][key] = _value(text.strip(), hints[key], setting)
        return _run_config(values, "settings")


_SECTIONS: dict[str, type[Any]] = {"model": ModelConfig, "optim": OptimConfig, "train": TrainConfig}


def _run_config(values: Mapping[str, Any], where: str) -> RunConfig:
    for key in values:
        if key != "task" and key not in _SECTIONS:
            raise _unknown("key", key, ["task", *_SECTIONS], where)
    if not isinstance(values.get("task"), str):
        raise ConfigError(
            f"{where}: task must be a name; got {values.get('task')!r}.", 'Begin with task = "digits".'
        )
    sections = {name: _section(name, values.get(name, {}), where) for name in _SECTIONS}
    return RunConfig(task=values["task"], **sections)


def _section(name: str, values: Any, where: str) -> Any:
    cls = _SECTIONS[name]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {name} must be a table; got {values!r}.", f"Write [{name}].")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise _unknown("key", f"{name}.{key}", [f"{name}.{k}" for k in fields], where)
    for key, f in fields.items():
        if (
            key not in values
            and f.default is dataclasses.MISSING
            and f.default_factory is dataclasses.MISSING
        ):
            raise ConfigError(f"{where}: {name}.{key} is missing.", f"Add it to the table [{name}].")
    hints = get_type_hints(cls)
    return cls(**{key: _typed(f"{name}.{key}", value, hints[key]) for key, value in values.items()})


def _typed(name: str, value: Any, kind: Any) -> Any:
    """``value`` if it is of the field's type; an integer may stand for a real."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
        raise ConfigError(f"{name} must be {words.get(kind, kind)}; got {value!r}.", "Correct the value.")
    return value


def _value(text: str, kind: Any, setting: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if kind is str:
            return text
        raise ConfigError(
            f"The value of {setting!r} is not valid TOML.", 'Example: train.dtype="float64".'
        ) from None


def _unknown(what: str, got: str, known: Iterable[str], where: str) -> ConfigError:
    known = list(known)
    remedy = suggest(got, known) or f"Known: {', '.join(known)}."
    return ConfigError(f"{where}: unknown {what} {got}.", remedy)


def _check_types(section: str, config: Any) -> None:
    for name, kind in get_type_hints(type(config)).items():
        object.__setattr__(config, name, _typed(f"{section}.{name}", getattr(config, name), kind))


def _check(section: str, name: str, value: object, condition: str, holds: bool) -> None:
    if not holds:
        raise ConfigError(f"{section}.{name} must be {condition}; got {value}.", "Correct the value.")
