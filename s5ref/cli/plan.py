"""What ``s5ref train`` is asked to do: configuration, engine, seeds, folder of a run, new or resumed."""

from __future__ import annotations

import argparse
import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s5ref.cli import options
from s5ref.engine import DEFAULT
from s5ref.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s5ref.data import Dataset
    from s5ref.train.config import RunConfig


@dataclass(frozen=True)
class Plan:
    """out None: the next free folder. several: a folder per seed in ``out``, else one run of seeds[0].

    ``warnings``: the keys of config.toml that differ from the checkpoint of a resumed run.
    """

    config: RunConfig
    engine: str
    seeds: list[int]
    several: bool
    out: Path | None
    warnings: tuple[str, ...] = ()

    def claim(self) -> Path:
        """The run folder; a default one is made at once, so that nobody else takes it."""
        if self.out is not None:
            return self.out
        return free_folder(self.config.task)


def free_folder(name: str) -> Path:
    """The next free runs/NAME-N, made."""
    for number in itertools.count(1):
        folder = Path("runs") / f"{name}-{number}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def dataset(config: RunConfig, where: str | None, training: bool = True) -> Dataset:
    """The data of a run: of its task in the folder ``where``, or one's own arrays in the file ``where``."""
    from s5ref import data
    from s5ref.data.user import for_model

    own = config.task not in data.TASKS
    if where is not None and Path(where).suffix == ".npz":
        if training and not own:
            raise ConfigError(
                f"The data of {config.task} are not one's own arrays; got --data {where}.",
                f"Begin from it: `s5ref recipes {config.task} > mine.toml`, write into mine.toml "
                'task = "arrays" and the in_dim and n_classes of your data, and train mine.toml.',
            )
        return for_model(data.load_arrays(Path(where).expanduser()), config.model, training)
    if own:
        raise DataError(
            f"The task {config.task!r} is one's own arrays, so their file must be given; got "
            f"{f'--data {where}' if where else 'no --data'}.",
            "Save them in Python, s5ref.data.save_arrays('FILE.npz', arrays), and say --data FILE.npz.",
        )
    return data.load(config.task, where)


def fresh(args: argparse.Namespace) -> Plan:
    """A new run; a folder that holds a checkpoint is refused."""
    from s5ref.train import runs
    from s5ref.train.lock import refuse_locked

    config = configuration(args)
    out = Path(args.out).expanduser() if args.out else None
    if out is not None:
        refuse_locked(out)
        runs.refuse_existing(out)
    seeds = args.seeds or [0]
    return Plan(config, options.engine_name(args), seeds, len(seeds) > 1, out)


def configuration(args: argparse.Namespace) -> RunConfig:
    """The recipe or file, with --set and --epochs applied."""
    if args.recipe is None:
        raise ConfigError(
            "A recipe or a TOML file is missing.",
            "Example: s5ref train digits. `s5ref recipes` lists what there is.",
        )
    return _base(args.recipe).override(_settings(args))


def source(recipe: str) -> tuple[str, str]:
    """(TOML text, its name in errors) of a recipe or a file."""
    from s5ref import recipes
    from s5ref.train.config import read_toml

    path = Path(recipe).expanduser()
    if recipe not in recipes.names() and (path.suffix == ".toml" or path.is_file()):
        return read_toml(path), str(path)
    return recipes.text(recipe), f"recipe {recipe}"


def _base(recipe: str) -> RunConfig:
    from s5ref.train.config import RunConfig

    return RunConfig.from_toml_text(*source(recipe))


def _settings(args: argparse.Namespace) -> list[str]:
    epochs = [] if args.epochs is None else [f"train.epochs={args.epochs}"]
    if epochs and any(setting.partition("=")[0].strip() == "train.epochs" for setting in args.settings):
        raise ConfigError("--epochs is --set train.epochs; got both.", "Give one of the two.")
    return [*args.settings, *epochs]


def resumed(args: argparse.Namespace) -> Plan:
    """The run in --out continued: everything is RUN's own. What is said again must be the same."""
    from s5ref.train import environment, runs
    from s5ref.train.lock import refuse_locked

    recipe = Path(args.recipe or "")
    if not args.out and recipe.name == "config.toml" and recipe.is_file():
        args.out = str(recipe.parent)
    if not args.out:
        raise ConfigError(
            "--resume needs the run folder.", "Example: s5ref train --resume --out runs/digits-1."
        )
    out = Path(args.out).expanduser()
    if not out.is_dir():
        raise ConfigError(
            f"{out} does not exist, so there is nothing to resume.", "Leave out --resume to begin it."
        )
    refuse_locked(out)
    own, warnings = runs.own_config(out)
    _same_configuration(args, own, out)
    several = runs.read_seeds(out)
    facts = environment.read(out / f"seed-{several[0]}" if several else out) or {}
    seeds = several or [facts.get("seed", (args.seeds or [0])[0])]
    if args.seeds and args.seeds != seeds:
        raise ConfigError(
            f"{out} was started with the seeds {seeds}; a resumed run keeps them, got {args.seeds}.",
            "Leave them out, or begin a new run. Only --steps, --data, --threads and the engine may differ.",
        )
    engine = options.engine_name(args, facts.get("engine", DEFAULT))  # checkpoints are of no engine
    return Plan(own, engine, seeds, several is not None, out, tuple(warnings))


def _same_configuration(args: argparse.Namespace, own: RunConfig, out: Path) -> None:
    """A built-in recipe must be RUN's; a file, --set and --epochs must agree with RUN's configuration."""
    from s5ref import recipes

    settings = _settings(args)
    changed = own.differences(own.override(settings))
    if args.recipe in recipes.names():
        if args.recipe != own.task:
            changed["recipe"] = own.task, args.recipe
    elif args.recipe is not None and own.differences(base := _base(args.recipe)):
        changed |= own.differences(base.override(settings))
    if changed:
        words = "; ".join(f"{key}: {there} there, {here} here" for key, (there, here) in changed.items())
        raise ConfigError(
            f"A resumed run keeps the configuration of {out}; not so: {words}.",
            "Leave them out, or begin a new run with another --out.",
        )
